"""`unrolled studies`: every study there is, with its question, arms, time, and how far it is.

With `--remove-old` it removes the results and files that belong to no current plan.
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from unrolled.ablations.commands.plan import minutes
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.options import StoredOptions
from unrolled.ablations.study import loading, stored_plans
from unrolled.ablations.study.loading import FEWEST, load_plugins
from unrolled.ablations.study.plan import Plan
from unrolled.ablations.study.study import Study
from unrolled.ablations.study.study_file import shipped
from unrolled.ablations.training.comparison import compare_plan
from unrolled.ablations.training.seed_scheduler import SeedScheduler
from unrolled.bench.devices import cores
from unrolled.bench.errors import BadInput, plural, require, visible
from unrolled.bench.trial import Result
from unrolled.reports.formats import columns, short

REFUSAL_LENGTH = 80  # characters of the reason why a study was stopped
_STOPPED = "stopped by its first trials:"


def studies(names: Sequence[str], options: StoredOptions, remove_old: bool) -> int:
    """List the studies, or say how far those that are named are; with `remove_old`, remove old results."""
    load_plugins(options.plugin)
    ledger = Ledger(options.results)
    if remove_old:
        alone = "removes those of every study"
        require(not names, alone, place="--remove-old", cure="leave the studies' names out")
        _remove_unplanned(ledger)
    elif names:
        _print_states(names, ledger)
    else:
        _print_list(ledger)
    return 0


def _print_states(names: Sequence[str], ledger: Ledger) -> None:
    """Print how far studies are, and every trial that failed or diverged."""
    from unrolled.reports.claims import tally  # pandas, which the list does without

    for name, plan in zip(names, stored_plans.of_studies(names, ledger), strict=True):
        results = {id: plan.judge_result(r) for id, r in ledger.results(plan.ids).items()}
        scheduler = SeedScheduler(plan, results)
        outcome = tally(compare_plan(plan, results))
        files = [name] if name in shipped() or name.endswith(".toml") else _study_files()
        edited = [_difference(plan, study) for study in _load_studies(files) if study.name == plan.study]
        state = f"{_STOPPED} {visible(plan.refusal)}" if plan.refusal else scheduler.status_line
        print(f"{visible(plan.study)}: {outcome}; {state}{min(edited, default='')}")
        for result in results.values():
            if not result.done:
                print(f"  {result.trial.id} seed {result.trial.seed}: {visible(result.reason)}")


def _print_list(ledger: Ledger) -> None:
    """Print the shipped studies, those of this folder's .toml files, and others that were run."""
    plan_of = {plan.study: plan for plan in stored_plans.all_stored(ledger)}
    results = ledger.results({id for plan in plan_of.values() for id in plan.ids})
    rows = [("study", "arms", "time until decided", "state", "")]
    files = (*shipped(), *_study_files())
    workers = cores()
    loaded = {name: _load(name, workers) for name in files}
    today = {outcome[0].plan_hash for outcome in loaded.values() if not isinstance(outcome, BadInput)}
    listed = set()
    for name, outcome in loaded.items():
        if isinstance(outcome, BadInput):
            rows.append((name, "–", "–", "cannot be run", str(outcome)))
            continue
        study, time = outcome
        plan = plan_of.get(study.name)
        if plan and plan.hash != study.plan_hash and plan.hash in today:
            plan = None  # it is another file's, of the same name
        listed.add(study.name)
        edited = _difference(plan, study) if plan else ""
        rows.append((name, str(len(study.arms)), time, _state(plan, results, edited), study.question))
    rows += [
        (plan.study, str(len(plan.arms)), "–", _state(plan, results), plan.question)
        for plan in plan_of.values()
        if plan.study not in listed
    ]
    lines = columns([[visible(cell) for cell in cells] for *cells, _ in rows])
    for line, (*_, question) in zip(lines, rows, strict=True):
        print(line)
        print(f"    {visible(question)}\n" if question else "", end="")
    print("\n`unrolled run STUDY` trains a study, `unrolled plan STUDY` says more of it, `unrolled new study")
    print("my.toml` writes one of your own; `unrolled run golden` replays the book's notebook")
    stored, unreadable = stored_plans.read_all(ledger)
    if old := _unplanned_results(ledger, stored):
        cure = " that can be read" if unreadable else "; `unrolled studies --remove-old` removes them"
        print(f"{plural(len(old), 'result')} of earlier code or settings, in no plan{cure}")


