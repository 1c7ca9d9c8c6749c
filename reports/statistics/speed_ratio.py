"""The ratio of two speeds, with an interval."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from unrolled.bench.hardware.machine_kind import describe_machine_difference
from unrolled.bench.numbers import safe_exp
from unrolled.reports.statistics.estimators import t_interval
from unrolled.reports.statistics.power import ALPHA
from unrolled.reports.statistics.seed_values import Interval

FEWEST = 3
"""Fewest pairs of speeds that give a ratio an interval."""
MARGIN = 0.02
"""Speeds that differ by a smaller share are not told apart."""


@dataclass(frozen=True, kw_only=True)
class SpeedRatio:
    """The ratio of two speeds, over pairs of trials with one seed."""

    ratio: float
    interval: Interval
    pair_count: int
    mean: float  # geometric mean of the first speeds of these pairs
    base_mean: float  # geometric mean of the second speeds

    @property
    def word(self) -> str:
        """The word "faster" or "slower" if the whole interval lies outside the margin; a phrase otherwise."""
        if self.interval.low > 1 + MARGIN:
            return "faster"
        if self.interval.high < 1 - MARGIN:
            return "slower"
        return f"not told apart from ±{100 * MARGIN:g} % of noise"


def measure_speed_ratio(pairs: Sequence[tuple[float, float]]) -> SpeedRatio | None:
    """Return the first speed over the second, by a paired t of the log ratio; None under 3 pairs.

    Raises ValueError on a speed that is not positive and finite.
    """
    if len(pairs) < FEWEST:
        return None
    speeds = np.array(pairs, dtype=float)
    if not (np.isfinite(speeds) & (speeds > 0)).all():
        raise ValueError("speeds are positive and finite")
    logs = np.log(speeds[:, 0] / speeds[:, 1])
    low, high = t_interval(logs)
    ends = Interval(safe_exp(float(low)), safe_exp(float(high)), 1 - ALPHA)
    mean, base_mean = np.exp(np.log(speeds).mean(axis=0)).tolist()
    return SpeedRatio(
        ratio=math.exp(logs.mean()), interval=ends, pair_count=len(pairs), mean=mean, base_mean=base_mean
    )


def describe_unlike_machines(machines: Sequence[Mapping[str, str]]) -> str:
    """Return why machines are not all of one known kind; "" if they are."""
    if not all(machines):
        return "the machine of some trials is not recorded"
    differ = describe_machine_difference(machines)
    return f"unlike machines: {differ}" if differ else ""
