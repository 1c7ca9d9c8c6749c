"""What a design takes, by simulation; one look is held to the power of the t test."""

import pytest

from tests.helpers.contrasts import LOOKS
from unrolled.reports.statistics import power
from unrolled.reports.statistics.expected_seeds import median_unbiased, predict_contrast
from unrolled.reports.statistics.looks import Looks


def test_one_look_has_the_power_of_its_test() -> None:
    plan = predict_contrast(
        Looks((10,)), sd=1.0, zone=0.02, effect=1.0, family_size=5
    )  # nothing is equivalent
    assert plan.seeds == 10
    assert plan.decided < power.t_power(1.0, 10, 0.05 / 5)  # the test allows for skewness
    for effect in (1.0, 1.3, 1.6):  # of powers far from .80 the factor is about right
        plan = predict_contrast(Looks((10,)), sd=1.0, zone=0.02, effect=effect, family_size=5)
        assert plan.decided == pytest.approx(power.power(effect, 10, 0.05 / 5), abs=0.05)


def test_settling_the_size_takes_longer_where_the_difference_is_near_delta() -> None:
    for effect, longer in ((0.0, 1.05), (0.02, 3.0), (0.04, 1.5), (0.2, 1.05)):
        first, size = (
            predict_contrast(LOOKS, sd=0.02, zone=0.02, effect=effect, until_size=x) for x in (False, True)
        )
        assert first.seeds <= size.seeds <= longer * first.seeds
    assert predict_contrast(LOOKS, sd=0.02, zone=0.02, effect=0.02, until_size=True).decided < 0.1


def test_large_effects_and_small_spreads_take_the_first_look() -> None:
    assert predict_contrast(LOOKS, sd=0.01, zone=0.02, effect=0.2).seeds == 10
    assert predict_contrast(LOOKS, sd=0.001, zone=0.02, effect=0.0).decided == 1


def test_a_larger_family_and_a_larger_spread_take_longer() -> None:
    small, large = (predict_contrast(LOOKS, sd=0.03, zone=0.02, effect=0.04, family_size=k) for k in (1, 15))
    wide = predict_contrast(LOOKS, sd=0.06, zone=0.02, effect=0.04, family_size=15)
    assert small.seeds < large.seeds < wide.seeds <= 40
    assert small.decided >= large.decided > wide.decided


def test_a_chance_counts_right_decisions_alone() -> None:
    wide = {"sd": 3.0, "zone": 1.0}
    none, at_delta = (predict_contrast(LOOKS, **wide, effect=effect) for effect in (0.0, 1.0))
    # a direction where there is none: .042 of normal contrasts (docs/error-rates.md), of 4,000 here
    assert none.decided - none.right == pytest.approx(0.042, abs=0.013)
    assert 0 < at_delta.right < at_delta.decided, "the same within δ is wrong there"
    size = predict_contrast(LOOKS, **wide, effect=1.0, until_size=True)
    assert size.decided > 0 and size.right == 0, "nor is the size more or less than δ"


@pytest.mark.parametrize("wrong", [{"sd": 0.0}, {"zone": -0.1}, {"family_size": 0}])
def test_a_number_that_is_not_positive_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        predict_contrast(LOOKS, **({"sd": 0.03, "zone": 0.02, "effect": 0.0} | wrong))


def test_the_unbiased_estimate_is_the_mean_without_an_early_stop() -> None:
    levels = {"zone": 0.02, "alpha": 0.05 / 15, "alpha_same": 0.05 / 15}
    assert median_unbiased(Looks((10,)), 1, 0.03, 0.02, **levels) == 0.03
    assert median_unbiased(LOOKS, 1, 0.03, 0.02, **levels) == 0.03
    sure = median_unbiased(LOOKS, 5, 0.3, 0.02, **levels)  # all such contrasts stop at the first look
    assert sure == pytest.approx(0.3, abs=0.001)


def test_a_less_sure_early_stop_is_corrected_more() -> None:
    levels = {"zone": 0.02, "alpha": 0.05 / 15, "alpha_same": 0.05 / 15}
    lean = [m - median_unbiased(LOOKS, 5, m, 0.03, **levels) for m in (0.06, 0.05, 0.04)]
    assert 0 < lean[0] < lean[1] < lean[2] < 0.02
    down = median_unbiased(LOOKS, 5, -0.05, 0.03, **levels)
    assert down == pytest.approx(-median_unbiased(LOOKS, 5, 0.05, 0.03, **levels), abs=0.001)
