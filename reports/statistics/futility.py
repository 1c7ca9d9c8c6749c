"""Futility: the chance that an open contrast will be decided, and the number of seeds that would decide it.

The chance is that the intervals at the last look decide, given the mean and SD of the pairs so far. This is
predictive power: Spiegelhalter, Freedman and Blackburn, "Monitoring Clinical Trials: Conditional or
Predictive Power?" (1986), Controlled Clinical Trials 7; Jennison and Turnbull, "Group Sequential Methods"
(2000), chapter 10. Unknown quantities are taken in favour of a decision, so that a decision is rarely missed.

Giving a contrast up only takes claims away. Error rates therefore hold whether it is given up or not
(non-binding futility), and a study may resume it later.

`unrolled plan` imports this module, which therefore imports only numpy and scipy.special.
"""

import math
from bisect import bisect_left
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

import numpy as np
from scipy import special

from unrolled.reports.statistics.estimators import Floats, Moments, mean_interval
from unrolled.reports.statistics.looks import Looks
from unrolled.reports.statistics.power import ALPHA, POWER

Key = TypeVar("Key", bound=Hashable)

FUTILE_CHANCE = 0.1
"""A contrast with a smaller chance to be decided gets no more seeds.

tests/simulations/simulate_futility.py shows what this saves and loses.
"""
MOST_SEEDS = 1_000  # larger numbers of seeds are shown as "more than 1,000"

_FAVOURABLE = 1 / 6  # chance that the truth is more favourable than what is assumed


class Chances(NamedTuple):
    """The chances that contrasts are decided as a difference, and as the same within ±δ."""

    difference: Floats
    same: Floats

    @property
    def decided(self) -> Floats:
        """The chance that they are decided."""
        return np.asarray(np.minimum(1.0, self.difference + self.same))


@dataclass(frozen=True, kw_only=True)
class LastLookTest:
    """The tests at the last look.

    `alpha` is the error rate of the test of a difference, `alpha_same` of the test of equivalence. Both are
    over all looks, at the present step of Holm. With `until_size`, a difference is decided once it is
    shown to be more or less than δ.
    """

    looks: Looks
    zone: float
    alpha: float
    alpha_same: float
    until_size: bool = False

    def advance_holm(self, differences: float, equivalences: float) -> "LastLookTest":
        """Return the tests at Holm's step after this many more rejections in each of the two families."""
        alpha = ALPHA / max(1.0, ALPHA / self.alpha - differences)
        alpha_same = ALPHA / max(1.0, ALPHA / self.alpha_same - equivalences)
        return replace(self, alpha=alpha, alpha_same=alpha_same)

    def predict_chances(self, moments: Moments) -> Chances:
        """Return the chances of contrasts that have these moments at an earlier look, on a favourable view.

        - The true SD is taken to be small: given the SD so far, it is smaller with a chance of 1/6.
        - For a difference, the true mean has a flat prior around the mean so far.
        - For equivalence, the true mean is taken to be near 0: given the mean so far, it is nearer with a
          chance of 1/6. A flat prior would ignore that studies often compare equal arms.
        - Looks in between add little and are left out.
        """
        n = moments.n
        last = self.looks.last_pair_count
        more = last - n
        true_sd = moments.sd * math.sqrt((n - 1) / special.chdtri(n - 1, _FAVOURABLE))
        last_sd = np.sqrt(((n - 1) * moments.sd**2 + more * true_sd**2) / (last - 1))
        at_zero = Moments(last, _ZERO, last_sd, moments.skewness)
        difference = self._show_difference(moments.mean, true_sd * math.sqrt(1 / n - 1 / last), at_zero)
        leeway = special.ndtri(1 - _FAVOURABLE) * true_sd / math.sqrt(n)
        true_mean = np.sign(moments.mean) * np.maximum(0.0, np.abs(moments.mean) - leeway)
        expected_mean = (n * moments.mean + more * true_mean) / last
        same = self._show_same(expected_mean, true_sd * math.sqrt(more) / last, at_zero)
        return Chances(difference, same)

    def count_seeds_needed(self, moments: Moments) -> int | None:
        """Return the pairs that decide a contrast with 80 % power if its mean and SD are the true ones.

        There are more of them than at the last look. Returns None beyond `MOST_SEEDS`.
        """

        def find_power(n: int) -> float:
            error = moments.sd / math.sqrt(n)
            at_zero = Moments(n, _ZERO, moments.sd, moments.skewness)
            difference = float(self._show_difference(moments.mean, error, at_zero))
            same = float(self._show_same(moments.mean, error, at_zero))
            if self.until_size:  # a difference below δ is also "the same"; above δ it is far from it
                return max(difference, same)
            return difference + same

        numbers = range(self.looks.last_pair_count + 1, MOST_SEEDS + 1)
        index = bisect_left(numbers, POWER, key=find_power)
        if index == len(numbers):
            return None
        return numbers[index]

    def _show_difference(self, mean: Floats, error: Floats, at_zero: Moments) -> Floats:
        """Return the chance that a mean, which is normal around `mean`, is decided as a difference.

        `at_zero` are the moments of the pairs if their mean were 0.
        """
        low, high = mean_interval(at_zero, self.looks.find_critical_q(self.alpha))
        if not self.until_size:
            return 1 - _lies_between(-high, -low, mean, error)
        zone = self.zone
        more = 1 - _lies_between(-zone - high, zone - low, mean, error)
        less_and_higher = _lies_between(-low, zone - high, mean, error)
        less_and_lower = _lies_between(-zone - low, -high, mean, error)
        return more + less_and_higher + less_and_lower

    def _show_same(self, mean: Floats, error: Floats, at_zero: Moments) -> Floats:
        """Return the chance that a mean, which is normal around `mean`, is decided as the same within ±δ."""
        low, high = mean_interval(at_zero, 2 * self.looks.find_critical_q(self.alpha_same, tails=1))
        return _lies_between(-self.zone - low, self.zone - high, mean, error)


def _lies_between(start: Floats, end: Floats, mean: Floats, error: Floats) -> Floats:
    """Return the chance that a normal variable lies between start and end; 0 if end is below start."""
    below_start, below_end = (special.ndtr((x - mean) / error) for x in (start, end))
    return np.asarray(np.maximum(below_end - below_start, 0.0))


_ZERO = np.zeros(())


def find_futile(contrasts: Mapping[Key, tuple[LastLookTest, Moments]], bound: float) -> dict[Key, int | None]:
    """Return the contrasts whose chance to be decided is below the bound, and the seeds that each would need.

    A contrast is tested at the step of Holm that it is expected to reach by the last look. An example:
    of three contrasts, the two others have chances of .9 and .4 to be decided. Then 1.3 decisions are
    expected, and the level is .05 / (3 − 1.3) = .029. The chances .9 and .4 are upper bounds: each is
    computed at Holm's last step, .05, as if all other contrasts were decided.
    """
    other_contrasts = len(contrasts) - 1
    chances = {
        name: test.advance_holm(other_contrasts, other_contrasts).predict_chances(moments)
        for name, (test, moments) in contrasts.items()
    }
    differences = sum(float(chance.difference) for chance in chances.values())
    equivalences = sum(float(chance.same) for chance in chances.values())
    futile = {}
    for name, (test, moments) in contrasts.items():
        chance = chances[name]
        expected = test.advance_holm(
            differences - float(chance.difference), equivalences - float(chance.same)
        )
        if expected.predict_chances(moments).decided < bound:
            futile[name] = expected.count_seeds_needed(moments)
    return futile
