"""What chains of proposals keep, in short; simulate_chain.py prints the tables.

Known answers: a simulation made elsewhere, with one-sided t, of 200 chains. Half of the proposals that do not
help hurt as much as a tenth helps.
"""

import math

import numpy as np
import pytest

from tests.helpers.designs import four_errors
from tests.simulations.simulate_chain import (
    PROPOSALS,
    SKEWED,
    Course,
    draw_gains,
    judge_chain,
    keep_if_better,
    one_sided_t,
    repeat_idea,
    rewind,
    simplify,
    stop_when_ahead,
)
from unrolled.reports.statistics.looks import Looks

CHAINS = 100
NULL = np.zeros((CHAINS, PROPOSALS))


@pytest.fixture(scope="module")
def null_course() -> Course:
    """Return chains of proposals that do nothing."""
    return judge_chain(NULL)


def find_tolerance(share: float) -> float:
    """Return eight standard errors of a share of helpful proposals, as two simulations differ, and .02.

    A keep makes the next ones likelier, so that the share varies more than that of independent proposals.
    """
    return 0.02 + 2 * math.sqrt(2) * four_errors(share, CHAINS * PROPOSALS // 10)


@pytest.mark.parametrize(
    ("helps", "looks", "share"),
    [(1.0, (8,), 0.05), (2.0, (8,), 0.70), (1.0, (20,), 0.83), (1.0, (40,), 1.00)],
)
def test_t_at_one_look_finds_what_it_found_elsewhere(helps, looks, share) -> None:
    with one_sided_t():
        course = judge_chain(draw_gains(CHAINS, helps=helps, hurts=True), looks=Looks(looks))
    assert course.found == pytest.approx(share, abs=find_tolerance(share))


@pytest.mark.parametrize(("helps", "share", "pairs"), [(0.5, 0.16, 8.9), (1.0, 0.96, 8.0), (2.0, 1.00, 7.0)])
def test_a_chain_finds_what_t_finds_with_few_more_pairs(helps, share, pairs) -> None:
    course = judge_chain(draw_gains(CHAINS, helps=helps, hurts=True))
    assert course.found == pytest.approx(share, abs=find_tolerance(share))
    assert pairs - 0.2 < course.runs.mean() / 2 < pairs + 0.7
    assert course.ratio <= 0.05


def test_a_chain_of_useless_proposals_keeps_hardly_any(null_course: Course) -> None:
    assert null_course.kept.sum(1).mean() <= 0.06
    assert null_course.runs.mean() / 2 == pytest.approx(8.9, abs=0.3)
    stopped = judge_chain(draw_gains(CHAINS, helps=1.0, hurts=False)).stop_when_ahead()
    assert stopped.kept.sum(1).max() == 1
    assert stopped.ratio <= 0.1


def test_keeping_what_is_better_keeps_ln_n_or_half_of_useless_proposals() -> None:
    harmonic = sum(1 / n for n in range(2, PROPOSALS + 2))  # the old score is the first of n + 1 runs
    assert keep_if_better(NULL, anew=False).kept.sum(1).mean() == pytest.approx(harmonic, abs=0.8)
    assert keep_if_better(NULL, anew=True).kept.sum(1).mean() == pytest.approx(PROPOSALS / 2, abs=2)


@pytest.mark.parametrize("law", ["exponential, rare bad runs", "lognormal, rare bad runs"])
def test_both_tests_keep_a_quarter_of_the_skewed_nulls_of_t(law: str) -> None:
    course = judge_chain(NULL, SKEWED[law])
    with one_sided_t(first=10):
        by_t = judge_chain(NULL, SKEWED[law])
    assert course.kept.sum() < by_t.kept.sum() / 3
    assert course.runs.mean() < 1.1 * by_t.runs.mean()


def test_adversaries_gain_nothing_from_a_chain() -> None:
    for simulate, at_least in ((repeat_idea, 0.5), (rewind, 0.3), (stop_when_ahead, 0.9)):
        plain, guarded = simulate(400)
        assert plain > at_least
        assert guarded <= 0.06
    assert simplify(100, against_keep=False) > 8
    assert simplify(100, against_keep=True) < 0.7


def test_seeds_that_are_used_again_break_the_bound(null_course: Course) -> None:
    assert judge_chain(NULL, shared=0.5).ratio > 0.15 > null_course.ratio
