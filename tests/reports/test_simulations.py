"""The simulations in short: what each rule of a verdict mends, within four standard errors."""

import pytest
from simulations import (
    LAWS,
    both_tails,
    divergence_claims,
    exaggeration,
    same_at_delta,
    sizes,
    skewed_errors,
    t_tails,
    undeclared_errors,
)
from synthetic import four_errors

CONTRASTS = 4_000


@pytest.mark.parametrize(
    ("law", "alone", "now"),
    [("normal", 0.05, 0.042), ("t, 3 degrees", 0.037, 0.035), ("exponential", 0.118, 0.059),
     ("lognormal", 0.211, 0.105), ("a collapse in 5 %", 0.183, 0.164)],
)  # fmt: skip
def test_the_larger_of_both_ps_errs_as_an_independent_simulation_found(law, alone, now):
    for tails, expected in ((t_tails, alone), (both_tails, now)):
        one, _ = skewed_errors(law, CONTRASTS, tails)
        assert one == pytest.approx(expected, abs=four_errors(expected, CONTRASTS))


@pytest.mark.parametrize(("law", "alone", "now"), [("normal", 0.051, 0.045), ("exponential", 0.158, 0.089)])
def test_sameness_at_a_difference_of_delta_allows_for_skewness(law, alone, now):
    for tails, expected in ((t_tails, alone), (both_tails, now)):
        rate = same_at_delta(law, CONTRASTS, tails)
        assert rate == pytest.approx(expected, abs=four_errors(expected, CONTRASTS))


def test_a_difference_below_delta_is_never_called_larger_and_one_of_delta_rarely_either():
    below, at = sizes(0.6, 0.5, CONTRASTS), sizes(1.0, 1.0, CONTRASTS)
    assert below["wrong"] == 0 and below["more"] < 0.002 and sum(below.values()) > 0.99
    assert at["more"] + at["less"] + at["same"] <= 0.05 + four_errors(0.05, CONTRASTS)


def test_the_first_looks_seeds_keep_the_level_where_those_that_a_decision_chose_do_not():
    chosen, first = undeclared_errors(CONTRASTS)
    assert first == pytest.approx(0.05, abs=four_errors(0.05, CONTRASTS)) and chosen > 0.06


def test_an_arm_that_often_diverges_is_no_longer_called_better_by_signs():
    before, now = divergence_claims(8 / 30, CONTRASTS)
    assert before > 0.7 and now < 0.2


def test_the_corrected_estimate_is_too_large_as_often_as_too_small():
    by = exaggeration(1.0, 1.5, 15, CONTRASTS)
    assert by["corrected too large"] == pytest.approx(0.5, abs=0.05 + four_errors(0.5, CONTRASTS))
    assert by["corrected, of claims"] < by["mean of claims"]


def test_every_law_has_a_mean_of_zero():
    import numpy as np

    for draw in LAWS.values():
        d = draw(np.random.default_rng(1), CONTRASTS)
        assert abs(d.mean()) < 6 * d.std() / d.size**0.5
