"""Two arms whose values have no partners, compared by Welch's t test (Welch 1947)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reports.statistics.contrasts import Contrast, Interval, contrast
from reports.statistics.power import ALPHA


@dataclass(frozen=True, kw_only=True)
class Unpaired(Contrast):
    """An arm minus the baseline without pairs: `mean` is the difference of means, `sizes` are the two n.

    It has no differences, wins or losses. An infinite value on either side leaves it undecided.
    """

    sizes: tuple[int, int]

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


def welch(
    arm: Sequence[float],
    baseline: Sequence[float],
    *,
    delta: float,
    lower_is_better: bool = True,
    family: int = 1,
) -> Unpaired:
    """Compare two samples; δ and the family as in `contrast`. Fewer than two finite values have no test."""
    from scipy import stats  # half a second, which studies do without

    a, b = ([x for x in side if math.isfinite(x)] for side in (arm, baseline))
    enough = min(len(a), len(b)) > 1 and bool(np.ptp(a) or np.ptp(b))
    tested = stats.ttest_ind(a, b, equal_var=False) if enough else None

    def interval(alpha: float) -> Interval | None:
        if tested is None:
            return None
        ends = tested.confidence_interval(1 - alpha)
        return Interval(float(ends.low), float(ends.high), 1 - alpha)

    known: dict[str, Any] = {
        "sizes": (len(arm), len(baseline)),
        "arm_diverged": len(arm) - len(a),
        "baseline_diverged": len(baseline) - len(b),
        "mean": float(np.mean(a) - np.mean(b)) if a and b else None,
        "interval": interval(ALPHA),
        "interval90": interval(2 * ALPHA),
        "t": tested and float(tested.statistic),
        "t_p": tested and float(tested.pvalue),
        "tost_p": _tost_p(a, b, delta) if enough else None,
    }
    no_pairs = contrast({}, {}, delta=delta, lower_is_better=lower_is_better, family=family)
    return Unpaired(**{**vars(no_pairs), **known})


def _tost_p(a: Sequence[float], b: Sequence[float], delta: float) -> float:
    """The p that the means differ by less than δ: the larger one of two one-sided tests."""
    from scipy import stats

    above = stats.ttest_ind(np.add(a, delta), b, equal_var=False, alternative="greater").pvalue
    below = stats.ttest_ind(np.subtract(a, delta), b, equal_var=False, alternative="less").pvalue
    return float(max(above, below))
