"""What a number of seeds can decide, held to scipy, statsmodels and a simulation of the test in use."""

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from tests.helpers.designs import four_errors
from tests.simulations.rules import simulate_stretch
from unrolled.reports.statistics import power
from unrolled.reports.statistics.estimators import mean_interval, moments
from unrolled.reports.statistics.pairs import JudgedScale, LostPairs, compare_pairs


@pytest.mark.parametrize(("dz", "by_t", "seeds"), [(0.5, 34, 35), (1, 10, 12), (1.5, 6, 7)])  # statsmodels
def test_the_seeds_that_decide_an_effect(dz: float, by_t: int, seeds: int) -> None:
    assert power.t_power(dz, by_t) >= 0.8 > power.t_power(dz, by_t - 1)
    assert power.count_seeds_needed(dz) == power.count_seeds_needed(-dz) == seeds


@pytest.mark.parametrize("dz", [0.05, 0.2, 0.8, 3.0])
def test_seeds_needed_are_the_fewest(dz: float) -> None:
    n = power.count_seeds_needed(dz, alpha=0.01)
    assert power.power(dz, n, 0.01) >= 0.8 > power.power(dz, n - 1, 0.01)


@pytest.mark.parametrize(
    ("n", "family_size", "by_t"),
    [(5, 1, 0.65), (10, 1, 0.73), (20, 1, 0.78), (5, 15, 0.54), (10, 15, 0.64), (20, 15, 0.73)],
)
def test_a_detectable_effect_is_detected_in_four_of_five_studies(
    n: int, family_size: int, by_t: float
) -> None:
    """And not in the fewer in which an independent simulation found the effect that t alone would detect."""
    alpha = 0.05 / family_size
    studies = 20_000
    low, _ = mean_interval(moments(np.random.default_rng(n).standard_normal((studies, n))), alpha)
    for effect, expected in (
        (power.minimum_detectable_effect(n, alpha), 0.8),
        (power.t_detectable_effect(n, alpha), by_t),
    ):
        rate = float(np.mean(low + effect > 0))
        assert rate == pytest.approx(expected, abs=0.01 + four_errors(expected, studies))
    assert power.power(power.minimum_detectable_effect(n, alpha), n, alpha) == pytest.approx(0.8, abs=1e-6)


@pytest.mark.parametrize(("n", "alpha"), [(7, 0.01), (9, 0.05), (12, 0.002), (30, 0.0005)])
def test_the_stored_factors_are_what_a_simulation_gives(n: int, alpha: float) -> None:
    assert power.interpolate_stretch(n, alpha) == pytest.approx(
        simulate_stretch(n, alpha, 20_000, seed=1), rel=0.02
    )
    assert 1 < power.interpolate_stretch(10 * n, alpha) < power.interpolate_stretch(n + 1, alpha)


@pytest.mark.parametrize("n", [2, 3, 5, 10, 30, 9000])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 12])
@pytest.mark.parametrize("dz", [0.0, 0.03, 0.1, 0.5, 1.2, 8.0])
def test_power_agrees_with_the_noncentral_t(n: int, alpha: float, dz: float) -> None:
    critical = stats.t.isf(alpha / 2, n - 1)
    shift = dz * math.sqrt(n)
    tails = stats.nct.sf(critical, n - 1, shift) + np.nan_to_num(stats.nct.cdf(-critical, n - 1, shift))
    assert power.t_power(dz, n, alpha) == pytest.approx(tails, abs=1e-7)


@pytest.mark.parametrize("n", [5, 8, 10, 30])
def test_the_effect_that_t_detects_is_statsmodels(n: int) -> None:
    expected = TTestPower().solve_power(nobs=n, alpha=0.05, power=0.8)
    assert power.t_detectable_effect(n) == pytest.approx(expected, rel=1e-5)


def test_a_huge_number_of_seeds_is_computed_at_once() -> None:
    # beyond 10,000 seeds t is normal: (1.959964 + .841621)²/dz²
    assert power.count_seeds_needed(1e-4) == pytest.approx(2.801585**2 * 1e8, rel=1e-6)


def test_no_effect_needs_no_end_of_seeds() -> None:
    for effect in (0.0, math.nan):
        with pytest.raises(ValueError, match="effect of zero"):
            power.count_seeds_needed(effect)


def test_a_larger_family_detects_less_and_needs_more() -> None:
    arm = {0: 1.2, 1: 1.5, 2: 1.1, 3: 1.3, 4: 1.4}
    baseline = {0: 1.3, 1: 1.3, 2: 1.2, 3: 1.2, 4: 1.4}
    single, dozen = (compare_pairs(arm, baseline, JudgedScale(0.05), family_size=k) for k in (1, 12))
    assert single.sd is not None
    assert single.mde is not None
    assert dozen.mde is not None
    assert single.mde == pytest.approx(single.sd * power.minimum_detectable_effect(5))
    assert dozen.mde > single.mde
    assert (
        (dozen.seeds_needed or 0) > (single.seeds_needed or 0) == power.count_seeds_needed(0.05 / single.sd)
    )


@pytest.mark.parametrize(("diverged", "lost", "constant"), [(2, 0, False), (0, 2, False), (0, 0, True)])
def test_pairs_that_signs_judge_have_no_detectable_difference(
    diverged: int, lost: int, constant: bool
) -> None:
    """Of 12 pairs with two lost, the effect that ten detect with .80 was detected in .26."""
    draws = np.zeros(12) if constant else np.random.default_rng(0).standard_normal(12)
    base = dict.fromkeys(range(lost, 12), 0.0)
    arm = {s: math.inf if s >= 12 - diverged else 1 + x for s, x in enumerate(draws)}
    contrast = compare_pairs(arm, base, JudgedScale(0.1), lost_pairs=LostPairs(lost))
    assert (contrast.mde, contrast.seeds_needed) == (None, None)
