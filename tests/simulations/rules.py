"""Rates of the rules on lost pairs, ties, copies, columns, samples without pairs, power and gates.

Each function returns a rate by the rule of before, which is written out here, and by that of today.
`simulate_verdicts.py` prints them.
"""

import math

import numpy as np
import pandas as pd
from scipy import special, stats

from tests.helpers.contrasts import LOOKS
from tests.helpers.designs import compare_table
from tests.simulations.noise_laws import LAWS, both_tails, gate_law, make_generator
from unrolled.bench.metric import Metric
from unrolled.reports.foreign.columns import Columns
from unrolled.reports.statistics.error_contrasts import welch
from unrolled.reports.statistics.estimators import mean_interval, moments, tails_to_p, ties_p
from unrolled.reports.statistics.gates import Chance, simulate_gates
from unrolled.reports.statistics.pairs import JudgedScale, LostPairs, compare_pairs
from unrolled.reports.statistics.power import (
    ALPHA,
    POWER,
    minimum_detectable_effect,
    t_detectable_effect,
)

Rates = tuple[float, float]  # before, and now
Both = tuple[np.ndarray, np.ndarray]  # one-sided p on either side


def compute_sign_tails(low: np.ndarray, high: np.ndarray) -> Both:
    """Return the p by signs that medians are at most 0, and at least 0; pairs at their ends."""
    n = low.shape[-1]
    return special.bdtr((low <= 0).sum(-1), n, 0.5), special.bdtr((high >= 0).sum(-1), n, 0.5)


def append_values(x: np.ndarray, ends: np.ndarray | float, lost: int) -> np.ndarray:
    """Return samples with so many values more."""
    return np.concatenate([x, np.broadcast_to(ends, (len(x), lost))], axis=1)


def compute_signs_of_lost(x: np.ndarray, lost: int) -> Both:
    """Before: signs alone, with each lost pair against the claim."""
    return compute_sign_tails(append_values(x, -math.inf, lost), append_values(x, math.inf, lost))


def compute_tails_of_lost(x: np.ndarray, lost: int) -> Both:
    """Now: the mean has to agree, with each lost pair as the worst of the others."""
    signs = compute_signs_of_lost(x, lost)
    low, high = (append_values(x, end[:, None], lost) for end in (x.min(1), x.max(1)))
    return np.maximum(signs[0], both_tails(low)[0]), np.maximum(signs[1], both_tails(high)[1])


def simulate_lost_pair(law: str, studies: int, seed: int) -> Rates:
    """Return how often a difference is claimed where there is none and the first look lost one pair."""
    d = LAWS[law](make_generator(seed), studies)
    rates = []
    for tails in (compute_signs_of_lost, compute_tails_of_lost):
        q = np.ones(studies)
        for n, weight in zip(LOOKS.pair_counts, LOOKS.weights, strict=True):
            q = np.minimum(q, tails_to_p(*tails(d[:, 1:n], 1)) / weight)
        rates.append(float(np.mean(LOOKS.compute_p(q) <= ALPHA)))
    return rates[0], rates[1]


def simulate_missing_runs(missing: int, studies: int, seed: int) -> Rates:
    """Return how often an arm is better than its equal, whose best runs of 16 were left out.

    Before they counted for the arm among the signs, and not at all in the mean.
    """
    arm, baseline = make_generator(seed).standard_normal((2, studies, 16))
    remaining = np.argsort(baseline, axis=1)[:, missing:]  # losses: the best are the lowest
    d = np.take_along_axis(arm - baseline, remaining, axis=1)
    better = append_values(d, -math.inf, missing)
    sign_p = np.maximum(both_tails(d)[1], compute_sign_tails(better, better)[1])
    return float(np.mean(sign_p <= ALPHA / 2)), float(
        np.mean(compute_tails_of_lost(d, missing)[1] <= ALPHA / 2)
    )


