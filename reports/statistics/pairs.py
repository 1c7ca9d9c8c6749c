"""Two arms compared seed by seed: from their values to a contrast.

Values come as {seed: value}; an infinite value is a seed that diverged, and NaN is refused.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import compress
from types import MappingProxyType
from typing import Any, Required, TypedDict

import numpy as np

from unrolled.bench.metric import Metric
from unrolled.reports.statistics.contrasts import Contrast
from unrolled.reports.statistics.estimators import SINGLE_ROUNDING, Floats, moments, without_rounding
from unrolled.reports.statistics.looks import SINGLE_LOOK, Look
from unrolled.reports.statistics.types import SeedValues
from unrolled.reports.statistics.values import (
    count_decimals,
    diverged_as_worst,
    find_upper_limit,
    select_finite,
)


class MetricOptions(TypedDict):
    """The options of `compare_pairs` that follow from the metric."""

    zone: float
    lower_is_better: bool
    structural: bool
    highest: float


class ContrastOptions(TypedDict, total=False):
    """The options of `compare_pairs` that each contrast has of its own."""

    family_size: int
    look: Look
    lost_count: int
    computed_alike: bool
    bounds: Mapping[Any, tuple[float, float]]
    rows_lacking: tuple[int, int]


class PairOptions(ContrastOptions, total=False):
    """All options of `compare_pairs`, for functions that hand them on."""

    zone: Required[float]
    lower_is_better: bool
    structural: bool
    highest: float


def make_options(metric: Metric) -> MetricOptions:
    """Return the options by which all contrasts of a metric are made."""
    return {
        "zone": metric.zone,
        "lower_is_better": metric.lower_is_better,
        "structural": metric.is_structural,
        "highest": metric.highest,
    }


def compare_pairs(
    arm: SeedValues,
    base: SeedValues,
    *,
    zone: float,
    lower_is_better: bool = True,
    family_size: int = 1,
    look: Look = SINGLE_LOOK,
    lost_count: int = 0,
    computed_alike: bool = False,
    structural: bool = False,
    highest: float = math.inf,
    bounds: Mapping[int, tuple[float, float]] = MappingProxyType({}),
    rows_lacking: tuple[int, int] = (0, 0),
) -> Contrast:
    """Compare two arms by their values by seed. An infinite value is a diverged seed, the worst value.

    - `zone`: the smallest difference that matters, on the judged scale (`Metric.zone`)
    - `family_size`: the number of contrasts that are corrected together
    - `look`: the look at which these seeds are seen
    - `lost_count`: the number of pairs in which a side failed
    - `computed_alike`: whether both arms are known to have computed the same, if all their values are equal
    - `structural`: whether the metric follows from the settings alone, as a number of parameters does
    - `highest`: the highest value of a metric whose lowest one is 0: see `find_upper_limit`
    - `bounds`: for each seed whose value lacks rows, the arm's lowest and highest possible value
    - `rows_lacking`: the number of rows that the arm lacks, and that its base lacks

    Raises ValueError for NaN, for a δ that is not positive, or for a family under 1.
    """
    if not zone > 0 or family_size < 1:
        raise ValueError(f"δ must be positive and the family at least 1, not {zone} and {family_size}")
    arm = diverged_as_worst(arm, lower_is_better)
    base = diverged_as_worst(base, lower_is_better)
    seeds = tuple(s for s in arm if s in base)
    a = np.array([arm[s] for s in seeds])
    b = np.array([base[s] for s in seeds])
    sign = 1 if lower_is_better else -1
    noise = _printing_noise(a, b, zone) if highest < math.inf else 0.0
    described = _describe_pairs(seeds, a, b, noise)
    is_whole = bool(
        a.size and not lost_count and not bounds and np.isfinite(a).all() and np.isfinite(b).all()
    )
    all_tied = is_whole and not any(described["differences"].values())
    return Contrast(
        seeds=seeds,
        seeds_without_partner=tuple(sorted(set(arm) ^ set(base))),
        arm_lacks=len(base.keys() - arm.keys()),
        base_lacks=len(arm.keys() - base.keys()),
        lost_count=lost_count,
        bounds={s: (bounds[s][0] - base[s], bounds[s][1] - base[s]) for s in seeds if s in bounds},
        rows_lacking=rows_lacking,
        zone=zone,
        family_size=family_size,
        look=look,
        lower_is_better=lower_is_better,
        pairs_better=int((sign * a < sign * b - noise).sum()),
        pairs_worse=int((sign * a > sign * b + noise).sum()),
        arm_diverged=int((~np.isfinite(a)).sum()),
        base_diverged=int((~np.isfinite(b)).sum()),
        both_diverged=int((~np.isfinite(a) & ~np.isfinite(b)).sum()),
        all_tied=all_tied,
        computed_alike=all_tied and computed_alike,
        known_exactly=structural and is_whole and _have_one_value(a) and _have_one_value(b),
        upper_limit=find_upper_limit(select_finite([*a, *b]), highest),
        **described,
    )


def _have_one_value(side: Floats) -> bool:
    """Return True if all values are equal and not 0: a count of 0 may mean that nothing was counted."""
    return bool(side[0] and np.ptp(side) == 0)


def _printing_noise(a: Floats, b: Floats, zone: float) -> float:
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
    d = without_rounding(a - b, np.abs([a, b]).max(initial=0), noise)
    has_constant_difference = bool(d.size > 1 and np.ptp(d) == 0)
    fields: dict[str, Any] = dict.fromkeys(
        ("arm_mean", "base_mean", "mean_difference", "sd", "skewness", "r")
    )
    fields["differences"] = dict(zip(compress(seeds, both), d.tolist(), strict=True))
    fields["has_constant_difference"] = has_constant_difference
    fields["skewness_of"] = d.size
    if d.size:
        fields["arm_mean"] = float(a.mean())
        fields["base_mean"] = float(b.mean())
        fields["mean_difference"] = float(d.mean())
    if d.size > 1:
        fields["sd"] = 0.0 if has_constant_difference else float(d.std(ddof=1))
    if d.size > 2:
        fields["skewness"] = float(moments(d).skewness)
        if np.ptp(a) > 0 and np.ptp(b) > 0:
            fields["r"] = float(np.corrcoef(a, b)[0, 1])
    return fields
