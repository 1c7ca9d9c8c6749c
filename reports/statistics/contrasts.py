"""A contrast of two arms: its tests and intervals. The module `pairs` makes contrasts from values.

Seeds are the replicates: another run may draw other seeds, but has the same validation set.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from scipy import special

from unrolled.bench.metric import FEWEST_SEEDS
from unrolled.reports.statistics import power
from unrolled.reports.statistics.estimators import (
    Floats,
    Moments,
    mean_interval,
    mean_tails,
    median_interval,
    median_tails,
    moments,
    skewness_ratio,
    tails_to_p,
    ties_end,
    ties_p,
)
from unrolled.reports.statistics.looks import SINGLE_LOOK, Look
from unrolled.reports.statistics.power import ALPHA, CLAIM_SEEDS
from unrolled.reports.statistics.seed_values import Interval
from unrolled.reports.statistics.values import median

SMALLEST_FAILURE_EXCESS = 3  # a side with this many more failures than the other fails more often


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """An arm minus its base, the arm that it is compared with, over the seeds of both, at one look.

    A pair has converged if both of its sides converged.

    - Means, SD, skewness and r are over converged pairs, and are None if there are too few.
    - The median, `better_count` and `worse_count` are over all pairs. A pair is ±∞ if one side diverged, and
      a tie if both did.

    Which test judges the contrast:

    - Usually the test of the mean.
    - If a side diverged or a pair was lost: the test of the mean and the sign test of the median. The larger
      p counts, and the interval covers the intervals of both tests.
    - If all pairs have the same difference: the sign test alone, as there is no spread. The number of pairs
      may then show equality within ±δ: see `ties_p`.
    """

    seeds: tuple[int, ...]
    seeds_without_partner: tuple[int, ...]  # seeds that only one side has
    arm_missing_count: int  # number of seeds that only the base has
    base_missing_count: int  # number of seeds that only the arm has
    lost_count: int  # number of pairs without a result: see `_bound_moments`
    differences: Mapping[int, float]  # differences of the converged pairs, by seed
    # lowest and highest possible difference of each pair that lacks rows, by seed
    bounds: Mapping[int, tuple[float, float]]
    missing_row_counts: tuple[int, int]  # number of rows that the arm lacks, and that its base lacks
    zone: float  # δ on the judged scale: differences between −zone and +zone count as none
    family_size: int  # number of contrasts that are corrected together
    look: Look  # the look at which these pairs are seen
    lower_is_better: bool
    better_count: int  # number of pairs in which the arm is better
    worse_count: int  # number of pairs in which the arm is worse
    arm_diverged_count: int  # number of pairs in which the arm diverged, alone or with its base
    base_diverged_count: int
    both_diverged_count: int
    is_all_tied: bool  # whether every pair converged with one value on both sides, and none was lost
    is_computed_alike: bool  # whether all are tied, because both sides computed the same, bit for bit
    upper_limit: float  # highest value of a metric whose lowest is 0; infinite if unknown
    has_constant_difference: bool  # whether all pairs have one difference, so that a t test has no spread
    is_known_exactly: bool  # whether the settings of both sides fix their values, as they fix parameters
    arm_mean: float | None
    base_mean: float | None
    mean_difference: float | None  # arm_mean − base_mean
    sd: float | None  # of the differences
    skewness: float | None  # of the differences
    skewness_count: int  # number of values behind the skewness
    r: float | None  # correlation of the pairs

    is_paired: ClassVar[bool] = True  # False if the two sides are independent samples
    divergence_test_name: ClassVar[str] = (
        "McNemar"  # name of the test of how often the sides diverge; "" for none
    )

    @property
    def pair_count(self) -> int:
        """The number of seeds that both sides have."""
        return len(self.seeds)

    @property
    def equal_count(self) -> int:
        """The number of pairs in which neither side is better."""
        return self.pair_count - self.better_count - self.worse_count

    @property
    def omits_diverged(self) -> bool:
        """True if the mean leaves out diverged seeds."""
        return len(self.differences) < self.pair_count

    @property
    def uses_signs(self) -> bool:
        """True if the sign test judges it, beside the mean's test or in its place."""
        return self.omits_diverged or self.has_constant_difference or self.lost_count > 0

    @property
    def uses_median(self) -> bool:
        """True if `estimate` is the median of all pairs, as their mean would leave out diverged ones."""
        return self.omits_diverged and not self.has_constant_difference

    @property
    def estimate(self) -> float | None:
        """The mean difference or, if a seed diverged, the median one."""
        if not self.uses_median:
            return self.mean_difference
        return median([*self.differences.values(), *self._list_infinite_differences()])

    @property
    def p(self) -> float:
        """The two-sided p of the difference at this look alone."""
        return float(tails_to_p(*self._compute_tails(0.0)))

    @property
    def equivalence_p(self) -> float:
        """The p of the test that the difference is within ±δ: 0 if computed alike, 1 if a seed diverged."""
        if self.is_computed_alike:
            return 0.0
        if self.omits_diverged:
            return 1.0
        if self.has_constant_difference:
            return self._ties_p(self.zone)
        return max(self._compute_tails(-self.zone)[0], self._compute_tails(self.zone)[1])

    @property
    def divergence_p(self) -> float:
        """The exact two-sided p of the test that both sides diverge equally often (McNemar 1947).

        A lost pair counts against a difference: 5 against 0 with 2 lost pairs is tested as 5 against 2.
        """
        return self._divergence_p(self.lost_count)

    @property
    def divergence_differs(self) -> bool:
        """True if the unadjusted p of divergence, without lost pairs, is at most .05."""
        return self._divergence_p(0) <= ALPHA

    @property
    def fails_unequally(self) -> bool:
        """True if one side failed more often than the other.

        Any of these shows it:

        - It failed in `SMALLEST_FAILURE_EXCESS` more pairs, and these are a tenth of all pairs or more.
        - McNemar's unadjusted p of the lost pairs is at most .05, as with six failures against none.
        - McNemar's unadjusted p of the lacking rows is at most .05.
        """
        fewer, more = sorted((self.arm_missing_count, self.base_missing_count))
        excess = more - fewer
        allowed = max(SMALLEST_FAILURE_EXCESS, 0.1 * (self.pair_count + self.lost_count))
        loses_unequally = self.lost_count > 0 and (excess >= allowed or _mcnemar_p(fewer, more) <= ALPHA)
        return loses_unequally or _mcnemar_p(*sorted(self.missing_row_counts)) <= ALPHA

    @property
    def divergence_sign(self) -> int:
        """1 if the arm diverged more often than its base, −1 if less often, else 0."""
        return (self.arm_diverged_count > self.base_diverged_count) - (
            self.arm_diverged_count < self.base_diverged_count
        )

    def interval(self, alpha: float = ALPHA, tails: int = 2) -> Interval | None:
        """Return the differences that the test at this look does not reject; None under 3 pairs.

        The confidence holds for the intervals of all looks together. For an alpha of .05 it is 95 %, or 90 %
        with `tails` = 1, where alpha is the error rate of each of two one-sided tests. With one look, and
        without skewness, it is the usual t interval.
        """
        # a one-sided test at alpha has the interval of a two-sided test at 2 alpha
        alpha_multiple = 3 - tails
        level = alpha_multiple * self.look.compute_level(alpha, tails)
        of_ties = self.has_constant_difference and (self.is_all_tied or tails == 1)
        if of_ties and self.pair_count > 2:
            return Interval(*self._ties_ends(level), 1 - alpha_multiple * alpha)
        ends = self._compute_ends(level)
        return ends and Interval(*ends, 1 - alpha_multiple * alpha)

    @property
    def plain_interval(self) -> Interval | None:
        """The 95 % interval that allows for no other contrast and no other look."""
        return replace(self, look=SINGLE_LOOK).interval()

    def ties_interval(self, alpha: float = ALPHA) -> Interval | None:
        """Return the interval of the mean difference if all pairs have one difference: see `ties_end`.

        Return None if it includes 0: the signs may then show a direction, but no size.
        """
        low, high = self._ties_ends(self.look.compute_level(alpha))
        return None if low <= 0 <= high else Interval(low, high, 1 - alpha)

    def _compute_ends(self, alpha: float) -> tuple[float, float] | None:
        if self.pair_count < 3:
            return None
        if not self.uses_signs:
            return self._mean_ends(alpha)
        of_median = median_interval(*self._bound_differences(), alpha)
        if self.has_constant_difference:
            return of_median
        of_mean = self._mean_ends(alpha)
        return min(of_mean[0], of_median[0]), max(of_mean[1], of_median[1])

    def _ties_p(self, mu: float) -> float:
        """Return the p of the test that the mean of pairs with one difference lies within ±mu."""
        if self.is_known_exactly:
            return float(abs(self.mean_difference or 0.0) >= mu)
        if self._is_incomplete:
            return 1.0
        return ties_p(self.pair_count, abs(self.mean_difference or 0.0), mu, self.upper_limit)

    def _ties_ends(self, alpha: float) -> tuple[float, float]:
        """Return the means at which `_ties_p` is alpha/2."""
        if self.is_computed_alike:
            return 0.0, 0.0
        if self.is_known_exactly and self.mean_difference is not None:
            return self.mean_difference, self.mean_difference
        highest = math.inf if self._is_incomplete else self.upper_limit
        low, high = (
            ties_end(self.pair_count, x, alpha / 2, highest)
            for x in (-(self.mean_difference or 0.0), self.mean_difference or 0.0)
        )
        return -low, high

    def _compute_tails(self, mu: float) -> tuple[float, float]:
        """Return the one-sided p that the difference is at most mu, and that it is at least mu."""
        if not self.uses_signs:
            return self._mean_tails(mu)
        of_median = median_tails(*self._bound_differences(), mu)
        if self.has_constant_difference:
            return of_median
        of_mean = self._mean_tails(mu)
        return max(of_mean[0], of_median[0]), max(of_mean[1], of_median[1])

    def _mean_tails(self, mu: float) -> tuple[float, float]:
        """Return the tails of the mean of the converged pairs; (1, 1) under two pairs."""
        if len(self.differences) < 2:
            return 1.0, 1.0
        lowest, highest = self._bound_moments()
        return float(mean_tails(lowest, mu)[0]), float(mean_tails(highest, mu)[1])

    def _mean_ends(self, alpha: float) -> tuple[float, float]:
        """Return the lowest and highest mean that `_mean_tails` does not reject at alpha/2."""
        if len(self.differences) < 2:
            return -math.inf, math.inf
        lowest, highest = self._bound_moments()
        return float(mean_interval(lowest, alpha)[0]), float(mean_interval(highest, alpha)[1])

    def _bound_moments(self) -> tuple[Moments, Moments]:
        """Return the moments if every lost pair had the lowest difference seen, and if it had the highest."""
        if not self._is_incomplete:
            of_all = moments(np.array([*self.differences.values()]))
            return of_all, of_all
        low, high = self._ends_of_differences()
        lowest = np.append(low, [low.min()] * self.lost_count)
        highest = np.append(high, [high.max()] * self.lost_count)
        return moments(lowest), moments(highest)

    @property
    def _is_incomplete(self) -> bool:
        """True if pairs, or rows of them, were lost."""
        return self.lost_count > 0 or bool(self.bounds)

    def _ends_of_differences(self) -> tuple[Floats, Floats]:
        """Return the lowest and the highest difference of every converged pair."""
        ends = [self.bounds.get(seed, (d, d)) for seed, d in self.differences.items()]
        low, high = np.array(ends).reshape(-1, 2).T
        return low, high

    def _bound_differences(self) -> tuple[Floats, Floats]:
        """Return the lowest and the highest possible difference of every pair, lost ones included."""
        low, high = self._ends_of_differences()
        infinite = self._list_infinite_differences()
        lost = [math.inf] * self.lost_count
        return np.array([*low, *infinite, *(-x for x in lost)]), np.array([*high, *infinite, *lost])

    def _list_infinite_differences(self) -> list[float]:
        """Return ±∞ for each pair in which one side diverged, and 0 for each in which both did."""
        worst = math.inf if self.lower_is_better else -math.inf
        arm, base = self._only_one_diverged()
        return [worst] * arm + [-worst] * base + [0.0] * self.both_diverged_count

    def _divergence_p(self, lost_count: int) -> float:
        fewer, more = sorted(self._only_one_diverged())
        return _mcnemar_p(min(fewer + lost_count, more), more)

    def _only_one_diverged(self) -> tuple[int, int]:
        return (
            self.arm_diverged_count - self.both_diverged_count,
            self.base_diverged_count - self.both_diverged_count,
        )

    def swap_sides(self) -> "Contrast":
        """Return the contrast of the base minus the arm."""
        return replace(
            self,
            differences={seed: -d for seed, d in self.differences.items()},
            missing_row_counts=self.missing_row_counts[::-1],
            bounds={seed: (-high, -low) for seed, (low, high) in self.bounds.items()},
            better_count=self.worse_count,
            worse_count=self.better_count,
            arm_diverged_count=self.base_diverged_count,
            base_diverged_count=self.arm_diverged_count,
            arm_missing_count=self.base_missing_count,
            base_missing_count=self.arm_missing_count,
            arm_mean=self.base_mean,
            base_mean=self.arm_mean,
            mean_difference=None if self.mean_difference is None else -self.mean_difference,
            skewness=None if self.skewness is None else -self.skewness,
        )

    @property
    def is_skewed(self) -> bool:
        """True if the differences are so skewed that their tests may err more often than they should."""
        return self.skewness_count >= FEWEST_SEEDS and skewness_ratio(self.skewness, self.skewness_count) > 1

    @property
    def hides_skewness(self) -> bool:
        """True if there are too few values to show that they are skewed: see `skewness_ratio`."""
        return FEWEST_SEEDS <= self.skewness_count < CLAIM_SEEDS and not (
            self.has_constant_difference or self.is_skewed
        )

    @property
    def mde(self) -> float | None:
        """The mean difference that this look detects with 80 % power at .05/family.

        None without an SD, with lost pairs or rows, or if the sign test judges.
        """
        if self.sd is None or self.uses_signs or self._is_incomplete:
            return None
        level = self.look.compute_level(ALPHA / self.family_size)
        return self.sd * power.minimum_detectable_effect(len(self.differences), level)

    @property
    def seeds_needed(self) -> int | None:
        """The seeds of a last look that would detect δ with 80 % power and this SD; None if `mde` is."""
        if self.sd is None or self.uses_signs or self._is_incomplete:
            return None
        level = self.look.looks.find_critical_q(ALPHA / self.family_size)
        return max(FEWEST_SEEDS, power.count_seeds_needed(self.zone / self.sd, level))


def _mcnemar_p(fewer: int, more: int) -> float:
    """Return the exact two-sided p of `fewer` pairs with an event on one side, and `more` on the other."""
    return min(1.0, 2 * float(special.bdtr(fewer, fewer + more, 0.5)))
