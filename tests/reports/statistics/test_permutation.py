"""The permutation test of two samples, held to scipy's, and its interval."""

import math

import numpy as np
import pytest
from scipy import stats

from tests.helpers.designs import four_errors
from unrolled.reports.statistics.error_contrasts import Unpaired, welch
from unrolled.reports.statistics.pairs import JudgedScale, LostPairs
from unrolled.reports.statistics.permutation import Permutations


def compute_welch_t(a: np.ndarray, b: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return Welch's t of two samples."""
    return stats.ttest_ind(a, b, equal_var=False, axis=axis).statistic


@pytest.mark.parametrize(("n", "m"), [(4, 6), (6, 4), (5, 5)])
def test_both_tails_are_scipys_at_every_difference(n: int, m: int) -> None:
    rng = np.random.default_rng(n)
    a = rng.standard_exponential(n) + 3
    b = rng.standard_exponential(m)
    permutations = Permutations(a, b)
    for mu in (0.0, 2.0, 3.5):
        tails = [
            stats.permutation_test((a - mu, b), compute_welch_t, vectorized=True, alternative=side).pvalue
            for side in ("greater", "less")
        ]
        assert permutations.compute_tails(mu) == pytest.approx(tails)


@pytest.mark.parametrize(("n", "m"), [(5, 50), (50, 5), (12, 12)])
def test_the_interval_holds_what_is_not_rejected(n: int, m: int) -> None:
    rng = np.random.default_rng(m)
    arm, baseline = rng.standard_exponential(n), rng.standard_exponential(m)

    def compute_p(difference: float) -> float:
        return welch([*(arm - difference)], [*baseline], JudgedScale(1.0)).p

    contrast = welch([*arm], [*baseline], JudgedScale(1.0))
    for alpha in (0.3, 0.05, 0.01):
        ends = contrast.interval(alpha)
        assert compute_p(ends.low - 1e-3) <= alpha < compute_p(ends.low + 1e-3)
        assert compute_p(ends.high + 1e-3) <= alpha < compute_p(ends.high - 1e-3)
    swapped = welch([*baseline], [*arm], JudgedScale(1.0))
    assert swapped.p == pytest.approx(contrast.p, abs=0.02)


def test_an_interval_that_so_few_permutations_cannot_end_is_infinite() -> None:
    contrast = welch([3.0, 3.1, 3.2, 3.3, 3.4], [1.0, 1.1, 1.2, 1.3, 1.4], JudgedScale(0.1))
    assert contrast.p == pytest.approx(2 / math.comb(10, 5))
    assert contrast.interval(0.05).low > 0
    assert math.isinf(contrast.interval(0.001).low)


@pytest.mark.parametrize("law", ["standard_exponential", "standard_normal"])
def test_five_against_fifty_of_one_law_are_called_different_once_in_twenty(law: str) -> None:
    rng = np.random.default_rng(1)
    studies = 300
    wrong = 0
    by_welch = 0
    for _ in range(studies):
        a = getattr(rng, law)(5)
        b = getattr(rng, law)(50)
        wrong += welch([*a], [*b], JudgedScale(1.0)).p <= 0.05
        by_welch += stats.ttest_ind(a, b, equal_var=False).pvalue <= 0.05
    assert wrong / studies <= 0.05 + four_errors(0.05, studies)
    assert by_welch / studies > 0.08 or law == "standard_normal"


def test_a_side_whose_values_happen_to_be_equal_is_no_known_constant() -> None:
    """Ten items of which each is missed in .1 (ten values) or .1 (fifty): the same law in both."""
    rng = np.random.default_rng(1)
    studies = 200
    wrong = 0
    same = 0
    constant = 0
    for _ in range(studies):
        a, b = (1 - rng.binomial(1, 0.1, n) / 10 for n in (10, 50))
        contrast = welch([*a], [*b], JudgedScale(0.02, highest=1.0))
        constant += bool(np.ptp(a) == 0)
        wrong += contrast.p <= 0.05
        same += contrast.equivalence_p <= 0.05 and bool(np.ptp(a) == 0)
    assert constant > 40
    assert wrong / studies <= 0.05
    assert not same
    far = welch([1.0] * 10, [*(0.7 + 0.02 * rng.standard_normal(10))], JudgedScale(0.02, highest=1.0))
    assert far.p < 0.001 and far.interval().low > 0.02, "a large difference is shown all the same"


def test_equal_values_show_sameness_as_their_number_allows() -> None:
    arm = 1 - np.tile([0.0, 0.0, 0.0, 0.01], 100)
    of_40, of_100 = (welch([*arm], [1.0] * n, JudgedScale(0.05, highest=1.0)) for n in (40, 100))
    assert of_40.equivalence_p > 0.05
    assert of_40.interval(0.05, tails=1).high > 0.05
    assert of_100.equivalence_p < 0.05
    assert of_100.interval(0.05, tails=1).high < 0.05


def test_beyond_some_hundred_values_the_skewness_of_both_sides_counts() -> None:
    rng = np.random.default_rng(2)
    samples = [
        (np.exp(1.5 * rng.standard_normal(201)), np.exp(1.5 * rng.standard_normal(4_000))) for _ in range(150)
    ]
    contrasts = [welch([*np.sort(a)], [*np.sort(b)], JudgedScale(1.0)) for a, b in samples]
    wrong = np.mean([c.p <= 0.05 for c in contrasts])
    by_welch = np.mean([stats.ttest_ind(a, b, equal_var=False).pvalue <= 0.05 for a, b in samples])
    assert wrong <= 0.05 + four_errors(0.05, 150)
    assert by_welch > wrong
    for contrast, (arm, baseline) in zip(contrasts[:5], samples, strict=False):
        ends = contrast.interval(0.1)
        shifted_arms = (np.sort(arm - end) for end in (ends.low, ends.high))
        at_ends = [welch([*shifted], [*np.sort(baseline)], JudgedScale(1.0)).p for shifted in shifted_arms]
        assert pytest.approx(0.1) in at_ends
        assert max(at_ends) <= 0.1 + 1e-9


def test_many_values_of_one_law_rarely_differ() -> None:
    """By Welch's t, corrected for skewness, alone they differed in .13."""
    rng = np.random.default_rng(1)
    draws = [(rng.lognormal(0, 2, 201), rng.lognormal(0, 2, 2_010)) for _ in range(300)]
    wrong = np.mean([welch([*b], [*a], JudgedScale(1.0)).p <= 0.05 for a, b in draws])
    assert wrong <= 0.05 + four_errors(0.05, 300) / 2


def test_blocks_of_values_change_sides_as_single_values_do() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(0.2, 1, 1_001), rng.normal(0, 1, 1_503)
    p = stats.ttest_ind(a, b, equal_var=False, alternative="greater").pvalue
    permutations = Permutations(a, b)
    assert permutations.compute_tails(0.0)[0] == pytest.approx(p, abs=0.002)
    assert permutations.compute_tails(a.mean() - b.mean()) == pytest.approx((0.5, 0.5), abs=0.03)


def test_rates_of_divergence_without_pairs_are_compared_by_fishers_exact_test() -> None:
    def compare_diverging(arm: int, n: int, baseline: int, m: int, **options: object) -> Unpaired:
        sides = ([math.inf] * k + [1.0 + i for i in range(size - k)] for k, size in ((arm, n), (baseline, m)))
        arm_values, base_values = sides
        return welch(arm_values, base_values, JudgedScale(0.1), **options)

    contrast = compare_diverging(7, 50, 2, 10)
    assert contrast.divergence_p == pytest.approx(stats.fisher_exact([[7, 2], [43, 8]]).pvalue)
    assert contrast.divergence_sign == -1 and not contrast.divergence_differs, (
        "seven of fifty are fewer than two of ten"
    )
    assert compare_diverging(9, 10, 5, 60).divergence_differs
    assert compare_diverging(9, 10, 5, 60).divergence_sign == 1
    assert compare_diverging(9, 10, 5, 60, lost_pairs=LostPairs(1)).divergence_p == 1.0
    assert contrast.interval() is None and math.isfinite(contrast.estimate), (
        "no median of pairs that do not exist"
    )


@pytest.mark.parametrize(("spread", "n", "is_unequal"), [(4.0, 10, True), (1.0, 10, False), (4.0, 60, False)])
def test_few_values_of_a_wider_spread_are_doubted(spread: float, n: int, is_unequal: bool) -> None:
    """Ten exponential values of four times the other's spread differ in .10 of tables."""
    values = np.random.default_rng(0).standard_normal(n)
    contrast = welch([*(spread * values)], [*values[:10]], JudgedScale(1.0))
    assert contrast.has_unequal_spreads is is_unequal
