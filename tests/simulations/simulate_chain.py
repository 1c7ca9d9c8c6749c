"""What a chain of proposals keeps: by `gain_test` and `chain_levels`, and by "keep if better".

    python tests/simulations/simulate_chain.py [CHAINS]

prints its tables (200 chains of 100 proposals each: 35 seconds of CPU). Gains are in SDs of a pair's gain.
"""

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
from scipy import special

sys.path.insert(0, str(Path(__file__).parents[2]))  # where a script finds `tests`

from tests.simulations.command_line import read_numbers
from tests.simulations.noise_laws import LAWS, SDS, make_generator, t_tails
from unrolled.reports.statistics import gain_test
from unrolled.reports.statistics.chain_levels import compute_next_level, make_rule
from unrolled.reports.statistics.estimators import Moments
from unrolled.reports.statistics.gain_test import CHAIN_LOOKS, evaluate_gains, find_smallest_gain, fit_looks
from unrolled.reports.statistics.looks import Looks

ALPHA = 0.1
SCALES = {**SDS, "of 25 items": math.sqrt(2 * 0.9 * 0.1 / 25)}
PROPOSALS = 100
SHORT = 4, 8, 12, 20
KNOWN = (1.0, (8,)), (2.0, (8,)), (1.0, (20,)), (1.0, (40,)), (1.0, SHORT), (2.0, SHORT)
"""Gains and looks of which a simulation made elsewhere told what t alone finds."""
Draw = Callable[[np.random.Generator, int], np.ndarray]  # noise of proposals, (proposals, 40)


@dataclass(frozen=True)
class Course:
    """What became of the proposals of simulated chains: (chains, proposals) each."""

    gains: np.ndarray  # the true mean gains
    kept: np.ndarray
    runs: np.ndarray  # trained for the proposal, on both sides

    @property
    def false(self) -> np.ndarray:
        """True where a proposal was kept whose true gain is not above 0."""
        return self.kept & (self.gains <= 0)

    @property
    def found(self) -> float:
        """The share of helpful proposals that were kept."""
        helpful = self.gains > 0
        return float((self.kept & helpful).sum() / helpful.sum()) if helpful.any() else math.nan

    @property
    def ratio(self) -> float:
        """E[false keeps] / E[max(keeps, 1)], which the chain should hold to .1."""
        return float(self.false.sum(1).mean() / np.maximum(self.kept.sum(1), 1).mean())

    def stop_when_ahead(self) -> "Course":
        """Return chains that end with their first keep."""
        before = np.cumsum(self.kept, axis=1) - self.kept == 0
        return Course(self.gains, self.kept & before, self.runs * before)


