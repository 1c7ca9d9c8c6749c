"""The sentences that are made of verdicts."""

import math
import re
from dataclasses import replace

import pytest

from tests.helpers.arms import make_arm, set_metrics
from tests.helpers.contrasts import SPREAD, judge_alone, make_contrast, make_diverging
from tests.helpers.designs import BOTH, compare, design_arms, make_looked_design
from unrolled.bench.study_rules import StoppingRule
from unrolled.reports.scale import Scale
from unrolled.reports.statistics.contrasts import Contrast
from unrolled.reports.statistics.corrections import Adjusted
from unrolled.reports.statistics.pairs import JudgedScale, LostPairs, compare_pairs
from unrolled.reports.statistics.power import ALPHA
from unrolled.reports.statistics.verdicts import judge_contrast
from unrolled.reports.words.sentences import (
    TIED,
    describe_aa_check,
    describe_remarks,
    describe_verdict,
    explain_open,
)

NATS = Scale(value_unit="nats", difference_unit="nats")


def test_a_sentence_gives_effect_interval_p_seeds_and_failures() -> None:
    contrast = make_contrast(-0.05, 0.02)
    sentence = describe_verdict(
        judge_contrast(contrast, Adjusted(0.004, ALPHA), Adjusted(1.0, ALPHA)), "lstm", "rnn", NATS
    )
    assert sentence.startswith("▲ better by more than δ — lstm against rnn: −0.0500 nats, ")
    assert "95 % CI [−0.0643, −0.0349]" in sentence  # half width t(.975, 9)·.02/√10 = .0143
    assert "Holm p .004" in sentence
    assert sentence.endswith("better on 10 of 10 seeds.")
    provisional = describe_verdict(judge_alone(make_contrast(-0.05, 0.01, n=9)), "lstm", "rnn", NATS)
    assert provisional.endswith("; provisional under 10 seeds.")
    assert "provisional" not in sentence


@pytest.mark.parametrize(
    ("c", "part"),
    [
        (make_contrast(0.0, 0.0), "≡ the same within δ — x against y: the same value on all 10 seeds."),
        (make_contrast(0.0, 0.01), "0.0000 nats, 90 % CI [−0.0058, +0.0061] over"),
        (make_contrast(0.0, 0.01), "within ±0.02 nats (TOST, Holm p <.001)"),
        # 10 pairs detect .9960 SD with power .8 by t (statsmodels), and 1.0817 by the larger p of both tests
        (make_contrast(0.01, 0.05),
         "10 seeds detect 0.0541 nats with 80 % power; 52 would detect δ."),
        (make_contrast(0.01, 0.3165), "; 1\u202f969 would detect δ."),
        (compare_pairs(dict.fromkeys(range(5), 1.0), dict.fromkeys(range(6), 1.3), JudgedScale(0.02)),
         "without a partner: seed 5"),
        (compare_pairs({0: 1.0}, {1: 1.0}, JudgedScale(0.02)),
         "? open — x against y: no seed in common; Holm p 1;"),
        (compare_pairs(dict.fromkeys(range(10), 1.0), dict.fromkeys(range(12), 1.3), JudgedScale(0.02),
                       lost_pairs=LostPairs(2)),
         "2 pairs lost, the arm's 2, its baseline's 0"),
        (make_contrast(-0.5, 0.001, n=4), "under 5 seeds nothing is decided"),
        (make_diverging(8), "diverged 8 of 30 against 0 of 30 (McNemar, adjusted p .008)"),
        (compare_pairs({**dict(enumerate(SPREAD)), 0: math.inf}, dict.fromkeys(range(10), 0.0),
                       JudgedScale(0.02)),
         "median +0.2500 nats, 95 % CI [−0.9000, +1.5000] over seeds; given convergence the mean is +0.1444"),
        (make_diverging(10, n=10), "median ∞ nats"),
    ],
)  # fmt: skip
def test_a_sentence_has_the_verdict_and_the_seeds_it_needs(c: Contrast, part: str) -> None:
    sentence = describe_verdict(judge_alone(c), "x", "y", NATS)
    assert part in sentence
    assert "?" not in sentence or not re.search(
        r"equal|same|equivalent|no difference", sentence, re.IGNORECASE
    )


def test_the_self_check_is_judged_at_one_in_a_hundred() -> None:
    contrast = make_contrast(0.01, 0.012)
    assert 0.01 < contrast.p < 0.05
    assert describe_check(contrast).startswith("A/A check passed on 10 seeds")
    # ten pairs detect 1.33 SD at .01 with 80 % power (statsmodels' TTestPower), here of .012 and δ .02
    assert describe_check(contrast).endswith("; with 80 % power it would notice a difference of 0.9 δ")
    assert describe_check(make_contrast(0.02, 0.012)).startswith("A/A check failed on 10 seeds")
    assert "undecided on 4 seeds" in describe_check(make_contrast(0.5, 0.001, n=4))


def describe_check(contrast: Contrast) -> str:
    """Return what is said of an A/A check with this contrast."""
    comparison = compare(make_looked_design(make_arm("A/A: the baseline again", 0.0)))
    return describe_aa_check(replace(comparison.arms[-1], contrast=contrast))


def test_a_metric_that_does_not_decide_says_why_it_is_open():
    wide = make_arm("wide", 0.0, 0.3, seeds=12, settings={"clip": 4.0})
    view = compare(make_looked_design(set_metrics(wide, valid_accuracy=0.99))).other_views[0]
    arm = view.arms[-1]
    assert arm.state.has_ended
    assert arm.verdict.kind == "open"
    assert describe_remarks(arm, view).endswith("is shown at 10 seeds, where validation accuracy was decided")


@pytest.mark.parametrize("rule", [StoppingRule.GATE, StoppingRule.PROPOSAL])
def test_no_sentence_says_that_a_metric_ended_a_contrast_which_its_gate_or_proposal_ended(
    rule: StoppingRule,
) -> None:
    arms = (make_arm("base", 0.0, seeds=20), make_arm("head", -0.06, 0.1, seeds=20, settings={"clip": 4.0}))
    looks = {"seeds": tuple(range(20)), "looks": (10, 20), "metrics": BOTH}
    comparison = compare(design_arms(arms, study="joint", stopping_rule=rule, **looks))
    for view in comparison.views:
        head = view.arms[1]
        assert head.state.has_ended
        assert head.verdict.kind == "open"
        sentences = (
            describe_verdict(head.verdict, "head", "base", view.scale),
            describe_remarks(head, view),
            explain_open(head, view),
        )
        assert not any("was decided" in sentence for sentence in sentences)


def test_an_open_arm_whose_every_pair_is_equal_has_a_reason_of_its_own():
    arm = make_arm("alike", 0.0, 0.0, seeds=20, settings={"clip": 4.0})
    comparison = compare(make_looked_design(arm))
    judged = comparison.arms[-1]
    losses = {seed: 1.0 + seed / 10 for seed in range(10)}
    tied = judge_alone(compare_pairs(losses, losses, JudgedScale(1e-6, lower_is_better=True)))
    assert tied.kind == "open"
    judged = replace(judged, contrast=tied.contrast, verdict=tied)
    assert explain_open(judged, comparison) == TIED
    assert TIED in describe_remarks(judged, comparison)
