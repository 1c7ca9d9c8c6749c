"""The test of one proposal of a chain: does the candidate gain over the incumbent?

The decision is a pure function of the gains so far, one for each pair of runs with the same seed, and of the
level that the chain gave to the proposal (`chain_levels`). Looks, p values and tests are as in studies
(`looks`, `estimators`), but one-sided: the null is that the mean gain is at most 0. With normal pairs
the p value is super-uniform given the past, P(p ≤ x) ≤ x, wherever the proposal stops.

A candidate is given up as hopeless if Student's t of the gains is below a bound that rises from look to look.
Giving up prevents some keeps and adds none.
"""

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unrolled.bench.metric import FEWEST_SEEDS
from unrolled.reports.statistics.estimators import Floats, mean_interval, mean_tails, moments
from unrolled.reports.statistics.looks import Look, Looks
from unrolled.reports.statistics.power import CLAIM_SEEDS, POWER

CHAIN_LOOKS = Looks((4, 8, 16, 24, 40))
FUTILE_T = 0.0, 0.7, 1.2, 1.7
"""Lowest t that goes on after looks 1, 2, 3 and 4; the last of these bounds holds at later looks, too."""
SIMULATED_PROPOSALS = 4_000  # simulated proposals behind a chance: it has a standard error of at most .008
_CONSTANT = 1e-9  # gains that differ by less than this share of the largest gain differ by rounding
_LARGEST_GAIN = 64.0  # largest gain that is sought, in SDs
_HALVINGS = 16  # halvings of the range in which a gain is sought


class ProposalOutcome(StrEnum):
    """How a proposal ended. Refusals and crashes are found by `proposals`, and not by the test of gains."""

    KEEP = "keep"
    SIMPLER = "simpler"
    DISCARD = "discard"
    UNDECIDED = "undecided"
    REFUSED = "refused"
    CRASH = "crash"


@dataclass(frozen=True, kw_only=True)
class ProposalVerdict:
    """The outcome of a proposal, and the numbers it rests on."""

    outcome: ProposalOutcome
    # p of a mean gain of at most 0; the levels of later proposals use it, or 1 until this proposal has ended
    p_value: float = 1.0
    simpler_p: float | None = None  # p of a mean gain of at most −δ; None if that was not tested
    pair_count: int = 0  # number of pairs that the verdict rests on
    requested_pair_count: int = 0  # number of pairs at the next look, if it is undecided
    gain: float | None = None  # mean gain of these pairs; None before the first look
    bound: float = -math.inf  # repeated lower bound of the mean gain, at its level; above 0 for a keep
    is_futile: bool = False  # given up before the last look


class ProposalStates(NamedTuple):
    """Where the tests of proposals stand after the looks with complete pairs; each field is (proposals,)."""

    p: Floats  # 1 before the first look with a test
    pairs: NDArray[np.int_]  # number of pairs at the look where it ended, or at the last look so far
    shown: NDArray[np.bool_]  # whether the gain is shown
    futile: NDArray[np.bool_]  # whether it was given up


def fit_looks(budget: int, looks: Looks = CHAIN_LOOKS) -> Looks:
    """Return the looks of a budget of pairs: 20 → 4, 8, 16 and 20.

    A budget beyond the last look delays all looks by the same factor, 80 → 8, 16, 32, 48 and 80, because
    early looks would give up the small gains that more pairs could show.
    """
    factor = max(1.0, budget / looks.last_pair_count)
    earlier = (round(factor * n) for n in looks.pair_counts)
    return Looks((*(n for n in earlier if n < budget), budget))


def select_tests(looks: Looks) -> Looks:
    """Return the looks at which a gain can be shown: those from 10 pairs on, or else the last look.

    With skewed pairs, tests of few pairs err most: tests/simulations/simulate_chain.py. Raises ValueError if
    the last look has under 5 pairs.
    """
    if looks.last_pair_count < FEWEST_SEEDS:
        raise ValueError(f"a proposal needs {FEWEST_SEEDS} pairs or more, not {looks.last_pair_count}")
    return Looks(tuple(n for n in looks.pair_counts if n >= min(CLAIM_SEEDS, looks.last_pair_count)))


