"""The test of one proposal of a chain. Known answers: a simulation made elsewhere, with one-sided t."""

import math

import numpy as np
import pytest
from scipy import stats

from tests.helpers.designs import four_errors
from unrolled.reports.statistics.gain_test import (
    CHAIN_LOOKS,
    FUTILE_T,
    ProposalOutcome,
    count_pairs_to_show,
    evaluate_gains,
    find_smallest_gain,
    fit_looks,
    judge_proposal,
    predict_proposal,
    select_tests,
)
from unrolled.reports.statistics.looks import Looks

LEVEL = 0.01099  # of a chain's first proposal
SHORT = fit_looks(8)
NOISE = np.random.default_rng(1).standard_normal((3_000, 40))


@pytest.mark.parametrize("looks", [CHAIN_LOOKS, SHORT])
def test_a_verdict_is_what_is_simulated_of_proposals(looks: Looks) -> None:
    gains = 0.6 + NOISE[:200, : looks.last_pair_count]
    ends = evaluate_gains(gains, looks, 0.05)
    verdicts = [judge_proposal(x, level=0.05, looks=looks) for x in gains]
    assert [v.outcome is ProposalOutcome.KEEP for v in verdicts] == ends.shown.tolist()
    assert [v.pair_count for v in verdicts] == ends.pairs.tolist()
    assert [v.p_value for v in verdicts] == ends.p.tolist()
    assert [v.is_futile for v in verdicts] == ends.futile.tolist()
    assert {v.outcome for v in verdicts} == {ProposalOutcome.KEEP, ProposalOutcome.DISCARD}


@pytest.mark.parametrize("looks", [CHAIN_LOOKS, SHORT])
def test_p_is_super_uniform_at_no_gain(looks: Looks) -> None:
    null = np.random.default_rng(2).standard_normal((40_000, looks.last_pair_count))
    for pairs in looks.pair_counts:
        p = evaluate_gains(null[:, :pairs], looks, 1e-9).p
        for alpha in (0.001, 0.01, 0.05, 0.2, 0.5, 0.9):
            assert (p <= alpha).mean() <= alpha + four_errors(alpha, len(null))


def test_a_null_is_kept_as_often_as_its_level_says() -> None:
    null = np.random.default_rng(3).standard_normal((40_000, 40))
    for alpha in (0.01, 0.05):
        rate = evaluate_gains(null, CHAIN_LOOKS, alpha).shown.mean()
        assert 0.5 * alpha < rate <= alpha + four_errors(alpha, len(null))


def test_p_is_the_larger_of_t_and_halls_t() -> None:
    x = 0.8 + NOISE[0, :8]
    p = judge_proposal(x, level=1e-9, looks=SHORT).p_value
    assert p >= stats.ttest_1samp(x, 0, alternative="greater").pvalue
    mirrored = np.concatenate([x[:4], 2 * 0.8 - x[:4]])  # without skewness both are t
    mirrored_p = judge_proposal(mirrored, level=1e-9, looks=SHORT).p_value
    assert mirrored_p == pytest.approx(stats.ttest_1samp(mirrored, 0, alternative="greater").pvalue)


def test_a_kept_proposals_bound_is_above_zero_and_another_ones_is_not() -> None:
    verdicts = [judge_proposal(0.7 + x, level=0.05) for x in NOISE[:300]]
    for v in verdicts:
        assert (v.bound > 0) is (v.outcome is ProposalOutcome.KEEP)
        assert v.gain is not None and v.bound < v.gain


def test_a_larger_gain_never_has_a_larger_p_at_the_same_look() -> None:
    small = evaluate_gains(NOISE, CHAIN_LOOKS, 1e-9)
    large = evaluate_gains(NOISE + 0.2, CHAIN_LOOKS, 1e-9)
    assert (large.p <= small.p).all()
    assert (large.pairs >= small.pairs).all()  # it is given up no earlier


def test_a_milder_level_keeps_all_that_a_stricter_one_keeps() -> None:
    strict, mild = (evaluate_gains(0.5 + NOISE, CHAIN_LOOKS, level) for level in (0.002, 0.02))
    assert (mild.shown >= strict.shown).all()
    assert mild.shown.sum() > strict.shown.sum()


