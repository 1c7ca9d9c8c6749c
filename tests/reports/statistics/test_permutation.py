"""The permutation test of two samples, held to scipy's, and its interval."""

import math

import numpy as np
import pytest
from scipy import stats
from synthetic import four_errors

from unrolled.reports.statistics.elsewhere import welch
from unrolled.reports.statistics.permutation import Permutations


def welch_t(a: np.ndarray, b: np.ndarray, axis: int = -1) -> np.ndarray:
    return stats.ttest_ind(a, b, equal_var=False, axis=axis).statistic


@pytest.mark.parametrize(("n", "m"), [(4, 6), (6, 4), (5, 5)])
def test_both_tails_are_scipys_at_every_difference(n: int, m: int) -> None:
    rng = np.random.default_rng(n)
    a, b = rng.standard_exponential(n) + 3, rng.standard_exponential(m)
    found = Permutations(a, b)
    for mu in (0.0, 2.0, 3.5):
        tails = [
            stats.permutation_test((a - mu, b), welch_t, vectorized=True, alternative=side).pvalue
            for side in ("greater", "less")
        ]
        assert found.tails(mu) == pytest.approx(tails)


@pytest.mark.parametrize(("n", "m"), [(5, 50), (50, 5), (12, 12)])
def test_the_interval_holds_what_is_not_rejected(n: int, m: int) -> None:
    rng = np.random.default_rng(m)
    c = welch([*rng.standard_exponential(n)], [*rng.standard_exponential(m)], delta=1.0)
    for alpha in (0.3, 0.05, 0.01):
        ends = c.interval(alpha)
        for end, side in ((ends.low, 0), (ends.high, 1)):
            inside = end + (1e-3 if side == 0 else -1e-3)
            outside = end - (1e-3 if side == 0 else -1e-3)
            assert c._tails(outside)[side] <= alpha / 2 < c._tails(inside)[side]
    swapped = welch([*c.samples[1]], [*c.samples[0]], delta=1.0)
    assert swapped.p == pytest.approx(c.p, abs=0.02)


def test_an_interval_that_so_few_permutations_cannot_end_is_infinite() -> None:
    c = welch([3.0, 3.1, 3.2, 3.3, 3.4], [1.0, 1.1, 1.2, 1.3, 1.4], delta=0.1)
    assert c.p == pytest.approx(2 / math.comb(10, 5))
    assert c.interval(0.05).low > 0 and math.isinf(c.interval(0.001).low)


@pytest.mark.parametrize("law", ["standard_exponential", "standard_normal"])
def test_five_against_fifty_of_one_law_are_called_different_once_in_twenty(law: str) -> None:
    rng = np.random.default_rng(1)
    studies, wrong, alone = 300, 0, 0
    for _ in range(studies):
        a, b = getattr(rng, law)(5), getattr(rng, law)(50)
        wrong += welch([*a], [*b], delta=1.0).p <= 0.05
        alone += stats.ttest_ind(a, b, equal_var=False).pvalue <= 0.05
    assert wrong / studies <= 0.05 + four_errors(0.05, studies)
    assert alone / studies > 0.08 or law == "standard_normal"


def test_against_a_constant_the_test_is_that_of_one_sample() -> None:
    values = np.random.default_rng(3).standard_normal(9)
    c, turned = welch([*values], [0.4] * 9, delta=1.0), welch([0.4] * 9, [*values], delta=1.0)
    assert c.p == turned.p >= stats.ttest_1samp(values, 0.4).pvalue
    assert c.interval().low == pytest.approx(-turned.interval().high)
