"""Contrasts of tables from elsewhere whose pairs are not independent seeds: none at all, or folds.

Without pairs there are two tests, Welch's (1947) and a permutation test, and the larger p of both counts:
five skewed values against fifty have another law of t than Welch's. Against a constant the test is that of
one sample. Folds, or random splits, of one data set share most of their
training rows, so that their differences are not independent: the variance of the mean of k folds is taken as
(1/k + n_test/n_train) s², see C. Nadeau and Y. Bengio, "Inference for the Generalization Error", Machine
Learning 52 (2003).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from scipy import special

from unrolled.reports.statistics.contrasts import Contrast, contrast
from unrolled.reports.statistics.estimators import (
    Floats,
    Moments,
    mean_interval,
    mean_tails,
    moments,
    skewness_ratio,
)
from unrolled.reports.statistics.permutation import MOST, Permutations


@dataclass(frozen=True, kw_only=True)
class _ByError(Contrast):
    """A contrast that is judged by t with an error and degrees of freedom of its own, and never by signs.

    The signs of dependent differences prove nothing, and neither do ties: with a value that is infinite or
    lost, or with one difference on all folds, nothing is claimed, but that identical arms are the same.
    """

    error: float  # the standard error of the difference; NaN where there is no test
    df: float

    @property
    def by_signs(self) -> bool:
        """Always false: see the class."""
        return False

    @property
    def _has_test(self) -> bool:
        return not self.given_convergence and not self.lost and self.error > 0

    def _tails(self, mu: float) -> tuple[float, float]:
        if not self._has_test or self.mean is None:
            return 1.0, 1.0
        t = (self.mean - mu) / self.error
        return float(special.stdtr(self.df, -t)), float(special.stdtr(self.df, t))

    def _ties_p(self, mu: float) -> float:
        return 1.0

    def _ties_ends(self, alpha: float) -> tuple[float, float]:
        return (0.0, 0.0) if self.identical else (-math.inf, math.inf)

    def _ends(self, alpha: float) -> tuple[float, float] | None:
        if self.mean is None or not self.error > 0:
            return None
        half = float(special.stdtrit(self.df, 1 - alpha / 2)) * self.error
        return self.mean - half, self.mean + half


@dataclass(frozen=True, kw_only=True)
class Unpaired(_ByError):
    """An arm minus the baseline without pairs: `mean` is the difference of means, `sizes` are the two n.

    It has no differences, wins or losses. Its skewness is that of the side with the larger one.
    """

    sizes: tuple[int, int]
    samples: tuple[Floats, Floats] = field(compare=False, repr=False)  # the finite values of both sides

    @cached_property
    def _one_sample(self) -> Moments | None:
        """The differences from a side without any spread, if one has none."""
        arm, baseline = self.samples
        if np.ptp(baseline) == 0:
            return moments(arm - baseline[0])
        return moments(arm[0] - baseline) if np.ptp(arm) == 0 else None

    @cached_property
    def _permutations(self) -> Permutations | None:
        return Permutations(*self.samples) if min(map(len, self.samples)) <= MOST else None

    def _tails(self, mu: float) -> tuple[float, float]:
        of_welch = super()._tails(mu)
        if not self._has_test:
            return of_welch
        if self._one_sample:
            above, below = mean_tails(self._one_sample, mu)
            return float(above), float(below)
        other = self._permutations.tails(mu) if self._permutations else of_welch
        return max(of_welch[0], other[0]), max(of_welch[1], other[1])

    def _ends(self, alpha: float) -> tuple[float, float] | None:
        of_welch = super()._ends(alpha)
        if of_welch is None or self.mean is None:
            return None
        if self._one_sample:
            low, high = mean_interval(self._one_sample, alpha)
            return float(low), float(high)
        if not self._permutations:
            return of_welch
        other = self._permutations.interval(alpha, self.mean, self.mean - of_welch[0])
        return min(of_welch[0], other[0]), max(of_welch[1], other[1])

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


class FoldContrast(_ByError):
    """An arm minus the baseline over folds. More of the same data would show little: none are asked for."""

    @property
    def mde(self) -> None:
        """None: see the class."""
        return None

    @property
    def seeds_needed(self) -> None:
        """None: see the class."""
        return None


def welch(arm: Sequence[float], baseline: Sequence[float], **options: Any) -> Unpaired:
    """Compare two samples; options as of `contrast`. Fewer than two finite values have no test."""
    a, b = (np.array([x for x in side if math.isfinite(x)]) for side in (arm, baseline))
    error, df = math.nan, math.nan
    if min(a.size, b.size) > 1:
        squares = [float(x.var(ddof=1)) / x.size for x in (a, b)]
        error = math.sqrt(sum(squares))
        if error:
            df = sum(squares) ** 2 / sum(v**2 / (x.size - 1) for v, x in zip(squares, (a, b), strict=True))
    means = {"arm_mean": float(a.mean()), "baseline_mean": float(b.mean())} if a.size and b.size else {}
    skewness, skewness_of = max(map(_describe_skewness, (a, b)), key=lambda side: skewness_ratio(*side))
    known = {
        "sizes": (len(arm), len(baseline)),
        "samples": (a, b),
        "skewness": skewness,
        "skewness_of": skewness_of,
        "arm_diverged": len(arm) - a.size,
        "baseline_diverged": len(baseline) - b.size,
        "mean": means["arm_mean"] - means["baseline_mean"] if means else None,
        "error": error,
        "df": df,
    }
    return Unpaired(**{**vars(contrast({}, {}, **options)), **means, **known})


def _describe_skewness(sample: Floats) -> tuple[float | None, int]:
    return float(moments(sample).skewness) if sample.size > 2 else None, sample.size


def compare_folds(
    arm: Mapping[int, float], baseline: Mapping[int, float], *, test_share: float, **options: Any
) -> FoldContrast:
    """Compare two arms by their values by fold, of each of which `test_share` of the data is the test set.

    Options as of `contrast`.
    """
    plain = contrast(arm, baseline, **options)
    error = math.nan
    if plain.sd and not plain.given_convergence:
        error = plain.sd * math.sqrt(1 / plain.pairs + test_share / (1 - test_share))
    return FoldContrast(**vars(plain), error=error, df=plain.pairs - 1)