def simulate_table_by_columns(studies: int, seed: int) -> Rates:
    """Return how often equal arms differ on a study's table: by the plain p of all seeds, and by its looks.

    The SD of a pair is 2.5 δ.
    """
    delta = 0.4
    d = make_generator(seed).standard_normal((studies, LOOKS.last_pair_count))
    is_open = np.ones(studies, bool)
    q = np.ones(studies)
    q_same = np.ones(studies)
    wrong = np.zeros(studies, bool)
    plain = np.ones(studies)
    for n, weight in zip(LOOKS.pair_counts, LOOKS.weights, strict=True):
        x = d[:, :n]
        p = tails_to_p(*both_tails(x, 0.0))
        q = np.minimum(q, p / weight)
        q_same = np.minimum(q_same, np.maximum(both_tails(x, -delta)[0], both_tails(x, delta)[1]) / weight)
        wrong |= is_open & (LOOKS.compute_p(q) <= ALPHA)
        plain[is_open] = p[is_open]
        is_open &= ~wrong & (LOOKS.compute_p(q_same, 1) > ALPHA)
    return float(np.mean(plain <= ALPHA)), float(wrong.mean())


def simulate_ties(studies: int, seed: int) -> tuple[Rates, Rates]:
    """Return how often arms that differ by δ = .01 are the same: each of 25 items is lost in .01 of seeds.

    Of one contrast, and of some one of fifteen.
    """
    delta = 0.01
    d = -make_generator(seed).binomial(25, delta, (studies, LOOKS.last_pair_count)) / 25
    q = np.ones((2, studies))
    for n, weight in zip(LOOKS.pair_counts, LOOKS.weights, strict=True):
        x = d[:, :n]
        equal = np.ptp(x, axis=1) == 0
        with np.errstate(invalid="ignore", divide="ignore"):
            p = np.maximum(both_tails(x, -delta)[0], both_tails(x, delta)[1])
        of_zeros = np.where(x[:, 0] == 0, 0.0, 1.0)  # .04 and more are beyond δ
        ties_now = np.where(x[:, 0] == 0, ties_p(n, 0.0, delta, 1.0), 1.0)
        q = np.minimum(q, np.where(equal, [of_zeros, ties_now], p) / weight)
    old_p, new_p = (LOOKS.compute_p(np.minimum(quantile, 1.0), 1) for quantile in q)
    single, holm = ((np.mean(old_p <= a), np.mean(new_p <= a)) for a in (ALPHA, ALPHA / 15))
    some_of_fifteen = tuple(float(1 - (1 - rate) ** 15) for rate in holm)
    return (float(single[0]), float(single[1])), (some_of_fifteen[0], some_of_fifteen[1])


def simulate_copied_run(studies: int, seed: int) -> Rates:
    """Return how often an arm that is one run, copied ten times, differs from its equal."""
    rng = make_generator(seed)
    d = rng.standard_normal((studies, 1)) - rng.standard_normal((studies, 10))
    columns = Columns(("arm",), ("seed",), (Metric("loss", 0.1),))
    claims = 0
    tables = 20
    for draws in d[:tables]:
        runs = pd.DataFrame({"arm": "a", "seed": range(10), "loss": draws})
        table = pd.concat([runs, runs.assign(arm="b", loss=0.0)])
        claims += compare_table(table, columns).arms[1].verdict.makes_claim
    return float(np.mean(tails_to_p(*both_tails(d)) <= ALPHA)), claims / tables


def simulate_failures(arm_rate: float, base_rate: float, studies: int, seed: int) -> Rates:
    """Return how often arms of equal numbers are the same in 20 pairs, of which shares crash; SD .25 δ."""
    rng = make_generator(seed)
    same = np.zeros(2)
    for _ in range(studies):
        d = 0.25 * rng.standard_normal(20)
        crashes = [rng.random(20) < rate for rate in (arm_rate, base_rate)]
        arm, base = ({s: x for s, x in enumerate(side) if not crashed[s]}
                     for side, crashed in zip((d, 0 * d), crashes, strict=True))  # fmt: skip
        c = compare_pairs(
            arm, base, JudgedScale(1.0), lost_pairs=LostPairs(int((crashes[0] | crashes[1]).sum()))
        )
        fewer, more = sorted((c.arm_missing_count, c.base_missing_count))
        is_same = c.pair_count >= 5 and c.equivalence_p <= ALPHA
        shown = 2 * special.bdtr(fewer, fewer + more, 0.5) <= ALPHA
        same += is_same and not shown, is_same and not c.fails_unequally
    return float(same[0] / studies), float(same[1] / studies)


SAMPLES = {"normal": "standard_normal", "exponential": "standard_exponential", "lognormal": "standard_normal"}


MEANS = {"exponential": 1.0, "lognormal": math.exp(0.5)}