def test_futility_takes_keeps_away_and_makes_none(monkeypatch: pytest.MonkeyPatch) -> None:
    gains = 0.5 + NOISE
    ends = evaluate_gains(gains, CHAIN_LOOKS, LEVEL)
    monkeypatch.setattr("unrolled.reports.statistics.gain_test.FUTILE_T", (-math.inf,))
    unlimited = evaluate_gains(gains, CHAIN_LOOKS, LEVEL)
    assert not unlimited.futile.any()
    assert (ends.shown <= unlimited.shown).all()
    assert ends.shown.sum() < unlimited.shown.sum()
    assert ends.pairs.mean() < unlimited.pairs.mean()
    assert (ends.p >= unlimited.p).all()


@pytest.mark.parametrize(("bound", "pairs"), [*zip(FUTILE_T, CHAIN_LOOKS.pair_counts[:-1], strict=True)])
def test_a_proposal_is_given_up_below_the_bound_of_its_look(bound: float, pairs: int) -> None:
    noise = np.sort(NOISE[7, :pairs] - NOISE[7, :pairs].mean())[::-1]  # t falls from look to look
    error = noise.std(ddof=1) / math.sqrt(pairs)
    for difference, futile in ((-0.01, True), (0.01, False)):
        verdict = judge_proposal(noise + error * (bound + difference), level=1e-9)
        assert (verdict.pair_count, verdict.is_futile) == (pairs, futile)


def test_a_proposal_asks_for_the_pairs_of_its_next_look() -> None:
    gains = 0.45 + NOISE[11]
    requested = [judge_proposal(gains[:n], level=0.0001).requested_pair_count for n in range(41)]
    ends = judge_proposal(gains, level=0.0001)
    for n, more in enumerate(requested):
        expected = 0 if n >= ends.pair_count else min(look for look in CHAIN_LOOKS.pair_counts if look > n)
        assert more == expected
    assert judge_proposal(np.concatenate([gains[: ends.pair_count], [99.0] * 9]), level=0.0001) == ends
    before = judge_proposal(gains[:3], level=LEVEL)
    assert (before.outcome, before.p_value, before.gain) == (ProposalOutcome.UNDECIDED, 1.0, None)


def test_nothing_is_kept_early_from_fewer_than_ten_pairs() -> None:
    certain = 9 + NOISE[0]
    assert judge_proposal(certain, level=LEVEL).pair_count == 16
    assert judge_proposal(certain[:8], level=LEVEL).outcome is ProposalOutcome.UNDECIDED
    assert judge_proposal(certain, level=LEVEL, looks=SHORT).outcome is ProposalOutcome.KEEP
    with pytest.raises(ValueError):
        select_tests(Looks((2, 4)))


def test_divergence_never_helps_a_candidate() -> None:
    gains = 2 + NOISE[3]
    assert judge_proposal(gains, level=LEVEL).outcome is ProposalOutcome.KEEP
    candidate = gains.copy()
    candidate[9] = -math.inf
    verdict = judge_proposal(candidate[:10], level=LEVEL)
    assert (verdict.outcome, verdict.p_value, verdict.is_futile) == (ProposalOutcome.DISCARD, 1.0, False)
    incumbent = gains.copy()
    incumbent[[0, 5]] = math.inf
    no_gain = np.where(np.isinf(incumbent), 0.0, incumbent)
    assert judge_proposal(incumbent, level=LEVEL) == judge_proposal(no_gain, level=LEVEL)
    with pytest.raises(ValueError):
        judge_proposal(np.array([math.nan] * 8), level=LEVEL)


def test_equal_gains_are_as_sure_as_their_signs() -> None:
    rounding = 1e-15 * NOISE[0, :8]
    for gains in (np.full(8, 0.01), 0.01 + rounding):
        assert judge_proposal(gains, level=LEVEL, looks=SHORT).p_value == 0.5**8
        assert judge_proposal(gains, level=0.003, looks=SHORT).outcome is ProposalOutcome.DISCARD
        assert judge_proposal(gains, level=0.004, looks=SHORT).outcome is ProposalOutcome.KEEP
    assert judge_proposal(np.zeros(40), level=LEVEL).outcome is ProposalOutcome.DISCARD


