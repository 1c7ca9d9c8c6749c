"""The values of arms by seed, from which contrasts are made. An infinite value is a seed that diverged."""

import math
import statistics
from collections.abc import Iterable, Mapping

import numpy as np

from unrolled.bench.metric import FEWEST_SEEDS
from unrolled.reports.statistics.estimators import Floats
from unrolled.reports.statistics.power import ALPHA
from unrolled.reports.statistics.seed_values import SeedValues


def select_finite(values: Iterable[float]) -> Floats:
    """Return the finite values."""
    return np.array([v for v in values if math.isfinite(v)], dtype=float)


def median(values: Iterable[float]) -> float | None:
    """Return the median; None without values. The middle of a number and infinity is infinity."""
    values = [*values]
    return float(statistics.median(values)) if values else None


def replace_diverged(values: Mapping[int, float], lower_is_better: bool) -> dict[int, float]:
    """Return the values, with the metric's worst one for a diverged seed. Raises ValueError on NaN."""
    worst = math.inf if lower_is_better else -math.inf
    for seed, value in values.items():
        if math.isnan(value):
            raise ValueError(f"seed {seed} is NaN: a diverged seed counts as infinite, it is never dropped")
    return {s: float(values[s]) if math.isfinite(values[s]) else worst for s in sorted(values)}


def find_upper_limit(values: Floats, highest: float) -> float:
    """Return the upper bound of values: `highest` if all values lie between 0 and `highest`, else infinity.

    An accuracy has `highest` = 1. Values of 0.9 and 0.95 have the bound 1. Values of 90 and 95 are in per
    cent, and have the bound infinity. Zeros alone may be in per cent, too: infinity.
    """
    if ((values >= 0) & (values <= highest)).all() and (values > 0).any():
        return highest
    return math.inf


def count_decimals(values: Floats) -> int:
    """Return the most decimals of any value: [0.5, 0.25] → 2."""
    return max((len(f"{x:.15g}".partition(".")[2]) for x in values.tolist()), default=0)


def are_computed_alike(
    arm: SeedValues,
    base: SeedValues,
    zone: float,
    family_size: int = 1,
) -> bool:
    """Return True if values are equal on every seed, five or more, and too fine to be equal by chance.

    Two arms that differ by δ are equal on all n seeds with a chance of about exp(−n δ / step). The step is
    the smallest distance of two values. Values are fine if this chance is at most .05 / family_size, and if
    at least 80 % of the values are distinct:

        n = 10, δ = .02, step .05    exp(−4) = .018    fine
        n = 10, δ = .02, step .1     exp(−2) = .14     too coarse

    The step is at least an eighth of the range of the values, because the mean of a few items' scores is
    finer than a score. A change that acts on few seeds, or on few items, can still leave all values equal.
    """
    distinct = np.unique([*arm.values()])
    if arm != base or distinct.size < max(FEWEST_SEEDS, 0.8 * len(arm)):
        return False
    step = max(float(np.diff(distinct).min()), float(np.ptp(distinct)) / 8)
    return len(arm) * zone >= -math.log(ALPHA / family_size) * step
