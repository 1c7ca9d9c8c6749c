"""`unrolled studies`: the studies that ship and those that were run, a line each.

With `--remove-old` it removes the results and files that belong to no current plan.
"""

import shutil
from collections.abc import Iterable, Mapping, Set
from contextlib import suppress
from itertools import chain
from pathlib import Path

from unrolled.ablations.commits.chain.chain_record import ChainRecord, name_study, read_chains
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.plans import plan_store
from unrolled.ablations.plans.plan import Plan
from unrolled.ablations.study.study_reader import list_shipped_studies, parse_study, read_study_text
from unrolled.ablations.terminal import print_line, print_rows
from unrolled.bench.errors import BadInput, require
from unrolled.bench.phrases import choose_form, plural
from unrolled.bench.study_rules import StoppingRule
from unrolled.reports.formats import drop_empty_columns, format_day, join_names, shorten
from unrolled.reports.page.summary import find_page, read_summary

HEADING = ("study", "results", "failed", "decided", "last result", "answer, or question")
REFUSAL_LENGTH = 80  # characters of the reason why a study was stopped


def studies(results: Path, out: Path, remove_old: bool) -> int:
    """List the studies, by the ledger and the summaries of pages; with `remove_old`, remove old results."""
    ledger = Ledger(results)
    if remove_old:
        _remove_unplanned(ledger)
    else:
        _print_list(ledger, out)
    return 0


def _print_list(ledger: Ledger, out: Path) -> None:
    """Print a line for each study that ships or was run."""
    plans = {plan.study_name: plan for plan in plan_store.load_plans(ledger)}
    trained_ids = ledger.find_result_files().keys()
    study_plans = [plan for plan in plans.values() if plan.rules.stopping_rule != StoppingRule.PROPOSAL]
    rows = [_make_plan_row(plan, len(trained_ids & set(plan.ids)), out) for plan in study_plans]
    rows += [_make_chain_row(record, plans, trained_ids) for record in read_chains(ledger)]
    rows += [
        (name, "–", "–", "–", "–", parse_study(read_study_text(name)[1]).question)
        for name in list_shipped_studies()
        if name not in plans
    ]
    print_rows(drop_empty_columns([HEADING, *rows]))
    print_line("")
    print_line("`unrolled run STUDY` trains a study, `unrolled plan STUDY` says more of it,")
    print_line("`unrolled new study my.toml` writes one of your own; `unrolled golden` replays")
    print_line("the book's notebook")
    if unused_count := len(trained_ids - _collect_ids(plans.values())):
        subject = choose_form(unused_count, "old result is", "old results are")
        cure = "`unrolled studies --remove-old` removes what belongs to no plan"
        print_line(f"{unused_count:,} {subject} unused; {cure}")


def _make_plan_row(plan: Plan, result_count: int, out: Path) -> tuple[str, ...]:
    """Return the row of a study that was run: its results, and the summary of its page."""
    if plan.stop_reason:
        reason = f"stopped by its first trials: {shorten(plan.stop_reason, REFUSAL_LENGTH)}"
        return (plan.study_name, f"{result_count:,}", "–", "–", "–", reason)
    summary = read_summary(find_page(plan.study_name, out))
    if summary is None or summary.study_hash != plan.study_hash:
        return (plan.study_name, f"{result_count:,}", "–", "–", "–", plan.rules.question)
    decided = f"{summary.decided_count} of {summary.contrast_count}"
    answer = summary.answer[0] if summary.answer else plan.rules.question
    return (
        plan.study_name,
        f"{result_count:,}",
        f"{summary.failed_count:,}",
        decided,
        summary.last_result,
        answer,
    )


def _make_chain_row(record: ChainRecord, plans: Mapping[str, Plan], trained_ids: Set[str]) -> tuple[str, ...]:
    """Return the row of a chain of proposals."""
    names = [name_study(record.chain.name, proposal.number) for proposal in record.proposals]
    result_count = sum(len(trained_ids & {*plans[name].ids}) for name in names if name in plans)
    end_times = [proposal.ended_at for proposal in record.proposals if proposal.ended_at]
    decided = f"{len(end_times)} of {len(names)}"
    day = format_day(max(end_times)) if end_times else "–"
    return (record.chain.name, f"{result_count:,}", "–", decided, day, record.answer)


def _remove_unplanned(ledger: Ledger) -> None:
    """Remove the results, checkpoints and files set aside that belong to no plan. Raises BadInput."""
    place = f"--results {ledger.root}"
    require(ledger.root.is_dir(), "there is no such folder", place=place, cure="name that of a ledger")
    with ledger.lock_all():  # a running study loses no result
        plans, unreadable = plan_store.read_plans(ledger)
        if unreadable:
            raise BadInput(
                "nothing is removed, as results may belong to it",
                place=unreadable[0],
                cure="run its study again, which sets it aside, or delete it",
            )
        planned_ids = _collect_ids(plans)
        folders = {
            "result": "trials/*/*.json",
            "details file": "details/*/*",
            "checkpoint": "checkpoints/*",
            "program's folder": "kept/*",
        }
        leftovers = {
            noun: [
                path for path in ledger.root.glob(pattern) if path.name.partition(".")[0] not in planned_ids
            ]
            for noun, pattern in folders.items()
        }
        leftovers["set-aside file"] = list((ledger.root / "set-aside").glob("*"))
        for path in chain.from_iterable(leftovers.values()):
            _remove_path(path)
    counts = [plural(len(paths), noun) for noun, paths in leftovers.items() if paths]
    if counts:
        print_line(f"removed {join_names(counts)}")
    else:
        print_line("nothing to remove: every result belongs to a plan")


def _collect_ids(plans: Iterable[Plan]) -> set[str]:
    """Return the identities of all trials of plans. The names of a trial's files begin with its identity."""
    return {id for plan in plans for id in plan.ids}


def _remove_path(path: Path) -> None:
    """Remove a file or a folder, and the folder that held it if it is empty now."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    with suppress(OSError):  # the folder may hold other files
        path.parent.rmdir()
