"""Rates of wrong claims on simulated contrasts, by the rules of `reports.statistics` and by those before.

    python tests/simulations/simulate_verdicts.py [CONTRASTS]

prints its tables (40,000 contrasts: two minutes of CPU). Looks are the default ones; "fifteen" is the
first step of Holm over as many independent contrasts.
"""

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import special

sys.path.insert(0, str(Path(__file__).parents[2]))  # where a script finds `tests`

from tests.helpers.contrasts import LOOKS
from tests.simulations import rules
from tests.simulations.command_line import read_numbers
from tests.simulations.noise_laws import LAWS, Tails, both_tails, make_generator, t_tails
from unrolled.reports.statistics.estimators import mean_interval, mean_tails, moments, step_down, tails_to_p
from unrolled.reports.statistics.expected_seeds import median_unbiased
from unrolled.reports.statistics.looks import Look, Looks
from unrolled.reports.statistics.power import ALPHA

Flags = np.ndarray


@dataclass(frozen=True)
class Ends:
    """Where simulated contrasts ended: (studies,) each."""

    look: np.ndarray  # from 0; the last where nothing was shown
    different: Flags
    same: Flags
    mean: np.ndarray
    sd: np.ndarray


def judge_at_looks(
    d: np.ndarray, delta: float, tails: Tails, family_size: int = 1, looks: Looks = LOOKS
) -> Ends:
    """Look at differences (studies, N) until a difference or the equivalence within ±δ is significant."""
    studies = len(d)
    look = np.full(studies, len(looks) - 1)
    is_open = np.ones(studies, bool)
    different = np.zeros(studies, bool)
    same = np.zeros(studies, bool)
    q = np.ones(studies)
    q_same = np.ones(studies)
    for k, (n, weight) in enumerate(zip(looks.pair_counts, looks.weights, strict=True)):
        x = d[:, :n]
        q = np.minimum(q, tails_to_p(*tails(x, 0.0)) / weight)
        q_same = np.minimum(q_same, np.maximum(tails(x, -delta)[0], tails(x, delta)[1]) / weight)
        different |= is_open & (looks.compute_p(q) <= ALPHA / family_size)
        same |= is_open & (looks.compute_p(q_same, 1) <= ALPHA / family_size)
        has_ended = is_open & (different | same)
        look[has_ended] = k
        is_open &= ~has_ended
    samples = [d[i, : looks.pair_counts[k]] for i, k in enumerate(look)]
    means, sds = (np.array([f(x) for x in samples]) for f in (np.mean, lambda x: np.std(x, ddof=1)))
    return Ends(look, different, same, means, sds)


def simulate_skewed_errors(law: str, studies: int, tails: Tails, seed: int = 0) -> tuple[float, float]:
    """Return how often a difference is claimed where there is none: of one contrast, and of fifteen."""
    d = LAWS[law](make_generator(seed), studies)
    q = np.ones(studies)
    for n, weight in zip(LOOKS.pair_counts, LOOKS.weights, strict=True):
        q = np.minimum(q, tails_to_p(*tails(d[:, :n], 0.0)) / weight)
    p = LOOKS.compute_p(q)
    return float(np.mean(p <= ALPHA)), float(1 - (1 - np.mean(p <= ALPHA / 15)) ** 15)


def simulate_same_at_delta(law: str, studies: int, tails: Tails, seed: int = 0) -> float:
    """Return how often "the same" is claimed at a true difference of −δ on the long side, the SD being δ."""
    d = LAWS[law](make_generator(seed), studies)
    d = d / math.sqrt(np.mean(d**2)) + 1 if law != "normal" else d + 1
    q = np.ones(studies)
    for n, weight in zip(LOOKS.pair_counts, LOOKS.weights, strict=True):
        e = np.maximum(tails(d[:, :n], -1.0)[0], tails(d[:, :n], 1.0)[1])
        q = np.minimum(q, e / weight)
    return float(np.mean(LOOKS.compute_p(q, 1) <= ALPHA))


