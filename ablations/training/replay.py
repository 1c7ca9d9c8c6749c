"""Training ended trials again, in fresh processes, and comparing every number."""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from math import inf
from typing import NamedTuple

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.options import VerifyOptions
from unrolled.ablations.plans.plan import Plan
from unrolled.ablations.plans.retraining import identify_today
from unrolled.ablations.runner.parallel import TrialConditions, run_in_temporary_ledger
from unrolled.ablations.runner.process import format_reason
from unrolled.ablations.terminal import print_line
from unrolled.ablations.training.device import find_trial_device
from unrolled.ablations.training.study_run import make_trial_conditions
from unrolled.bench.differences import list_differences, select_reproducible_values
from unrolled.bench.errors import require
from unrolled.bench.hardware.machine_kind import describe_machine_difference, find_machine_kind
from unrolled.bench.metric import find_kind
from unrolled.bench.phrases import plural, select_phrases
from unrolled.bench.trial import Result, ResultInStudy
from unrolled.reports.formats import describe_distances, join_names, shorten

REPLAY_FACTOR = 4
"""A stored result may be this many times as far from a new one as the results of equal trials are apart."""
MOST_TRAININGS = 4
"""The most trainings of one trial to measure how far equal trials are apart: two may agree by chance."""


class Replay(NamedTuple):
    """The outcome of training a trial again. Both texts are "" if every number is the same."""

    result: Result
    difference: str = ""  # the first difference, and the kinds of machine if they differ
    obstacle: str = ""  # why it could not be trained again
    new_result: Result | None = None  # result of the second training
    was_interrupted: bool = False  # whether Ctrl-C came before it was trained


def replay_sample(
    plan: Plan, ledger: Ledger, options: VerifyOptions, locate: Callable[[Result], Result]
) -> int:
    """Train a sample of a plan's trials again and print how many are bit-identical. Returns the exit code.

    `locate` returns the result with the files that its trial reads. New results of one trial are some
    distance apart if the program is not deterministic. A stored result may be `REPLAY_FACTOR` times as far
    from its new result.
    """
    results = list(map(locate, draw_sample(plan, ledger, options.number)))
    failed_count = sum(result.status == "failed" for result in plan.read_results(ledger).values())
    if failed_count:
        print_line(f"not trained again: {plural(failed_count, 'failed trial')}")
    device = find_trial_device(results[0].trial, options)  # all trials of a plan have the same device
    conditions = make_trial_conditions([result.trial for result in results], options, device)
    outcomes = replay_trials(results, conditions, plan)
    equality = "bit-identical"
    if plan.trainer.runs_user_code:
        outcomes, noise = allow_for_noise(outcomes, plan, conditions)
        if any(noise.values()) or (noise and plan.repetition_differences):
            print_line(f"not deterministic: new trials of one seed differ ({describe_distances(noise)})")
            equality = f"within {REPLAY_FACTOR} times the distance of equal trials"
        elif noise:
            equality = "equal in what is judged, and not in all that is reported"
    return _print_outcomes(outcomes, plan, equality)


def _print_outcomes(outcomes: Sequence[Replay], plan: Plan, equality: str) -> int:
    """Print what differs, and how many trials are equal, as `equality` says. Returns the exit code."""
    differing_outcomes = [outcome for outcome in outcomes if outcome.difference]
    for outcome in differing_outcomes:
        trial = outcome.result.trial
        arm = plan.arm_names_by_id[trial.id]
        print_line(f"{arm} seed {trial.seed} ({trial.id}): {outcome.difference}")
    obstacles = Counter(shorten(outcome.obstacle, 400) for outcome in outcomes if outcome.obstacle)
    equal_count = len(outcomes) - len(differing_outcomes) - obstacles.total()
    parts = [f"{equal_count} of {len(outcomes)} {equality}"]
    parts += select_phrases({f"{len(differing_outcomes)} not": differing_outcomes})
    if obstacles:
        reasons = "; ".join(f"{reason}: {number}" for reason, number in obstacles.most_common())
        parts.append(f"{obstacles.total()} could not be replayed ({reasons})")
    reported_metrics = {name for outcome in outcomes for name in outcome.result.metrics}
    left_out = sorted(
        reported_metrics & plan.tolerances.keys() - {*outcomes[0].result.trial.find_cost_kinds()}
    )
    print_line(", ".join(parts) + (f"; not compared: {join_names(left_out)}" if left_out else ""))
    if any(outcome.was_interrupted for outcome in outcomes) and not differing_outcomes:
        return 130
    return 0 if equal_count == len(outcomes) else 1


def allow_for_noise(
    outcomes: Sequence[Replay], plan: Plan, conditions: TrialConditions
) -> tuple[list[Replay], dict[str, float]]:
    """Return the outcomes without the differences that a program's noise explains, and that noise by metric.

    The noise is how far several trainings of one trial are apart. A trial that differs is trained until the
    noise explains every difference in the judged metrics, at most `MOST_TRAININGS` times. The noise that a
    plan states does not count, because its author may have written any number. Raises KeyboardInterrupt after
    Ctrl-C.
    """
    differing_outcomes = [outcome for outcome in outcomes if outcome.difference and outcome.new_result]
    trainings = [outcome.new_result for outcome in differing_outcomes[:1] if outcome.new_result]
    noise: dict[str, float] = {}
    explained_outcomes: list[Replay] = []
    while differing_outcomes and len(trainings) < MOST_TRAININGS:
        new_result, interrupted = run_in_temporary_ledger([differing_outcomes[0].result.trial], conditions)
        if interrupted:
            raise KeyboardInterrupt
        trainings += map(plan.make_result_in_study, new_result.values())
        noise = _measure_spread(trainings, plan)
        explained_outcomes = [outcome for outcome in differing_outcomes if _is_explained(outcome, noise)]
        if not noise or len(explained_outcomes) == len(differing_outcomes):
            break
    return [
        outcome._replace(difference="") if outcome in explained_outcomes else outcome for outcome in outcomes
    ], noise


