"""`unrolled studies`: every study there is, with its question, arms, time, and how far it is."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ablations.commands.old_results import remove_unplanned, unplanned
from ablations.commands.plan import load_plugins, minutes
from ablations.commands.report import compare_plan
from ablations.commands.seed_scheduler import SeedScheduler
from ablations.ledger import Ledger
from ablations.options import StoredOptions
from ablations.study import loading
from ablations.study import plan as plans
from ablations.study.plan import Plan
from ablations.study.study import Study
from ablations.study.study_file import shipped
from bench.devices import cores
from bench.errors import BadInput, plural, visible
from bench.trial import Result
from reports.answer import tally
from reports.formats import columns


def studies(names: Sequence[str], options: StoredOptions, remove_old: bool) -> int:
    """List the studies, or say how far those that are named are; with `remove_old`, remove old results."""
    load_plugins(options.plugin)
    ledger = Ledger(options.results)
    if remove_old:
        remove_unplanned(ledger)
    elif names:
        _tell(names, ledger)
    else:
        _list(ledger)
    return 0


def _tell(names: Sequence[str], ledger: Ledger) -> None:
    """Print how far studies are, and every trial that failed or diverged."""
    for plan in plans.of_studies(names, ledger):
        results = ledger.results(plan.ids)
        scheduler = SeedScheduler(plan, results)
        ended = tally(compare_plan(plan, results))
        print(f"{visible(plan.study)}: {ended}; {scheduler.describe_remaining(cores())}")
        for result in results.values():
            if not result.done:
                print(f"  {result.trial.id} seed {result.trial.seed}: {visible(result.reason)}")


def _list(ledger: Ledger) -> None:
    """Print the shipped studies, those of this folder's .toml files, and others that were run."""
    run = {plan.study: plan for plan in plans.all_stored(ledger)}
    results = ledger.results({id for plan in run.values() for id in plan.ids})
    rows = [("study", "arms", "time until decided", "state", "")]
    files = (*shipped(), *(str(path) for path in sorted(Path().glob("*.toml")) if _is_study(path)))
    workers = cores()
    found = {name: _loaded(name, workers) for name in files}
    today = {one[0].plan for one in found.values() if not isinstance(one, BadInput)}
    listed = set()
    for name, one in found.items():
        if isinstance(one, BadInput):
            rows.append((name, "–", "–", "cannot be run", str(one)))
            continue
        study, time = one
        plan = run.get(study.name)
        if plan and plan.hash != study.plan and plan.hash in today:
            plan = None  # it is another file's, of the same name
        listed.add(study.name)
        rows.append((name, str(len(study.arms)), time, _state(plan, study.plan, results), study.question))
    rows += [
        (plan.study, str(len(plan.arms)), "–", _state(plan, plan.hash, results), plan.question)
        for plan in run.values()
        if plan.study not in listed
    ]
    lines = columns([[visible(cell) for cell in cells] for *cells, _ in rows])
    for line, (*_, question) in zip(lines, rows, strict=True):
        print(line)
        print(f"    {visible(question)}\n" if question else "", end="")
    print("\n`unrolled run STUDY` trains a study, `unrolled plan STUDY` says more of it, `unrolled new study")
    print("my.toml` writes one of your own; `unrolled run golden` replays the book's notebook")
    found_plans, unreadable = plans.read_all(ledger)
    if old := unplanned(ledger, found_plans):
        cure = "that can be read" if unreadable else "of today: `unrolled studies --remove-old` removes them"
        print(f"{plural(len(old), 'result')} of no plan {cure}")


def _loaded(name: str, workers: int) -> tuple[Study, str] | BadInput:
    """A study and the time that it takes, or what is wrong with its file."""
    try:
        study = loading.load(name)
        return study, minutes(study, workers)
    except BadInput as error:
        return error


def _is_study(path: Path) -> bool:
    return path.is_file() and "[baseline" in path.read_text("utf-8", errors="replace")


def _state(plan: Plan | None, today: str, results: Mapping[str, Result]) -> str:
    """How far a study is; `today` is the hash of its plan as its file is now."""
    if plan is None:
        return "not run"
    scheduler = SeedScheduler(plan, {id: results[id] for id in plan.ids if id in results})
    missing = f"{plural(len(scheduler.pending), 'trial')} missing" if scheduler.pending else "done"
    edited = "" if plan.hash == today else ", of other seeds or settings"
    return f"{missing}: {scheduler.status_line}{edited}"
