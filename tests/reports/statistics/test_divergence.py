"""Pairs of which a side diverged or is lost. Expected numbers: scipy 1.17, unless said otherwise."""

import math

import numpy as np
import pytest
from scipy import stats

from tests.helpers.designs import BASE_LOSSES, LOWER_LOSSES
from unrolled.reports.statistics.arm_summary import divergence_interval, summarise_values
from unrolled.reports.statistics.estimators import median_interval, median_tails
from unrolled.reports.statistics.pairs import JudgedScale, LostPairs, compare_pairs
from unrolled.reports.statistics.seed_values import Interval


def test_diverged_seeds_are_judged_by_median_and_others_mean() -> None:
    contrast = compare_pairs(
        {**LOWER_LOSSES, 2: math.inf, 6: math.inf}, BASE_LOSSES, JudgedScale(0.02)
    )  # the third and the seventh seed
    assert contrast.omits_diverged
    assert contrast.estimate == pytest.approx(-0.04)
    of_converged = compare_pairs(
        {s: LOWER_LOSSES[s] for s in contrast.differences}, BASE_LOSSES, JudgedScale(0.02)
    )
    # by signs from the least of 8, −.07, to the largest; the others' mean begins lower, as they are skewed
    assert contrast.interval() == Interval(of_converged.interval().low, math.inf, 0.95)
    assert of_converged.interval().low < -0.07
    assert (contrast.better_count, contrast.worse_count, contrast.pair_count) == (6, 2, 8)
    assert round(contrast.p, 3) == 0.289
    assert (contrast.arm_diverged_count, contrast.base_diverged_count) == (2, 0)
    assert list(contrast.differences) == [0, 1, 3, 4, 5, 7]
    mean_given_convergence = np.mean([LOWER_LOSSES[s] - BASE_LOSSES[s] for s in contrast.differences])
    assert contrast.mean_difference == pytest.approx(mean_given_convergence)


def test_a_seed_that_diverged_on_both_sides_is_a_tie() -> None:
    contrast = compare_pairs({**LOWER_LOSSES, 2: math.inf}, {**BASE_LOSSES, 2: math.inf}, JudgedScale(0.02))
    assert (contrast.better_count, contrast.worse_count, contrast.pair_count, len(contrast.differences)) == (
        7,
        0,
        8,
        7,
    )
    assert contrast.p == 2 * (1 + 8) / 2**8  # a tie counts against the claim
    assert contrast.divergence_p == 1.0


def test_a_diverged_seed_is_the_worst_accuracy_too() -> None:
    contrast = compare_pairs(
        {0: math.inf, 1: 0.8, 2: 0.9}, {0: 0.5, 1: 0.7, 2: 0.7}, JudgedScale(0.02, lower_is_better=False)
    )
    assert (contrast.better_count, contrast.worse_count, contrast.estimate) == (2, 1, pytest.approx(0.1))
    assert summarise_values({0: math.inf}, lower_is_better=False).median == -math.inf


def test_diverged_seeds_count_in_the_median_alone() -> None:
    s = summarise_values({0: 1.0, 1: math.inf, 2: 2.0, 3: math.inf})
    assert (s.n, s.diverged_count, s.mean, s.median) == (4, 2, 1.5, math.inf)


@pytest.mark.parametrize(
    ("k", "low", "high"),
    [(0, 0.0, 0.369), (2, 0.032, 0.651), (8, 0.631, 1.0)],  # 8/8 mirrors 0/8
)
def test_the_rate_of_divergence_has_its_exact_interval(k: int, low: float, high: float) -> None:
    interval = divergence_interval(k, 8)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=5e-4)


def test_the_p_of_signs_is_that_of_scipy_stats() -> None:
    for k, n in [(0, 1), (1, 1), (1, 2), (0, 7), (2, 7), (7, 7), (11, 30), (15, 30)]:
        differences = np.where(np.arange(n) < k, 0.5, -0.5)
        above, below = median_tails(*[np.append(differences, math.inf)] * 2)
        assert min(1.0, 2 * min(above, below)) == pytest.approx(stats.binomtest(k + 1, n + 1).pvalue)


