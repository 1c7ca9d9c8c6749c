"""The first trials of a program: whether its seed and its settings have an effect, before the others.

They have one if the judged qualities change: what else a program tells (its settings, a time, a path)
counts for nothing. Of an arm that is another commit it is a finding if they do not, and if it fails. The
first two seeds of every arm are trained, and the baseline's first one twice; three
more seeds where the judged numbers are the same.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.runner.parallel import run_aside
from unrolled.ablations.runner.process import plain_reason
from unrolled.ablations.study import stored_plans
from unrolled.ablations.study.plan import Plan, PlannedArm
from unrolled.ablations.training.seed_scheduler import SeedScheduler
from unrolled.ablations.training.study_run import StudyRun
from unrolled.bench.differences import measured_by_metric
from unrolled.bench.errors import BadInput, require, visible
from unrolled.bench.metric import LARGEST
from unrolled.bench.trial import Result
from unrolled.reports.formats import REPEATED, distances, listed

SEEDS, MORE_SEEDS = 2, 5

Pair = tuple[PlannedArm, PlannedArm]
"""An arm, and the one that it is compared with. The baseline twice stands for its seeds among themselves."""


def check_first_trials(study_run: StudyRun) -> bool:
    """Train a program's first trials and compare their judged numbers. Returns whether Ctrl-C ended it.

    The plan then has `nondeterminism`, the distance of two equal trials, unless its study has
    `repeat = false`. What cannot be checked is printed. Raises BadInput, naming the arm, for a trial that
    failed, also if only the second time, and for a seed or an arm without effect.
    """
    arms = study_run.plan.arms
    ids = first_trainings(study_run.plan)
    known = _train(ids, study_run)
    if known is None:
        return True
    if len(known) < len(ids):  # the budget is over
        return False
    if is_repeated(study_run.plan) and _repeat(ids[0], study_run):
        return True
    plan = study_run.plan
    if is_repeated(plan):  # the budget is over
        return False
    if unchecked := _unchecked(plan, known):
        print(f"{visible(plan.study)}: {visible(unchecked)}", flush=True)
    if plan.nondeterminism or not plan.qualities:
        return False
    rule, cure = f"each of its first trials {known[ids[0]].reason}", "see that what it tells is meant"
    require(any(result.done for result in known.values()), rule, place=f"study {plan.study!r}", cure=cure)
    pairs = [pair for pair in _pairs(arms) if _tie(pair, known, study_run)]
    if len(plan.qualities) < len(plan.metrics):  # a setting may change the time alone
        _print_ties([pair for pair in pairs if pair[0] is not pair[1]], plan)
        pairs = [pair for pair in pairs if pair[0] is pair[1]]
    if pairs:  # by chance, if what is judged is coarse: more seeds tell
        ids = _trials({arm.name: arm for pair in pairs for arm in pair}.values(), plan.seeds[:MORE_SEEDS])
        more = _train(ids, study_run)
        if more is None:
            return True
        if len(more) < len(ids):  # the budget is over
            return False
        ties = [pair for pair in pairs if _tie(pair, known | more, study_run)]
        one_seed = len(plan.seeds) < SEEDS  # of which equal numbers may be chance
        _print_ties(ties if one_seed else ties[1:], plan)
        if ties and not one_seed:
            _refuse(ties[0], plan)
    return False


def is_repeated(plan: Plan) -> bool:
    """Whether the baseline's first trial is still to be trained a second time."""
    return plan.repeat and plan.nondeterminism is None


def refuse_stored_failures(plan: Plan, ledger: Ledger, *, retry: bool) -> None:
    """Raise BadInput, naming the arm, for a first trial that is not trained again and counts as a failure.

    It has ended, maybe in another study, and lacks what this one judges, such as a misspelt metric.
    """
    results = ledger.results(first_trainings(plan))
    final = [stored for stored in results.values() if not plan.is_replaced(stored, retry=retry)]
    _require_all_numbers([plan.judge_result(stored) for stored in final if stored.status != "failed"], plan)


def first_trainings(plan: Plan) -> list[str]:
    """The identities of the trials that are trained before the others."""
    return _trials(plan.arms, plan.seeds[:SEEDS])


