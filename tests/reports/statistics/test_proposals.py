"""The state of a proposal follows from the results up to the look where it ends."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.helpers.arms import break_trials, make_arm
from tests.helpers.designs import compare, design_arms
from unrolled.bench.metric import Metric
from unrolled.bench.study_rules import StudyRules
from unrolled.reports.statistics.gain_test import ProposalOutcome
from unrolled.reports.statistics.proposals import ProposalDecision, decide_proposal
from unrolled.reports.statistics.seed_values import SidePair

SEEDS = tuple(range(100, 110))
LOSS = Metric("loss", 0.1)
RULES = StudyRules(name="chain", question="", metrics=(LOSS,), seeds=SEEDS, looks=(4, 10), gain_level=0.01)
NOISE = dict(zip(SEEDS, np.random.default_rng(0).normal(0, 0.01, len(SEEDS)).tolist(), strict=True))


def decide(
    candidate: dict[int, float],
    incumbent: dict[int, float],
    *,
    keep: SidePair | None = None,
    rules: StudyRules = RULES,
    **evidence: Any,
) -> ProposalDecision:
    return decide_proposal((candidate, incumbent), keep, rules, **evidence)


def shift(amount: float, number: int = 10) -> dict[int, float]:
    return {seed: NOISE[seed] + amount for seed in SEEDS[:number]}


def flat(number: int = 10) -> dict[int, float]:
    return dict.fromkeys(SEEDS[:number], 0.0)


def test_a_better_candidate_is_kept_in_either_direction() -> None:
    assert decide(shift(-0.5), flat()).verdict.outcome is ProposalOutcome.KEEP
    worse = decide(shift(0.5), flat())
    assert (worse.verdict.outcome, worse.verdict.pair_count, worse.looks_taken) == (
        ProposalOutcome.DISCARD,
        4,
        1,
    )
    assert worse.sd == pytest.approx(np.std([NOISE[seed] for seed in SEEDS[:4]], ddof=1))
    by_accuracy = replace(RULES, metrics=(Metric("accuracy", 0.1),))
    assert decide(shift(0.5), flat(), rules=by_accuracy).verdict.outcome is ProposalOutcome.KEEP


def test_a_failed_seed_of_the_next_look_is_a_crash() -> None:
    candidate = shift(-0.5, 5)
    open_one = decide(candidate, flat(5))
    assert (open_one.has_ended, open_one.next_seed_count) == (False, 10)
    crash = decide(candidate, flat(5), lost_reasons=({SEEDS[7]: "failed"}, {}))
    assert (crash.has_ended, crash.crash) == (True, f"seed {SEEDS[7]} failed")
    stalled = decide(candidate, flat(5), lost_reasons=({}, {SEEDS[7]: "failed"}))
    assert (stalled.has_ended, stalled.stalled, stalled.crash) == (True, f"seed {SEEDS[7]} failed", "")
    ended = decide(shift(0.5, 5), flat(5), lost_reasons=({SEEDS[7]: "failed"}, {}))
    assert (ended.verdict.outcome, ended.crash) == (ProposalOutcome.DISCARD, ""), "it had ended after four"


@pytest.mark.parametrize("failed_arm", ["incumbent", "last keep"])
def test_an_open_proposal_says_which_base_failed_on_a_seed(failed_arm: str) -> None:
    names = ("incumbent", "candidate", "last keep")
    arms = [make_arm(name, 0.0, changes={"lr": i / 10} if i else {}) for i, name in enumerate(names)]
    arms = [break_trials(x, failed=(2,)) if x.name == failed_arm else x for x in arms]
    design = design_arms(
        (*arms,), looks=(5, 10), stopping_rule="proposal", gain_level=0.01, simpler_level=0.01
    )
    proposal = compare(design).proposal
    assert proposal is not None
    assert proposal.stalled == f"seed 2 failed at the {failed_arm}"


def test_a_candidate_that_diverges_alone_is_discarded_and_says_so() -> None:
    decision = decide({**shift(-0.5), SEEDS[2]: math.inf}, flat())
    assert decision.verdict.outcome is ProposalOutcome.DISCARD
    assert str(SEEDS[2]) in decision.discard_reason


def test_equal_numbers_are_refused_or_simpler() -> None:
    same = decide(shift(0.0), shift(0.0), equal_seeds=SEEDS)
    assert "no number changes" in same.refusal
    assert same.has_ended
    simpler = decide(shift(0.0), shift(0.0), equal_seeds=SEEDS, rules=replace(RULES, simpler_level=0.005))
    assert (simpler.verdict.outcome, simpler.verdict.simpler_p) == (ProposalOutcome.SIMPLER, 0)
    far = (shift(0.0), shift(-0.5))
    drifted = decide(
        shift(0.0), shift(0.0), equal_seeds=SEEDS, rules=replace(RULES, simpler_level=0.005), keep=far
    )
    assert drifted.verdict.outcome is not ProposalOutcome.SIMPLER, "the last keep was better by 5 δ"


@pytest.mark.parametrize(
    ("amount", "outcome"), [(-0.5, ProposalOutcome.KEEP), (0.5, ProposalOutcome.DISCARD)]
)
@pytest.mark.parametrize("simpler_level", [0.0, 0.005])
def test_equal_qualities_say_nothing_of_a_judged_time(
    amount: float, outcome: ProposalOutcome, simpler_level: float
) -> None:
    """Twice as fast was refused, and twice as slow in fewer lines was called simpler, where losses tied."""
    rules = replace(RULES, metrics=(Metric("t", 0.1, kind="time"), LOSS), simpler_level=simpler_level)
    decision = decide(shift(amount), flat(), rules=rules, equal_seeds=SEEDS)
    assert (decision.verdict.outcome, decision.refusal) == (outcome, "")


def test_a_refusal_beside_a_judged_time_says_that_qualities_are_equal() -> None:
    """The time had become shorter by 5 δ, and "no number changes" was printed."""
    rules = replace(RULES, metrics=(LOSS, Metric("t", 0.1, kind="time")))
    refusal = decide(shift(0.0), shift(0.0), rules=rules, equal_seeds=SEEDS).refusal
    assert refusal
    assert "number" not in refusal


def test_one_number_under_every_seed_is_refused() -> None:
    decision = decide(dict.fromkeys(SEEDS, -0.5), shift(0.0), is_one_run=True)
    assert (decision.has_ended, bool(decision.refusal)) == (True, True)
