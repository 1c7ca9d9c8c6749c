"""A gate's rule: what passes, what fails, and how often; simulate_verdicts.py prints all rates."""

import math
from collections.abc import Mapping

import numpy as np
import pytest

from tests.helpers.contrasts import LOOKS
from tests.helpers.designs import four_errors
from tests.simulations.noise_laws import LAWS, gate_law
from unrolled.bench.metric import Metric
from unrolled.reports.statistics.decisions import evaluate_looks
from unrolled.reports.statistics.gates import (
    GateDecision,
    GateOutcome,
    decide_gate,
    predict_gate,
    predict_gate_pairs,
    simulate_gates,
)
from unrolled.reports.statistics.look_input import LookInput
from unrolled.reports.statistics.looks import Looks
from unrolled.reports.statistics.pairs import JudgedScale, compare_pairs
from unrolled.reports.statistics.seed_values import SidePair

LOSS = Metric("loss", 1.0)
ACCURACY = Metric("accuracy", 0.02)
SEEDS = tuple(range(40))
GATES = 4_000


def make_pair(worse: np.ndarray, base: np.ndarray | None = None) -> tuple[dict[int, float], dict[int, float]]:
    """Return losses by seed of a head that is worse by so much on each."""
    base = np.arange(len(worse)) / 4 if base is None else base
    return dict(enumerate((base + worse).tolist())), dict(enumerate(base.tolist()))


def decide(sides: Mapping[str, Mapping[str, SidePair]], **facts: object) -> GateDecision[str]:
    """Return the gate's decision on values by variant and metric; `facts` are fields of a LookInput."""
    return decide_gate(
        LookInput(**{"seeds": SEEDS, "looks": LOOKS, "metrics": (LOSS,), "sides": sides, **facts})
    )


def judge_gate(worse: np.ndarray, looks: Looks = LOOKS, **facts: object) -> GateDecision[str]:
    """Return the gate's decision on a head that is worse by these losses."""
    return decide({"": {"loss": make_pair(worse)}}, looks=looks, **facts)


NOISE = np.random.default_rng(1).standard_normal(40)


@pytest.mark.parametrize("diverged_count", [0, 3])
def test_seeds_that_diverged_are_counted_though_a_bound_is_reached_early(diverged_count: int) -> None:
    accuracies = dict.fromkeys(SEEDS, 0.5)
    head, base = make_pair(1.3 * NOISE)
    diverged = dict.fromkeys(range(diverged_count), math.inf)
    sides = {
        "loss": (head | diverged, base | diverged),
        "accuracy": (accuracies | dict.fromkeys(diverged, -math.inf),) * 2,
    }
    gate = decide({"": sides}, metrics=(LOSS, ACCURACY), equal_seeds={"": SEEDS})
    assert gate.has_passed
    bounds = gate.bounds
    assert bounds["", "accuracy"].pair_count < bounds["", "loss"].pair_count
    assert {bound.diverged_count for bound in bounds.values()} == {diverged_count}


@pytest.mark.parametrize("law", ["normal", "exponential"])
def test_a_gate_is_what_is_simulated_of_gates(law: str) -> None:
    worse = 1.0 + gate_law(law, 1.0, 60, seed=2)
    worse[::2] -= 0.7
    gates = [judge_gate(x) for x in worse]
    pairs = [LOOKS.pair_counts[gate.looks_taken - 1] for gate in gates]
    passes = [gate.has_passed for gate in gates]
    assert 0 < np.mean(passes) < 1
    assert len(set(pairs)) > 2
    assert simulate_gates(worse, LOOKS, 1.0) == pytest.approx((np.mean(pairs), np.mean(passes)))


@pytest.mark.parametrize(("sd", "pairs", "unchanged"), [(0.5, 10, 1.0), (1.0, 13, 1.0), (1.5, 19, 0.98)])
def test_a_gate_passes_normal_pairs_at_its_rates(sd, pairs, unchanged) -> None:
    """The rates are those of an independent simulation, on its pairs."""
    same, at_delta, above_delta = (
        predict_gate(LOOKS, sd=sd, zone=1.0, effect=effect) for effect in (0.0, 1.0, 2.0)
    )
    assert same.passes >= unchanged - four_errors(0.98, GATES)
    assert same.pairs == pytest.approx(pairs, abs=1)
    assert at_delta.passes <= 0.05 + four_errors(0.05, GATES)
    assert at_delta.pairs == pytest.approx(38, abs=1)
    assert above_delta.passes == 0.0
    assert above_delta.pairs == pytest.approx(pairs, abs=1)


