"""The values of one arm over its seeds: mean, SD, interval, median, and the rate at which it diverges."""

from collections.abc import Mapping
from dataclasses import dataclass

from unrolled.reports.statistics.estimators import Floats, t_interval
from unrolled.reports.statistics.power import ALPHA
from unrolled.reports.statistics.seed_values import Interval
from unrolled.reports.statistics.values import median, replace_diverged, select_finite


@dataclass(frozen=True, kw_only=True)
class ArmSummary:
    """One arm over its seeds. Mean, SD and interval leave out diverged seeds; the median includes them.

    The mean needs one converged seed, the SD two and the interval three. With fewer seeds they are None.
    """

    # by seed, on the scale of all numbers of the summary; infinite, with the worse sign, for a diverged one
    values: Mapping[int, float]
    diverged_count: int
    mean: float | None
    sd: float | None  # with ddof 1
    interval: Interval | None
    median: float | None

    @property
    def n(self) -> int:
        """The number of seeds, diverged ones included."""
        return len(self.values)


def summarise_values(values: Mapping[int, float], *, lower_is_better: bool = True) -> ArmSummary:
    """Return the summary of an arm's values by seed. Raises ValueError on NaN."""
    ordered = replace_diverged(values, lower_is_better)
    x = select_finite(ordered.values())
    return ArmSummary(
        values=ordered,
        diverged_count=len(ordered) - x.size,
        mean=float(x.mean()) if x.size else None,
        sd=float(x.std(ddof=1)) if x.size > 1 else None,
        interval=_make_interval(x),
        median=median(ordered.values()),
    )


def divergence_interval(k: int, n: int) -> Interval:
    """Return Clopper–Pearson's interval of the rate k/n. Raises ValueError unless 0 ≤ k ≤ n and n ≥ 1."""
    from scipy import stats  # takes half a second, and only a study with diverged trials needs it

    ends = stats.binomtest(k, n).proportion_ci(1 - ALPHA, method="exact")
    return Interval(float(ends.low), float(ends.high), 1 - ALPHA)


def _make_interval(x: Floats) -> Interval | None:
    """Return the mean's 95 % t interval, from 3 values on."""
    if x.size < 3:
        return None
    low, high = t_interval(x)
    return Interval(float(low), float(high), 1 - ALPHA)
