"""One arm by itself: its numbers by seed, its trials, its task."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from unrolled.bench.metric import LARGEST
from unrolled.bench.trial import Result, Trial
from unrolled.reports.design import MeasuredArm
from unrolled.reports.statistics.arm_summary import ArmSummary, summarise

Value = TypeVar("Value")

Statuses = Mapping[str, Mapping[Any, str]]  # the status of every row by arm and, within it, by seed

Side = Mapping[Any, float]  # the numbers of one arm by seed

Values = Mapping[str, Mapping[str, Side]]
"""A number by metric, arm and seed; infinite where the trial diverged, none where it failed otherwise."""


def values(arm: MeasuredArm, metric: str) -> dict[int, float]:
    """A number a seed: that of a finished trial, infinity for a diverged one, none for any other failure."""
    numbers = {}
    for seed, result in sorted(arm.results.items()):
        if result.done and metric in result.metrics:
            value = result.metrics[metric]
            numbers[seed] = value if abs(value) <= LARGEST else math.inf
        elif result.diverged:
            numbers[seed] = math.inf
    return numbers


def select_seeds(by_seed: Mapping[Any, Value], seeds: Iterable[Any]) -> dict[Any, Value]:
    """The values of these seeds, of those that have one."""
    return {seed: by_seed[seed] for seed in seeds if seed in by_seed}


def summary_of(arm: MeasuredArm, values: Mapping[Any, float], *, lower_is_better: bool = True) -> ArmSummary:
    """An arm by its values of a metric, by seed. One that no seed changes has no SD and no interval.

    The direction decides the median alone, and that only where a seed diverged.
    """
    summary = summarise(values, lower_is_better=lower_is_better)
    return replace(summary, sd=None, interval=None) if arm.ignores_seed else summary


def finished(arm: MeasuredArm) -> tuple[Result, ...]:
    """The results whose numbers may be used, by seed."""
    return tuple(result for result in arm.trials.values() if result.done)


def mean_of(arm: MeasuredArm, metric: str) -> float | None:
    """The mean of a metric over finished trials that have it."""
    numbers = [r.metrics[metric] for r in finished(arm) if math.isfinite(r.metrics.get(metric, math.nan))]
    return sum(numbers) / len(numbers) if numbers else None


def trial_of(arm: MeasuredArm) -> Trial | None:
    """Any trial of the arm: they differ in the seed alone."""
    return next((result.trial for _, result in sorted(arm.results.items())), arm.trial)


def task_differences(arm: MeasuredArm, other: MeasuredArm) -> list[str]:
    """The fields of their trials, of those that define the task, in which two arms with results differ."""
    a, b = trial_of(arm), trial_of(other)
    theirs = b.task if b else {}
    return [name for name, value in (a.task if a else {}).items() if name in theirs and theirs[name] != value]


def is_self_check(arm: MeasuredArm) -> bool:
    """Whether an arm is the baseline again, if it is not the baseline itself."""
    return not arm.changes and not arm.against and not arm.ignores_seed