@pytest.mark.parametrize(("bounds", "pairs"), [(1, 13.0), (3, 16.5), (12, 21.5)])
def test_a_gate_by_several_bounds_takes_the_pairs_of_its_last_one(bounds: int, pairs: float) -> None:
    """Not the largest of their means, which is 13.1 however many they are; known from another simulation."""
    assert predict_gate_pairs(LOOKS, ((1.0, 1.0),) * bounds) == pytest.approx(pairs, abs=0.5)


@pytest.mark.parametrize(
    ("law", "at_delta", "unchanged"),
    [
        ("t, 3 degrees", 0.051, 0.95),
        ("exponential", 0.10, 0.86),
        ("lognormal", 0.175, 0.78),
        ("rare collapses", 0.59, 0.0),
    ],
)
def test_skewed_pairs_pass_no_more_often_at_delta_than_the_documents_say(law, at_delta, unchanged) -> None:
    worse = gate_law(law, 1.5 if law != "rare collapses" else 0.5, GATES)
    rate = simulate_gates(worse + 1.0, LOOKS, 1.0).passes
    assert rate <= at_delta + four_errors(at_delta, GATES)
    assert simulate_gates(worse, LOOKS, 1.0).passes >= unchanged
    assert rate > 0.55 or law in LAWS, "what ten pairs did not show"


