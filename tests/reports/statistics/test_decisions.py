"""The walk over the looks: what is read, what is frozen, what is asked for."""

import math

import numpy as np
import pytest

from tests.helpers.contrasts import LOOKS
from tests.reports.statistics.look_pairs import (
    ACCURACY,
    LOSS,
    PAIRS,
    SEEDS,
    cut_pairs,
    get_halt_reasons,
    get_outcome,
    make_arm,
    run_looks,
)
from unrolled.reports.statistics.corrections import benjamini_hochberg
from unrolled.reports.statistics.decisions import evaluate_looks
from unrolled.reports.statistics.look_input import LookInput
from unrolled.reports.statistics.looks import Looks
from unrolled.reports.statistics.pairs import JudgedScale, compare_pairs
from unrolled.reports.statistics.seed_values import SidePair
from unrolled.reports.statistics.verdicts import judge_contrasts
from unrolled.reports.words.sentences import describe_stage


def test_each_contrast_ends_at_its_own_look() -> None:
    decisions = run_looks(PAIRS)
    assert get_outcome(decisions, "better") == ("better", 10)
    assert get_outcome(decisions, "same") == ("same", 10)
    assert get_outcome(decisions, "worse")[0] == "worse"
    assert 10 < get_outcome(decisions, "worse")[1] < 40
    assert get_outcome(decisions, "wide") == ("open", 40)
    assert decisions.looks_taken == 5
    assert set(decisions.next_seed_counts.values()) == {0}
    assert not any(get_halt_reasons(decisions).values())
    assert [decisions.verdicts[n]["valid_accuracy"].state.has_ended for n in PAIRS] == [
        True,
        True,
        True,
        False,
    ]


def test_seeds_beyond_a_look_change_nothing() -> None:
    rng = np.random.default_rng(5)
    for trial in range(6):
        pairs = {f"{i}": make_arm(rng.choice([0, 0.03, 0.1]), 0.04, 10 * trial + i) for i in range(4)}
        state = run_looks(cut_pairs(pairs, 0))
        names = list(pairs)
        while any(state.next_seed_counts.values()):
            needed = {name: state.next_seed_counts[name] or get_outcome(state, name)[1] for name in names}
            minimal = {name: cut_pairs(pairs, n)[name] for name, n in needed.items()}
            extra = {name: cut_pairs(pairs, int(rng.integers(n, 41)))[name] for name, n in needed.items()}
            wild = {s: (math.inf if s % 3 else 9.0) for s in SEEDS if s not in SEEDS[: max(needed.values())]}
            extra = {
                name: {metric: ({**arm, **wild}, base) for metric, (arm, base) in by_metric.items()}
                for name, by_metric in extra.items()
            }
            state = run_looks(minimal)
            looked = run_looks(cut_pairs(extra, max(needed.values())))
            assert looked == state  # seeds of others' looks, in a contrast that is decided, too
        assert (
            run_looks(minimal) == run_looks({**minimal, **{n: pairs[n] for n in names}}) == run_looks(pairs)
        )


def test_a_look_waits_for_every_open_contrast() -> None:
    some = {**cut_pairs(PAIRS, 10), "wide": cut_pairs(PAIRS, 9)["wide"]}
    decisions = run_looks(some)
    assert decisions.looks_taken == 0
    assert set(decisions.next_seed_counts.values()) == {10}
    verdict = decisions.verdicts["better"]["valid_accuracy"]
    assert (
        verdict.kind,
        verdict.adjusted_difference.p,
        verdict.adjusted_equivalence.p,
        verdict.contrast.pair_count,
    ) == (
        "open",
        1.0,
        1.0,
        10,
    )
    assert not verdict.state.has_ended
    assert "open after 10 of 40 seeds" in describe_stage(verdict)
    assert "open after 9 of 40 seeds" in describe_stage(decisions.verdicts["wide"]["valid_accuracy"])
    assert verdict.contrast.interval() and verdict.interval is None, "no look has been taken yet"
    one_metric = {
        **cut_pairs(PAIRS, 10),
        "wide": {"valid_accuracy": cut_pairs(PAIRS, 10)["wide"]["valid_accuracy"]},
    }
    assert run_looks(one_metric).looks_taken == 0
    first_look = run_looks(cut_pairs(PAIRS, 10))
    assert all(v.interval for by_metric in first_look.verdicts.values() for v in by_metric.values())
    assert first_look.looks_taken == 1
    assert first_look.next_seed_counts == {
        "better": 0,
        "same": 0,
        "worse": 15,
        "wide": 15,
    }


def test_contrasts_without_results_are_in_the_family() -> None:
    decisions = run_looks({"alone": PAIRS["worse"], **{f"{i}": {} for i in range(9)}})
    assert decisions.looks_taken == 0
    assert decisions.verdicts["0"]["valid_loss"].contrast.pair_count == 0
    lost = {f"{i}": dict.fromkeys(SEEDS, "failed") for i in range(9)}
    single = run_looks({"alone": PAIRS["worse"]})
    family = run_looks({"alone": PAIRS["worse"], **{n: {} for n in lost}}, lost_reasons=lost)
    assert family.verdicts["alone"]["valid_accuracy"].contrast.family_size == 10
    assert get_outcome(family, "alone")[1] > get_outcome(single, "alone")[1]


