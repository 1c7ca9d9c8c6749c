"""Contrasts with a standard error of their own: arms without pairs, and folds of one data set.

Arms without pairs have two tests, Welch's (1947) and a permutation test. The larger p counts, because t does
not follow Welch's law if, for example, five skewed values are compared with fifty. From some hundred values
on there is a third test: Welch's t, corrected for skewness. A side of equal values is taken to have the
spread of the other side.

Folds, or random splits, share most of their training rows, so that their differences are not independent. The
variance of the mean of k folds is taken to be (1/k + n_test/n_train) s²: C. Nadeau and Y. Bengio, "Inference
for the Generalization Error", Machine Learning 52 (2003).
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from scipy import special

from unrolled.bench.metric import FEWEST_SEEDS
from unrolled.reports.statistics.contrasts import Contrast
from unrolled.reports.statistics.estimators import (
    Floats,
    correct_skew,
    moments,
    restore_skew,
    skewness_ratio,
    ties_end,
    ties_p,
)
from unrolled.reports.statistics.pairs import NO_LOST_PAIRS, JudgedScale, LostPairs, compare_pairs
from unrolled.reports.statistics.permutation import MOST, Permutations
from unrolled.reports.statistics.power import ALPHA
from unrolled.reports.statistics.seed_values import Interval, SeedValues
from unrolled.reports.statistics.values import find_upper_limit, select_finite

ENOUGH_SKEWED = 30  # number of values that mostly show whether they are skewed


@dataclass(frozen=True, kw_only=True)
class ErrorContrast(Contrast):
    """A contrast that is judged by t with its own error and degrees of freedom, and never by signs.

    The signs of dependent differences prove nothing, and neither do ties. If a value is infinite or lost, or
    if all folds have one difference, there is no test: only arms that computed alike are called the same.
    """

    error: float  # standard error of the difference; NaN if there is no test
    df: float

    uses_signs = False  # signs of dependent differences prove nothing
    divergence_test_name = ""

    @property
    def _has_test(self) -> bool:
        return not self.omits_diverged and not self._is_incomplete and self.error > 0

    def _compute_tails(self, mu: float) -> tuple[float, float]:
        if not self._has_test or self.mean_difference is None:
            return 1.0, 1.0
        t = (self.mean_difference - mu) / self.error
        return float(special.stdtr(self.df, -t)), float(special.stdtr(self.df, t))

    def _divergence_p(self, lost_count: int) -> float:
        return 1.0

    def _ties_p(self, mu: float) -> float:
        return 1.0

    def _ties_ends(self, alpha: float) -> tuple[float, float]:
        return (0.0, 0.0) if self.is_computed_alike else (-math.inf, math.inf)

    def _compute_ends(self, alpha: float) -> tuple[float, float] | None:
        if self.mean_difference is None or not self._has_test:
            return None
        half = float(special.stdtrit(self.df, 1 - alpha / 2)) * self.error
        return self.mean_difference - half, self.mean_difference + half


@dataclass(frozen=True, kw_only=True)
class Unpaired(ErrorContrast):
    """An arm minus its base as two independent samples. `mean_difference` is the difference of their means.

    There are no pairs, so that `differences` is empty. `skewness` belongs to the side with the larger
    `skewness_ratio`.
    """

    sizes: tuple[int, int]  # numbers of values of the arm and of its base
    samples: tuple[Floats, Floats] = field(compare=False, repr=False)  # finite values of both sides

    is_paired = False
    uses_median = False
    divergence_test_name = "Fisher"

    @property
    def equivalence_p(self) -> float:
        """The p of the test that the difference is within ±δ; at least `ties_p` of a side of equal values."""
        return max(super().equivalence_p, self._constant_p(self.zone))

    def interval(self, alpha: float = ALPHA, tails: int = 2) -> Interval | None:
        """Return `Contrast.interval`; for equivalence it covers ±`ties_end` of a side of equal values."""
        interval = super().interval(alpha, tails)
        size = self._constant.size
        if interval is None or not size or tails == 2:
            return interval
        end = ties_end(size, abs(self.mean_difference or 0.0), alpha, self.upper_limit)
        return Interval(min(interval.low, -end), max(interval.high, end), interval.confidence)

    @property
    def has_unequal_spreads(self) -> bool:
        """True if the larger SD is of fewer than `ENOUGH_SKEWED` values, and twice the other or more."""
        if min(map(len, self.samples)) < FEWEST_SEEDS or self._constant.size:
            return False
        narrow, wide = sorted(self.samples, key=lambda side: float(side.std(ddof=1)))
        return len(wide) < ENOUGH_SKEWED and bool(wide.std(ddof=1) >= 2 * narrow.std(ddof=1))

    @property
    def divergence_sign(self) -> int:
        """1 if the arm diverged at a higher rate than its base, −1 at a lower one, else 0."""
        arm = self.arm_diverged_count * self.sizes[1]
        base = self.base_diverged_count * self.sizes[0]
        return (arm > base) - (arm < base)

    @cached_property
    def _constant(self) -> Floats:
        """The values of a side whose values are all equal; empty if there is no such side."""
        sides = [side for side in self.samples if side.size and np.ptp(side) == 0]
        return sides[0] if sides else np.array([])

    def _constant_p(self, mu: float) -> float:
        """Return the p, by the equal values of a side, of the test that the difference lies within ±mu."""
        size = self._constant.size
        return ties_p(size, abs(self.mean_difference or 0.0), mu, self.upper_limit) if size else 0.0

    @cached_property
    def _permutations(self) -> Permutations:
        return Permutations(*self.samples)

    @property
    def _is_large(self) -> bool:
        """True if both sides have some hundred values, so that their skewness is known."""
        return min(map(len, self.samples)) > MOST

    @cached_property
    def _skewness_of_mean(self) -> float:
        """The skewness of the difference of means."""
        arm, base = (float(m.skewness * m.sd**3) / m.n**2 for m in (moments(side) for side in self.samples))
        return (arm - base) / self.error**3

    def _divergence_p(self, lost_count: int) -> float:
        """Return Fisher's exact p that both sides diverge equally often; 1 where a row was lost."""
        if lost_count or not self.omits_diverged:
            return 1.0
        from scipy import stats  # takes half a second, and only a table with diverged rows needs it

        diverged = (self.arm_diverged_count, self.base_diverged_count)
        converged = [n - k for n, k in zip(self.sizes, diverged, strict=True)]
        return float(stats.fisher_exact(np.array([diverged, converged])).pvalue)

    def _compute_tails(self, mu: float) -> tuple[float, float]:
        of_welch = super()._compute_tails(mu)
        if not self._has_test or self.mean_difference is None:
            return of_welch
        tails = [of_welch, self._permutations.compute_tails(mu)]
        if self._is_large:
            t = float(correct_skew((self.mean_difference - mu) / self.error, self._skewness_of_mean, 1))
            tails.append((float(special.stdtr(self.df, -t)), float(special.stdtr(self.df, t))))
        above, below = (max(ps) for ps in zip(*tails, strict=True))
        return above, below

    def _compute_ends(self, alpha: float) -> tuple[float, float] | None:
        of_welch = super()._compute_ends(alpha)
        if of_welch is None or self.mean_difference is None:
            return None
        half = self.mean_difference - of_welch[0]
        ends = [of_welch, self._permutations.interval(alpha, self.mean_difference, half)]
        if self._is_large:
            t = half / self.error
            above, below = (float(restore_skew(x, self._skewness_of_mean, 1)) for x in (t, -t))
            ends.append(
                (self.mean_difference - above * self.error, self.mean_difference - below * self.error)
            )
        lows, highs = zip(*ends, strict=True)
        return min(lows), max(highs)

    @property
    def pair_count(self) -> int:
        """The size of the smaller side: a verdict needs as many values as it needs pairs."""
        return min(self.sizes)

    @property
    def omits_diverged(self) -> bool:
        """True if the means leave out infinite values."""
        return bool(self.arm_diverged_count or self.base_diverged_count)