def test_the_bound_is_the_smallest_repeated_one_sided_one() -> None:
    fixed = judge_gate(NOISE, Looks((40,))).bounds["", "loss"]
    ends = compare_pairs(*make_pair(NOISE), JudgedScale(1.0)).interval(0.05, tails=1)
    assert (fixed.upper, fixed.lower, fixed.pair_count) == (
        pytest.approx(ends.high),
        pytest.approx(ends.low),
        40,
    )
    wide = judge_gate(1.0 + 3 * NOISE)
    assert wide.looks_taken == 5
    assert not wide.has_passed
    assert "loss: not shown" in wide.fault
    bounds = [judge_gate((1.0 + 3 * NOISE)[:n]).bounds["", "loss"].upper for n in (10, 15, 20, 30)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[-1] >= wide.bounds["", "loss"].upper > 1.0


def test_a_metric_of_higher_values_is_judged_in_reverse() -> None:
    def make_accuracies(worse: float) -> dict[str, dict[str, SidePair]]:
        return {"": {"accuracy": make_pair(0.01 * NOISE - worse, 0.7 + np.arange(40) / 1024)}}

    for worse, passed, outcome in ((-0.1, True, GateOutcome.LESS), (0.1, False, GateOutcome.MORE)):
        gate = decide(make_accuracies(worse), metrics=(ACCURACY,))
        bound = gate.bounds["", "accuracy"]
        assert (gate.has_passed, bound.outcome, gate.looks_taken) == (passed, outcome, 1)
        assert bound.worse == pytest.approx(worse, abs=0.01)
        assert (bound.upper < 0.02) is passed


def test_every_metric_at_every_level_has_to_pass() -> None:
    good = make_pair(0.2 * NOISE)
    bad = make_pair(5 + 0.2 * NOISE)
    wide = make_pair(1 + 3 * NOISE)
    error_metric = Metric("error", 1.0)

    def decide_levels(**levels: tuple[SidePair, SidePair]) -> GateDecision[str]:
        pairs = {level: {"loss": loss, "error": error} for level, (loss, error) in levels.items()}
        return decide(pairs, metrics=(LOSS, error_metric))

    assert decide_levels(small=(good, good), large=(good, good)).has_passed
    gate = decide_levels(small=(good, good), large=(good, bad))
    assert (gate.has_passed, gate.looks_taken, gate.fault) == (False, 1, "large: error: more than δ worse")
    gate = decide_levels(small=(good, wide), large=(good, good))
    assert "small: error" in gate.fault and gate.bounds["small", "loss"].pair_count == 10, "shown at its look"


def test_a_gate_asks_for_the_seeds_of_its_next_look() -> None:
    gate = judge_gate((3 * NOISE)[:10])
    assert (gate.has_passed, gate.fault, gate.looks_taken, gate.next_seed_count) == (False, "", 1, 15)
    lost_seeds = {"": {40: "failed", 12: "failed"}}
    assert judge_gate(0.2 * NOISE, lost_reasons=lost_seeds).has_passed
    assert judge_gate(0.2 * NOISE[:10]).has_passed
    assert judge_gate(3 * NOISE, lost_reasons=lost_seeds).fault == "seed 12 failed"


def test_a_lost_seed_fails_the_gate_as_soon_as_it_is_lost() -> None:
    head, base = make_pair(0.2 * NOISE)
    del head[4]
    gate = decide(
        {"": {"loss": (head, base)}},
        lost_reasons={"": {4: "failed"}},
    )
    assert (gate.has_passed, gate.fault, gate.looks_taken) == (False, "seed 4 failed", 0)


def test_a_seed_that_diverges_at_the_head_alone_fails_the_gate() -> None:
    base = np.arange(40) / 4
    head = 0.2 * NOISE
    diverged = np.where(np.arange(40) < 3, math.inf, 0.0)
    assert "seed 0 diverged at the head" in judge_gate(head + diverged).fault
    for on_both_sides in (True, False):
        sides = make_pair(head + diverged if on_both_sides else head, base)
        sides[1].update(dict.fromkeys(range(3), math.inf))
        gate = decide({"": {"loss": sides}})
        assert gate.has_passed
        assert gate.bounds["", "loss"].pair_count == 7


def test_seeds_that_diverged_on_both_sides_hide_no_others_that_are_worse() -> None:
    """Twenty of thirty diverged on both sides, and the ten others are worse by 25 δ."""
    head = np.where(np.arange(30) < 20, math.inf, 25 + 0.1 * NOISE[:30])
    sides = make_pair(head)
    sides[1].update(dict.fromkeys(range(20), math.inf))
    gate = decide({"": {"loss": sides}}, seeds=range(30), looks=Looks((30,)))
    assert not gate.has_passed
    assert gate.fault == "loss: more than δ worse"


def test_equal_numbers_pass_only_where_they_are_fine() -> None:
    coarse = np.arange(40) % 2 / 2
    for equal, passes in (({}, False), ({"": SEEDS}, True)):
        ties = {"": {"loss": make_pair(np.zeros(40), coarse)}}
        assert decide(ties, equal_seeds=equal).has_passed is passes
    assert judge_gate(np.zeros(40)).has_passed, "hardly two of these numbers are alike"
    fixed = {"": {"loss": make_pair(NOISE), "parameters": make_pair(np.full(40, -100.0), np.full(40, 900.0))}}
    assert decide(fixed, metrics=(LOSS, Metric("parameters", 10.0, "lower"))).has_passed, "no seed changes it"
    shares = {"": {"accuracy": make_pair(np.zeros(200), np.arange(200) % 2 / 2)}}
    gate = decide(shares, seeds=range(200), looks=Looks((200,)), metrics=(ACCURACY,))
    assert gate.has_passed  # .98²⁰⁰ is .02


def test_a_side_that_ignores_the_seed_fails_before_any_look() -> None:
    """Such a head, which is worse by δ, would pass in .40 of gates."""
    sides = dict.fromkeys(SEEDS, 0.4), dict(enumerate(NOISE.tolist()))
    look_input = LookInput(sides={"": {"loss": sides}}, seeds=SEEDS, looks=LOOKS, metrics=(LOSS,))
    gate = decide_gate(look_input, {"": "the head ignores the seed"})
    assert (gate.has_passed, gate.looks_taken, gate.next_seed_count) == (False, 0, 0)
    assert gate.fault == "the head ignores the seed"


def test_a_gate_without_a_metric_or_with_too_few_seeds_is_refused() -> None:
    for metrics, seeds in (((), SEEDS), ((LOSS,), SEEDS[:30])):
        with pytest.raises(ValueError, match="need a metric"):
            decide({"": {}}, seeds=seeds, looks=LOOKS, metrics=metrics)
    with pytest.raises(ValueError, match="positive"):
        predict_gate(LOOKS, sd=0.0, zone=1.0)


def test_a_gate_that_passes_by_equal_values_has_no_open_verdict_beneath() -> None:
    accuracies = {seed: 0.5 + seed / 1000 for seed in range(10)}
    pairs = {"accuracy": (accuracies, {**accuracies}), "loss": make_pair(0.01 * NOISE[:10])}
    look_input = LookInput(
        sides={"head": pairs}, seeds=SEEDS, looks=Looks((10, 15)), metrics=(ACCURACY, LOSS)
    )
    gate = decide_gate(look_input)
    of_gate = evaluate_looks(look_input, stopping_rule="gate").verdicts["head"]
    assert gate.has_passed
    assert {name: v.kind for name, v in of_gate.items()} == {"accuracy": "same", "loss": "same"}
    of_study = evaluate_looks(look_input).verdicts["head"]
    assert of_study["accuracy"].kind == "open", "of a study's arms equal accuracies alone show no equality"