def simulate_words(effect: float, sd: float, studies: int, seed: int = 0) -> dict[str, float]:
    """Return the shares of the words of before, at a true difference of `effect` δ."""
    d = effect + sd * make_generator(seed).standard_normal((studies, LOOKS.last_pair_count))
    ends = judge_at_looks(d, 1.0, t_tails)
    return {
        "improves": float(np.mean(ends.different & ~ends.same)),
        "negligible": float(np.mean(ends.different & ends.same)),
        "equivalent": float(np.mean(ends.same & ~ends.different)),
    }


def simulate_sizes(effect: float, sd: float, studies: int, seed: int = 0) -> dict[str, float]:
    """Return the shares of directions and sizes by the interval, at a true difference of `effect` δ."""
    d = effect + sd * make_generator(seed).standard_normal((studies, LOOKS.last_pair_count))
    ends = judge_at_looks(d, 1.0, both_tails)
    shares = dict.fromkeys(("wrong", "more", "less", "unsettled"), 0)
    for k, n in enumerate(LOOKS.pair_counts):
        at_look = ends.different & (ends.look == k)
        low, high = mean_interval(moments(d[at_look, :n]), Look(LOOKS, k).compute_level(ALPHA))
        above = (low > 1) | (high < -1)
        less = (low > -1) & (high < 1)
        directed = (low > 0) | (high < 0)
        shares["wrong"] += int(((high < 0) if effect > 0 else directed).sum())
        shares["more"] += int((directed & above).sum())
        shares["less"] += int((directed & less).sum())
        shares["unsettled"] += int((directed & ~above & ~less).sum())
    same = {"same": float(np.mean(ends.same & ~ends.different))}
    return {name: count / studies for name, count in shares.items()} | same


def simulate_wrong_sizes(contrasts: int, studies: int, seed: int = 0) -> float:
    """Return how often some size is wrong among contrasts of δ, SD δ and forty seeds, Holm over all."""
    d = 1 + make_generator(seed).standard_normal((studies, contrasts, LOOKS.last_pair_count))
    m = moments(d)
    p = tails_to_p(*mean_tails(m))
    rejected = step_down(p) <= ALPHA
    rank = p.argsort(-1).argsort(-1)
    wrong = np.zeros(studies, bool)
    for k in range(contrasts):
        low, high = mean_interval(m, ALPHA / (contrasts - k))
        settled = (low > 1) | ((low > 0) & (high < 1))
        wrong |= (rejected & (rank == k) & settled).any(-1)
    return float(wrong.mean())


def simulate_undeclared_errors(studies: int, seed: int = 0) -> tuple[float, float]:
    """Return how often equal arms differ by plain t: on seeds that a decision chose, and on the first look's.

    The decision is on a contrast that is nearly the same: its baseline is the other arm but for a little.
    """
    arm, baseline, little = make_generator(seed).standard_normal((3, studies, LOOKS.last_pair_count))
    look = judge_at_looks(arm - baseline, 0.6, t_tails).look
    wrong = np.zeros(studies, bool)
    d = arm - baseline - 0.3 * little
    for k, n in enumerate(LOOKS.pair_counts):
        wrong[look == k] = tails_to_p(*t_tails(d[look == k, :n])) <= ALPHA
    first = tails_to_p(*t_tails(d[:, : LOOKS.pair_counts[0]])) <= ALPHA
    return float(wrong.mean()), float(first.mean())


def simulate_divergence_claims(rate: float, studies: int, seed: int = 0) -> tuple[float, float]:
    """Return how often an arm of which a share of 30 seeds diverges is better by signs: before, and now."""
    n = 30
    rng = make_generator(seed)
    diverged = (rng.random((studies, n)) < rate).sum(1)
    p = 2 * special.bdtr(np.minimum(diverged, n - diverged), n, 0.5)
    better = (p <= ALPHA) & (diverged < n / 2)
    mcnemar = np.minimum(1, 2 * special.bdtr(0, diverged, 0.5))
    return float(better.mean()), float((better & (mcnemar > ALPHA)).mean())


