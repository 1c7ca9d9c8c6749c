"""Training ended trials again, in fresh processes, and comparing every number."""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from math import inf
from typing import NamedTuple

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.options import VerifyOptions
from unrolled.ablations.runner.parallel import TrialConditions, run_in_temporary_ledger
from unrolled.ablations.runner.process import plain_reason
from unrolled.ablations.study.plan import Plan
from unrolled.ablations.study.retraining import identify_today
from unrolled.ablations.training.device import device_of_trial
from unrolled.ablations.training.study_run import trial_conditions
from unrolled.bench.differences import list_differences, reproducible_values
from unrolled.bench.errors import require
from unrolled.bench.machine_kind import find_machine_kind, machine_difference
from unrolled.bench.metric import kind_of
from unrolled.bench.phrases import make_visible, plural
from unrolled.bench.trial import CountedResult, Result
from unrolled.reports.formats import describe_distances, join_names, shorten

NOISE_FACTOR = 4
"""A stored result may be this many times as far from a new one as the results of equal trials are apart."""
MOST_TRAININGS = 4
"""The most trainings of one trial to measure that distance: the distance of two may be small by chance."""


class Replay(NamedTuple):
    """The outcome of training a trial again. Both texts are "" if every number is the same."""

    result: Result
    difference: str = ""  # the first difference, and the kinds of machine if they differ
    unplayed: str = ""  # why it could not be trained again
    new_result: Result | None = None  # result of the second training


def replay_sample(
    plan: Plan, ledger: Ledger, options: VerifyOptions, locate: Callable[[Result], Result]
) -> int:
    """Train a sample of a plan's trials again and print how many are bit-identical. Returns the exit code.

    `locate` returns the result with the files that its trial reads. New results of one trial are some
    distance apart if the program is not deterministic. A stored result may be `NOISE_FACTOR` times as far
    from its new result.
    """
    results = list(map(locate, draw_sample(plan, ledger, options.number)))
    device = device_of_trial(results[0].trial, options)  # all trials of a plan have the same device
    conditions = trial_conditions([result.trial for result in results], options, device)
    outcomes = replay_trials(results, conditions, plan)
    equality = "bit-identical"
    if plan.of_program:
        outcomes, noise = allow_for_noise(outcomes, plan, conditions)
        if any(noise.values()) or (noise and plan.nondeterminism):
            print(f"not deterministic: new trials of one seed differ ({describe_distances(noise)})")
            equality = f"within {NOISE_FACTOR} times the distance of equal trials"
        elif noise:
            equality = "equal in what is judged, and not in all that is reported"
    return _print_outcomes(outcomes, plan, equality)


def _print_outcomes(outcomes: Sequence[Replay], plan: Plan, equality: str) -> int:
    """Print what differs, and how many trials are equal, as `equality` says. Returns the exit code."""
    differing = [outcome for outcome in outcomes if outcome.difference]
    for outcome in differing:
        trial = outcome.result.trial
        arm = plan.arm_names[trial.id]
        print(f"{make_visible(arm)} seed {trial.seed} ({trial.id}): {make_visible(outcome.difference)}")
    unplayed = Counter(shorten(outcome.unplayed, 400) for outcome in outcomes if outcome.unplayed)
    same = len(outcomes) - len(differing) - unplayed.total()
    parts = [f"{same} of {len(outcomes)} {equality}"]
    parts += [f"{len(differing)} not"] if differing else []
    if unplayed:
        reasons = "; ".join(f"{reason}: {number}" for reason, number in unplayed.most_common())
        parts.append(f"{unplayed.total()} could not be replayed ({reasons})")
    reported = {name for outcome in outcomes for name in outcome.result.metrics}
    left_out = sorted(reported & plan.irreproducible - {*outcomes[0].result.trial.metric_kinds()})
    print(", ".join(parts) + (f"; not compared: {make_visible(join_names(left_out))}" if left_out else ""))
    if unplayed["interrupted"] and not differing:
        return 130
    return 0 if same == len(outcomes) else 1


def allow_for_noise(
    outcomes: Sequence[Replay], plan: Plan, conditions: TrialConditions
) -> tuple[list[Replay], dict[str, float]]:
    """Return the outcomes without the differences that a program's noise explains, and that noise by metric.

    The noise is how far several trainings of one trial are apart. A trial that differs is trained until the
    noise explains every difference in the judged metrics, at most `MOST_TRAININGS` times. The noise that a
    plan states does not count, because its author may have written any number. Raises KeyboardInterrupt after
    Ctrl-C.
    """
    differing = [outcome for outcome in outcomes if outcome.difference and outcome.new_result]
    trainings = [outcome.new_result for outcome in differing[:1] if outcome.new_result]
    noise: dict[str, float] = {}
    explained: list[Replay] = []
    for _ in range(MOST_TRAININGS - 1 if differing else 0):
        new_result, interrupted = run_in_temporary_ledger([differing[0].result.trial], conditions)
        if interrupted:
            raise KeyboardInterrupt
        trainings += map(plan.count_result, new_result.values())
        noise = _measure_spread(trainings, plan)
        explained = [outcome for outcome in differing if _is_explained(outcome, noise)]
        if not noise or len(explained) == len(differing):
            break
    return [
        outcome._replace(difference="") if outcome in explained else outcome for outcome in outcomes
    ], noise


