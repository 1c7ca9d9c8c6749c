"""Contrasts that are given up: the chance that is predicted, and what giving up does to a study."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import special

from tests.helpers.contrasts import LOOKS
from tests.helpers.designs import four_errors
from tests.simulations.simulate_futility import DELTA, judge_noise, judge_study, resample_study
from unrolled.bench.metric import Metric
from unrolled.reports.statistics import power
from unrolled.reports.statistics.decisions import evaluate_looks
from unrolled.reports.statistics.estimators import Moments, mean_interval, moments
from unrolled.reports.statistics.expected_seeds import predict_contrast
from unrolled.reports.statistics.futility import FUTILE_CHANCE, MOST_SEEDS, LastLookTest
from unrolled.reports.statistics.look_input import LookInput
from unrolled.reports.statistics.looks import Looks

TEST = LastLookTest(looks=LOOKS, zone=1.0, alpha=0.05, alpha_same=0.05)
DRAWS = 20_000


def make_moments(mean: float, sd: float, n: int = 10, skewness: float = 0.0) -> Moments:
    """Return the moments of one sample."""
    return Moments(n, *map(np.asarray, (mean, sd, skewness)))


def simulate_last_look(m: Moments, true_mean: np.ndarray | float, true_sd: float) -> Moments:
    """Return the moments at the last look of contrasts that have `m` so far; pairs are normal."""
    rng = np.random.default_rng(1)
    last = LOOKS.last_pair_count
    later = moments(true_mean + true_sd * rng.standard_normal((DRAWS, last - m.n)))
    remaining = last - m.n
    mean = (m.n * m.mean + remaining * later.mean) / last
    between = m.n * (m.mean - mean) ** 2 + remaining * (later.mean - mean) ** 2
    squares = (m.n - 1) * m.sd**2 + (remaining - 1) * later.sd**2 + between
    return Moments(last, mean, np.sqrt(squares / (last - 1)), np.zeros(DRAWS))


@pytest.mark.parametrize(("mean", "sd"), [(0.3, 2.0), (-1.0, 2.5), (0.8, 6.0)])
@pytest.mark.parametrize("until_size", [False, True])
def test_a_chance_is_that_of_simulated_pairs_of_a_favourable_truth(mean, sd, until_size) -> None:
    m = make_moments(mean, sd)
    test = replace(TEST, until_size=until_size)
    # the true SD that is smaller in one of six cases: χ² with 9 degrees of freedom, upper sixth, is 13.025
    true_sd = sd * math.sqrt(9 / 13.025)
    flat = mean + true_sd / math.sqrt(m.n) * np.random.default_rng(2).standard_normal((DRAWS, 1))
    low, high = mean_interval(simulate_last_look(m, flat, true_sd), LOOKS.find_critical_q(0.05))
    different = (low > 0) | (high < 0)
    if until_size:
        different &= (low > 1) | (high < -1) | ((low > -1) & (high < 1))
    nearer = math.copysign(max(0.0, abs(mean) - 0.9674 * true_sd / math.sqrt(10)), mean)
    low, high = mean_interval(
        simulate_last_look(m, nearer, true_sd), 2 * LOOKS.find_critical_q(0.05, tails=1)
    )
    chances = test.predict_chances(m)
    for chance, rate in (
        (chances.difference, different.mean()),
        (chances.same, np.mean((low > -1) & (high < 1))),
    ):
        assert chance == pytest.approx(rate, abs=0.01 + four_errors(0.5, DRAWS))


def test_a_contrast_and_its_mirror_image_have_the_same_chance() -> None:
    for m in (make_moments(0.4, 2.0, skewness=0.9), make_moments(1.2, 3.0, skewness=-0.5)):
        turned = m._replace(mean=-m.mean, skewness=-m.skewness)
        assert TEST.predict_chances(m).decided == pytest.approx(TEST.predict_chances(turned).decided)


def test_the_seeds_that_would_decide_are_those_of_the_power_of_t() -> None:
    test = LastLookTest(looks=Looks((10,)), zone=0.001, alpha=0.05, alpha_same=0.05)
    for dz in (0.3, 0.5, 0.7):
        assert test.count_seeds_needed(make_moments(dz, 1.0)) == pytest.approx(
            power.count_seeds_needed(dz), abs=2
        )
    # the power of equivalence at a difference of 0 is 2 Φ(δ √n/SD − z₀.₉₅) − 1; .05 are called different
    assert replace(test, zone=1.0).count_seeds_needed(make_moments(0.0, 3.0)) == pytest.approx(71, abs=3)
    assert replace(test, zone=1.0).count_seeds_needed(make_moments(0.999, 30.0)) is None


@pytest.mark.parametrize("until_size", [False, True])
@pytest.mark.parametrize(("mean", "sd"), [(0.5, 1.5), (0.4, 2.5), (0.0, 3.0), (1.5, 2.5)])
def test_about_as_many_seeds_as_are_named_decide_four_in_five_contrasts(mean, sd, until_size) -> None:
    """As a difference or as the same: nearly twice as many were named where either chance counted alone."""
    test = replace(TEST, looks=Looks((10,)), until_size=until_size)
    n = test.count_seeds_needed(make_moments(mean, sd))
    m = moments(mean + sd * np.random.default_rng(0).standard_normal((4_000, n)))
    low, high = mean_interval(m, test.looks.find_critical_q(0.05))
    decided = (low > 0) | (high < 0)
    if until_size:
        decided &= (low > 1) | (high < -1) | ((low > -1) & (high < 1))
    low, high = mean_interval(m, 2 * test.looks.find_critical_q(0.05, tails=1))
    decided |= (low > -1) & (high < 1)
    assert decided.mean() == pytest.approx(0.8, abs=0.03)


def make_differences(mean: float, sd: float) -> np.ndarray:
    """Return forty differences of which every ten have this mean and SD."""
    ten = special.ndtri((np.arange(10) + 0.5) / 10)
    return np.tile(mean + sd * ten / ten.std(ddof=1), 4)


def test_a_noisy_contrast_is_given_up_with_the_seeds_it_needs() -> None:
    study = {
        "noise": make_differences(0, 4),
        "great noise": make_differences(1, 40),
        "clear": make_differences(5, 3),
    }
    unbounded, bounded = (judge_study(study, DELTA, LOOKS, bound) for bound in (0.0, FUTILE_CHANCE))
    assert [v.contrast.pair_count for v in unbounded.values()] == [40, 40, 10]
    assert [v.contrast.pair_count for v in bounded.values()] == [20, 20, 10]
    v = bounded["noise"]
    assert v.state.is_futile
    assert not v.state.has_ended
    assert v.kind == "open"
    # SD² (Φ⁻¹(1 − critical) + Φ⁻¹(.9))², where critical is the Q of the equivalence's step, at most .05/2
    variance = v.contrast.sd**2
    fewest, most_seeds = (
        variance * (special.ndtri(1 - LOOKS.find_critical_q(x, 1)) + 1.2816) ** 2 for x in (0.05, 0.05 / 3)
    )
    seeds = int(v.state.halt_reason.removeprefix("about ").removesuffix(" seeds would decide it"))
    assert fewest < seeds < 1.05 * most_seeds
    assert bounded["great noise"].state.halt_reason == f"more than {MOST_SEEDS:,} seeds would decide it"
    assert bounded["clear"].state.has_ended
    assert bounded["clear"].contrast.family_size == 3


def test_nothing_is_given_up_early_by_signs_or_few_pairs() -> None:
    noise = make_differences(0, 4)
    assert not judge_study({"x": noise[:9]}, DELTA, LOOKS, FUTILE_CHANCE)["x"].state.is_futile
    assert judge_study({"x": noise}, DELTA, Looks((4, 40)), FUTILE_CHANCE)["x"].contrast.pair_count == 40
    seeds = range(40)
    zero = dict.fromkeys(range(40), 0.0)
    diverged = dict(enumerate(noise.tolist())) | {3: math.inf}
    lost = {seed: x for seed, x in enumerate(noise.tolist()) if seed != 3}
    for arm, failures in ((diverged, {}), (lost, {"x": {3: "failed"}})):
        pairs = {"x": {DELTA.name: (arm, zero)}}
        decisions = evaluate_looks(
            LookInput(sides=pairs, seeds=seeds, looks=LOOKS, metrics=[DELTA], lost_reasons=failures),
            futility=FUTILE_CHANCE,
        )
        verdict = decisions.verdicts["x"][DELTA.name]
        assert verdict.contrast.pair_count >= 39
        assert not verdict.state.is_futile


def test_a_contrast_that_is_given_up_asks_for_no_seeds() -> None:
    metrics = (DELTA, Metric("y", 1.0, "higher"))
    zero = dict.fromkeys(range(20), 0.0)
    pairs = {
        name: {m.name: (dict(enumerate(x[:20].tolist())), zero) for m in metrics}
        for name, x in (("noise", make_differences(0, 4)), ("some", make_differences(1, 2)))
    }
    decisions = evaluate_looks(
        LookInput(sides=pairs, seeds=range(40), looks=LOOKS, metrics=metrics), futility=FUTILE_CHANCE
    )
    assert decisions.looks_taken == 3
    assert decisions.next_seed_counts == {"noise": 0, "some": 30}
    assert decisions.verdicts["noise"]["y"].state.is_futile
    assert not decisions.verdicts["some"]["y"].state.is_futile


@pytest.mark.parametrize("rule", ["direction", "size"])
def test_a_direction_is_given_up_if_its_size_stays_open(rule: str) -> None:
    pairs = {
        "x": {DELTA.name: (dict(enumerate(make_differences(1, 0.5).tolist())), dict.fromkeys(range(40), 0.0))}
    }
    decisions = evaluate_looks(
        LookInput(sides=pairs, seeds=range(40), looks=LOOKS, metrics=[DELTA]),
        stopping_rule=rule,
        futility=FUTILE_CHANCE,
    )
    verdict = decisions.verdicts["x"][DELTA.name]
    assert verdict.text == "better, size not settled"
    assert verdict.contrast.pair_count < 40
    assert verdict.state.has_ended is (rule == "direction") is not verdict.state.is_futile
    assert verdict.state.halt_reason in ("", "more than 1,000 seeds would settle its size")


@pytest.mark.parametrize("law", ["normal", "exponential"])
def test_giving_up_makes_no_wrong_claim_that_going_on_does_not_make(law: str) -> None:
    outcomes = judge_noise(law, 6, 3.0, 20, (0.0, FUTILE_CHANCE))
    assert outcomes[FUTILE_CHANCE].wrong <= outcomes[0.0].wrong <= 0.2
    assert outcomes[FUTILE_CHANCE].trained < 0.6 * outcomes[0.0].trained


def test_on_stored_differences_at_most_one_verdict_of_a_hundred_is_lost() -> None:
    outcomes = resample_study("toggles", 5, (0.0, FUTILE_CHANCE))
    lost = outcomes[0.0].verdicts - outcomes[FUTILE_CHANCE].verdicts
    assert lost <= 0.01 * outcomes[0.0].verdicts
    assert outcomes[FUTILE_CHANCE].trained < outcomes[0.0].trained


def test_without_a_difference_a_plan_expects_less_than_half_of_the_seeds() -> None:
    """Conditional power, computed apart, gives 39.9 and 13.3 seeds."""
    wide = {"sd": 3.0, "zone": 1.0, "effect": 0.0, "family_size": 9}
    assert predict_contrast(LOOKS, **wide).seeds == pytest.approx(39.9, abs=0.1)
    assert predict_contrast(LOOKS, **wide, futility=FUTILE_CHANCE).seeds == pytest.approx(16.9, abs=0.3)
