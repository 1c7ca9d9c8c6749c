"""Error rates on simulated studies without a difference, or with one of exactly δ.

A tolerance is four standard errors of the binomial; seeds are fixed, so that a failure is no accident.
`pytest -s -m slow` with this file prints the rates.
"""

import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.helpers.contrasts import LOOKS
from tests.helpers.designs import equivalence_p, four_errors
from unrolled.bench.metric import Metric
from unrolled.reports.statistics.decisions import evaluate_looks
from unrolled.reports.statistics.estimators import (
    mean_interval,
    mean_tails,
    moments,
    step_down,
    t_interval,
    tails_to_p,
)
from unrolled.reports.statistics.expected_seeds import predict_contrast
from unrolled.reports.statistics.futility import FUTILE_CHANCE
from unrolled.reports.statistics.look_input import LookInput
from unrolled.reports.statistics.looks import Look, Looks
from unrolled.reports.statistics.pairs import JudgedScale, compare_pairs
from unrolled.reports.statistics.power import ALPHA

pytestmark = pytest.mark.slow
STUDIES = 8_000
ARMS = 16
DIFFERENCES = Path(__file__).parents[2] / "data" / "toggles_differences.csv"
METRIC = Metric("valid_loss", 0.02)
DESIGNS = (LOOKS, Looks((10,)))  # and one of ten seeds, fixed


def iterate_looks(d: np.ndarray, looks: Looks) -> Iterator[tuple[np.ndarray, float]]:
    """Yield the differences (…, n_k) and the weight of each look."""
    for n, weight in zip(looks.pair_counts, looks.weights, strict=True):
        yield d[..., :n], weight


def compute_mean_p(x: np.ndarray) -> np.ndarray:
    """Return the two-sided p that the mean of samples (…, S) is zero."""
    return tails_to_p(*mean_tails(moments(x)))


def compute_p_after_looks(ps: list[np.ndarray], looks: Looks, tails: int) -> np.ndarray:
    """Return the valid p after each look, from the p of each look alone: (K, …)."""
    q = np.minimum.accumulate([p / w for p, w in zip(ps, looks.weights, strict=True)])
    return looks.compute_p(np.minimum(q, 1), tails)


def compute_difference_p(d: np.ndarray, looks: Looks = LOOKS) -> np.ndarray:
    """Return the p of a difference at each look."""
    return compute_p_after_looks([compute_mean_p(x) for x, _ in iterate_looks(d, looks)], looks, 2)


def draw_nulls(arms: int, *, shared: bool, studies: int = STUDIES) -> np.ndarray:
    """Return differences (studies, arms, 40) between arms and a baseline that are alike."""
    rng = np.random.default_rng(arms + shared)
    values = rng.standard_normal((studies, arms + shared, 40))
    return values[:, 1:] - values[:, :1] if shared else values


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2])
def test_p_holds_wherever_one_stops(alpha: float) -> None:
    studies = 40_000
    d = draw_nulls(1, shared=False, studies=studies)[:, 0]
    p = compute_difference_p(d)
    plain = np.array([compute_mean_p(x) for x, _ in iterate_looks(d, LOOKS)])
    good = np.where((plain < 0.1).any(0), (plain < 0.1).argmax(0), 4)  # stop when it looks good
    rates = {"first": p[0], "last": p[-1], "good": np.take_along_axis(p, good[None], 0)[0]}
    for rule, stopped in rates.items():
        assert np.mean(stopped <= alpha) <= alpha + four_errors(alpha, studies), rule
    assert np.mean(p[-1] <= alpha) > 0.75 * alpha  # and not much looser: it allows for skewness
    assert np.mean(plain.min(0) <= alpha) > 1.5 * alpha  # the plain p at the same looks


@pytest.mark.parametrize("looks", DESIGNS)
@pytest.mark.parametrize("shared", [False, True])
def test_the_family_wise_error_at_any_look(shared: bool, looks: Looks) -> None:
    d = draw_nulls(ARMS, shared=shared)
    p = compute_difference_p(d, looks)
    adjusted_p = np.array([step_down(p_at_look) for p_at_look in p])
    wrong = np.any(adjusted_p <= ALPHA, axis=-1)  # (K, studies)
    for rule, claims in {"first look": wrong[0], "last look": wrong[-1], "as soon as": wrong.any(0)}.items():
        print(f"{looks}, shared baseline {shared}, {rule}: family-wise error {claims.mean():.4f}")
        assert claims.mean() <= ALPHA + four_errors(ALPHA, STUDIES)
    plain = np.array([step_down(compute_mean_p(x)) for x, _ in iterate_looks(d, looks)]).min((0, -1)) <= ALPHA
    print(f"{looks}, shared baseline {shared}, plain p at the same looks: {plain.mean():.4f}")
    assert wrong.any(0).mean() > 0.025
    assert (plain.mean() > 0.1) == (looks is LOOKS)
    assert np.mean(compute_mean_p(d[..., :10]).min(-1) <= ALPHA) > 0.2  # without any correction