def _measure_spread(trainings: Sequence[Result], plan: Plan) -> dict[str, float]:
    """Return how far the results of one trial are apart, by metric; {} if all their numbers are equal.

    The metrics are the qualities that the plan judges, or else all qualities.
    """
    if not any(describe_difference(trainings[0], training, plan) for training in trainings[1:]):
        return {}
    kinds = trainings[0].trial.find_cost_kinds()
    all_qualities = [name for name in trainings[0].metrics if find_kind(name, kinds) == "quality"]
    names = plan.rules.qualities or all_qualities
    values = {
        name: [result.metrics[name] for result in trainings if result.is_done and name in result.metrics]
        for name in names
    }
    return {name: max(numbers) - min(numbers) for name, numbers in values.items() if numbers}


def _is_explained(outcome: Replay, noise: Mapping[str, float]) -> bool:
    """Return True if a result is no farther from the new one than the noise of its program allows."""
    stored_result = outcome.result
    new_result = outcome.new_result
    if new_result is None or not noise or stored_result.status != new_result.status:
        return False
    return stored_result.diverged or all(
        abs(stored_result.metrics.get(name, inf) - new_result.metrics.get(name, inf))
        <= REPLAY_FACTOR * distance
        for name, distance in noise.items()
    )


def draw_sample(plan: Plan, ledger: Ledger, number: int) -> list[ResultInStudy]:
    """Return at most `number` ended results, drawn at random, so that no author can know which.

    Raises BadInput if there are none.
    """
    ended_ids = [id for id, result in plan.read_results(ledger).items() if result.is_done or result.diverged]
    random.SystemRandom().shuffle(ended_ids)
    results = filter(None, map(ledger.read_result, ended_ids))
    sample = list(islice(map(plan.make_result_in_study, results), number))
    require(
        sample,
        f"study {plan.study_name!r} has no finished trial",
        cure=f"`unrolled run {plan.study_name}` trains them",
    )
    return sample


def replay_trials(results: Sequence[Result], conditions: TrialConditions, plan: Plan) -> list[Replay]:
    """Train each trial again, if today's code and data still make the same trial, and compare the results."""
    trials_today = [identify_today(result.trial) for result in results]
    new_results, _ = run_in_temporary_ledger([trial for trial, _ in trials_today if trial], conditions)
    outcomes = []
    for result, (trial, reason) in zip(results, trials_today, strict=True):
        if trial is None:
            outcomes.append(Replay(result, obstacle=reason))
        else:
            outcomes.append(_compare_replay(result, new_results.get(trial.id), reason, plan))
    return outcomes


def _compare_replay(result: Result, new_result: Result | None, reason: str, plan: Plan) -> Replay:
    """Return the outcome of a second training. `reason` says why it may differ; "" if it must not."""
    if new_result is None:
        return Replay(result, obstacle="interrupted", was_interrupted=True)
    new_result = plan.make_result_in_study(new_result)
    if not (new_result.is_done or new_result.diverged):
        return Replay(result, obstacle=format_reason(new_result))
    if reason:
        return Replay(result, obstacle=f"{reason}, {_describe_distance(result, new_result, plan)}")
    return Replay(result, describe_difference(result, new_result, plan), new_result=new_result)


def _describe_distance(result: Result, new_result: Result, plan: Plan) -> str:
    """Return how far two trainings are apart: "by which valid_loss is 0.12 apart"."""
    if result.diverged or new_result.diverged:
        return "of which one diverged" if result.diverged != new_result.diverged else "and both diverged"
    name = (*result.trial.main_metrics, plan.rules.metrics[0].name)[0]
    return f"by which {name} is {abs(result.metrics[name] - new_result.metrics[name]):.2g} apart"


def describe_difference(result: Result, new_result: Result, plan: Plan) -> str:
    """Return the first number that differs, and the first step and tensor if both have a trace.

    Returns "" for the same numbers. Metrics that are irreproducible by the plan are not compared.
    """
    left_out = plan.tolerances
    differences = list(
        list_differences(
            select_reproducible_values(result.to_dict(), left_out),
            select_reproducible_values(new_result.to_dict(), left_out),
        )
    )
    if not differences:
        return ""
    name, old, new = differences[0]
    text = f"{name} {old} in the ledger, {new} in the replay"
    if len(differences) > 1:
        text += f", and {plural(len(differences) - 1, 'more number')}"
    if result.trace and new_result.trace:
        from unrolled.bench.chapter.training.record import find_first_difference  # imports torch

        if step := find_first_difference(result.trace, new_result.trace):
            text = f"differs from {step}: {text}"
    if machines := describe_machine_difference(
        [find_machine_kind(result.provenance), find_machine_kind(new_result.provenance)]
    ):
        distance = _describe_distance(result, new_result, plan)
        text += f"; trained on another kind of machine, then / now: {machines}, {distance}"
    return text