def draw_gains(
    chains: int, *, helps: float, hurts: bool, seed: int = 0, repeats: int = 1, proposals: int = PROPOSALS
) -> np.ndarray:
    """Return true gains: one in ten is `helps`; of the others half are −`helps`, if some hurt, or else 0.

    Each is proposed `repeats` times in a row.
    """
    u = make_generator(seed).random((chains, proposals // repeats))
    harmful = (u >= 0.1) & (u < 0.55) & hurts
    return np.repeat(np.where(u < 0.1, helps, np.where(harmful, -helps, 0.0)), repeats, axis=1)


def draw_noise(
    rng: np.random.Generator, proposals: int, law: str = "normal", sign: float = -1.0
) -> np.ndarray:
    """Return noise with SD 1; the laws are of losses, whose large values are bad ones."""
    return sign * LAWS[law](rng, proposals) / SCALES.get(law, 1.0)


def judge_chain(
    gains: np.ndarray,
    draw: Draw = draw_noise,
    looks: Looks = CHAIN_LOOKS,
    rule: str = "saffron",
    shared: float = 0.0,
    seed: int = 1,
) -> Course:
    """Judge chains of proposals with these true gains.

    `shared` is the part of their noise that proposals of a chain have in common; 0 with fresh seeds.
    """
    rng = make_generator(seed)
    chains = len(gains)
    p = np.ones(gains.shape)
    is_kept = np.zeros(gains.shape, bool)
    pairs = np.zeros(gains.shape)
    common = draw(rng, chains)
    for t in range(gains.shape[1]):
        levels = make_rule(rule, ALPHA).compute_levels(p[:, :t])[:, -1]
        noise = math.sqrt(shared) * common + math.sqrt(1 - shared) * draw(rng, chains)
        ends = evaluate_gains(gains[:, t, None] + noise[:, : looks.last_pair_count], looks, levels)
        p[:, t] = ends.p
        is_kept[:, t] = ends.shown
        pairs[:, t] = ends.pairs
    return Course(gains, is_kept, 2 * pairs)


def keep_if_better(gains: np.ndarray, anew: bool, draw: Draw = draw_noise, seed: int = 2) -> Course:
    """Keep what scores better in one run than the incumbent, which is measured anew or has its old score."""
    rng = make_generator(seed)
    is_kept = np.zeros(gains.shape, bool)
    level = np.zeros(len(gains))
    score = draw(rng, len(gains))[:, 0] / math.sqrt(2)
    for t in range(gains.shape[1]):
        candidate, incumbent = draw(rng, len(gains))[:, :2].T / math.sqrt(2)
        new_score = level + gains[:, t] + candidate
        is_kept[:, t] = new_score > (level + incumbent if anew else score)
        level += gains[:, t] * is_kept[:, t]
        score = np.where(is_kept[:, t], new_score, score)
    return Course(gains, is_kept, np.full(gains.shape, 2.0 if anew else 1.0))


@contextmanager
def one_sided_t(first: int = 4) -> Iterator[None]:
    """Judge by Student's t alone, from this many pairs on."""

    def tails(m: Moments) -> tuple[np.ndarray, np.ndarray]:
        t = math.sqrt(m.n) * m.mean / m.sd
        return special.stdtr(m.n - 1, -t), special.stdtr(m.n - 1, t)

    with ExitStack() as stack:
        stack.enter_context(patch.object(gain_test, "mean_tails", tails))
        stack.enter_context(patch.object(gain_test, "CLAIM_SEEDS", first))
        yield


SKEWED = {
    "t, 3 degrees": partial(draw_noise, law="t, 3 degrees"),
    "exponential, rare bad runs": partial(draw_noise, law="exponential"),
    "exponential, rare good runs": partial(draw_noise, law="exponential", sign=1.0),
    "lognormal, rare bad runs": partial(draw_noise, law="lognormal"),
    "lognormal, rare good runs": partial(draw_noise, law="lognormal", sign=1.0),
    "a collapse in 5 %": partial(draw_noise, law="a collapse in 5 %"),
    "of 25 items": partial(draw_noise, law="of 25 items"),
}


def repeat_idea(chains: int, seed: int = 3) -> tuple[float, float]:
    """Return how often an idea that is useless, proposed twenty times, is kept: by t, and by a chain."""
    noise = make_generator(seed).standard_normal((chains, 20, 8))
    plain = (t_tails(noise)[0] <= 0.05).any(1)
    guarded = judge_chain(np.zeros((chains, 20)), seed=seed).kept.any(1)
    return float(plain.mean()), float(guarded.mean())


def rewind(chains: int, seed: int = 4) -> tuple[float, float]:
    """Return the same of five times twenty ideas, where a rewound branch forgets what was tried before."""
    noise = make_generator(seed).standard_normal((chains, 100, 8))
    plain = (t_tails(noise)[0] <= ALPHA / 20).any(1)
    guarded = judge_chain(np.zeros((chains, 100)), seed=seed).kept.any(1)
    return float(plain.mean()), float(guarded.mean())


def stop_when_ahead(chains: int, seed: int = 5) -> tuple[float, float]:
    """Return the same of twenty ideas: tested after every pair, and in a chain that ends at a keep."""
    noise = make_generator(seed).standard_normal((chains, 20, 40))
    plain = np.zeros((chains, 20), bool)
    for n in range(3, 41):
        plain |= t_tails(noise[..., :n])[0] <= 0.05
    guarded = judge_chain(np.zeros((chains, 20)), seed=seed).stop_when_ahead()
    return float(plain.any(1).mean()), float(guarded.kept.any(1).mean())


def simplify(chains: int, against_keep: bool, seed: int = 6) -> float:
    """Return by how many δ twenty simplifications that cost .5 δ each, where accepted, make code worse.

    Each is tested against the last keep, or against the simplification before it. The SD is .5 δ.
    """
    rng = make_generator(seed)
    p = np.ones((chains, 20))
    worse = np.zeros(chains)
    for t in range(20):
        levels = make_rule("saffron", 0.05).compute_levels(p[:, :t])[:, -1]
        gain = -0.5 - against_keep * worse
        ends = evaluate_gains(gain[:, np.newaxis] + 1.0 + 0.5 * draw_noise(rng, chains), CHAIN_LOOKS, levels)
        p[:, t] = ends.p
        worse += 0.5 * ends.shown
    return float(worse.mean())


def print_course(title: str, course: Course) -> None:
    """Print a row of a table of chains."""
    keeps = course.kept.sum(1).mean()
    false = course.false.sum(1).mean()
    share = "–" if math.isnan(course.found) else f"{course.found:.2f}"
    runs = course.runs.sum() / (course.runs > 0).sum()
    pairs = f"{runs / 2:.1f}" if runs > 1 else "–"
    print(f"{title:54}{keeps:7.2f}{false:7.2f}{share:>7}{pairs:>7}{runs:7.1f}{course.ratio:8.3f}", flush=True)


def print_header(title: str) -> None:
    """Print the head of a table of chains."""
    print(f"\n{title:54}{'kept':>7}{'false':>7}{'found':>7}{'pairs':>7}{'runs':>7}{'ratio':>8}")


def print_chains(chains: int) -> None:
    """Print what a chain of a hundred proposals keeps, and what "keep if better" keeps of the same."""
    print_header("normal gains, up to 40 pairs")
    null = np.zeros((chains, PROPOSALS))
    truths = {"nothing helps": null}
    for helps in (0.5, 1.0, 2.0):
        for hurts, rest_label in (
            (True, "half of the others hurt"),
            (False, "the others do nothing"),
        ):
            truths[f"a tenth helps by {helps:g} SD, {rest_label}"] = draw_gains(
                chains, helps=helps, hurts=hurts
            )
    for name, gains in truths.items():
        print_course(name, judge_chain(gains))
        print_course("  keep if better than the old score", keep_if_better(gains, anew=False))
        print_course("  keep if better than the incumbent, measured anew", keep_if_better(gains, anew=True))
    print_header("by budget, half of the others hurt as much")
    for budget in (8, 20, 40):
        for helps in (0.5, 1.0, 2.0):
            gains = draw_gains(chains, helps=helps, hurts=True)
            course = judge_chain(gains, looks=fit_looks(budget))
            print_course(f"{budget} pairs, a tenth helps by {helps:g} SD", course)
    gains = draw_gains(chains, helps=1.0, hurts=True)
    print_header("a tenth helps by 1 SD, half of the others hurt")
    print_course("the chain stops at its first keep", judge_chain(gains).stop_when_ahead())
    print_course("alpha spending", judge_chain(gains, rule="family-wise"))
    repeated = draw_gains(chains, helps=1.0, hurts=True, repeats=5)
    print_course("each idea five times in a row", judge_chain(repeated))
    print_course("half of the noise is shared (seeds used again)", judge_chain(gains, shared=0.5))
    print_course("  and nothing helps", judge_chain(null, shared=0.5))


def print_laws(chains: int) -> None:
    """Print what a chain keeps where gains are not normal."""
    helpful = draw_gains(chains, helps=1.0, hurts=False)
    print_header("other laws: nothing helps, or a tenth does by 1 SD")
    for law, draw in SKEWED.items():
        print_course(law, judge_chain(np.zeros((chains, PROPOSALS)), draw))
        print_course("  a tenth helps by 1 SD", judge_chain(helpful, draw))
    null = np.zeros((chains, PROPOSALS))
    course = judge_chain(null, SKEWED["exponential, rare bad runs"], Looks((8,)))
    print_course("exponential, rare bad runs, one look at 8 pairs", course)
    print("\nfamily-wise: chains that keep one of sixty useless ideas")
    for law in ("normal", "exponential", "lognormal", "a collapse in 5 %"):
        course = judge_chain(np.zeros((chains, 60)), partial(draw_noise, law=law), rule="family-wise")
        print(f"{law:62}{course.kept.any(1).mean():7.2f}", flush=True)


def print_rules(chains: int) -> None:
    """Print the same by Student's t alone, from four and from ten pairs on."""
    null = np.zeros((chains, PROPOSALS))
    for first in (4, 10):
        print_header(f"by t alone, from {first} pairs on")
        with one_sided_t(first):
            for helps in (0.5, 1.0, 2.0):
                gains = draw_gains(chains, helps=helps, hurts=True)
                print_course(f"a tenth helps by {helps:g} SD, half of the others hurt", judge_chain(gains))
            for law in ("exponential", "lognormal"):
                course = judge_chain(null, partial(draw_noise, law=law))
                print_course(f"{law}, rare bad runs, nothing helps", course)
    print_header("by t alone, at other looks")
    with one_sided_t():
        for helps, looks in KNOWN:
            gains = draw_gains(chains, helps=helps, hurts=True)
            name = f"looks at {', '.join(map(str, looks))}: a tenth helps by {helps:g} SD"
            print_course(name, judge_chain(gains, looks=Looks(looks)))
        course = judge_chain(null, partial(draw_noise, law="exponential"), Looks((8,)))
        print_course("8 pairs: exponential, rare bad runs, nothing helps", course)


def print_adversaries(chains: int) -> None:
    """Print how often useless ideas lead to a keep, and what simplifications add up to."""
    print(f"\n{'share of chains that keep a useless idea':62}{'naive':>7}{'chain':>8}")
    for name, simulate in (
        ("the same idea twenty times (naive: t, 8 pairs, p ≤ .05)", repeat_idea),
        ("5 × 20 ideas with rewinding (t, 8 pairs, p ≤ .1/20)", rewind),
        ("20 ideas, stopping when ahead (t after each pair, p ≤ .05)", stop_when_ahead),
    ):
        plain, guarded = simulate(chains)
        print(f"{name:62}{plain:7.2f}{guarded:8.3f}", flush=True)
    plain, guarded = (simplify(chains, against_keep) for against_keep in (False, True))
    print(f"{'20 simplifications that cost .5 δ each: δ lost on average':62}{plain:7.2f}{guarded:8.2f}")


def print_gains() -> None:
    """Print the smallest gains that budgets of pairs keep with a chance of .8."""
    levels = {
        "first proposal": compute_next_level("saffron", [], ALPHA),
        "after a keep": compute_next_level("saffron", [0.001], ALPHA),
        "after 4 useless ones": compute_next_level("saffron", [0.9] * 4, ALPHA),
        "after 9 useless ones": compute_next_level("saffron", [0.9] * 9, ALPHA),
        "after 50 useless ones": compute_next_level("saffron", [0.9] * 50, ALPHA),
    }
    print(f"\n{'smallest gain, in SDs':32}{'level':>10}{'8':>8}{'20':>8}{'40 pairs':>10}")
    for name, level in levels.items():
        gains = [find_smallest_gain(1.0, level, fit_looks(budget)) for budget in (8, 20, 40)]
        print(f"{name:32}{level:10.5f}{gains[0]:8.2f}{gains[1]:8.2f}{gains[2]:10.2f}", flush=True)
    noise = make_generator(7).standard_normal((10_000, CHAIN_LOOKS.last_pair_count))
    print(f"\n{'gain, in SDs':32}{'given up before 40 pairs':>36}")
    for gain in (0.0, 0.3, 0.5, 0.7, 1.0):
        share = evaluate_gains(
            gain + noise, CHAIN_LOOKS, compute_next_level("saffron", [], ALPHA)
        ).futile.mean()
        print(f"{gain:<32g}{share:36.2f}")


if __name__ == "__main__":
    (number,) = read_numbers(__doc__, chains=200)
    print_chains(number)
    print_laws(number)
    print_rules(number)
    print_adversaries(10 * number)
    print_gains()
