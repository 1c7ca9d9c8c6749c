"""What a number of seeds can decide, held to scipy and statsmodels."""

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from unrolled.reports.statistics import power
from unrolled.reports.statistics.contrasts import contrast


@pytest.mark.parametrize(("dz", "seeds"), [(0.5, 34), (1, 10), (1.5, 6)])  # statsmodels 0.15
def test_the_seeds_that_decide_an_effect(dz: float, seeds: int) -> None:
    assert power.seeds_needed(dz) == power.seeds_needed(-dz) == seeds


@pytest.mark.parametrize("dz", [0.05, 0.2, 0.8, 3.0])
def test_seeds_needed_are_the_fewest_by_statsmodels_power(dz: float) -> None:
    n = power.seeds_needed(dz, alpha=0.01)
    at = TTestPower()
    assert at.power(dz, n, 0.01) >= 0.8 > at.power(dz, n - 1, 0.01)


@pytest.mark.parametrize("n", [2, 3, 5, 10, 30, 9000])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 12])
@pytest.mark.parametrize("dz", [0.0, 0.03, 0.1, 0.5, 1.2, 8.0])
def test_power_agrees_with_the_noncentral_t(n: int, alpha: float, dz: float) -> None:
    critical, shift = stats.t.isf(alpha / 2, n - 1), dz * math.sqrt(n)
    tails = stats.nct.sf(critical, n - 1, shift) + np.nan_to_num(stats.nct.cdf(-critical, n - 1, shift))
    assert power.power(dz, n, alpha) == pytest.approx(tails, abs=1e-7)


@pytest.mark.parametrize("n", [5, 8, 10, 30])
def test_the_detectable_effect_has_eighty_percent_power(n: int) -> None:
    expected = TTestPower().solve_power(nobs=n, alpha=0.05, power=0.8)
    assert power.minimum_detectable_effect(n) == pytest.approx(expected, rel=1e-5)


def test_a_huge_need_is_told_at_once() -> None:
    # beyond 10,000 seeds t is normal: (1.959964 + .841621)²/dz²
    assert power.seeds_needed(1e-4) == pytest.approx(2.801585**2 * 1e8, rel=1e-6)


def test_no_effect_needs_no_end_of_seeds() -> None:
    for nothing in (0.0, math.nan):
        with pytest.raises(ValueError, match="effect of zero"):
            power.seeds_needed(nothing)


def test_a_larger_family_detects_less_and_needs_more() -> None:
    arm = {0: 1.2, 1: 1.5, 2: 1.1, 3: 1.3, 4: 1.4}
    baseline = {0: 1.3, 1: 1.3, 2: 1.2, 3: 1.2, 4: 1.4}
    one, many = (contrast(arm, baseline, delta=0.05, family=k) for k in (1, 12))
    assert one.sd is not None and one.mde is not None and many.mde is not None
    assert one.mde == pytest.approx(
        one.sd * TTestPower().solve_power(nobs=5, alpha=0.05, power=0.8), rel=1e-5
    )
    assert many.mde > one.mde
    assert (many.seeds_needed or 0) > (one.seeds_needed or 0) == power.seeds_needed(0.05 / one.sd)