def test_the_interval_of_the_median_holds_what_signs_do_not_reject() -> None:
    x = np.random.default_rng(4).standard_normal(12)
    worst = np.sort([*x, -math.inf])
    best = np.sort([*x, math.inf])
    # of 13 signs three or fewer fall on one side with p .0461 · 2, two or fewer with .0112 · 2
    assert median_interval(worst, best, 0.05) == (worst[2], best[10])
    assert median_interval(worst, best, 0.0001) == (-math.inf, math.inf)


def test_mean_and_signs_have_to_agree_where_a_pair_is_lost() -> None:
    """Sixteen of twenty pairs favour the arm, their mean does not; a lost pair makes no claim of that."""
    differences = [*(-0.2 - 0.02 * i for i in range(16)), 0.6, 0.9, 1.2, 1.4]
    arm = dict(enumerate(differences))
    baseline = dict.fromkeys(range(20), 0.0)
    complete = compare_pairs(arm, baseline, JudgedScale(0.02))
    arm.pop(3)
    lost = compare_pairs(arm, baseline, JudgedScale(0.02), lost_pairs=LostPairs(1))
    assert stats.binomtest(15, 20).pvalue < 0.05 < complete.p < lost.p
    for alpha in (0.05, 0.5, 0.99 * lost.p, min(1.01 * lost.p, 0.99)):
        ends = lost.interval(alpha)
        (low, high) = stats.t.interval(
            1 - alpha, 18, lost.mean_difference, stats.sem([*lost.differences.values()])
        )
        assert ends.low <= low and high <= ends.high, "that of the mean of the pairs that are left"
        assert (ends.low <= 0 <= ends.high) == (alpha < lost.p), "word and interval agree"
    assert lost.estimate == lost.mean_difference, "what is shown is what subtracts"


def test_a_lost_pair_counts_as_the_worst_of_the_others() -> None:
    noise = np.random.default_rng(8).standard_normal(14)
    signs = [*(0.4 + 0.1 * noise), 0.1]
    contrast = compare_pairs(
        dict(enumerate(signs)), dict.fromkeys(range(15), 0.0), JudgedScale(0.02), lost_pairs=LostPairs(1)
    )
    filled = compare_pairs(
        dict(enumerate([*signs, min(signs)])), dict.fromkeys(range(16), 0.0), JudgedScale(0.02)
    )
    assert contrast.p == pytest.approx(max(filled.p, stats.binomtest(15, 16).pvalue))


@pytest.mark.parametrize(("arm", "both_sides", "n"), [(8, 0, 30), (3, 2, 20), (0, 1, 8)])
def test_rates_of_divergence_are_compared_by_the_pairs(arm: int, both_sides: int, n: int) -> None:
    """McNemar's exact test: only pairs of which one side diverged tell anything."""
    arm_values = {s: math.inf if s < arm + both_sides else 1.0 + 0.01 * s for s in range(n)}
    baseline_values = {s: math.inf if s < both_sides else 1.1 for s in range(n)}
    contrast = compare_pairs(arm_values, baseline_values, JudgedScale(0.02))
    expected = stats.binomtest(arm, arm).pvalue if arm else 1.0
    assert contrast.divergence_p == contrast.swap_sides().divergence_p == pytest.approx(expected)
    assert (contrast.divergence_sign, contrast.swap_sides().divergence_sign) == ((arm > 0), -(arm > 0))


def test_a_lost_pair_may_have_diverged_on_the_other_side() -> None:
    baseline = {s: 1.1 + 0.01 * s for s in range(20)}
    diverged_values = baseline | dict.fromkeys(range(6), math.inf)
    lost = compare_pairs(
        diverged_values,
        {s: x for s, x in baseline.items() if s < 19},
        JudgedScale(0.02),
        lost_pairs=LostPairs(1),
    )
    assert lost.divergence_p == pytest.approx(stats.binomtest(6, 7).pvalue)
    assert lost.divergence_differs
    assert (
        compare_pairs(baseline, diverged_values, JudgedScale(0.02), lost_pairs=LostPairs(6)).divergence_p
        == 1.0
    )
    assert compare_pairs(baseline, baseline, JudgedScale(0.02), lost_pairs=LostPairs(6)).divergence_p == 1.0


def test_a_rate_over_one_is_refused() -> None:
    with pytest.raises(ValueError, match="k"):
        divergence_interval(9, 8)
