"""Two arms compared seed by seed: from their values to a contrast.

Values come as {seed: value}; an infinite value is a seed that diverged, and NaN is refused.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Any

import numpy as np

from unrolled.bench.metric import Metric
from unrolled.reports.statistics.contrasts import Contrast
from unrolled.reports.statistics.estimators import SINGLE_ROUNDING, Floats, moments, remove_rounding
from unrolled.reports.statistics.looks import SINGLE_LOOK, Look
from unrolled.reports.statistics.seed_values import SeedValues, select_seeds
from unrolled.reports.statistics.values import (
    are_computed_alike,
    count_decimals,
    find_upper_limit,
    replace_diverged,
    select_finite,
)


@dataclass(frozen=True)
class JudgedScale:
    """The scale on which a metric is judged: its δ, its better direction and its ends."""

    zone: float  # see `Metric.zone`
    lower_is_better: bool = True
    is_structural: bool = False  # whether the metric follows from the settings alone, as parameters do
    highest: float = math.inf  # highest value of a metric whose lowest one is 0: see `find_upper_limit`


@dataclass(frozen=True)
class LostPairs:
    """The lost pairs and rows of a contrast: each counts as the worst pair seen for a claim."""

    count: int = 0  # number of pairs without a number on a side
    missing_row_counts: tuple[int, int] = (0, 0)  # number of rows that the arm lacks, and that its base lacks
    # for each seed whose value lacks rows, the arm's lowest and highest possible value
    bounds: Mapping[Any, tuple[float, float]] = field(default_factory=dict)


NO_LOST_PAIRS = LostPairs()


def make_judged_scale(metric: Metric) -> JudgedScale:
    """Return the scale on which all contrasts of a metric are judged."""
    return JudgedScale(metric.zone, metric.lower_is_better, metric.is_structural, metric.highest)


def compare_pairs(
    arm: SeedValues,
    base: SeedValues,
    scale: JudgedScale,
    *,
    family_size: int = 1,
    look: Look = SINGLE_LOOK,
    lost_pairs: LostPairs = NO_LOST_PAIRS,
    equal_seeds: Collection[Any] = (),
    trusts_equal_values: bool = False,
) -> Contrast:
    """Compare two arms by their values by seed. An infinite value is a diverged seed, the worst value.

    - `family_size`: the number of contrasts that are corrected together
    - `look`: the look at which these seeds are seen
    - `equal_seeds`: the seeds on which both arms are known to have computed the same
    - `trusts_equal_values`: whether arms count as computed alike because `are_computed_alike` says so of
      their values, though nothing is known of their seeds

    Raises ValueError for NaN, for a δ that is not positive, or for a family under 1.
    """
    if not scale.zone > 0 or family_size < 1:
        raise ValueError(f"δ must be positive and the family at least 1, not {scale.zone} and {family_size}")
    arm = replace_diverged(arm, scale.lower_is_better)
    base = replace_diverged(base, scale.lower_is_better)
    seeds = tuple(s for s in arm if s in base)
    a = np.array([arm[s] for s in seeds])
    b = np.array([base[s] for s in seeds])
    sign = 1 if scale.lower_is_better else -1
    noise = _measure_printing_noise(a, b, scale.zone) if scale.highest < math.inf else 0.0
    described = _describe_pairs(seeds, a, b, noise)
    has_converged = bool(a.size and np.isfinite(a).all() and np.isfinite(b).all())
    is_whole = has_converged and not lost_pairs.count and not lost_pairs.bounds
    is_all_tied = is_whole and not any(described["differences"].values())
    is_computed_alike = is_all_tied and (
        all(seed in equal_seeds for seed in seeds)
        or (trusts_equal_values and are_computed_alike(arm, base, scale.zone))
    )
    return Contrast(
        seeds=seeds,
        seeds_without_partner=tuple(sorted(set(arm) ^ set(base))),
        arm_missing_count=len(base.keys() - arm.keys()),
        base_missing_count=len(arm.keys() - base.keys()),
        lost_count=lost_pairs.count,
        bounds={
            seed: (low - base[seed], high - base[seed])
            for seed, (low, high) in select_seeds(lost_pairs.bounds, seeds).items()
        },
        missing_row_counts=lost_pairs.missing_row_counts,
        zone=scale.zone,
        family_size=family_size,
        look=look,
        lower_is_better=scale.lower_is_better,
        better_count=int((sign * a < sign * b - noise).sum()),
        worse_count=int((sign * a > sign * b + noise).sum()),
        arm_diverged_count=int((~np.isfinite(a)).sum()),
        base_diverged_count=int((~np.isfinite(b)).sum()),
        both_diverged_count=int((~np.isfinite(a) & ~np.isfinite(b)).sum()),
        is_all_tied=is_all_tied,
        is_computed_alike=is_computed_alike,
        is_known_exactly=scale.is_structural and is_whole and _have_one_value(a) and _have_one_value(b),
        upper_limit=find_upper_limit(select_finite([*a, *b]), scale.highest),
        **described,
    )


def _have_one_value(side: Floats) -> bool:
    """Return True if all values are equal and not 0: a count of 0 may mean that nothing was counted."""
    return bool(side[0] and np.ptp(side) == 0)


def _measure_printing_noise(a: Floats, b: Floats, zone: float) -> float:
    """Return the difference up to which two shares count as equal, as a side may be stored with fewer digits.

    0.87 and 0.8734 count as equal: they differ by less than .005, half a unit of the last decimal of 0.87.
    The result is this half unit if no pair differs by more, and if it is at most δ. Otherwise the result is
    the rounding of single precision or δ/1000, whichever is smaller.
    """
    size = float(np.abs([a, b]).max(initial=0))
    fewer, more = sorted(count_decimals(side) for side in (a, b))
    half_unit = 0.501 * 10.0**-fewer
    if fewer < more and np.abs(a - b).max(initial=0) <= half_unit <= zone:
        return half_unit
    return min(SINGLE_ROUNDING * size, zone / 1000)


def _describe_pairs(seeds: Sequence[int], a: Floats, b: Floats, noise: float) -> dict[str, Any]:
    """Return the fields of a Contrast that rest on converged pairs and their differences.

    Differences of at most `noise` count as 0.
    """
    both = np.isfinite(a) & np.isfinite(b)
    a = a[both]
    b = b[both]
    d = remove_rounding(a - b, np.abs([a, b]).max(initial=0), noise)
    has_constant_difference = bool(d.size > 1 and np.ptp(d) == 0)
    fields: dict[str, Any] = {
        **dict.fromkeys(("arm_mean", "base_mean", "mean_difference", "sd", "skewness", "r")),
        "differences": dict(zip(compress(seeds, both), d.tolist(), strict=True)),
        "has_constant_difference": has_constant_difference,
        "skewness_count": d.size,
    }
    if d.size:
        fields |= {
            "arm_mean": float(a.mean()),
            "base_mean": float(b.mean()),
            "mean_difference": float(d.mean()),
        }
    if d.size > 1:
        fields["sd"] = 0.0 if has_constant_difference else float(d.std(ddof=1))
    if d.size > 2:
        fields["skewness"] = float(moments(d).skewness)
        if np.ptp(a) > 0 and np.ptp(b) > 0:
            fields["r"] = float(np.corrcoef(a, b)[0, 1])
    return fields
