"""One arm and contrasts of two. Expected numbers: scipy 1.17 and statsmodels 0.15, unless said otherwise."""

import math

import numpy as np
import pytest
import synthetic
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from reports.statistics.contrasts import (
    Interval,
    benjamini_hochberg,
    contrast,
    divergence_interval,
    holm,
    summarise,
)
from reports.statistics.estimators import without_rounding

Values = dict[int, float]


A, B, C, D = (dict(enumerate(x)) for x in (synthetic.A, synthetic.B, synthetic.C, synthetic.D))


def printed(interval: Interval | None, digits: int) -> tuple[float, float]:
    assert interval is not None
    return round(interval.low, digits), round(interval.high, digits)


def test_one_arm_gives_mean_sd_and_t_interval() -> None:
    b = summarise(B)
    assert (b.n, b.mean, round(b.sd or 0, 6)) == (8, pytest.approx(1.28875), 0.057925)
    assert printed(b.interval, 5) == (1.24032, 1.33718)
    assert b.interval is not None and b.interval.level == 0.95
    assert round(b.perplexity or 0, 4) == 3.6282
    assert printed(b.perplexity_interval, 4) == (3.4567, 3.8083)
    assert b.median == pytest.approx(1.28)


def test_under_three_seeds_there_are_values_and_no_interval() -> None:
    two = summarise({4: 1.25, 2: 1.27})
    assert two.interval is None and two.perplexity_interval is None
    assert list(two.values.items()) == [(2, 1.27), (4, 1.25)]
    assert summarise({0: 1.25}).sd is None
    assert summarise({}).mean is None and summarise({}).perplexity is None and summarise({}).median is None


def test_a_contrast_gives_the_paired_t_and_the_exact_test() -> None:
    c = contrast(A, B, delta=0.02)
    assert c.mean == pytest.approx(-0.045)
    assert printed(c.interval, 5) == (-0.05682, -0.03318)
    assert c.t == pytest.approx(-9)
    assert c.p == c.t_p == pytest.approx(4.27e-5, abs=5e-8)
    assert round(c.r or 0, 3) == 0.977
    assert (c.wins, c.losses, c.pairs) == (8, 0, 8)
    assert round(c.ratio or 0, 4) == 0.9560
    assert printed(c.ratio_interval, 4) == (0.9448, 0.9674)
    assert c.better


def test_a_contrast_joins_on_the_seed_and_never_on_position() -> None:
    shuffled = {s: B[s] for s in (7, 3, 0, 1, 6, 2, 5, 4)}
    assert contrast(A, shuffled, delta=0.02) == contrast(A, B, delta=0.02)


def test_seeds_that_one_side_lacks_are_named_and_not_paired() -> None:
    c = contrast({**A, 90: 1.0}, {**B, 80: 1.0, 81: 1.1}, delta=0.02)
    assert (c.pairs, c.unpaired, c.mean) == (8, (80, 81, 90), pytest.approx(-0.045))


def test_swapping_the_arms_or_the_direction_of_the_metric_turns_the_contrast_round() -> None:
    ab, ba = contrast(A, B, delta=0.02), contrast(B, A, delta=0.02)
    assert (ba.mean, ba.p, ba.wins, ba.losses) == (-(ab.mean or 0), ab.p, 0, 8)
    assert ab.better and not ba.better
    accuracy = contrast(B, A, delta=0.02, lower_is_better=False)
    assert (accuracy.wins, accuracy.losses, accuracy.better) == (8, 0, True)


@pytest.mark.parametrize("values", [{3: math.nan}, {**A, 3: math.nan}])
def test_nan_is_refused_and_not_dropped(values: Values) -> None:
    for use in (lambda: summarise(values), lambda: contrast(values, B, delta=0.02)):
        with pytest.raises(ValueError, match="seed 3 is NaN"):
            use()


def test_a_zone_or_a_family_that_is_not_positive_is_refused() -> None:
    for delta, family in ((0.0, 1), (-0.1, 1), (math.nan, 1), (0.02, 0)):
        with pytest.raises(ValueError, match="δ must be positive"):
            contrast(A, B, delta=delta, family=family)


def test_equal_values_are_bitwise_identical_and_not_nan() -> None:
    c = contrast(B, dict(B), delta=0.01)
    assert c.identical and c.constant
    assert (c.mean, c.sd, c.p, c.tost_p, c.t) == (0.0, 0.0, 1.0, 0.0, None)
    assert c.interval == Interval(0.0, 0.0, 0.95)
    assert (c.mde, c.seeds_needed) == (0.0, 5)


def test_the_same_difference_on_every_seed_is_judged_by_the_exact_test() -> None:
    shifted = {s: b + 0.1 for s, b in B.items()}  # the floats' differences vary by 1e-16
    c = contrast(shifted, B, delta=0.01)
    assert c.constant and not c.identical
    assert (c.t, c.t_p, c.p, c.tost_p) == (None, None, 0.0078125, 1.0)
    assert c.mean == pytest.approx(0.1)


