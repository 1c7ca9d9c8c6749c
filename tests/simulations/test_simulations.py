"""The simulations in short: what each rule of a verdict mends, within four standard errors."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.designs import four_errors
from tests.simulations import rules
from tests.simulations.noise_laws import both_tails, t_tails
from tests.simulations.simulate_interactions import simulate_rates as interaction_rates
from tests.simulations.simulate_verdicts import (
    simulate_divergence_claims,
    simulate_exaggeration,
    simulate_same_at_delta,
    simulate_sizes,
    simulate_skewed_errors,
    simulate_undeclared_errors,
)
from unrolled.reports.statistics.pairs import JudgedScale, LostPairs, compare_pairs

CONTRASTS = 4_000


@pytest.mark.parametrize(
    ("law", "plain_rate", "corrected_rate"),
    [("normal", 0.05, 0.042), ("t, 3 degrees", 0.037, 0.035), ("exponential", 0.118, 0.059),
     ("lognormal", 0.211, 0.105), ("a collapse in 5 %", 0.183, 0.164)],
)  # fmt: skip
def test_the_larger_of_both_ps_errs_as_an_independent_simulation_found(law, plain_rate, corrected_rate):
    for tails, expected in ((t_tails, plain_rate), (both_tails, corrected_rate)):
        rate, _ = simulate_skewed_errors(law, CONTRASTS, tails)
        assert rate == pytest.approx(expected, abs=four_errors(expected, CONTRASTS))


@pytest.mark.parametrize(
    ("law", "plain_rate", "corrected_rate"), [("normal", 0.051, 0.045), ("exponential", 0.158, 0.089)]
)
def test_sameness_at_a_difference_of_delta_allows_for_skewness(law, plain_rate, corrected_rate):
    for tails, expected in ((t_tails, plain_rate), (both_tails, corrected_rate)):
        rate = simulate_same_at_delta(law, CONTRASTS, tails)
        assert rate == pytest.approx(expected, abs=four_errors(expected, CONTRASTS))


def test_a_difference_of_at_most_delta_is_rarely_called_larger():
    below = simulate_sizes(0.6, 0.5, CONTRASTS)
    shares = simulate_sizes(1.0, 1.0, CONTRASTS)
    assert below["wrong"] == 0
    assert below["more"] < 0.002
    assert sum(below.values()) > 0.99
    assert shares["more"] + shares["less"] + shares["same"] <= 0.05 + four_errors(0.05, CONTRASTS)


def test_the_first_looks_seeds_keep_the_level():
    chosen, first = simulate_undeclared_errors(CONTRASTS)
    assert first == pytest.approx(0.05, abs=four_errors(0.05, CONTRASTS))
    assert chosen > 0.06


def test_an_arm_that_often_diverges_is_no_longer_called_better_by_signs():
    old_rate, new_rate = simulate_divergence_claims(8 / 30, CONTRASTS)
    assert old_rate > 0.7
    assert new_rate < 0.2


def test_the_corrected_estimate_is_too_large_as_often_as_too_small():
    rates = simulate_exaggeration(1.0, 1.5, 15, 300)  # each is sought in 24 steps
    assert rates["corrected too large"] < rates["mean too large"]
    assert rates["corrected too large"] == pytest.approx(0.5, abs=0.05 + four_errors(0.5, 300))
    assert rates["corrected, of claims"] < rates["mean of claims"]


def test_effects_that_add_up_rarely_interact():
    word_rate, interaction_rate = interaction_rates(1.0, 1.5, 40)
    assert word_rate > 0.9
    assert interaction_rate <= 0.05 + four_errors(0.05, 40)


@pytest.mark.parametrize(("law", "complete_rate"), [("exponential", 0.059), ("lognormal", 0.106)])
def test_one_lost_pair_makes_no_claim_that_all_pairs_would_not_make(law, complete_rate):
    old_rate, new_rate = rules.simulate_lost_pair(law, CONTRASTS, 0)
    assert new_rate < complete_rate - four_errors(complete_rate, CONTRASTS)
    assert old_rate > 3 * complete_rate


def test_the_simulated_rule_of_lost_pairs_is_that_of_a_contrast():
    x = np.random.default_rng(1).standard_exponential((5, 12)) - 0.4
    tails = np.array(rules.compute_tails_of_lost(x, 2)).T
    for sample, expected in zip(x, tails, strict=True):
        c = compare_pairs(
            dict(enumerate(sample)), dict.fromkeys(range(12), 0.0), JudgedScale(1.0), lost_pairs=LostPairs(2)
        )
        assert c.p == pytest.approx(min(1.0, 2 * min(expected)))


def test_an_arm_whose_baselines_best_runs_are_missing_is_not_better():
    old_rate, new_rate = rules.simulate_missing_runs(6, CONTRASTS, 0)
    assert old_rate > 0.2
    assert new_rate < 0.002


def test_a_studys_table_by_columns_errs_no_more_often_than_the_study():
    old_rate, new_rate = rules.simulate_table_by_columns(CONTRASTS, 0)
    assert old_rate > 0.055
    assert new_rate <= 0.05 + four_errors(0.05, CONTRASTS)


def test_ties_of_a_few_items_are_rarely_the_same_at_delta():
    (old_rate, new_rate), (_, new_rate_of_fifteen) = rules.simulate_ties(CONTRASTS, 0)
    assert old_rate == pytest.approx(0.082, abs=four_errors(0.082, CONTRASTS))
    assert new_rate < 0.005
    assert new_rate_of_fifteen < 0.025


def test_skewed_samples_of_unequal_spread_often_differ():
    assert rules.simulate_unpaired("lognormal", 300, 1)[1] < 0.06
    assert rules.simulate_unpaired("lognormal", 300, 1, spread=4.0)[1] == pytest.approx(0.170, abs=0.04)


def test_a_copied_run_differs_from_nothing():
    old_rate, new_rate = rules.simulate_copied_run(CONTRASTS, 0)
    assert old_rate == pytest.approx(0.47, abs=four_errors(0.47, CONTRASTS))
    assert new_rate == 0
    assert rules.simulate_warnings("lognormal", 400, 0) == (0.0, 1.0)


@pytest.mark.parametrize("script", sorted(Path(__file__).parent.glob("simulate_*.py")), ids=lambda x: x.stem)
def test_help_says_what_a_simulation_does(script, monkeypatch, capsys):
    monkeypatch.setattr(sys, "path", [path for path in sys.path if Path(path) != script.parents[2]])
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        monkeypatch.delitem(sys.modules, name)  # a script has to find them
    monkeypatch.setattr(sys, "argv", [script.name, "--help"])
    with pytest.raises(SystemExit, match="0"):
        runpy.run_path(str(script), run_name="__main__")
    assert "python tests/simulations/" in capsys.readouterr().out
