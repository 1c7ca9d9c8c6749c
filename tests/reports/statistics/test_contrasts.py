"""One arm and contrasts of two. Expected numbers: scipy 1.17 and statsmodels 0.15, unless said otherwise."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from tests.helpers.designs import BASE_LOSSES, LOWER_LOSSES, SIMILAR_LOSSES
from unrolled.reports.statistics.arm_summary import summarise_values
from unrolled.reports.statistics.contrasts import Contrast
from unrolled.reports.statistics.corrections import benjamini_hochberg, holm
from unrolled.reports.statistics.estimators import (
    moments,
    remove_rounding,
)
from unrolled.reports.statistics.pairs import JudgedScale, LostPairs, compare_pairs
from unrolled.reports.statistics.power import ALPHA
from unrolled.reports.statistics.seed_values import Interval
from unrolled.reports.statistics.verdicts import judge_contrasts


def round_ends(interval: Interval | None, digits: int) -> tuple[float, float]:
    """Return the ends of an interval, rounded."""
    assert interval is not None
    return round(interval.low, digits), round(interval.high, digits)


def test_one_arm_gives_mean_sd_and_t_interval() -> None:
    b = summarise_values(BASE_LOSSES)
    assert (b.n, b.mean, round(b.sd or 0, 6)) == (8, pytest.approx(1.28875), 0.057925)
    assert round_ends(b.interval, 5) == (1.24032, 1.33718)
    assert b.interval is not None
    assert b.interval.confidence == 0.95
    assert b.median == pytest.approx(1.28)


def test_under_three_seeds_there_are_values_and_no_interval() -> None:
    summary = summarise_values({4: 1.25, 2: 1.27})
    assert summary.interval is None
    assert list(summary.values.items()) == [(2, 1.27), (4, 1.25)]
    assert summarise_values({0: 1.25}).sd is None
    assert summarise_values({}).mean is None
    assert summarise_values({}).median is None


def compute_hall_t(d: np.ndarray, mu: float) -> float:
    """Return T by the formula of Hall (1992), written out."""
    n = d.size
    w = (d.mean() - mu) / d.std(ddof=1)
    skew = stats.skew(d)
    return float(np.sqrt(n) * (w + skew * w**2 / 3 + skew**2 * w**3 / 27 + skew / (6 * n)))


def test_a_contrast_gives_the_paired_t() -> None:
    contrast = compare_pairs(LOWER_LOSSES, BASE_LOSSES, JudgedScale(0.02))
    assert contrast.mean_difference == pytest.approx(-0.045)
    assert contrast.estimate == contrast.mean_difference
    assert (contrast.arm_mean, contrast.base_mean) == pytest.approx((1.24375, 1.28875))
    assert round(contrast.r or 0, 3) == 0.977
    assert (contrast.better_count, contrast.worse_count, contrast.pair_count) == (8, 0, 8)
    ends = contrast.interval()
    d = np.array([*contrast.differences.values()])
    low, high = stats.ttest_1samp(d, 0).confidence_interval()
    assert (round(low, 5), round(high, 5)) == (-0.05682, -0.03318)  # the t interval alone
    assert ends is not None
    assert ends.low < low
    assert ends.high == pytest.approx(high)
    assert contrast.p == pytest.approx(4.27e-5, abs=5e-8)  # Hall's is smaller


def test_p_and_interval_are_of_t_and_halls_corrected_t() -> None:
    rng = np.random.default_rng(3)
    for law in (rng.standard_normal, rng.standard_exponential):
        d = law(9) - 0.9
        for sign in (1, -1):
            x = sign * d
            contrast = compare_pairs(
                dict(enumerate(x.tolist())), dict.fromkeys(range(9), 0.0), JudgedScale(1.0)
            )
            t = stats.ttest_1samp(x, 0)
            corrected = 2 * stats.t.sf(abs(compute_hall_t(x, 0)), 8)
            agree = t.statistic * compute_hall_t(x, 0) > 0
            assert contrast.p == pytest.approx(max(t.pvalue, corrected) if agree else 1.0)
            for alpha in (0.3, 0.05, 0.001):
                ends = contrast.interval(alpha)
                cut = stats.t.ppf(1 - alpha / 2, 8)
                low, high = t.confidence_interval(1 - alpha)
                assert ends is not None
                assert ends.low <= low + 1e-12
                assert ends.high >= high - 1e-12
                if ends.low < low - 1e-9:
                    assert compute_hall_t(x, ends.low) == pytest.approx(cut)
                if ends.high > high + 1e-9:
                    assert compute_hall_t(x, ends.high) == pytest.approx(-cut)
            for alpha in (contrast.p * 0.99, min(0.999, contrast.p * 1.01)):  # word and interval agree
                ends = contrast.interval(alpha)
                assert ends is not None
                assert (ends.low <= 0 <= ends.high) == (alpha < contrast.p)


def test_samples_without_spread_or_skewness_have_none() -> None:
    m = moments([[1.0, 1.0, 1.0], [1.0, 2.0, 3.0], [0.0, 0.0, 3.0]])
    assert m.skewness.tolist() == pytest.approx([0, 0, stats.skew([0, 0, 3])])
    assert compare_pairs(
        dict.fromkeys(range(9), 1.0) | {9: 9.0}, dict.fromkeys(range(10), 0.0), JudgedScale(1)
    ).is_skewed
    assert not compare_pairs(LOWER_LOSSES, BASE_LOSSES, JudgedScale(0.02)).is_skewed


def test_a_contrast_joins_on_the_seed_and_never_on_position() -> None:
    shuffled = {s: BASE_LOSSES[s] for s in (7, 3, 0, 1, 6, 2, 5, 4)}
    assert compare_pairs(LOWER_LOSSES, shuffled, JudgedScale(0.02)) == compare_pairs(
        LOWER_LOSSES, BASE_LOSSES, JudgedScale(0.02)
    )


def test_seeds_that_one_side_lacks_are_named_and_not_paired() -> None:
    contrast = compare_pairs({**LOWER_LOSSES, 90: 1.0}, {**BASE_LOSSES, 80: 1.0, 81: 1.1}, JudgedScale(0.02))
    assert (contrast.pair_count, contrast.seeds_without_partner, contrast.mean_difference) == (
        8,
        (80, 81, 90),
        pytest.approx(-0.045),
    )


def test_swapping_arms_or_direction_turns_the_contrast_round() -> None:
    ab = compare_pairs(LOWER_LOSSES, BASE_LOSSES, JudgedScale(0.02))
    ba = compare_pairs(BASE_LOSSES, LOWER_LOSSES, JudgedScale(0.02))
    assert (ba.mean_difference, ba.p, ba.better_count, ba.worse_count) == (
        -(ab.mean_difference or 0),
        pytest.approx(ab.p),
        0,
        8,
    )
    assert ab.swap_sides() == replace(ba, r=ab.r)
    accuracy = compare_pairs(BASE_LOSSES, LOWER_LOSSES, JudgedScale(0.02, lower_is_better=False))
    assert (accuracy.better_count, accuracy.worse_count) == (8, 0)


@pytest.mark.parametrize("values", [{3: math.nan}, {**LOWER_LOSSES, 3: math.nan}])
def test_nan_is_refused_and_not_dropped(values: dict[int, float]) -> None:
    for use in (
        lambda: summarise_values(values),
        lambda: compare_pairs(values, BASE_LOSSES, JudgedScale(0.02)),
    ):
        with pytest.raises(ValueError, match="seed 3 is NaN"):
            use()


def test_a_zone_or_a_family_that_is_not_positive_is_refused() -> None:
    for delta, family_size in ((0.0, 1), (-0.1, 1), (math.nan, 1), (0.02, 0)):
        with pytest.raises(ValueError, match="δ must be positive"):
            compare_pairs(LOWER_LOSSES, BASE_LOSSES, JudgedScale(delta), family_size=family_size)


def test_differences_whose_powers_underflow_are_none() -> None:
    contrast = compare_pairs(
        {**dict.fromkeys(range(10), 0.0), 3: 1e-170}, dict.fromkeys(range(10), 0.0), JudgedScale(0.01)
    )
    assert (
        contrast.p,
        contrast.has_constant_difference,
        contrast.is_all_tied,
        judge_contrasts({"x": contrast})["x"].text,
    ) == (
        1.0,
        True,
        True,
        "open",
    )


def test_arms_that_computed_the_same_are_identical_and_not_nan() -> None:
    contrast = compare_pairs(BASE_LOSSES, dict(BASE_LOSSES), JudgedScale(0.01), equal_seeds=BASE_LOSSES)
    assert contrast.is_computed_alike
    assert contrast.has_constant_difference
    assert (contrast.mean_difference, contrast.sd, contrast.p, contrast.equivalence_p) == (0.0, 0.0, 1.0, 0.0)
    assert contrast.interval() == Interval(0.0, 0.0, 0.95)
    assert (contrast.mde, contrast.seeds_needed) == (None, None)


def test_the_same_difference_on_every_seed_is_judged_by_the_exact_test() -> None:
    shifted = {s: b + 0.1 for s, b in BASE_LOSSES.items()}  # the floats' differences vary by 1e-16
    contrast = compare_pairs(shifted, BASE_LOSSES, JudgedScale(0.01))
    assert contrast.has_constant_difference
    assert not contrast.is_computed_alike
    assert (contrast.p, contrast.equivalence_p) == (0.0078125, 1.0)
    assert contrast.mean_difference == pytest.approx(0.1)
    assert contrast.estimate == contrast.mean_difference


def make_ties(n: int, difference: float = 0.0, highest: float = 1.0, **facts: Any) -> Contrast:
    """Return the contrast of n pairs that have one difference."""
    sides = dict.fromkeys(range(n), 0.5 + difference), dict.fromkeys(range(n), 0.5)
    return compare_pairs(*sides, JudgedScale(0.02, highest=highest), **facts)


@pytest.mark.parametrize("n", [5, 25, 148, 149])
def test_ties_of_a_share_show_what_their_number_allows(n: int) -> None:
    contrast = make_ties(n)
    assert contrast.is_all_tied
    assert not contrast.is_computed_alike
    assert contrast.p == 1.0
    # of pairs that differ by 1 in .02 of cases none is seen
    assert contrast.equivalence_p == pytest.approx(0.98**n)
    assert judge_contrasts({"x": contrast})["x"].text == ("the same within δ" if n > 148 else "open")
    low, high = round_ends(contrast.interval(0.05, tails=1), 9)
    assert (-low, high) == pytest.approx((1 - 0.05 ** (1 / n),) * 2)


def test_ties_of_a_metric_without_a_known_end_show_nothing() -> None:
    assert judge_contrasts({"x": make_ties(10_000, highest=math.inf)})["x"].text == "open"
    percent = compare_pairs(
        dict.fromkeys(range(200), 71.0), dict.fromkeys(range(200), 71.0), JudgedScale(2, highest=1.0)
    )
    assert percent.upper_limit == math.inf
    assert percent.equivalence_p == 1.0
    assert make_ties(5, equal_seeds=range(5)).equivalence_p == 0.0
    assert make_ties(149, lost_pairs=LostPairs(1)).equivalence_p == 1.0


def test_equal_small_differences_are_no_certain_equivalence_either() -> None:
    contrast = make_ties(5, 0.001)
    assert contrast.p == 2**-4  # the least that signs of five pairs can give
    assert contrast.equivalence_p == pytest.approx((0.98 / 0.999) ** 5)
    assert make_ties(5, 0.02).equivalence_p == 1.0
    assert contrast.interval(0.05) == Interval(-math.inf, math.inf, 0.95)
    assert contrast.interval(0.05, tails=1).high == pytest.approx(1 - 0.999 * 0.05**0.2)


def test_rounding_is_no_spread() -> None:
    noisy = np.array([0.1, 0.1 + 1e-16, 0.1 - 1e-16])
    assert np.ptp(remove_rounding(noisy, 1.3)) == 0
    real = np.array([0.1, 0.1 + 1e-9, 0.1])
    assert np.array_equal(remove_rounding(real, 1.3), real)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_pairs_give_no_interval_and_no_claim(n: int) -> None:
    arm = {s: LOWER_LOSSES[s] for s in range(n)}
    contrast = compare_pairs(arm, BASE_LOSSES, JudgedScale(0.02))
    assert contrast.interval() is None
    assert contrast.r is None
    assert contrast.pair_count == n
    assert contrast.p >= 0.05
    assert (contrast.mean_difference is None) == (n == 0)
    assert (contrast.mde is None, contrast.seeds_needed is None) == (n < 2, n < 2)


def test_holm_corrects_the_family() -> None:
    adjusted = holm([0.3, 0.001, 0.04, 0.012, 0.02])
    assert [x.p for x in adjusted] == pytest.approx([0.3, 0.005, 0.08, 0.048, 0.06])
    # the second step, .05/4, rejects; the third, .05/3, does not, and is that of all that are open
    assert [ALPHA / x.alpha for x in adjusted] == pytest.approx([3, 5, 3, 4, 3])
    ps = np.random.default_rng(0).beta(0.3, 1, 40)
    assert [x.p for x in holm(list(ps))] == pytest.approx(multipletests(ps, method="holm")[1])


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
def test_p_is_significant_up_to_the_level_of_its_interval(adjust) -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        ps = rng.beta(0.3, 2, rng.integers(1, 12)).tolist()
        for p, (adjusted, alpha) in zip(ps, adjust(ps), strict=True):
            assert (adjusted <= ALPHA) == (p <= alpha)


def test_benjamini_hochberg_is_milder_than_holm() -> None:
    ps = [0.001, 0.012, 0.02, 0.04, 0.3]
    # by hand: p·5/rank, then the running minimum from the right
    assert [x.p for x in benjamini_hochberg(ps)] == pytest.approx([0.005, 0.03, 1 / 30, 0.05, 0.3])


def test_corrections_take_no_p_values_and_refuse_what_is_none() -> None:
    assert holm([]) == benjamini_hochberg([]) == []
    for wrong in (math.nan, -0.1, 1.1):
        with pytest.raises(ValueError, match="between 0 and 1"):
            holm([0.01, wrong])


def test_equivalence_depends_on_the_zone() -> None:
    contrast = compare_pairs(SIMILAR_LOSSES, BASE_LOSSES, JudgedScale(0.01))
    d = np.array([SIMILAR_LOSSES[s] - BASE_LOSSES[s] for s in BASE_LOSSES])
    low, high = stats.ttest_1samp(d, 0).confidence_interval(0.9)
    assert (round(low, 5), round(high, 5)) == (-0.0062, 0.0062)
    # these pairs have no skewness
    assert round_ends(contrast.interval(0.05, tails=1), 5) == (-0.0062, 0.0062)
    assert round(contrast.equivalence_p, 5) == 0.00923
    assert round(compare_pairs(SIMILAR_LOSSES, BASE_LOSSES, JudgedScale(0.005)).equivalence_p, 4) == 0.0852


@pytest.mark.parametrize("delta", [0.03, 0.05, 0.06])
def test_equivalence_is_no_surer_than_statsmodels(delta: float) -> None:
    a = np.array(list(LOWER_LOSSES.values()))
    b = np.array(list(BASE_LOSSES.values()))
    contrast = compare_pairs(LOWER_LOSSES, BASE_LOSSES, JudgedScale(delta))
    d = a - b
    corrected = max(stats.t.sf(compute_hall_t(d, -delta), 7), stats.t.cdf(compute_hall_t(d, delta), 7))
    assert contrast.equivalence_p == pytest.approx(max(ttost_paired(a, b, -delta, delta)[0], corrected))
