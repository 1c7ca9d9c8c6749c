"""Time to target, right-censored at the budget."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reports.statistics.contrasts import Contrast, contrast, summarise

Curve = tuple[Sequence[float], Sequence[float]]
"""Steps (or seconds, or tokens) that rise, and the losses there."""


@dataclass(frozen=True, kw_only=True)
class TimeToTarget:
    """The times at which two arms reach a target loss, over their common seeds.

    A seed that misses counts as the budget: means are restricted means, the least that is certain.
    """

    arm_reached: int
    baseline_reached: int
    arm_mean: float | None
    contrast: Contrast  # of the restricted times; lower is better


def first_reach(curve: Curve, target: float) -> float:
    """The first recorded step with a loss at the target or below; infinite if there is none."""
    return next((float(step) for step, loss in zip(*curve, strict=True) if loss <= target), math.inf)


def time_to_target(
    arm: Mapping[int, Curve], baseline: Mapping[int, Curve], *, target: float, budget: float
) -> TimeToTarget:
    """Compare the times at which two arms reach a target, by seed; a miss counts as the budget."""
    seeds = sorted(set(arm) & set(baseline))
    ours, theirs = ({s: first_reach(curves[s], target) for s in seeds} for curves in (arm, baseline))
    restricted = [{s: min(t, budget) for s, t in times.items()} for times in (ours, theirs)]
    return TimeToTarget(
        arm_reached=sum(t <= budget for t in ours.values()),
        baseline_reached=sum(t <= budget for t in theirs.values()),
        arm_mean=summarise(restricted[0]).mean,
        contrast=contrast(*restricted, delta=math.inf),
    )
