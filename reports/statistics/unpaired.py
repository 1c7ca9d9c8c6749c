"""Two arms whose values have no partners, compared by Welch's t test (Welch 1947)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from reports.statistics.contrasts import Contrast, contrast


@dataclass(frozen=True, kw_only=True)
class Unpaired(Contrast):
    """An arm minus the baseline without pairs: `mean` is the difference of means, `sizes` are the two n.

    It has no differences, wins or losses. An infinite value on either side leaves it undecided.
    """

    sizes: tuple[int, int]
    error: float  # the standard error of the difference; NaN under two finite values on either side
    df: float  # its degrees of freedom

    @property
    def pairs(self) -> int:
        """The size of the smaller side, by which a verdict asks whether there are enough values."""
        return min(self.sizes)

    @property
    def paired(self) -> bool:
        """Always false: no two values belong together."""
        return False

    @property
    def given_convergence(self) -> bool:
        """Whether the means leave out infinite values."""
        return bool(self.arm_diverged or self.baseline_diverged)

    @property
    def by_signs(self) -> bool:
        """Always false: without pairs there are no signs."""
        return False

    def _tails(self, mu: float) -> tuple[float, float]:
        if self.given_convergence or self.mean is None or not self.error > 0:
            return 1.0, 1.0
        t = (self.mean - mu) / self.error
        return float(special.stdtr(self.df, -t)), float(special.stdtr(self.df, t))

    def _ends(self, alpha: float) -> tuple[float, float] | None:
        if self.mean is None or not self.error > 0:
            return None
        half = float(special.stdtrit(self.df, 1 - alpha / 2)) * self.error
        return self.mean - half, self.mean + half


def welch(
    arm: Sequence[float],
    baseline: Sequence[float],
    *,
    delta: float,
    lower_is_better: bool = True,
    family: int = 1,
) -> Unpaired:
    """Compare two samples; δ and the family as in `contrast`. Fewer than two finite values have no test."""
    a, b = (np.array([x for x in side if math.isfinite(x)]) for side in (arm, baseline))
    error, df = math.nan, math.nan
    if min(a.size, b.size) > 1:
        squares = [float(x.var(ddof=1)) / x.size for x in (a, b)]
        error = math.sqrt(sum(squares))
        if error:
            df = sum(squares) ** 2 / sum(v**2 / (x.size - 1) for v, x in zip(squares, (a, b), strict=True))
    no_pairs = contrast({}, {}, delta=delta, lower_is_better=lower_is_better, family=family)
    means = {"arm_mean": float(a.mean()), "baseline_mean": float(b.mean())} if a.size and b.size else {}
    known = {
        "sizes": (len(arm), len(baseline)),
        "arm_diverged": len(arm) - a.size,
        "baseline_diverged": len(baseline) - b.size,
        "mean": means["arm_mean"] - means["baseline_mean"] if means else None,
        "error": error,
        "df": df,
    }
    return Unpaired(**{**vars(no_pairs), **means, **known})