def simulate_unpaired(law: str, studies: int, seed: int, spread: float = 1.0) -> Rates:
    """Return how often five values differ from fifty of one law and mean, but for their spread."""
    rng = make_generator(seed)
    wrong = np.zeros(2)
    for _ in range(studies):
        a, b = (getattr(rng, SAMPLES[law])(n) for n in (5, 50))
        if law == "lognormal":
            a = np.exp(a)
            b = np.exp(b)
        a = spread * (a - MEANS.get(law, 0.0)) + MEANS.get(law, 0.0)
        wrong += (
            stats.ttest_ind(a, b, equal_var=False).pvalue <= ALPHA,
            welch(a, b, JudgedScale(1.0)).p <= ALPHA,
        )
    return float(wrong[0] / studies), float(wrong[1] / studies)


def simulate_warnings(law: str, studies: int, seed: int) -> Rates:
    """Return the share of wrong claims on five pairs that come with a warning of skewness."""
    wrong = 0
    counts = np.zeros(2)
    for d in LAWS[law](make_generator(seed), studies)[:, :5]:
        c = compare_pairs(dict(enumerate(d)), dict.fromkeys(range(5), 0.0), JudgedScale(1.0))
        if c.p <= ALPHA:
            wrong += 1
            counts += c.is_skewed, c.is_skewed or c.hides_skewness
    return float(counts[0] / wrong), float(counts[1] / wrong)


def simulate_power(n: int, family_size: int, studies: int, seed: int) -> Rates:
    """Return the power at the effect that is called detectable with .80."""
    draws = make_generator(seed).standard_normal((studies, n))
    low, _ = mean_interval(moments(draws), ALPHA / family_size)
    effects = t_detectable_effect(n, ALPHA / family_size), minimum_detectable_effect(n, ALPHA / family_size)
    old_power, new_power = (float(np.mean(low + effect > 0)) for effect in effects)
    return old_power, new_power


def simulate_stretch(n: int, alpha: float, studies: int, seed: int = 0) -> float:
    """Return how many times as large an effect the larger p of both tests needs for 80 % power as t alone."""
    low, _ = mean_interval(moments(make_generator(seed).standard_normal((studies, n))), alpha)
    return float(np.quantile(-low, POWER) / t_detectable_effect(n, alpha))


def simulate_left_out_rows(studies: int, seed: int) -> Rates:
    """Return how often a head that is worse by δ passes, whose worst 12 of 30 rows were left out."""
    worse = 1.0 + make_generator(seed).standard_normal((studies, 30))
    remaining = np.sort(worse, axis=1)[:, :18]
    return float(np.mean(mean_interval(moments(remaining), 2 * ALPHA)[1] < 1.0)), 0.0  # a missing seed fails


GATES = {
    "normal": ((1.0, 0.054), (1.0, 0.056), (0.99, 0.046)),
    "t, 3 degrees": ((math.nan, 0.051),) * 3,
    "exponential": ((0.999, 0.10), (0.985, 0.10), (0.895, 0.10)),
    "lognormal": ((0.98, 0.175), (0.91, 0.175), (0.84, 0.175)),
    "rare collapses": ((math.nan, 0.59),) * 3,
}
"""Known answers: how often unchanged code passes, and one worse by δ, at SDs of .5, 1 and 1.5 δ."""


def simulate_gate(law: str, sd: float, gates: int, seed: int) -> tuple[Chance, Chance, Chance]:
    """Return a gate's chance to pass at a true difference of 0, δ and 2 δ."""
    worse = gate_law(law, sd, gates, seed)
    same, margin, double = (simulate_gates(worse + effect, LOOKS, 1.0) for effect in (0.0, 1.0, 2.0))
    return same, margin, double


def compute_unbiased_tails(x: np.ndarray, mu: float = 0.0) -> Both:
    """Not taken: the larger p of t and of Hall's t with the skewness freed of bias, constant beyond t = 8."""
    n = x.shape[-1]
    m = moments(x)
    t = math.sqrt(n) * (m.mean - mu) / m.sd
    a = m.skewness * math.sqrt(n - 1) / (n - 2)  # the skewness G1 over √n
    clipped = np.clip(t, -8, 8)
    corrected = t + a * clipped**2 / 3 + a**2 * clipped**3 / 27 + a / 6
    above = np.minimum(t, corrected)
    below = np.maximum(t, corrected)
    return special.stdtr(n - 1, -above), special.stdtr(n - 1, below)
