"""What becomes of a contrast at its looks where seeds failed or diverged."""

import math

import numpy as np

from tests.helpers.contrasts import LOOKS
from tests.reports.statistics.look_pairs import (
    ACCURACY,
    LOSS,
    PAIRS,
    SEEDS,
    cut_pairs,
    get_halt_reasons,
    get_outcome,
    run_looks,
)
from unrolled.reports.statistics.decisions import evaluate_looks
from unrolled.reports.statistics.look_input import LookInput
from unrolled.reports.statistics.looks import Looks
from unrolled.reports.statistics.seed_values import SidePair
from unrolled.reports.words.sentences import describe_stage


def drop_seeds(pair: dict[str, SidePair], *seeds: int) -> dict[str, SidePair]:
    """Return the pair whose arm failed on these seeds."""
    return {m: ({s: v for s, v in a.items() if s not in seeds}, b) for m, (a, b) in pair.items()}


def test_a_contrast_that_lost_a_seed_goes_on_by_signs() -> None:
    pairs = {
        **PAIRS,
        "better": drop_seeds(PAIRS["better"], SEEDS[2]),
        "wide": drop_seeds(PAIRS["wide"], SEEDS[12]),
    }
    failures = {"better": {SEEDS[2]: "failed"}, "wide": {SEEDS[12]: "failed"}}
    decisions = run_looks(pairs, lost_reasons=failures)
    verdict = decisions.verdicts["better"]["valid_accuracy"]
    assert get_outcome(decisions, "better") == ("better", 14)  # 10 pairs with one lost: p .021
    assert verdict.contrast.lost_count == 1
    assert verdict.interval.low in verdict.contrast.differences.values()
    assert get_outcome(decisions, "wide") == ("open", 39)
    assert not any(get_halt_reasons(decisions).values())
    assert get_outcome(decisions, "worse") == get_outcome(run_looks(PAIRS), "worse")


def test_a_seed_is_lost_for_the_metrics_that_lack_it_alone() -> None:
    arm, baseline = PAIRS["better"]["valid_loss"]
    partial = {**PAIRS["better"], "valid_loss": ({s: x for s, x in arm.items() if s != SEEDS[2]}, baseline)}
    decisions = run_looks(
        {**PAIRS, "better": partial}, lost_reasons={"better": {SEEDS[2]: "has no valid_loss to judge"}}
    )
    assert get_outcome(decisions, "better") == ("better", 10)
    assert [v.contrast.lost_count for v in decisions.verdicts["better"].values()] == [0, 1]


def test_a_contrast_with_a_value_that_cannot_be_judged_stays_open() -> None:
    """A reward of −5 has no ratio, and is worse than the worst pair that a lost seed is taken to be."""
    facts = {
        "lost_reasons": {"better": {SEEDS[2]: "has no reward to judge"}},
        "barred_seeds": {"better": {SEEDS[2]}},
    }
    decisions = run_looks({**PAIRS, "better": drop_seeds(PAIRS["better"], SEEDS[2])}, **facts)
    assert get_halt_reasons(decisions)["better"] == f"seed {SEEDS[2]} has no reward to judge"
    assert get_outcome(decisions, "better")[0] == "open"
    assert decisions.next_seed_counts["better"] == 0
    assert get_outcome(decisions, "worse") == get_outcome(run_looks(PAIRS), "worse")


def test_a_contrast_that_lost_half_of_a_look_stays_open() -> None:
    failed_seeds = SEEDS[6:16]
    pairs = {**PAIRS, "wide": drop_seeds(PAIRS["wide"], *failed_seeds)}
    decisions = run_looks(pairs, lost_reasons={"wide": dict.fromkeys(failed_seeds, "failed")})
    assert get_halt_reasons(decisions)["wide"] == "seed 16 failed, seed 17 failed and 7 more"
    assert decisions.next_seed_counts["wide"] == 0
    assert get_outcome(decisions, "wide") == ("open", 6)
    assert get_outcome(decisions, "worse")[0] == "worse"
    assert "open: seed 16 failed" in describe_stage(decisions.verdicts["wide"]["valid_accuracy"])
    later = run_looks(
        cut_pairs(PAIRS, 10),
        lost_reasons={"wide": dict.fromkeys(failed_seeds, "failed"), "worse": {SEEDS[30]: "failed"}},
    )
    assert later.next_seed_counts["wide"] == 0
    assert later.next_seed_counts["worse"] == 15
    assert not get_halt_reasons(
        run_looks(PAIRS, lost_reasons={"better": dict.fromkeys(SEEDS[12:], "failed")})
    )["better"]  # decided before


def test_divergence_is_a_verdict_of_its_own_that_decides() -> None:
    rng = np.random.default_rng(8)
    baseline_values = {s: 1.0 + 0.01 * rng.standard_normal() for s in SEEDS}
    arm_values = {s: math.inf if s % 4 else x - 0.001 for s, x in baseline_values.items()}
    decisions = evaluate_looks(
        LookInput(
            sides={"x": {"valid_loss": (arm_values, baseline_values)}},
            seeds=SEEDS,
            looks=LOOKS,
            metrics=(LOSS,),
        )
    )
    verdict = decisions.verdicts["x"]["valid_loss"]
    assert verdict.state.has_ended
    assert verdict.divergence_direction == "worse"
    assert verdict.contrast.pair_count < 40


def test_a_diverged_seed_undoes_an_equivalence_of_an_earlier_look() -> None:
    same = {s: 0.7 + 0.004 * (-1) ** s for s in SEEDS}
    baseline_values = dict.fromkeys(SEEDS, 0.7)
    blocked = {"valid_accuracy": ({**same, SEEDS[12]: math.inf}, baseline_values)}
    decisions = evaluate_looks(
        LookInput(sides={"x": blocked}, seeds=SEEDS, looks=Looks((4, 40)), metrics=(ACCURACY,))
    )
    verdict = decisions.verdicts["x"]["valid_accuracy"]
    assert verdict.adjusted_equivalence.p <= 0.05
    assert verdict.contrast.pair_count == 40
    assert verdict.kind == "open"


def test_arms_that_lost_seeds_are_not_the_same() -> None:
    baseline_values = PAIRS["same"]["valid_accuracy"][1]
    arm_values = {s: x for s, x in baseline_values.items() if s not in SEEDS[:4]}
    sides = {"x": dict.fromkeys(("valid_accuracy", "valid_loss"), (arm_values, baseline_values))}
    decisions = run_looks(sides, lost_reasons={"x": dict.fromkeys(SEEDS[:4], "failed")}, looks=Looks((10,)))
    assert get_outcome(decisions, "x") == ("open", 6)
    contrast = decisions.verdicts["x"]["valid_accuracy"].contrast
    assert (contrast.lost_count, contrast.is_computed_alike) == (4, False)