def test_a_study_may_go_on_until_the_size_is_settled() -> None:
    pairs = {"x": make_arm(0.03, 0.03, 12), "same": PAIRS["same"]}
    by_direction, by_size = (run_looks(pairs, stopping_rule=x) for x in ("direction", "size"))
    early, settled = (d.verdicts["x"]["valid_accuracy"] for d in (by_direction, by_size))
    assert early.text == "better, size not settled"
    assert early.state.has_ended
    assert settled.text == "better by more than δ"
    assert settled.state.has_ended
    assert early.contrast.pair_count < settled.contrast.pair_count
    assert get_outcome(by_size, "same") == get_outcome(by_direction, "same")


def test_the_other_metric_is_judged_where_the_first_one_stopped() -> None:
    for name, by_metric in run_looks(PAIRS).verdicts.items():
        assert list(by_metric) == ["valid_accuracy", "valid_loss"]
        assert (
            by_metric["valid_loss"].contrast.pair_count == by_metric["valid_accuracy"].contrast.pair_count
        ), name
        assert by_metric["valid_loss"].contrast.zone == 0.05
        assert by_metric["valid_loss"].contrast.lower_is_better
    loud = {"x": {**PAIRS["better"], "valid_loss": make_arm(0, 0.4, 6)["valid_loss"]}}
    verdict = run_looks(loud).verdicts["x"]["valid_loss"]
    assert verdict.state.has_ended
    assert verdict.kind == "open"
    assert "open at 10 of 40 seeds, where the first metric was decided" in describe_stage(verdict)
    going_on = {"x": {**cut_pairs(PAIRS, 10)["wide"], "valid_loss": PAIRS["better"]["valid_loss"]}}
    verdict = run_looks(going_on).verdicts["x"]["valid_loss"]
    assert verdict.makes_claim
    assert describe_stage(verdict) == "by the first metric the contrast is open after 10 of 40 seeds"


def test_a_direction_needs_the_estimate_that_is_claimed() -> None:
    """p of the first falls to .02 at 10 seeds; its mean turns before the second is decided."""

    def make_sides(*parts: tuple[int, float, float]) -> dict[str, SidePair]:
        d = [mean + spread * (-1) ** i for n, mean, spread in parts for i in range(n)]
        return {"valid_accuracy": (dict(zip(SEEDS, d, strict=False)), dict.fromkeys(SEEDS, 0.0))}

    turning = make_sides((10, 0.018, 0.02), (5, -0.4, 0.1))
    pairs = {"turning": turning, "late": make_sides((10, 0.06, 0.1), (5, 0.1, 0.0))}
    d = evaluate_looks(LookInput(sides=pairs, seeds=SEEDS, looks=Looks((10, 15)), metrics=(ACCURACY,)))
    assert get_outcome(d, "late") == ("better", 15)
    verdict = d.verdicts["turning"]["valid_accuracy"]
    assert verdict.adjusted_difference.p <= 0.05
    assert verdict.contrast.mean_difference < 0  # significant, by the look where it was positive
    assert verdict.kind == "open"
    assert not verdict.state.has_ended


def test_ties_are_equivalent_as_far_as_a_look_shows() -> None:
    baseline_values = PAIRS["same"]["valid_accuracy"][1]
    tied = {"x": dict.fromkeys(("valid_accuracy", "valid_loss"), (dict(baseline_values), baseline_values))}
    decisions = run_looks(tied)
    assert get_outcome(decisions, "x") == ("open", 40)  # .98 to the 40th is .45
    assert decisions.verdicts["x"]["valid_accuracy"].adjusted_equivalence.p == pytest.approx(
        LOOKS.compute_p(0.98**40, 1), abs=1e-3
    )
    assert get_outcome(run_looks(tied, equal_seeds={"x": SEEDS}), "x") == ("same", 10)
    assert get_outcome(run_looks(tied, equal_seeds={"x": SEEDS[:9]}), "x")[0] == "open"


def test_fewer_than_five_pairs_decide_nothing() -> None:
    decisions = run_looks({"x": PAIRS["better"]}, looks=Looks((3, 4, 6)))
    verdict = decisions.verdicts["x"]["valid_accuracy"]
    assert (verdict.kind, verdict.contrast.pair_count, verdict.is_provisional) == ("better", 6, True)


def test_one_look_is_the_fixed_design() -> None:
    contrasts = {
        name: compare_pairs(*by_metric["valid_accuracy"], JudgedScale(0.02, lower_is_better=False))
        for name, by_metric in cut_pairs(PAIRS, 10).items()
    }
    fixed = judge_contrasts(contrasts)
    decisions = run_looks(PAIRS, looks=Looks((10,)))
    for name, v in fixed.items():
        same = decisions.verdicts[name]["valid_accuracy"]
        assert (same.kind, same.adjusted_difference.p, same.adjusted_equivalence.p) == (
            v.kind,
            v.adjusted_difference.p,
            v.adjusted_equivalence.p,
        )
        assert same.interval == v.interval
        assert " of 10 seeds" not in describe_stage(v)


def test_the_correction_may_be_another() -> None:
    eight_arms = {f"{i}": make_arm(0.055, 0.05, 20 + i) for i in range(8)}
    holm, milder = (
        run_looks(cut_pairs(eight_arms, 10), **options) for options in ({}, {"adjust": benjamini_hochberg})
    )
    assert sum(milder.next_seed_counts.values()) < sum(holm.next_seed_counts.values())


def test_a_study_that_cannot_reach_its_looks_is_refused() -> None:
    for seeds, metrics in ((SEEDS[:39], (LOSS,)), (SEEDS, ()), ((*SEEDS, 10), (LOSS,))):
        with pytest.raises(ValueError, match="up to 40"):
            evaluate_looks(LookInput(sides={}, seeds=seeds, looks=LOOKS, metrics=metrics))
    assert run_looks({}).looks_taken == 0
    assert run_looks({}).verdicts == {}