def welch(
    arm: Sequence[float],
    base: Sequence[float],
    scale: JudgedScale,
    *,
    family_size: int = 1,
    lost_pairs: LostPairs = NO_LOST_PAIRS,
) -> Unpaired:
    """Compare two independent samples (Welch 1947). Arguments and errors are those of `compare_pairs`.

    Samples with fewer than two values, or with an infinite value, have no test.
    """
    without_values = compare_pairs({}, {}, scale, family_size=family_size, lost_pairs=lost_pairs)
    a, b = map(select_finite, (arm, base))
    error = math.nan
    df = math.nan
    if min(a.size, b.size) > 1 and (a.size, b.size) == (len(arm), len(base)):
        error, df = _measure_error(a, b)
    means: dict[str, float] = {}
    if a.size and b.size:
        means = {"arm_mean": float(a.mean()), "base_mean": float(b.mean())}
        means["mean_difference"] = means["arm_mean"] - means["base_mean"]
    skewness, skewness_count = max(map(_describe_skewness, (a, b)), key=lambda side: skewness_ratio(*side))
    fields = {
        "sizes": (len(arm), len(base)),
        "samples": (a, b),
        "skewness": skewness,
        "skewness_count": skewness_count,
        "arm_diverged_count": len(arm) - a.size,
        "base_diverged_count": len(base) - b.size,
        "upper_limit": find_upper_limit(np.array([*a, *b]), scale.highest),
        "error": error,
        "df": df,
    }
    return Unpaired(**{**vars(without_values), **means, **fields})