@pytest.mark.parametrize("looks", DESIGNS)
def test_repeated_intervals_cover_at_all_looks_together(looks: Looks) -> None:
    studies = 40_000
    d = draw_nulls(1, shared=False, studies=studies)[:, 0]
    for family_size in (1, 15):
        alpha = ALPHA / family_size
        inside = np.ones(studies, bool)
        above = np.ones(studies, bool)
        for k, (x, _) in enumerate(iterate_looks(d, looks)):
            m = moments(x)
            look = Look(looks, k)
            low, high = mean_interval(m, look.compute_level(alpha))
            inside &= (low <= 0) & (high >= 0)
            above &= mean_interval(m, 2 * look.compute_level(alpha, tails=1))[1] >= 0
        rates = f"{inside.mean():.4f}, one-sided {above.mean():.4f}"
        print(f"{looks}, coverage over all looks at 1 − .05/{family_size}: {rates}")
        for covered in (inside.mean(), above.mean()):  # beyond 1 − alpha, as they allow for skewness
            assert 1 - alpha - four_errors(alpha, studies) <= covered <= 1 - alpha / 2


@pytest.mark.parametrize("seeds", [5, 8, 10])
def test_intervals_of_few_seeds_cover_mean_and_next_seed_at_their_level(seeds: int) -> None:
    studies = 40_000
    x = draw_nulls(1, shared=False, studies=studies)[:, 0]
    sample = x[:, :seeds]
    next_seed = x[:, seeds]
    for level in (0.90, 0.95, 0.99):
        ends = t_interval(sample, level), mean_interval(moments(sample), 1 - level)
        plain, contrasts = (np.mean((low <= 0) & (high >= 0)) for low, high in ends)
        assert plain == pytest.approx(level, abs=four_errors(level, studies))
        assert plain <= contrasts <= level + 0.4 * (1 - level)  # that of a contrast allows for skewness
    low, high = t_interval(sample, one_more=True)
    inside = np.mean((low <= next_seed) & (next_seed <= high))
    assert inside == pytest.approx(0.95, abs=four_errors(0.95, studies))


@pytest.mark.parametrize("looks", DESIGNS)
@pytest.mark.parametrize("spread", [0.5, 1.0, 2.0])
def test_the_size_of_equivalence_at_a_difference_of_delta(spread: float, looks: Looks) -> None:
    studies = 40_000
    d = 1 + spread * draw_nulls(1, shared=False, studies=studies)[:, 0]
    rate = np.mean(
        compute_p_after_looks([equivalence_p(x, 1.0) for x, _ in iterate_looks(d, looks)], looks, 1)[-1]
        <= ALPHA
    )
    print(f"{looks}, the same at δ with an SD of {spread} δ: {rate:.4f}")
    assert rate <= ALPHA + four_errors(ALPHA, studies)
    assert rate > (0.04 if spread <= 1 else 0.03 * (looks is LOOKS))  # attained where the zone is wide


@cache
def compute_sign_p(wins: int, losses: int, ties: int) -> float:
    """Return the p of a contrast with these wins, losses and ties."""
    single = {s: math.inf if s >= wins else 0.0 for s in range(wins + losses)}
    diverged = {wins + losses + s: math.inf for s in range(ties)}
    return compare_pairs(single | diverged, dict.fromkeys(single, 0.5) | diverged, JudgedScale(1.0)).p


def load_differences(metric: str) -> np.ndarray:
    """Return the differences (arms, seeds) of the study toggles, over the seeds that all its arms have."""
    table = pd.read_csv(DIFFERENCES).query("metric == @metric")
    return table.pivot(index="arm", columns="seed", values="difference").dropna(axis=1).to_numpy()


@pytest.mark.parametrize("metric", ["valid_accuracy", "valid_loss"])
def test_the_family_wise_error_with_differences_of_a_study_that_was_run(metric: str) -> None:
    """Recentred, so that no arm has an effect; whole seeds are drawn, and smoothed (Silverman's width)."""
    d = load_differences(metric)
    rng = np.random.default_rng(11)
    studies = 4_000
    d = d - d.mean(-1, keepdims=True)
    width = 0.9 * len(d.T) ** -0.2
    drawn = d[:, rng.integers(len(d.T), size=(studies, 40))].swapaxes(0, 1)  # (studies, arms, 40)
    drawn = drawn + width * d.std(-1, ddof=1)[:, None] * rng.standard_normal((studies, 1, 40))
    wrong = (step_down(compute_difference_p(drawn)[-1]) <= ALPHA).any(-1).mean()
    fixed = (step_down(compute_mean_p(drawn[..., :10])) <= ALPHA).any(-1).mean()
    print(
        f"{metric}, recentred, {len(d.T)} seeds: family-wise error {wrong:.4f}; ten fixed seeds {fixed:.4f}"
    )
    assert wrong <= 0.08 + four_errors(0.08, studies)  # pairs are not exactly normal