def test_rounding_is_told_from_a_real_spread() -> None:
    noisy = np.array([0.1, 0.1 + 1e-16, 0.1 - 1e-16])
    assert np.ptp(without_rounding(noisy, 1.3)) == 0
    real = np.array([0.1, 0.1 + 1e-9, 0.1])
    assert np.array_equal(without_rounding(real, 1.3), real)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_pairs_give_no_interval_and_no_claim(n: int) -> None:
    few = {s: A[s] for s in range(n)}
    c = contrast(few, B, delta=0.02)
    assert c.interval is None and c.r is None
    assert c.pairs == n and c.p >= 0.05
    assert (c.mean is None) == (n == 0)
    assert (c.mde is None, c.seeds_needed is None) == (n < 2, n < 2)


def test_diverged_seeds_turn_the_headline_to_medians_and_wins() -> None:
    c = contrast({**A, 2: math.inf, 6: math.inf}, B, delta=0.02)  # the third and the seventh seed
    assert c.given_convergence
    assert c.arm_median == pytest.approx(1.25)
    assert (c.wins, c.losses, c.pairs) == (6, 2, 8)
    assert round(c.p, 3) == 0.289
    assert (c.arm_diverged, c.baseline_diverged) == (2, 0)
    assert list(c.differences) == [0, 1, 3, 4, 5, 7]
    assert c.mean == pytest.approx(np.mean([A[s] - B[s] for s in c.differences]))  # given convergence


def test_a_seed_that_diverged_on_both_sides_is_a_tie() -> None:
    c = contrast({**A, 2: math.inf}, {**B, 2: math.inf}, delta=0.02)
    assert (c.wins, c.losses, c.pairs, len(c.differences)) == (7, 0, 8, 7)
    assert c.sign_p == 0.015625  # 2 · 2⁻⁷


def test_a_diverged_seed_is_the_worst_accuracy_too() -> None:
    c = contrast({0: math.inf, 1: 0.8, 2: 0.9}, {0: 0.5, 1: 0.7, 2: 0.7}, delta=0.02, lower_is_better=False)
    assert (c.wins, c.losses, c.arm_median) == (2, 1, 0.8)
    assert summarise({0: math.inf}, lower_is_better=False).median == -math.inf


def test_a_summary_counts_diverged_seeds_in_the_median_and_not_in_the_mean() -> None:
    s = summarise({0: 1.0, 1: math.inf, 2: 2.0, 3: math.inf})
    assert (s.n, s.diverged, s.mean, s.median) == (4, 2, 1.5, math.inf)


@pytest.mark.parametrize(
    ("k", "low", "high"),
    [(0, 0.0, 0.369), (2, 0.032, 0.651), (8, 0.631, 1.0)],  # 8/8 mirrors 0/8
)
def test_the_rate_of_divergence_has_its_exact_interval(k: int, low: float, high: float) -> None:
    assert printed(divergence_interval(k, 8), 3) == (low, high)


def test_the_p_of_signs_is_that_of_scipy_stats() -> None:
    for k, n in [(0, 1), (1, 1), (1, 2), (0, 7), (2, 7), (7, 7), (11, 30), (15, 30)]:
        arm = {seed: float(seed < k) for seed in range(n)}
        assert contrast(arm, dict.fromkeys(arm, 0.5), delta=1.0).sign_p == pytest.approx(
            stats.binomtest(k, n).pvalue
        )


def test_a_rate_over_one_is_refused() -> None:
    with pytest.raises(ValueError, match="k"):
        divergence_interval(9, 8)


def test_holm_corrects_the_family() -> None:
    assert holm([0.3, 0.001, 0.04, 0.012, 0.02]) == pytest.approx([0.3, 0.005, 0.08, 0.048, 0.06])
    ps = np.random.default_rng(0).beta(0.3, 1, 40)
    assert holm(list(ps)) == pytest.approx(multipletests(ps, method="holm")[1])


def test_benjamini_hochberg_is_milder_than_holm() -> None:
    ps = [0.001, 0.012, 0.02, 0.04, 0.3]
    # by hand: p·5/rank, then the running minimum from the right
    assert benjamini_hochberg(ps) == pytest.approx([0.005, 0.03, 1 / 30, 0.05, 0.3])


def test_corrections_take_no_p_values_and_refuse_what_is_none() -> None:
    assert holm([]) == benjamini_hochberg([]) == []
    for wrong in (math.nan, -0.1, 1.1):
        with pytest.raises(ValueError, match="between 0 and 1"):
            holm([0.01, wrong])


def test_equivalence_depends_on_the_zone() -> None:
    c = contrast(C, B, delta=0.01)
    assert printed(c.interval90, 5) == (-0.00620, 0.00620)
    assert round(c.tost_p or 0, 5) == 0.00923
    assert round(contrast(C, B, delta=0.005).tost_p or 0, 4) == 0.0852


@pytest.mark.parametrize("delta", [0.03, 0.05, 0.06])
def test_equivalence_agrees_with_statsmodels(delta: float) -> None:
    a, b = np.array(list(A.values())), np.array(list(B.values()))
    assert contrast(A, B, delta=delta).tost_p == pytest.approx(ttost_paired(a, b, -delta, delta)[0])