def simulate_exaggeration(
    effect: float, sd: float, family_size: int, studies: int, seed: int = 0
) -> dict[str, float]:
    """Return how large the mean and the corrected estimate of claims are on average, and how often above."""
    d = effect + sd * make_generator(seed).standard_normal((studies, LOOKS.last_pair_count))
    ends = judge_at_looks(d, 1.0, both_tails, family_size)
    level = ALPHA / family_size
    corrected = np.array(
        [
            median_unbiased(LOOKS, len(LOOKS), m, s, zone=1.0, alpha=level, alpha_same=level)
            for m, s in zip(ends.mean, ends.sd, strict=True)
        ]
    )
    claims = ends.different
    return {
        "mean of claims": float(ends.mean[claims].mean() / effect),
        "corrected, of claims": float(corrected[claims].mean() / effect),
        "mean too large": float(np.mean(ends.mean > effect)),
        "corrected too large": float(np.mean(corrected > effect)),
    }


def tabulate_claims(studies: int, seed: int = 0) -> list[tuple[str, str, str]]:
    """Return the rates of claims, by the rules of before, and by those of today."""
    rows = []
    for law in LAWS:
        old_rates, new_rates = (
            simulate_skewed_errors(law, studies, tails, seed) for tails in (t_tails, both_tails)
        )
        rows += [
            (f"a difference where there is none: {law}, {number}", f"{old:.3f}", f"{new:.3f}")
            for number, old, new in zip(("one", "fifteen"), old_rates, new_rates, strict=True)
        ]
    for law in ("normal", "exponential", "a collapse in 5 %"):
        old, new = (simulate_same_at_delta(law, studies, tails, seed) for tails in (t_tails, both_tails))
        rows.append((f"the same at a difference of δ: {law}", f"{old:.3f}", f"{new:.3f}"))
    for word, share in simulate_words(0.6, 0.5, studies, seed).items():
        rows.append((f"{word}, at .6 δ with an SD of .5 δ", f"{share:.2f}", ""))
    for word, share in simulate_sizes(0.6, 0.5, studies, seed).items():
        rows.append((f"{word}, at .6 δ with an SD of .5 δ", "", f"{share:.2f}"))
    size_rates = simulate_sizes(1.0, 1.0, studies, seed)
    wrong = size_rates["more"] + size_rates["less"] + size_rates["same"]
    rows.append(("a size at a difference of δ, SD δ", "", f"{wrong:.3f}"))
    wrong = simulate_wrong_sizes(15, studies // 10, seed)
    rows.append(("a wrong size among fifteen of δ, SD δ, 40 seeds", "", f"{wrong:.3f}"))
    old, new = simulate_undeclared_errors(studies, seed)
    rows.append(("a difference of equal arms, not declared", f"{old:.3f}", f"{new:.3f}"))
    old, new = simulate_divergence_claims(8 / 30, studies, seed)
    rows.append(("better, though 8 of 30 seeds diverge on average", f"{old:.3f}", f"{new:.3f}"))
    for effect in (0.5, 1.0):
        ratios = simulate_exaggeration(effect, 1.5, 15, studies // 20, seed)
        claims = ("mean of claims", "corrected, of claims")
        ends = ("mean too large", "corrected too large")
        design = f"{effect:g} δ, SD 1.5 δ, fifteen"
        rows.append((f"size of what is claimed, of {design}", *(f"× {ratios[x]:.2f}" for x in claims)))
        rows.append((f"estimates above {design}", *(f"{ratios[x]:.3f}" for x in ends)))
    return rows


def tabulate_rules(studies: int, seed: int = 0) -> Iterator[tuple[str, rules.Rates]]:
    """Yield lost pairs, columns, ties, copies, samples without pairs, power, warnings and missing rows."""
    for law in LAWS:
        yield f"different, with one pair lost: {law}", rules.simulate_lost_pair(law, studies, seed)
    for missing in (2, 4, 6):
        label = f"better, without the baseline's best {missing} of 16"
        yield label, rules.simulate_missing_runs(missing, studies, seed)
    yield (
        "different, where a study's table is asked by columns",
        rules.simulate_table_by_columns(studies, seed),
    )
    single, fifteen = rules.simulate_ties(studies, seed)
    yield "the same at a difference of δ, 25 items: one", single
    yield "the same at a difference of δ, 25 items: fifteen", fifteen
    yield "different, one run copied ten times", rules.simulate_copied_run(studies, seed)
    for arm_rate, base_rate in ((0.2, 0.0), (0.3, 0.0), (0.05, 0.05)):
        label = f"the same in 20 pairs, crashes {arm_rate}, {base_rate}"
        yield label, rules.simulate_failures(arm_rate, base_rate, studies // 20, seed)
    for law in rules.SAMPLES:
        for spread in (1, 2, 4):
            label = f"different without pairs, 5 against 50, spread {spread} to 1: {law}"
            yield label, rules.simulate_unpaired(law, studies // 20, seed, spread)
    for family_size in (1, 15):
        for n in (5, 10, 20):
            label = f"power at what {n} pairs detect, of {family_size}"
            yield label, rules.simulate_power(n, family_size, studies, seed)
    yield (
        "wrong claims on five lognormal pairs that are warned of",
        rules.simulate_warnings("lognormal", studies // 10, seed),
    )
    yield (
        "passes the gate, worse by δ, worst 12 of 30 rows left out",
        rules.simulate_left_out_rows(studies, seed),
    )


def print_gates(gates: int, seed: int) -> None:
    """Print the chance to pass at a difference of 0, δ and 2 δ, with the pairs, beside the known answers."""
    head = "gate: passes if unchanged, worse by δ, by 2 δ (pairs)"
    print(f"\n{head:54}{'unchanged':>14}{'δ':>14}{'2 δ':>14}  known")
    for law, chances in rules.GATES.items():
        for sd, (same, margin) in zip((0.5, 1.0, 1.5), chances, strict=True):
            cells = (f"{x.passes:.3f} ({x.pairs:.0f})" for x in rules.simulate_gate(law, sd, gates, seed))
            print(
                f"{f'{law}, SD {sd:g} δ':54}{''.join(f'{cell:>14}' for cell in cells)}  {same:g}, {margin:g}"
            )


def print_skewness(studies: int, seed: int) -> None:
    """Print the rates of today's correction for skewness and of the one that was not taken."""
    print(f"\n{'skewness without bias, constant beyond t = 8':54}{'today':>16}{'not taken':>16}")
    for law in LAWS:
        rates = [
            simulate_skewed_errors(law, studies, tails, seed)
            for tails in (both_tails, rules.compute_unbiased_tails)
        ]
        cells = "".join(f"{f'{single:.3f}, {fifteen:.3f}':>16}" for single, fifteen in rates)
        print(f"{f'a difference where there is none: {law}':54}{cells}")


if __name__ == "__main__":
    (contrasts,) = read_numbers(__doc__, contrasts=40_000)
    print(f"{'rates':62}{'before':>8}{'now':>8}")
    for line, *rates in tabulate_claims(contrasts, 0):
        print(f"{line:62}{rates[0]:>8}{rates[1]:>8}")
    for line, (old_rate, new_rate) in tabulate_rules(contrasts, 0):
        print(f"{line:62}{old_rate:>8.3f}{new_rate:>8.3f}")
    print_gates(min(contrasts, 4_000), 0)
    print_skewness(contrasts, 0)