@pytest.mark.parametrize("rate", [0.02, 0.2])
def test_seeds_that_diverge_on_either_side_alike(rate: float) -> None:
    studies = 20_000
    rng = np.random.default_rng(7)
    divergence = np.where(rng.random((2, studies, 40)) < rate, np.inf, 0)
    arm, baseline = rng.standard_normal((2, studies, 40)) + divergence
    ps = []
    for n in LOOKS.pair_counts:
        a = arm[:, :n]
        b = baseline[:, :n]
        complete = np.isfinite(a + b).all(-1)
        wins = (a < b).sum(-1)
        losses = (a > b).sum(-1)
        counts = zip(wins.tolist(), losses.tolist(), (n - wins - losses).tolist(), strict=True)
        p = np.array([compute_sign_p(*count) for count in counts])
        p[complete] = compute_mean_p(a[complete] - b[complete])
        ps.append(p)
    wrong = np.mean(compute_p_after_looks(ps, LOOKS, 2)[-1] <= ALPHA)
    print(f"a seed in {1 / rate:g} diverges on either side: error {wrong:.4f}")
    assert 0.01 < wrong <= ALPHA + four_errors(ALPHA, studies)


def test_a_study_of_noise_through_decide_itself() -> None:
    studies = 50
    seeds = range(40)
    d = 0.015 * draw_nulls(12, shared=True, studies=studies)  # δ is .94 SD: most are shown to be the same
    wrong = 0
    decided = 0
    for study in d:
        zero = dict.fromkeys(seeds, 0.0)
        pairs = {i: {METRIC.name: (dict(enumerate(x.tolist())), zero)} for i, x in enumerate(study)}
        decisions = evaluate_looks(
            LookInput(sides=pairs, seeds=seeds, looks=LOOKS, metrics=[METRIC])
        ).verdicts.values()
        kinds = [by_metric[METRIC.name].kind for by_metric in decisions]
        wrong += any(kind in ("better", "worse") for kind in kinds)
        decided += kinds.count("same")
        assert _find_decided_arms(study) == {i for i, kind in enumerate(kinds) if kind != "open"}
    print(f"12 arms without effect: {wrong / studies:.3f} wrong, {decided / studies / 12:.3f} the same")
    assert wrong / studies <= ALPHA + four_errors(ALPHA, studies)
    assert decided > 0.5 * studies * 12  # and the true answer is found


def _find_decided_arms(study: np.ndarray) -> set[int]:
    """Return the arms that the vectorised functions decide: frozen p, both families, look by look."""
    p = compute_difference_p(study)
    e = compute_p_after_looks(
        [equivalence_p(x, METRIC.delta) for x, _ in iterate_looks(study, LOOKS)], LOOKS, 1
    )
    end = np.full(len(study), -1)
    for k in range(len(LOOKS)):
        look = np.where(end < 0, k, end)
        arms = np.arange(len(study))
        small = (step_down(p[look, arms]) <= ALPHA) | (step_down(e[look, arms]) <= ALPHA)
        end[(end < 0) & small] = k
    return set(np.flatnonzero(end >= 0).tolist())


@pytest.mark.parametrize(("effect", "sd"), [(0.0, 0.03), (0.02, 0.03), (0.04, 0.03), (0.0, 0.08)])
def test_what_a_plan_expects_is_what_decide_takes(effect: float, sd: float) -> None:
    studies = 300
    seeds = range(40)
    rng = np.random.default_rng(9)
    pairs_taken = []
    decided = []
    for _ in range(studies):
        arm = dict(enumerate((effect + sd * rng.standard_normal(40)).tolist()))
        pairs = {"x": {METRIC.name: (arm, dict.fromkeys(seeds, 0.0))}}
        decisions = evaluate_looks(
            LookInput(sides=pairs, seeds=seeds, looks=LOOKS, metrics=[METRIC]), futility=FUTILE_CHANCE
        )
        v = decisions.verdicts["x"][METRIC.name]
        pairs_taken.append(v.contrast.pair_count)
        decided.append(v.state.has_ended)
    plan = predict_contrast(LOOKS, sd=sd, zone=0.02, effect=effect, futility=FUTILE_CHANCE)
    assert np.mean(pairs_taken) == pytest.approx(
        plan.seeds, abs=4 * np.std(pairs_taken) / math.sqrt(studies) + 0.5
    )
    assert np.mean(decided) == pytest.approx(plan.decided, abs=four_errors(0.5, studies))
