"""What a design takes, by simulation; one look is held to the power of the t test."""

import pytest

from reports.statistics import power
from reports.statistics.planning import STUDIES, expected
from reports.statistics.sequential import LOOKS, Looks


def test_one_look_has_the_power_of_the_t_test() -> None:
    found = expected(Looks((10,)), sd=1.0, delta=0.02, effect=1.0, family=5)  # nothing is equivalent
    assert found.seeds == 10
    near = 4 * (0.25 / STUDIES) ** 0.5  # four standard errors
    assert found.decided == pytest.approx(power.power(1.0, 10, 0.05 / 5), abs=near)


def test_large_effects_and_small_spreads_take_the_first_look() -> None:
    assert expected(LOOKS, sd=0.01, delta=0.02, effect=0.2).seeds == 10
    assert expected(LOOKS, sd=0.001, delta=0.02, effect=0.0).decided == 1


def test_a_larger_family_and_a_larger_spread_take_longer() -> None:
    few, many = (expected(LOOKS, sd=0.03, delta=0.02, effect=0.04, family=k) for k in (1, 15))
    wide = expected(LOOKS, sd=0.06, delta=0.02, effect=0.04, family=15)
    assert few.seeds < many.seeds < wide.seeds <= 40
    assert few.decided >= many.decided > wide.decided


@pytest.mark.parametrize("wrong", [{"sd": 0.0}, {"delta": -0.1}, {"family": 0}])
def test_what_is_not_positive_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        expected(LOOKS, **({"sd": 0.03, "delta": 0.02, "effect": 0.0} | wrong))
