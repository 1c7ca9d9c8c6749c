"""The first trials of a program, which show whether its seed and its settings have an effect.

A seed or a setting has an effect if a judged quality changes. Other reports of a program (its settings, a
time, a path) do not count. If an arm is another commit, unchanged metrics or a failure are results, and not
errors.

The first two seeds of every arm are trained, and the baseline's first seed twice. If the judged numbers of
two arms, or of the baseline's seeds, are the same, three more seeds are trained.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.plans.plan import (
    SEEDS_CHECKED_FIRST,
    ArmPair,
    Plan,
    PlannedArm,
    awaits_repetition,
    list_first_trials,
    list_trials,
)
from unrolled.ablations.runner.parallel import run_in_temporary_ledger
from unrolled.ablations.runner.process import format_reason
from unrolled.ablations.terminal import print_line
from unrolled.ablations.training.study_run import StudyRun
from unrolled.bench.differences import list_measurements_by_metric
from unrolled.bench.errors import BadInput, require
from unrolled.bench.metric import LARGEST_FINITE
from unrolled.bench.study_rules import StoppingRule
from unrolled.bench.trial import Cause, Result, ResultInStudy
from unrolled.reports.formats import REPEATED, describe_distances, join_names

SEEDS_AFTER_TIE = 5  # number of seeds if the numbers of the first seeds are equal


class _TrainingEnded(Exception):
    """Ctrl-C or the budget ended the training before all first trials had results."""


def train_first_trials(study_run: StudyRun) -> None:
    """Train a program's first trials, store their results and compare their judged numbers.

    The baseline's first trial is trained twice, unless the study has `repeat = false`. The plan is then
    stored again with `repetition_differences`, by how much the two results differ. If effects cannot be
    checked, the reason is printed. Raises BadInput, naming the arm, for a trial that failed, also the second
    time, and for a seed or an arm without effect.
    """
    with suppress(_TrainingEnded):
        ids = list_first_trials(study_run.plan)
        results = _train_missing_trials(ids, study_run)
        if awaits_repetition(study_run.plan):
            _repeat_trial(ids[0], study_run)
        plan = study_run.plan
        if reason := _explain_missing_check(plan, results):
            print_line(f"{plan.study_name}: {reason}")
        if plan.rules.qualities and not plan.repetition_differences:
            _check_effects(study_run, results)


def refuse_stored_failures(plan: Plan, ledger: Ledger, *, retry: bool) -> None:
    """Raise BadInput, naming the arm, for a first trial that is not trained again and counts as a failure.

    The trial has ended, maybe in another study, but lacks a metric that this study judges, for example
    because the metric's name is misspelt.
    """
    results = ledger.read_results(list_first_trials(plan))
    final_results = [stored for stored in results.values() if not plan.should_retrain(stored, retry=retry)]
    _refuse_failures(
        [plan.make_result_in_study(stored) for stored in final_results if stored.status != "failed"], plan
    )


def _train_missing_trials(ids: Sequence[str], study_run: StudyRun) -> dict[str, ResultInStudy]:
    """Train the trials without a result, and those whose training failed. Returns the results of all.

    A failure that is a result is trained again only with --retry. Raises BadInput for any other trial that
    fails.
    """
    plan = study_run.plan
    ledger = study_run.ledger
    retry = study_run.options.retry
    stored_results = ledger.read_results(ids)
    failed_ids = {
        id
        for id, stored in stored_results.items()
        if plan.should_retrain(stored, retry=retry) and (retry or not _is_failure_allowed(id, plan))
    }
    study_run.forget_outdated_results(failed_ids)
    final_results = {
        id: plan.make_result_in_study(stored)
        for id, stored in stored_results.items()
        if id not in failed_ids and not study_run.remeasuring.is_outdated(stored)
    }
    _refuse_failures(final_results.values(), plan)
    missing_trials = [
        trial for trial in study_run.trials if trial.id in ids and trial.id not in final_results
    ]
    study_run.train_trials(study_run.scheduler.sort_trials(missing_trials), strict=True)
    if study_run.interrupted:
        raise _TrainingEnded
    results = plan.make_results_in_study(ledger.read_results(ids))
    _refuse_failures(results.values(), plan)
    if len(results) < len(ids):  # the budget has run out
        raise _TrainingEnded
    return results


def _refuse_failures(results: Iterable[ResultInStudy], plan: Plan) -> None:
    """Raise BadInput for a trial that failed, unless its failure is a result."""
    for result in results:
        if not _is_failure_allowed(result.trial.id, plan):
            arm, seed = plan.arm_and_seed_by_id[result.trial.id]
            _refuse_failure(result, arm, seed)


def _is_failure_allowed(id: str, plan: Plan) -> bool:
    """Return True for a trial whose failure is a result: in a gate, or of another commit."""
    arm, _ = plan.arm_and_seed_by_id[id]
    return arm.is_other_commit or plan.rules.stopping_rule == StoppingRule.GATE


def _refuse_failure(result: ResultInStudy, arm: PlannedArm, seed: int, key: str = "") -> None:
    """Raise BadInput for a trial that failed."""
    reason = format_reason(result)
    cure = "nothing may stay of a trial before it" if key else ""
    if result.cause == Cause.EXIT_CODE and result.curves:  # the program had begun to train
        cure = cure or "where training diverges, let it report NaN"
    has_result = result.is_done or result.diverged
    require(has_result, reason, place=f"arm {arm.name!r}, seed {seed}", key=key, cure=cure)


def _repeat_trial(id: str, study_run: StudyRun) -> None:
    """Train a trial a second time and store with the plan how far its results are apart."""
    trial = next(trial for trial in study_run.trials if trial.id == id)
    first = study_run.ledger.read_result(id)
    if first is None or not study_run.has_time_for(trial):
        raise _TrainingEnded
    results, interrupted = run_in_temporary_ledger([trial], study_run.choose_conditions([trial]))
    study_run.interrupted = interrupted
    if id in results:
        _store_repetition(first, results[id], study_run)
    if interrupted or id not in results:
        raise _TrainingEnded


def _store_repetition(first: Result, second: Result, study_run: StudyRun) -> None:
    """Store with the plan in which metrics two results of one trial differ, and how far."""
    plan = study_run.plan
    arm, seed = plan.arm_and_seed_by_id[second.trial.id]
    _refuse_failure(plan.make_result_in_study(second), arm, seed, "trained a second time")
    qualities = plan.rules.qualities
    differing_metrics = _find_differing_metrics(first, second)
    names = [] if differing_metrics.isdisjoint(qualities) else qualities
    measured_plan = replace(
        plan,
        repetition_differences={name: _measure_distance(first, second, name) for name in names},
        unjudged_repetition_differences={
            name: _measure_distance(first, second, name) for name in differing_metrics - {*qualities}
        },
    )
    study_run.store_plan(measured_plan)


def _find_differing_metrics(first: Result, second: Result) -> set[str]:
    """Return the metrics in which two results differ, by the final value or the curve."""
    numbers = list_measurements_by_metric(first.to_dict())
    new_numbers = list_measurements_by_metric(second.to_dict())
    names = numbers.keys() | new_numbers.keys()
    return {name for name in names if numbers.get(name) != new_numbers.get(name)}


def _measure_distance(first: Result, second: Result, metric: str) -> float:
    """Return |x − y| of the final values of a metric: 0 if both are NaN, LARGEST_FINITE if one is."""
    first_value = first.metrics.get(metric, math.nan)
    second_value = second.metrics.get(metric, math.nan)
    if first_value == second_value or (math.isnan(first_value) and math.isnan(second_value)):
        return 0.0
    return min(LARGEST_FINITE, abs(first_value - second_value))


def _explain_missing_check(plan: Plan, results: Mapping[str, ResultInStudy]) -> str:
    """Return why effects cannot be checked, and what the user can do about it; "" if they can."""
    effects = "whether the seed and the settings have an effect cannot be checked"
    if not plan.rules.qualities:
        names = join_names(plan.rules.metric_names)
        return f"nothing is judged that two equal trainings repeat ({names}): {effects}"
    if plan.repetition_differences == {}:
        return ""
    changed_settings = {name for arm in plan.arms if not arm.may_be_identical for name in arm.changes} - {
        "commit"
    }
    unproven_settings = sorted(
        changed_settings.difference(*(result.witnesses for result in results.values()))
    )
    proof = ""
    if unproven_settings:
        names = join_names(unproven_settings)
        proof = f"; whether the program uses {names} is unknown: let it report its settings"
    if plan.repetition_differences is None:
        return f"not checked: {REPEATED} (repeat = false). A difference may be noise: {effects}{proof}"
    distances = describe_distances(plan.repetition_differences)
    return (
        f"not deterministic: two trainings of one seed differ ({distances}), so {effects}{proof}. "
        'Seeds pair the arms less closely. A metric that is a cost has kind = "time", "speed" or "memory" in '
        "`metrics`"
    )


def _check_effects(study_run: StudyRun, results: dict[str, ResultInStudy]) -> None:
    """Raise BadInput for a seed or an arm without effect; print arms that may equal their base by chance."""
    plan = study_run.plan
    require(
        any(result.is_done for result in results.values()),
        f"each of its first trials {results[list_first_trials(plan)[0]].reason}",
        place=f"study {plan.study_name!r}",
        cure="check that the program reports the metric that you mean",
    )
    ties = [pair for pair in _list_pairs_to_differ(plan) if _is_tie(pair, results, study_run)]
    if len(plan.rules.qualities) < len(plan.rules.metrics):  # a setting may change only the time
        _print_ties([pair for pair in ties if pair[0] is not pair[1]], plan)
        ties = [pair for pair in ties if pair[0] is pair[1]]
    if not ties:
        return
    # ties may occur by chance if the judged metric is coarse: more seeds tell
    arms = {arm.name: arm for pair in ties for arm in pair}
    more_results = _train_missing_trials(
        list_trials(arms.values(), plan.rules.seeds[:SEEDS_AFTER_TIE]), study_run
    )
    ties = [pair for pair in ties if _is_tie(pair, results | more_results, study_run)]
    if len(plan.rules.seeds) < SEEDS_CHECKED_FIRST:  # equal numbers of one seed may be chance
        _print_ties(ties, plan)
    elif ties:
        _print_ties(ties[1:], plan)
        _refuse_tie(ties[0], plan)


def _list_pairs_to_differ(plan: Plan) -> list[ArmPair]:
    """Return the pairs that should differ: arms and their bases, and the baseline alone for its seeds."""
    changed_pairs = [
        (arm, base)
        for arm, base in plan.arm_pairs
        if arm.changes and not (arm.may_be_identical or arm.is_other_commit)
    ]
    return [(plan.arms[0], plan.arms[0]), *changed_pairs]


def _is_tie(pair: ArmPair, results: Mapping[str, ResultInStudy], study_run: StudyRun) -> bool:
    """Return True if all trained seeds of a pair have the same judged numbers."""
    arm, base = pair
    plan = study_run.plan
    seeds = [
        seed for seed in plan.rules.seeds if {arm.trial_ids[seed], base.trial_ids[seed]} <= results.keys()
    ]
    if arm is base:
        trials = [(arm.trial_ids[seeds[0]], arm.trial_ids[seed]) for seed in seeds[1:]]
    else:
        trials = [(arm.trial_ids[seed], base.trial_ids[seed]) for seed in seeds]
    return bool(trials) and all(
        _has_same_numbers(results[first], results[second], study_run) for first, second in trials
    )


def _has_same_numbers(first: ResultInStudy, second: ResultInStudy, study_run: StudyRun) -> bool:
    """Return True if two results are equal in every judged quality; a diverged result equals no other."""
    qualities = study_run.plan.rules.qualities
    if not (first.is_done and second.is_done) or any(
        first.metrics[name] != second.metrics[name] for name in qualities
    ):
        return False
    first_stored = study_run.ledger.read_result(first.trial.id)  # with its curves, which `first` lacks
    second_stored = study_run.ledger.read_result(second.trial.id)
    if first_stored is None or second_stored is None:
        return False
    return _find_differing_metrics(first_stored, second_stored).isdisjoint(qualities)


def _print_ties(pairs: Sequence[ArmPair], plan: Plan) -> None:
    """Print the arms whose judged qualities equal those of their base."""
    for arm, base in pairs:
        line = f"{arm.name} has the same {join_names(plan.rules.qualities)} as {base.name}, to the last digit"
        print_line(f"{plan.study_name}: {line}")


def _refuse_tie(pair: ArmPair, plan: Plan) -> None:
    """Raise BadInput for a seed, or an arm, without effect."""
    arm, base = pair
    seeds = join_names([str(seed) for seed in plan.rules.seeds[:SEEDS_AFTER_TIE]])
    metric_names = join_names(plan.rules.qualities)
    has_loss = any(
        metric.is_quality and metric.lower_is_better and math.isinf(metric.highest)
        for metric in plan.rules.metrics
    )
    finer_metric = [] if has_loss else ["judge a finer metric, too, such as a loss"]
    if arm is base:
        raise BadInput(
            f"seeds {seeds} report the same {metric_names}: the seed has no effect",
            place=f"arm {arm.name!r}",
            cure=", or ".join(["seed every random draw with it", *finer_metric]),
        )
    cures = ", ".join(["see that the program uses it", *finer_metric])
    raise BadInput(
        f"no effect seen: the same {metric_names} as {base.name!r} on seeds {seeds}, to the last digit",
        place=f"arm {arm.name!r}",
        key=", ".join(f"{key} = {value}" for key, value in arm.changes.items()),
        cure=f"{cures}, or write an [[arm]] with identical = true",
    )