def _trials(arms: Iterable[PlannedArm], seeds: Sequence[int]) -> list[str]:
    """The identities of these trials, seed by seed, each once."""
    arms = list(arms)
    return list(dict.fromkeys(arm.trials[seed] for seed in seeds for arm in arms))


def _train(ids: Sequence[str], study_run: StudyRun) -> dict[str, Result] | None:
    """Train those of these trials that have no result, or whose training failed; None after Ctrl-C.

    Results are missing where the budget is over. Raises BadInput for a trial that fails, of any arm but
    another commit.
    """
    plan, ledger = study_run.plan, study_run.ledger
    retry = study_run.options.retry
    stored = ledger.results(ids)
    known = {id: plan.judge_result(result) for id, result in stored.items()}
    untrained = {id for id in ids if id not in stored or plan.is_replaced(stored[id], retry=retry)}
    _require_all_numbers([result for id, result in known.items() if id not in untrained], plan)
    missing = [trial for trial in study_run.trials if trial.id in untrained]
    todo = study_run.scheduler.in_order(missing)
    if study_run.train_missing(todo, strict=True).interrupted:
        return None
    trained = ledger.results([trial.id for trial in todo])
    known |= {id: plan.judge_result(result) for id, result in trained.items()}
    _require_all_numbers(known.values(), plan)
    return known


def _require_all_numbers(results: Iterable[Result], plan: Plan) -> None:
    """Raise BadInput for a trial that failed, of any arm but another commit; a gate fails by it."""
    for result in results:
        arm, seed = plan.arm_and_seed[result.trial.id]
        if not arm.is_other_commit and plan.decide != "gate":
            _require_numbers(result, arm, seed)


def _repeat(id: str, study_run: StudyRun) -> bool:
    """Train a trial a second time and store with the plan what differs. Returns whether Ctrl-C ended it."""
    trial = next(trial for trial in study_run.trials if trial.id == id)
    first = study_run.ledger.read(id)
    if first is None or not study_run.has_time_for(trial):
        return False
    results, interrupted = run_aside([trial], study_run.conditions([trial]))
    if again := results.get(id):
        plan = study_run.plan
        _require_numbers(plan.judge_result(again), *plan.arm_and_seed[id], "trained a second time")
        differing = _differing(first, again)
        varying = tuple(sorted(differing - {*plan.qualities}))
        distance = {name: _distance(first, again, name) for name in plan.qualities}
        distance = distance if differing.intersection(plan.qualities) else {}
        measured = replace(plan, nondeterminism=distance, varying=varying)
        study_run.plan = stored_plans.store(measured, study_run.ledger)
        study_run.scheduler = SeedScheduler(study_run.plan, study_run.scheduler.results)
    return interrupted


def _require_numbers(result: Result, arm: PlannedArm, seed: int, key: str = "") -> None:
    """Raise BadInput for a trial that failed."""
    reason, cure = plain_reason(result), "nothing may stay of a trial before it" if key else ""
    if reason.startswith("exit code") and result.curves:  # it had begun to train
        cure = cure or "where training diverges, let it tell NaN"
    require(_ended(result), reason, place=f"arm {arm.name!r}, seed {seed}", key=key, cure=cure)


def _ended(result: Result | None) -> bool:
    return result is not None and (result.done or result.diverged)


def _differing(one: Result, other: Result) -> set[str]:
    """The metrics of which two results have another final value or another curve."""
    a, b = (measured_by_metric(result.to_dict()) for result in (one, other))
    return {name for name in a.keys() | b.keys() if a.get(name) != b.get(name)}


def _distance(one: Result, other: Result, metric: str) -> float:
    """How far two results are apart by the final value of a metric: LARGEST for a number and NaN."""
    x, y = (result.metrics.get(metric, math.nan) for result in (one, other))
    both_missing = math.isnan(x) and math.isnan(y)
    return 0.0 if x == y or both_missing else min(LARGEST, abs(x - y))


