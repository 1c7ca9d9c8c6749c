"""The first trials of a program: whether its seed and its settings have an effect, before the others.

The first two seeds of every arm are trained, and the baseline's first one twice; three more of the baseline's
where the two tell the same numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isfinite

from unrolled.ablations.runner.parallel import run_aside
from unrolled.ablations.runner.process import plain_reason
from unrolled.ablations.study import stored_plans
from unrolled.ablations.study.plan import Plan, PlannedArm
from unrolled.ablations.training.study_run import StudyRun
from unrolled.bench.errors import BadInput, require
from unrolled.bench.metric import kind_of
from unrolled.bench.trial import Result

SEEDS, MORE_SEEDS = 2, 5


def check_first_trials(study_run: StudyRun) -> bool:
    """Train a program's first trials and compare their numbers. Returns whether Ctrl-C ended it.

    The plan then has `nondeterminism`, the distance of two equal trials. Raises BadInput, naming the arm, for
    a trial that failed, also if only the second time, and for a seed or an arm without effect.
    """
    plan = study_run.plan
    arms = [arm for arm in plan.arms if not arm.seedless]
    ids = [arm.trials[seed] for seed in plan.seeds[:SEEDS] for arm in arms]
    known = _train(ids, study_run)
    if known is None:
        return True
    if len(known) < len(set(ids)):  # the budget is over
        return False
    if plan.nondeterminism is None:
        first = next(trial for trial in study_run.trials if trial.id == ids[0])
        if not study_run.has_time_for(first):
            return False
        repeated, interrupted = run_aside([first], study_run.conditions([first]))
        if again := repeated.get(first.id):
            _require_numbers(again, arms[0], plan.seeds[0], "trained a second time")
            measured = replace(plan, nondeterminism=_distance(known[first.id], again))
            plan = stored_plans.store(measured, study_run.ledger)
            study_run.plan = plan
        if interrupted:
            return True
    if plan.nondeterminism or not any(metric.is_quality for metric in plan.metrics):
        return False
    if _seeds_tie(arms[0], known):  # by chance, if what is told is coarse: more of them tell
        others = [arms[0].trials[seed] for seed in plan.seeds[SEEDS:MORE_SEEDS]]
        more = _train(others, study_run)
        if more is None:
            return True
        if len(more) < len(others):  # the budget is over
            return False
        known |= more
    _check_effects(plan, arms, known)
    return False


def _train(ids: Sequence[str], study_run: StudyRun) -> dict[str, Result] | None:
    """Train those of these trials that have no result, or failed; None after Ctrl-C.

    Results are missing where the budget is over. Raises BadInput for a trial that fails.
    """
    known = study_run.ledger.results(ids)
    todo = [trial for trial in study_run.trials if trial.id in ids and not _ended(known.get(trial.id))]
    if study_run.train_missing(todo, strict=True).interrupted:
        return None
    known |= study_run.ledger.results([trial.id for trial in todo])
    for id in ids:
        if id in known:
            _require_numbers(known[id], *study_run.plan.arm_and_seed[id])
    return known


def _require_numbers(result: Result, arm: PlannedArm, seed: int, key: str = "") -> None:
    """Raise BadInput for a trial that failed."""
    reason, cure = plain_reason(result), "nothing may stay of a trial before it" if key else ""
    if reason.startswith("exit code") and result.curves:  # it had begun to train
        cure = cure or "where training diverges, let it tell NaN"
    require(_ended(result), reason, place=f"arm {arm.name!r}, seed {seed}", key=key, cure=cure)


def _ended(result: Result | None) -> bool:
    return result is not None and (result.done or result.diverged)


def _distance(one: Result, two: Result) -> dict[str, float]:
    """How far two results are apart by each metric but clocks; {} where all numbers are the same.

    A metric that is not finite has no distance.
    """
    if one.fingerprints == two.fingerprints and one.status == two.status:
        return {}
    names = sorted(name for name in one.metrics.keys() & two.metrics.keys() if kind_of(name) == "quality")
    distances = {name: abs(one.metrics[name] - two.metrics[name]) for name in names}
    return {name: distance for name, distance in distances.items() if isfinite(distance)}


def _seeds_tie(arm: PlannedArm, known: Mapping[str, Result]) -> bool:
    """Whether all trained seeds of an arm tell the same numbers."""
    results = [known[id] for id in arm.trials.values() if id in known]
    marks = {result.fingerprints.get("numbers", result.trial.id) for result in results}
    return len(results) > 1 and len(marks) == 1


def _check_effects(plan: Plan, arms: Sequence[PlannedArm], known: Mapping[str, Result]) -> None:
    """Raise BadInput where two seeds of the baseline, or an arm and its base, tell the same numbers.

    A trial that diverged tells none, and is like no other. Where all do, that is told.
    """
    seeds, ended = plan.seeds[:SEEDS], list(known.values())
    rule, cure = f"each of its first trials {ended[0].reason}", "see that what it tells is meant"
    require(any(result.done for result in ended), rule, place=f"study {plan.study!r}", cure=cure)

    def told(arm: PlannedArm) -> list[str]:
        results = [known[arm.trials[seed]] for seed in seeds]
        return [result.fingerprints.get("numbers", result.trial.id) for result in results]

    marks, baseline = {arm.name: told(arm) for arm in arms}, arms[0].name
    tried = [seed for seed in plan.seeds if arms[0].trials[seed] in known]
    require(
        not _seeds_tie(arms[0], known),
        f"seeds {', '.join(map(str, tried))} tell the same numbers: the seed has no effect",
        place=f"arm {baseline!r}",
        cure="seed every random draw with it, or let it tell a finer number, such as a loss",
    )
    shown = " and ".join(map(str, seeds))
    speed = not all(metric.is_quality for metric in plan.metrics)  # may change alone
    for arm in arms[1:] if not speed else ():
        base = arm.against or baseline
        if arm.changes and not arm.identical and marks[arm.name] == marks[base]:
            changes = ", ".join(f"{key} = {value}" for key, value in arm.changes.items())
            rule = f"no effect seen: on seed {shown} it tells the numbers of {base!r}, to the last digit"
            cure = "see that the program uses it, let it tell a finer number, such as a loss, or write an "
            cure += "[[arm]] with identical = true"
            raise BadInput(rule, place=f"arm {arm.name!r}", key=changes, cure=cure)