def _load(name: str, workers: int) -> tuple[Study, str] | BadInput:
    """A study and the time that it takes, or what is wrong with its file."""
    try:
        study = loading.load(name)
        return study, minutes(study, workers)
    except BadInput as error:
        return error


def _load_studies(files: Iterable[str]) -> Iterator[Study]:
    """The studies of those files that have no mistake."""
    for file in files:
        with suppress(BadInput):
            yield loading.load(file, confirmed=True)


def _study_files() -> list[str]:
    """The files of this folder that look like a study's."""
    return [str(path) for path in sorted(Path().glob("*.toml")) if _is_study(path)]


def _is_study(path: Path) -> bool:
    return path.is_file() and "[baseline" in path.read_text("utf-8", errors="replace")


def _difference(plan: Plan, study: Study) -> str:
    """The difference between a stored plan and today's study, in words; "" where a run would find none."""
    if plan.hash != study.plan_hash:
        return ", of other seeds or settings"
    seed = study.seeds[0]
    with suppress(BadInput):  # code that is missing is other code
        trials = {arm.name: arm.trial(seed, plan.device).identify().id for arm in study.arms}
        if all(arm.trials[seed] == trials[arm.name] for arm in plan.arms):
            return ""
    return ", of earlier code or data: a run trains it again"


def _state(plan: Plan | None, results: Mapping[str, Result], edited: str = "") -> str:
    """How far a study is."""
    if plan is None:
        return "not run"
    scheduler = SeedScheduler(plan, {id: results[id] for id in plan.ids if id in results})
    if plan.refusal:
        return f"{_STOPPED} {short(plan.refusal, REFUSAL_LENGTH)}{edited}"
    if not scheduler.pending and len(plan.seeds) < FEWEST:
        return f"{plural(len(plan.seeds), 'seed')} trained, and under {FEWEST} nothing is decided{edited}"
    missing = f"{plural(len(scheduler.pending), 'trial')} missing" if scheduler.pending else "done"
    return f"{missing}: {scheduler.status_line}{edited}"


def _remove_unplanned(ledger: Ledger) -> None:
    """Remove the results, checkpoints and files set aside that belong to no plan. Raises BadInput."""
    if not ledger.root.is_dir():
        raise BadInput(
            "there is no such folder", place=f"--results {ledger.root}", cure="name that of a ledger"
        )
    with ledger.lock_all():  # no study that runs loses a result
        stored, unreadable = stored_plans.read_all(ledger)
        if unreadable:
            raise BadInput(
                "nothing is removed, as results may belong to it",
                place=unreadable[0],
                cure="run its study again, which sets it aside, or delete it",
            )
        groups = {
            "result": _unplanned_results(ledger, stored),
            "details file": _unplanned(ledger.root.glob("details/*/*"), stored),
            "checkpoint": _unplanned(ledger.checkpoints.glob("*"), stored),
            "folder of a program": _unplanned(ledger.root.glob("kept/*"), stored),
            "set-aside file": sorted((ledger.root / "set-aside").glob("*")),
        }
        for kind, paths in groups.items():
            if paths:
                print(_count_and_size(paths, kind))
        leftovers = [path for paths in groups.values() for path in paths]
        _remove(leftovers)
        print("removed" if leftovers else "nothing to remove: every result belongs to a plan")


def _unplanned_results(ledger: Ledger, plans_: Iterable[Plan]) -> list[Path]:
    """The results of trials that none of these plans has; by their names, without reading them."""
    return _unplanned(ledger.files().values(), plans_)


def _unplanned(files: Iterable[Path], plans_: Iterable[Plan]) -> list[Path]:
    """The files of trials that none of these plans has; a name begins with the identity, and then a dot."""
    planned = {id for plan in plans_ for id in plan.ids}
    return [file for file in sorted(files) if file.name.partition(".")[0] not in planned]


def _count_and_size(paths: Sequence[Path], noun: str) -> str:
    """How many there are, and their size, as "1,234 results, 61 MB"."""
    size = sum(_size(path) for path in paths) / 1e6
    shown = f"{size:,.0f}" if size >= 10 else f"{size:.2g}"
    return f"{len(paths):,} {noun}{'s' * (len(paths) != 1)}, {shown} MB"


def _size(path: Path) -> int:
    """Bytes of a file, or of all in a folder; 0 of what has gone."""
    with suppress(OSError):
        return sum(map(_size, path.iterdir())) if path.is_dir() else path.stat().st_size
    return 0


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        with suppress(OSError):  # a folder that holds others stays
            path.parent.rmdir()