def _measure_spread(trainings: Sequence[Result], plan: Plan) -> dict[str, float]:
    """Return how far the results of one trial are apart, by metric; {} if all their numbers are equal.

    The metrics are the qualities that the plan judges, or else all qualities.
    """
    if not any(describe_difference(trainings[0], training, plan) for training in trainings[1:]):
        return {}
    kinds = trainings[0].trial.metric_kinds()
    names = plan.qualities or [name for name in trainings[0].metrics if kind_of(name, kinds) == "quality"]
    values = {
        name: [result.metrics[name] for result in trainings if result.done and name in result.metrics]
        for name in names
    }
    return {name: max(numbers) - min(numbers) for name, numbers in values.items() if numbers}


def _is_explained(outcome: Replay, noise: Mapping[str, float]) -> bool:
    """Return True if a result is no farther from the new one than the noise of its program allows."""
    stored = outcome.result
    new = outcome.new_result
    if new is None or not noise or stored.status != new.status:
        return False
    return stored.diverged or all(
        abs(stored.metrics.get(name, inf) - new.metrics.get(name, inf)) <= NOISE_FACTOR * distance
        for name, distance in noise.items()
    )


def draw_sample(plan: Plan, ledger: Ledger, number: int) -> list[CountedResult]:
    """Return at most `number` ended results, drawn at random, so that no author can know which.

    Raises BadInput if there are none.
    """
    ended = [result for _, _, result in plan.read_results(ledger) if result.done or result.diverged]
    random.SystemRandom().shuffle(ended)
    results = filter(None, (ledger.read_result(result.trial.id) for result in ended))
    drawn = list(islice(map(plan.count_result, results), number))
    require(
        drawn, f"study {plan.study!r} has no finished trial", cure=f"`unrolled run {plan.study}` trains them"
    )
    return drawn


def replay_trials(results: Sequence[Result], conditions: TrialConditions, plan: Plan) -> list[Replay]:
    """Train each trial again, if today's code and data still make the same trial, and compare the results."""
    today = [identify_today(result.trial) for result in results]
    trained, _ = run_in_temporary_ledger([trial for trial, _ in today if trial], conditions)
    outcomes = []
    for result, (trial, reason) in zip(results, today, strict=True):
        if trial is None:
            outcomes.append(Replay(result, unplayed=reason))
        else:
            outcomes.append(_compare_replay(result, trained.get(trial.id), reason, plan))
    return outcomes


def _compare_replay(result: Result, new_result: Result | None, reason: str, plan: Plan) -> Replay:
    """Return the outcome of a second training. `reason` says why it may differ; "" if it must not."""
    if new_result is None:
        return Replay(result, unplayed="interrupted")
    new_result = plan.count_result(new_result)
    if not (new_result.done or new_result.diverged):
        return Replay(result, unplayed=plain_reason(new_result))
    if reason:
        return Replay(result, unplayed=f"{reason}, {_describe_distance(result, new_result, plan)}")
    return Replay(result, describe_difference(result, new_result, plan), new_result=new_result)


def _describe_distance(result: Result, new_result: Result, plan: Plan) -> str:
    """Return how far two trainings are apart: "by which valid_loss is 0.12 apart"."""
    if result.diverged or new_result.diverged:
        return "of which one diverged" if result.diverged != new_result.diverged else "and both diverged"
    name = (*result.trial.main_metrics, plan.metrics[0].name)[0]
    return f"by which {name} is {abs(result.metrics[name] - new_result.metrics[name]):.2g} apart"


def describe_difference(result: Result, new_result: Result, plan: Plan) -> str:
    """Return the first number that differs, and the first step and tensor if both have a trace.

    Returns "" for the same numbers. Metrics that are irreproducible by the plan are not compared.
    """
    left_out = plan.irreproducible
    differences = list(
        list_differences(
            reproducible_values(result.to_dict(), left_out),
            reproducible_values(new_result.to_dict(), left_out),
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
    if machines := machine_difference(
        [find_machine_kind(result.provenance), find_machine_kind(new_result.provenance)]
    ):
        distance = _describe_distance(result, new_result, plan)
        text += f"; trained on another kind of machine, then / now: {machines}, {distance}"
    return text