def test_a_shorter_candidate_within_delta_is_simpler() -> None:
    gains = -0.1 + 0.2 * NOISE[4]
    options = {"level": LEVEL, "zone": 0.5, "simpler_level": 0.01}
    assert judge_proposal(gains, **options).outcome is ProposalOutcome.DISCARD
    verdict = judge_proposal(gains, **options, fewer_lines=True)
    assert verdict.outcome is ProposalOutcome.SIMPLER
    assert verdict.simpler_p is not None and verdict.simpler_p <= 0.01
    assert -0.5 < verdict.bound < (verdict.gain or 0)
    undecided = judge_proposal(gains[:4], **options, fewer_lines=True)
    assert (undecided.outcome, undecided.requested_pair_count) == (ProposalOutcome.UNDECIDED, 8)
    worse = judge_proposal(gains - 0.5, **options, fewer_lines=True)
    assert worse.outcome is ProposalOutcome.DISCARD
    drifted = judge_proposal(gains, **options, fewer_lines=True, gains_over_keep=gains - 0.5)
    assert drifted.outcome is ProposalOutcome.DISCARD
    better = judge_proposal(gains + 0.4, **options, fewer_lines=True)
    assert (better.outcome, better.simpler_p) == (ProposalOutcome.KEEP, None)


@pytest.mark.parametrize("pair", [2, 9, 20])
def test_a_candidate_that_diverges_is_not_simpler(pair: int) -> None:
    slight = 0.07 + 0.2 * NOISE[4]
    options = {"level": 1e-6, "zone": 0.5, "simpler_level": 0.01, "fewer_lines": True}
    assert judge_proposal(slight[:16], **options).outcome is ProposalOutcome.UNDECIDED  # whether it gains
    slight[pair] = -math.inf
    assert judge_proposal(slight[: pair + 1], **options).outcome is ProposalOutcome.DISCARD


def test_a_candidate_worse_by_delta_is_rarely_simpler() -> None:
    verdicts = [
        judge_proposal(x - 1, level=LEVEL, fewer_lines=True, zone=1.0, simpler_level=0.05)
        for x in NOISE[:1_000]
    ]
    rate = np.mean([v.outcome is ProposalOutcome.SIMPLER for v in verdicts])
    assert 0.005 < rate <= 0.05 + four_errors(0.05, 1_000)


@pytest.mark.parametrize("budget", [8, 16, 40])
def test_the_smallest_gain_of_a_budget_is_kept_in_four_of_five(budget: int) -> None:
    looks = fit_looks(budget)
    gain = find_smallest_gain(0.5, LEVEL, looks)
    fresh = np.random.default_rng(5).standard_normal((4_000, looks.last_pair_count))
    rate = evaluate_gains(gain + 0.5 * fresh, looks, LEVEL).shown.mean()
    assert rate == pytest.approx(0.8, abs=2 * four_errors(0.8, 4_000))
    assert count_pairs_to_show(1.01 * gain, 0.5, LEVEL) == budget
    more = count_pairs_to_show(0.9 * gain, 0.5, LEVEL)
    assert more is not None and more > budget


def test_a_small_gain_is_kept_by_later_looks() -> None:
    pairs = count_pairs_to_show(0.5, 1.0, LEVEL)
    assert pairs is not None and 60 < pairs < 90
    assert count_pairs_to_show(0.25, 1.0, LEVEL) == pytest.approx(4 * pairs, abs=4)
    expected = predict_proposal(fit_looks(pairs), gain=0.5, spread=1.0, level=LEVEL)
    assert expected.kept == pytest.approx(0.8, abs=0.02)


def test_looks_end_at_the_budget() -> None:
    assert [fit_looks(n).pair_counts for n in (8, 20, 40, 80)] == [
        (4, 8),
        (4, 8, 16, 20),
        (4, 8, 16, 24, 40),
        (8, 16, 32, 48, 80),
    ]


def test_no_gain_is_kept_at_a_level_below_every_p() -> None:
    assert find_smallest_gain(1.0, 1e-8) == math.inf
    assert count_pairs_to_show(1.0, 1.0, 1e-8) is None


def test_more_pairs_and_milder_levels_keep_smaller_gains() -> None:
    by_budget = [find_smallest_gain(1.0, LEVEL, fit_looks(budget)) for budget in (8, 16, 40)]
    by_level = [find_smallest_gain(1.0, level) for level in (0.0003, 0.003, 0.03)]
    assert by_budget == sorted(by_budget, reverse=True)
    assert by_level == sorted(by_level, reverse=True)
    for options in ({"gain": 0.0, "spread": 1.0}, {"gain": 1.0, "spread": 0.0}):
        with pytest.raises(ValueError):
            count_pairs_to_show(**options, level=LEVEL)
    expected = predict_proposal(CHAIN_LOOKS, gain=0.0, spread=1.0, level=LEVEL)
    assert expected.pairs == pytest.approx(8.9, abs=0.4)  # as known
