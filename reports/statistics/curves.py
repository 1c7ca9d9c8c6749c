"""Learning curves and speed: area, time to target, throughput."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reports.statistics.contrasts import Contrast, Interval, contrast
from reports.statistics.estimators import t_interval, t_test
from reports.statistics.power import ALPHA

Curve = tuple[Sequence[float], Sequence[float]]
"""Steps (or seconds, or tokens) that rise, and the values there."""


def area_under_curve(steps: Sequence[float], values: Sequence[float]) -> float:
    """Mean height of a learning curve by trapezes; infinite when any value is not finite.

    Raises ValueError on under two points or on steps that do not rise.
    """
    x, y = np.asarray(steps, dtype=float), np.asarray(values, dtype=float)
    if x.size < 2 or x.shape != y.shape or not (np.diff(x) > 0).all():
        raise ValueError("a curve needs two points or more, at steps that rise")
    return float(np.trapezoid(y, x) / (x[-1] - x[0])) if np.isfinite(y).all() else float("inf")


@dataclass(frozen=True, kw_only=True)
class TimeToTarget:
    """How soon two arms reach a target, over their common seeds, right-censored at the budget.

    A seed that misses counts as the budget: means are restricted means, the least that is certain.
    """

    target: float
    budget: float
    arm_reached: int
    baseline_reached: int
    arm_mean: float | None
    baseline_mean: float | None
    contrast: Contrast  # of the restricted times; lower is better

    @property
    def pairs(self) -> int:
        """Seeds that both arms have."""
        return self.contrast.pairs


def first_reach(curve: Curve, target: float, *, lower_is_better: bool = True) -> float:
    """The first recorded step at or beyond the target; infinite if it is never reached."""
    for step, value in zip(*curve, strict=True):
        if value <= target if lower_is_better else value >= target:
            return float(step)
    return math.inf


def time_to_target(
    arm: Mapping[int, Curve],
    baseline: Mapping[int, Curve],
    *,
    target: float,
    budget: float,
    lower_is_better: bool = True,
) -> TimeToTarget:
    """Compare the times at which two arms reach a target, joined on the seed.

    Args:
        arm: learning curve by seed.
        baseline: the same.
        target: value of the metric to reach.
        budget: the last step looked at; a miss counts as this and is never dropped.
        lower_is_better: whether the metric is a loss.
    """
    seeds = sorted(set(arm) & set(baseline))
    ours, theirs = (
        {s: first_reach(curves[s], target, lower_is_better=lower_is_better) for s in seeds}
        for curves in (arm, baseline)
    )
    restricted = [{s: min(t, budget) for s, t in times.items()} for times in (ours, theirs)]
    means = [sum(times.values()) / len(seeds) if seeds else None for times in restricted]
    return TimeToTarget(
        target=target,
        budget=budget,
        arm_reached=sum(t <= budget for t in ours.values()),
        baseline_reached=sum(t <= budget for t in theirs.values()),
        arm_mean=means[0],
        baseline_mean=means[1],
        contrast=contrast(*restricted, delta=math.inf),
    )


@dataclass(frozen=True)
class Throughput:
    """Ratio of two speeds, from interleaved pairs; differences within the noise zone are no finding."""

    ratio: float
    interval: Interval
    p: float
    pairs: int
    zone: float

    @property
    def word(self) -> str:
        """Faster or slower when the whole interval lies outside the zone."""
        if self.interval.low > 1 + self.zone:
            return "faster"
        if self.interval.high < 1 - self.zone:
            return "slower"
        return f"not told apart from ±{100 * self.zone:g} % of noise"


def throughput_ratio(
    a: Sequence[float], b: Sequence[float], *, zone: float = 0.02, level: float = 1 - ALPHA
) -> Throughput:
    """Compare two arms' speeds by a paired t on the log ratio.

    Args:
        a: tokens per second of one arm, in the order measured (interleaved, synchronised, warm).
        b: the other's, the i-th beside a's i-th.
        zone: half width of the noise zone, as a fraction.
        level: of the interval.

    Raises:
        ValueError: on unequal lengths, fewer than 3 pairs, or a speed that is not positive and finite.
    """
    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    speeds = np.concatenate([x, y])
    if x.size != y.size or x.size < 3 or not (np.isfinite(speeds) & (speeds > 0)).all():
        raise ValueError("throughput needs 3 pairs or more of positive, finite speeds")
    logs = np.log(x / y)
    low, high = t_interval(logs, level)
    interval = Interval(float(low), float(high), level).exp()
    return Throughput(math.exp(logs.mean()), interval, float(t_test(logs)[1]), x.size, zone)