def _measure_error(a: Floats, b: Floats) -> tuple[float, float]:
    """Return Welch's standard error and degrees of freedom; 0 and NaN if neither side has a spread.

    A side of equal values is taken to have the spread of the other side.
    """
    variances = [float(x.var(ddof=1)) if np.ptp(x) else 0.0 for x in (a, b)]
    freedom = [x.size - 1 for x in (a, b)]
    if not all(variances):
        varying = int(np.argmax(variances))
        error = math.sqrt(variances[varying] * (1 / a.size + 1 / b.size))
        return error, freedom[varying] if error else math.nan
    squares = [v / x.size for v, x in zip(variances, (a, b), strict=True)]
    df = sum(squares) ** 2 / sum(v**2 / n for v, n in zip(squares, freedom, strict=True))
    return math.sqrt(sum(squares)), df


def _describe_skewness(sample: Floats) -> tuple[float | None, int]:
    return float(moments(sample).skewness) if sample.size > 2 else None, sample.size


class FoldContrast(ErrorContrast):
    """An arm minus its base over folds. No number of folds is called enough, as all share the same data."""

    mde = None
    seeds_needed = None


def compare_folds(
    arm: SeedValues,
    base: SeedValues,
    scale: JudgedScale,
    *,
    test_share: float,
    family_size: int = 1,
    lost_pairs: LostPairs = NO_LOST_PAIRS,
    equal_seeds: Collection[Any] = (),
) -> FoldContrast:
    """Compare two arms by their values by fold. `test_share` of the data is the test set of each fold.

    The other arguments and the errors are those of `compare_pairs`.
    """
    plain = compare_pairs(
        arm, base, scale, family_size=family_size, lost_pairs=lost_pairs, equal_seeds=equal_seeds
    )
    error = math.nan
    if plain.sd and not plain.omits_diverged:
        error = plain.sd * math.sqrt(1 / plain.pair_count + test_share / (1 - test_share))
    return FoldContrast(**vars(plain), error=error, df=plain.pair_count - 1)
