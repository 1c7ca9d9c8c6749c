"""The values of arms by seed, of which contrasts are made; an infinite one is a seed that diverged."""

import math
import statistics
from collections.abc import Iterable, Mapping

import numpy as np

from unrolled.bench.metric import FEWEST_SEEDS
from unrolled.reports.statistics.estimators import Floats
from unrolled.reports.statistics.power import ALPHA
from unrolled.reports.statistics.types import SeedValues


def select_finite(values: Iterable[float]) -> Floats:
    """Return the finite values."""
    return np.array([v for v in values if math.isfinite(v)], dtype=float)


def median(values: Iterable[float]) -> float | None:
    """Return the median; halfway to infinity is infinite."""
    values = [*values]
    return float(statistics.median(values)) if values else None


def diverged_as_worst(values: Mapping[int, float], lower_is_better: bool) -> dict[int, float]:
    """Return the values, with the metric's worst one for a diverged seed. Raises ValueError on NaN."""
    worst = math.inf if lower_is_better else -math.inf
    for seed, value in values.items():
        if math.isnan(value):
            raise ValueError(f"seed {seed} is NaN: a diverged seed counts as infinite, it is never dropped")
    return {s: float(values[s]) if math.isfinite(values[s]) else worst for s in sorted(values)}


def highest_of(values: Floats, highest: float) -> float:
    """Return the upper bound of a share: `highest` if all values lie between 0 and it, else infinity.

    Returns infinity, too, if all values are 0, as they would be in per cent as well.
    """
    if ((values >= 0) & (values <= highest)).all() and (values > 0).any():
        return highest
    return math.inf


def count_decimals(values: Floats) -> int:
    """Return the most decimals with which any of the values is written."""
    return max((len(f"{x:.15g}".partition(".")[2]) for x in values.tolist()), default=0)


def are_computed_alike(
    arm: SeedValues,
    base: SeedValues,
    delta: float,
    family_size: int = 1,
) -> bool:
    """Return True if values are equal on every seed, five or more, and too fine to be equal by chance.

    At least 80 % of the values are distinct, and a change of δ would move them by so many steps in all that
    the chance of moving none is under .05/`family_size`: three steps for one contrast, as exp(−3) = .05. The
    step is the smallest step that occurs, or an eighth of the range: the mean of scores of few items has
    values that are finer than the steps of each. A change that acts in few seeds, or on few items, can still
    move none.
    """
    levels = np.unique([*arm.values()])
    if arm != base or levels.size < max(FEWEST_SEEDS, 0.8 * len(arm)):
        return False
    step = max(float(np.diff(levels).min()), float(np.ptp(levels)) / 8)
    return len(arm) * delta >= -math.log(ALPHA / family_size) * step