def evaluate_gains(gains: Floats, looks: Looks, levels: Floats | float) -> ProposalStates:
    """Test at each look whether the mean gains of proposals, (proposals, pairs), are above 0.

    Each look takes the larger p of Student's t and Hall's t. A proposal ends when its p over the looks so far
    is at most its level, and when it is futile. Raises ValueError for looks that end before 5 pairs.
    """
    tests = select_tests(looks)
    size = len(gains)
    q = np.full(size, np.inf)
    pairs = np.zeros(size, int)
    shown = np.zeros(size, bool)
    futile = np.zeros(size, bool)
    for k, n in enumerate(looks.pair_counts):
        if n > gains.shape[1]:
            break
        active = ~(shown | futile)
        pairs[active] = n
        t, p = _test_means(gains[:, :n])
        if n >= tests.pair_counts[0]:
            weighted = p / math.sqrt(n / looks.last_pair_count)
            q[active] = np.minimum(q, weighted)[active]
            shown |= active & (tests.compute_p(np.minimum(q, 1.0), tails=1) <= levels)
        if n < looks.last_pair_count:
            futile |= active & ~shown & (t < FUTILE_T[min(k, len(FUTILE_T) - 1)])
    return ProposalStates(tests.compute_p(np.minimum(q, 1.0), tails=1), pairs, shown, futile)


def judge_proposal(
    gains: Floats,
    *,
    level: float,
    looks: Looks = CHAIN_LOOKS,
    fewer_lines: bool = False,
    zone: float = 0.0,
    simpler_level: float = 0.0,
    gains_over_keep: Floats | None = None,
) -> ProposalVerdict:
    """Judge a proposal by its gains over the incumbent (pairs,), above 0 if it is better.

    A gain is −inf if only the candidate diverged, which ends the proposal; inf if only the incumbent did,
    which counts as no gain; and 0 if both did. Pairs beyond the look where a proposal ends change nothing.

    A candidate with `fewer_lines` that is not kept is simpler if it is shown, at `simpler_level`, to be less
    than `zone` worse than the last proposal that was kept. `gains_over_keep` are the gains over that
    proposal, if it is not the incumbent. Raises ValueError for NaN, and for looks that end before 5 pairs.
    """
    verdict = _judge_gains(gains, looks, level)
    diverged = not verdict.is_futile and verdict.pair_count < looks.last_pair_count
    if not fewer_lines or verdict.outcome is not ProposalOutcome.DISCARD or diverged:
        return verdict
    over_keep = gains if gains_over_keep is None else gains_over_keep
    shifted = _judge_gains(over_keep + zone, looks, simpler_level)
    if shifted.outcome is ProposalOutcome.KEEP and shifted.gain is not None:
        return ProposalVerdict(
            outcome=ProposalOutcome.SIMPLER,
            p_value=verdict.p_value,
            simpler_p=shifted.p_value,
            pair_count=shifted.pair_count,
            gain=shifted.gain - zone,
            bound=shifted.bound - zone,
        )
    return replace(
        verdict,
        outcome=shifted.outcome,
        simpler_p=shifted.p_value,
        requested_pair_count=shifted.requested_pair_count,
    )


def _judge_gains(gains: Floats, looks: Looks, level: float) -> ProposalVerdict:
    """Return the verdict on one proposal: kept if its mean gain is shown to be above 0."""
    if np.isnan(gains).any():
        raise ValueError("a gain is NaN: a pair in which one side diverged is infinite, it is never dropped")
    diverged = np.flatnonzero(np.isneginf(gains))
    converged = gains[: diverged[0]] if diverged.size else gains
    finite = np.where(np.isposinf(converged), 0.0, converged)
    states = evaluate_gains(finite[np.newaxis], looks, level)
    pairs = int(states.pairs[0])
    verdict = ProposalVerdict(
        outcome=ProposalOutcome.DISCARD,
        p_value=float(states.p[0]),
        pair_count=pairs,
        gain=float(finite[:pairs].mean()) if pairs else None,
        bound=_find_bound(finite[:pairs], looks, level),
        is_futile=bool(states.futile[0]),
    )
    if states.shown[0]:
        return replace(verdict, outcome=ProposalOutcome.KEEP)
    if verdict.is_futile or pairs == looks.last_pair_count:
        return verdict
    if diverged.size:
        return replace(verdict, p_value=1.0)
    requested_pair_count = next(n for n in looks.pair_counts if n > pairs)
    return replace(verdict, outcome=ProposalOutcome.UNDECIDED, requested_pair_count=requested_pair_count)