def _unchecked(plan: Plan, known: Mapping[str, Result]) -> str:
    """Why no effect can be checked, and what its user can do about it; "" if it can."""
    effects = "whether the seed and the settings have an effect cannot be checked"
    if not plan.qualities:
        names = listed([metric.name for metric in plan.metrics])
        return f"nothing is judged that two equal trainings repeat ({names}): {effects}"
    if plan.nondeterminism == {}:
        return ""
    changed = {name for arm in plan.arms if not arm.identical for name in arm.changes} - {"commit"}
    unproven = sorted(changed.difference(*(result.witnesses for result in known.values())))
    shown = f"; nothing shows that it uses {listed(unproven)}: let it tell its settings" if unproven else ""
    if plan.nondeterminism is None:
        return f"not checked: {REPEATED} (repeat = false). A difference may be noise: {effects}{shown}"
    seed = plan.seeds[0]
    return (
        f"not deterministic: two trainings of seed {seed} differ ({distances(plan.nondeterminism)}). Seeds "
        f"pair the arms less closely, and {effects}{shown}; of a time, a speed or memory declare the kind"
    )


def _pairs(arms: Sequence[PlannedArm]) -> list[Pair]:
    """The pairs that should differ: the baseline's seeds, and each arm and its base."""
    by_name = {arm.name: arm for arm in arms}
    changed = [arm for arm in arms[1:] if arm.changes and not (arm.identical or arm.is_other_commit)]
    return [(arms[0], arms[0]), *((arm, by_name.get(arm.against, arms[0])) for arm in changed)]


def _tie(pair: Pair, known: Mapping[str, Result], study_run: StudyRun) -> bool:
    """Whether all trained seeds of a pair tell the same judged numbers."""
    arm, base = pair
    seeds = [seed for seed in study_run.plan.seeds if {arm.trials[seed], base.trials[seed]} <= known.keys()]
    if arm is base:
        first = arm.trials[seeds[0]]
        same = [(first, arm.trials[seed]) for seed in seeds[1:]]
    else:
        same = [(arm.trials[seed], base.trials[seed]) for seed in seeds]
    return bool(same) and all(_same_numbers(known[a], known[b], study_run) for a, b in same)


def _same_numbers(one: Result, other: Result, study_run: StudyRun) -> bool:
    """Whether two trials tell the same of every judged quality; one that diverged is like no other."""
    qualities = study_run.plan.qualities
    if not (one.done and other.done) or any(one.metrics[name] != other.metrics[name] for name in qualities):
        return False
    a, b = (study_run.ledger.read(result.trial.id) for result in (one, other))  # with their curves
    return a is not None and b is not None and _differing(a, b).isdisjoint(qualities)


def _print_ties(pairs: Sequence[Pair], plan: Plan) -> None:
    """Tell of arms whose judged qualities are those of their base."""
    for arm, base in pairs:
        line = f"{arm.name}: {listed(plan.qualities)} as of {base.name}, to the last digit"
        print(f"{visible(plan.study)}: {visible(line)}", flush=True)


def _refuse(pair: Pair, plan: Plan) -> None:
    """Raise BadInput for a seed, or an arm, without effect."""
    arm, base = pair
    seeds = listed([str(seed) for seed in plan.seeds[:MORE_SEEDS]])
    judged = listed(plan.qualities)
    has_fine = any(m.is_quality and m.lower_is_better and math.isinf(m.highest) for m in plan.metrics)
    finer = [] if has_fine else ["judge a finer metric, too, such as a loss"]
    if arm is base:
        rule = f"seeds {seeds} tell the same {judged}: the seed has no effect"
        cure = ", or ".join(["seed every random draw with it", *finer])
        raise BadInput(rule, place=f"arm {arm.name!r}", cure=cure)
    changes = ", ".join(f"{key} = {value}" for key, value in arm.changes.items())
    rule = f"no effect seen: its {judged} on seeds {seeds} are those of {base.name!r}, to the last digit"
    cures = ["see that the program uses it", *finer, "write an [[arm]] with identical = true"]
    cure = f"{', '.join(cures[:-1])}, or {cures[-1]}"
    raise BadInput(rule, place=f"arm {arm.name!r}", key=changes, cure=cure)
