"""Factorial effects, and ratios of speeds."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from unrolled.reports.statistics.factorial_effects import estimate_effects
from unrolled.reports.statistics.pairs import JudgedScale
from unrolled.reports.statistics.speed_ratio import measure_speed_ratio

FACTORS = ("tying", "dropout", "ar")


def make_cells(noise: float = 0.01) -> dict[tuple[bool, ...], dict[int, float]]:
    """Return 1.3 − .2 tying − .1 dropout + .08 tying·dropout, every seed with its own level."""
    rng = np.random.default_rng(0)
    level = rng.normal(0, 0.1, 10)
    return {
        (t, d, a): {
            s: 1.3 - 0.2 * t - 0.1 * d + 0.08 * t * d + level[s] + rng.normal(0, noise) for s in range(10)
        }
        for t, d, a in itertools.product((False, True), repeat=3)
    }


def test_factorial_effects_are_recovered() -> None:
    effects = {e.name: e for e in estimate_effects(make_cells(noise=0.0), FACTORS, JudgedScale(0.5))}
    assert list(effects) == ["tying", "dropout", "ar", "tying × dropout", "tying × ar", "dropout × ar"]
    # averaged over the other factor: −.2 + .08/2 and −.1 + .08/2; the interaction is all of .08
    assert effects["tying"].mean == pytest.approx(-0.16)
    assert effects["dropout"].mean == pytest.approx(-0.06)
    assert effects["tying × dropout"].mean == pytest.approx(0.08)
    assert (effects["ar"].mean, effects["ar"].verdict.contrast.p) == (
        0.0,
        1.0,
    )  # no noise of rounding is found significant


def test_a_main_effect_is_the_paired_t_of_its_halves() -> None:
    table = make_cells()
    tying = estimate_effects(table, FACTORS, JudgedScale(0.5))[0]
    on, off = (
        [np.mean([x[s] for key, x in table.items() if key[0] is side]) for s in range(10)]
        for side in (True, False)
    )
    expected = stats.ttest_rel(on, off)
    contrast = tying.verdict.contrast
    assert contrast.p == pytest.approx(expected.pvalue, rel=0.6)
    assert contrast.p >= expected.pvalue  # allows for skewness
    ends = contrast.interval()
    assert ends is not None
    assert ends.low == pytest.approx(expected.confidence_interval().low, abs=1e-3)


def test_factorial_effects_are_corrected_together() -> None:
    verdicts = {e.name: e.verdict for e in estimate_effects(make_cells(), FACTORS, JudgedScale(0.5))}
    assert (
        max(verdicts[name].adjusted_difference.p for name in ("tying", "dropout", "tying × dropout")) < 0.001
    )
    smallest = min(verdicts.values(), key=lambda v: v.contrast.p)
    assert smallest.adjusted_difference.p == pytest.approx(6 * smallest.contrast.p)


def test_an_incomplete_design_is_refused() -> None:
    table = make_cells()
    with pytest.raises(ValueError, match="2 factors have 4 cells"):
        estimate_effects(table, FACTORS[:2], JudgedScale(0.5))
    table[True, True, True][0] = math.nan
    with pytest.raises(ValueError, match="NaN"):
        estimate_effects(table, FACTORS, JudgedScale(0.5))
    table[True, True, True] = {0: 1.0}
    with pytest.raises(ValueError, match="two seeds"):
        estimate_effects(table, FACTORS, JudgedScale(0.5))


def test_a_ratio_of_speeds_has_an_interval_and_a_zone_of_noise() -> None:
    fast = [10120, 10050, 9980, 10200, 10090]
    slow = [9400, 9310, 9250, 9480, 9390]
    faster, slower = (measure_speed_ratio(list(zip(*x, strict=True))) for x in ((fast, slow), (slow, fast)))
    assert faster is not None
    assert slower is not None
    ends = faster.ratio, faster.interval.low, faster.interval.high
    assert ends == pytest.approx((1.0771, 1.0745, 1.0797), abs=5e-5)
    assert (faster.word, slower.word) == ("faster", "slower")
    assert slower.ratio == pytest.approx(1 / faster.ratio)
    uneven = measure_speed_ratio([(300.0, 100.0), (100.0, 200.0), (100.0, 150.0)])
    assert uneven is not None
    assert uneven.mean / uneven.base_mean == pytest.approx(uneven.ratio), "as the numbers beside it show"
    speed = measure_speed_ratio([(101.0, 100.0), (101.1, 100.0), (100.9, 100.0), (101.0, 100.0)])
    assert speed is not None
    assert speed.interval.low > 1  # and yet no finding
    assert speed.word == "not told apart from ±2 % of noise"


def test_a_speed_that_cannot_be_compared_is_refused() -> None:
    assert measure_speed_ratio([(1, 1), (2, 2)]) is None
    with pytest.raises(ValueError, match="positive and finite"):
        measure_speed_ratio([(1, 1), (2, 2), (0, 3)])