def _find_bound(gains: Floats, looks: Looks, level: float) -> float:
    """Return the repeated lower bound of the mean gain at this look; −inf if the look has no test."""
    tests = select_tests(looks)
    if gains.size not in tests.pair_counts:
        return -math.inf
    at_look = Look(tests, tests.pair_counts.index(gains.size)).compute_level(level, tails=1)
    if _are_constant(gains):
        return float(gains[0]) if 0.5**gains.size <= at_look else -math.inf
    return float(mean_interval(moments(gains), 2 * at_look)[0])


def _test_means(gains: Floats) -> tuple[Floats, Floats]:
    """Return Student's t of gains (proposals, pairs), and the one-sided p that their means are at most 0.

    Gains that are all equal have no spread: their p is from the sign test.
    """
    n = gains.shape[-1]
    m = moments(gains)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.nan_to_num(math.sqrt(n) * m.mean / m.sd)
        p = mean_tails(m)[0]
    uses_signs = np.where(m.mean > 0, 0.5**n, 1.0)
    return t, np.where(_are_constant(gains), uses_signs, p)


def _are_constant(gains: Floats) -> NDArray[np.bool_]:
    return np.asarray(np.ptp(gains, axis=-1) <= _CONSTANT * np.abs(gains).max(axis=-1))


class ExpectedProposal(NamedTuple):
    """The mean number of pairs of a proposal, and the chance that it is kept."""

    pairs: float
    kept: float


@lru_cache(maxsize=1024)
def predict_proposal(looks: Looks, *, gain: float, spread: float, level: float) -> ExpectedProposal:
    """Return what to expect of a candidate with this true mean gain; `spread` is the SD of its pairs' gains.

    Pairs are normal. Raises ValueError unless the spread is positive.
    """
    if not spread > 0:
        raise ValueError(f"the SD of gains must be positive, not {spread}")
    noise = np.random.default_rng(0).standard_normal((SIMULATED_PROPOSALS, looks.last_pair_count))
    states = evaluate_gains(gain / spread + noise, looks, level)
    return ExpectedProposal(float(states.pairs.mean()), float(states.shown.mean()))


def find_smallest_gain(spread: float, level: float, looks: Looks = CHAIN_LOOKS) -> float:
    """Return the true mean gain that is kept with a chance of .8; `spread` is the SD of the pairs' gains.

    Returns infinity if no gain is kept, because the level is too small for so few pairs.
    """
    low = 0.0
    high = _LARGEST_GAIN
    if predict_proposal(looks, gain=high, spread=1.0, level=level).kept < POWER:
        return math.inf
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if predict_proposal(looks, gain=middle, spread=1.0, level=level).kept < POWER:
            low = middle
        else:
            high = middle
    return high * spread


def count_pairs_to_show(gain: float, spread: float, level: float, looks: Looks = CHAIN_LOOKS) -> int | None:
    """Return the budget of pairs with which a true mean gain is kept with a chance of .8.

    With looks at 4, 8, 16, 24 and 40 pairs, the budgets 8, 16, 24 and 40 are tried in turn: see `fit_looks`.
    At a level of .05 a gain of 1 SD needs 16 pairs. If 40 are too few, the budget is 40 · (smallest / gain)²,
    with the result of `find_smallest_gain`: for a gain of .5 SD, 40 · (.67 / .5)² = 72. Returns None if no
    gain is kept at this level. Raises ValueError unless gain and spread are positive.
    """
    if not gain > 0:
        raise ValueError(f"a gain must be positive, not {gain}")
    for n in looks.pair_counts:
        if n >= FEWEST_SEEDS:
            expected = predict_proposal(fit_looks(n, looks), gain=gain, spread=spread, level=level)
            if expected.kept >= POWER:
                return n
    smallest = find_smallest_gain(spread, level, looks)
    if smallest == math.inf:
        return None
    return math.ceil(looks.last_pair_count * (smallest / gain) ** 2)
