"""The lines of a gate: a mean, the bound beside it, and δ in the direction that is worse."""

from dataclasses import replace

from tests.helpers.arms import make_arm
from tests.helpers.designs import compare, design_arms
from unrolled.bench.metric import Metric
from unrolled.reports.commits.gate_words import GateRow, list_gate_rows
from unrolled.reports.statistics.gates import Bound, GateDecision


def make_row(bound: Bound) -> GateRow:
    """Return the row of a gate with this bound."""
    comparison = compare(design_arms((make_arm("base", 0.0), make_arm("head", 0.1))))
    gate = GateDecision(bounds={("", bound.metric.name): bound}, looks_taken=1, next_seed_count=0)
    (row,) = list_gate_rows(replace(comparison, gate=gate))
    return row


def test_a_mean_beyond_the_bound_of_an_earlier_look_is_told_apart() -> None:
    loss = Metric("valid_loss", 1.0, "lower")
    assert (
        "earlier look" in make_row(Bound(metric=loss, pair_count=40, worse=1.2, upper=1.1, lower=0.2)).worst
    )
    assert (
        "earlier look"
        not in make_row(Bound(metric=loss, pair_count=40, worse=1.0, upper=1.1, lower=0.2)).worst
    )


def test_a_delta_in_per_cent_is_the_fall_that_is_too_much() -> None:
    speed = Metric("tokens_per_second", 25.0, ratio=True, kind="speed")
    assert (
        make_row(Bound(metric=speed, pair_count=10, worse=25.0, upper=30.0, lower=23.0)).delta == "20 % lower"
    )


def test_a_bound_below_delta_is_not_rounded_to_it() -> None:
    loss = Metric("valid_loss", 0.02, "lower")
    row = make_row(Bound(metric=loss, pair_count=20, worse=0.012, upper=0.0196, lower=0.004))
    assert row.worst.split()[0] != row.delta.split()[0]
    assert row.worst.startswith("0.0196")
