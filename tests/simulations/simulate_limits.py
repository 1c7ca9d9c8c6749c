"""How often verdicts err where nothing is promised: see docs/error-rates.md.

    python tests/simulations/simulate_limits.py [STUDIES]

prints the rates (1,000 studies: 45 seconds of CPU). "Looks" are those after 10, 15, 20, 30 and 40 seeds.
"""

import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[2]))  # where a script finds `tests`

from tests.helpers.contrasts import LOOKS
from tests.helpers.designs import compare_table
from tests.simulations.command_line import read_numbers
from tests.simulations.noise_laws import LAWS, both_tails, make_generator, t_tails
from tests.simulations.simulate_compare import (
    draw_data,
    draw_fold_differences,
    fit_least_squares,
    fit_nearest,
)
from tests.simulations.simulate_verdicts import judge_at_looks
from unrolled.bench.metric import Metric
from unrolled.reports.foreign.columns import Columns
from unrolled.reports.statistics.estimators import tails_to_p
from unrolled.reports.statistics.gates import simulate_gates
from unrolled.reports.statistics.pairs import JudgedScale, LostPairs, compare_pairs
from unrolled.reports.statistics.power import ALPHA
from unrolled.reports.statistics.verdicts import judge_contrasts

LEARNERS = {"least squares": fit_least_squares, "nearest neighbours": fit_nearest}
PAIRS = 30
CRASH_RATE = 8 / 30


def find_differences(d: np.ndarray) -> np.ndarray:
    """Return which contrasts claim a difference at some look."""
    return judge_at_looks(d, 0.0, both_tails).different  # nothing is the same within a δ of 0


def draw_splits(rng: np.random.Generator, fit: Callable, test_share: float, repeats: int) -> np.ndarray:
    """Return the differences of equal learners (40,) by splits of one data set, or means of all its folds."""
    data = draw_data(rng)
    folds = round(1 / test_share)
    d = draw_fold_differences(rng, folds, LOOKS.last_pair_count, fit, data=data, taken=repeats)
    return d.reshape(LOOKS.last_pair_count, repeats).mean(axis=1)


def draw_fresh_splits(rng: np.random.Generator, test_share: float) -> np.ndarray:
    """Return the differences of equal learners (40,), each by one split of a data set of its own."""
    folds = round(1 / test_share)
    return np.concatenate(
        [draw_fold_differences(rng, folds, 1, taken=1) for _ in range(LOOKS.last_pair_count)]
    )


def simulate_choice(arms: int, studies: int, at_looks: bool, seed: int = 0) -> float:
    """Return how often the best of equal arms differs from a baseline that is trained on its forty seeds."""
    rng = make_generator(seed)
    wrong = 0
    for _ in range(studies // 1000):
        values = rng.standard_normal((1000, arms, LOOKS.last_pair_count))
        best = values[np.arange(1000), values.mean(axis=2).argmin(axis=1)]
        d = best - rng.standard_normal((1000, LOOKS.last_pair_count))
        if at_looks:
            wrong += int(find_differences(d).sum())
        else:
            wrong += int((tails_to_p(*both_tails(d)) <= ALPHA).sum())
    return wrong / (studies // 1000 * 1000)


def simulate_seen_seeds(studies: int, seed: int = 0) -> tuple[float, float]:
    """Return how often the best of five equal arms after two of ten seeds differs: by t, by both tests."""
    rng = make_generator(seed)
    arms = rng.standard_normal((studies, 5, 10))
    best = arms[np.arange(studies), arms[:, :, :2].mean(axis=2).argmin(axis=1)]
    d = best - rng.standard_normal((studies, 10))
    plain, corrected = (float(np.mean(tails_to_p(*tails(d)) <= ALPHA)) for tails in (t_tails, both_tails))
    return plain, corrected


def simulate_crashes(diverged_share: float, studies: int, seed: int = 0) -> float:
    """Return how often an arm is better that gains 2 SDs of a pair, but fails in 8 of 30 runs on average.

    Of the runs that fail a share diverges, and the others crash.
    """
    rng = make_generator(seed)
    better = 0
    for _ in range(studies):
        losses = rng.standard_normal(PAIRS) - 2.0
        ends = rng.random(PAIRS)
        diverged = ends < CRASH_RATE * diverged_share
        crashed = (ends < CRASH_RATE) & ~diverged
        arm = {s: math.inf if diverged[s] else losses[s] for s in range(PAIRS) if not crashed[s]}
        base = dict.fromkeys(range(PAIRS), 0.0)
        contrast = compare_pairs(arm, base, JudgedScale(1.0), lost_pairs=LostPairs(int(crashed.sum())))
        better += judge_contrasts({"arm": contrast})["arm"].kind == "better"
    return better / studies


def simulate_perfect_copies(items: int, studies: int, seed: int = 0) -> float:
    """Return how often a run that is right on every item, copied ten times, differs from its equal."""
    rng = make_generator(seed)
    columns = Columns(("arm",), ("seed",), (Metric("accuracy", 0.02, "higher"),))
    different = 0
    for _ in range(studies):
        copied = pd.DataFrame({"arm": "copied", "seed": range(10), "accuracy": 1.0})
        equal = copied.assign(arm="equal", accuracy=rng.binomial(items, 0.9, 10) / items)
        verdict = compare_table(pd.concat([equal, copied]), columns).arms[1].verdict
        different += verdict.kind in ("better", "worse")
    return different / studies


def measure_skewness_warnings(pairs: int, studies: int, seed: int = 0) -> float:
    """Return the share of samples of lognormal differences of which a page warns."""
    d = LAWS["lognormal"](make_generator(seed), studies)[:, :pairs]
    zeros = dict.fromkeys(range(pairs), 0.0)
    return float(np.mean([compare_pairs(dict(enumerate(x)), zeros, JudgedScale(1.0)).is_skewed for x in d]))


def print_rate(title: str, *rates: float) -> None:
    """Print a row of the table."""
    print(f"{title:66}" + "".join(f"{rate:8.3f}" for rate in rates), flush=True)


def print_splits(studies: int) -> None:
    """Print how often equal learners differ by splits of one data set, and how often gates pass a loss."""
    print("each seed splits one data set of 200 rows anew; looks: claims of a difference, gates that pass δ")
    for name, fit in LEARNERS.items():
        for test_share in (0.1, 0.2, 0.5):
            rng = make_generator(0)
            d = np.array([draw_splits(rng, fit, test_share, 1) for _ in range(studies)])
            d /= d.std(axis=1, ddof=1).mean()  # the SD is δ
            passes = simulate_gates(d + 1.0, LOOKS, 1.0).passes
            print_rate(f"{name}, {test_share:.0%} test", find_differences(d).mean(), passes)
    rng = make_generator(0)
    d = np.array([draw_splits(rng, fit_least_squares, 0.1, 10) for _ in range(studies // 10)])
    print_rate("least squares, means of ten folds", find_differences(d).mean())
    d = np.array([draw_fresh_splits(rng, 0.2) for _ in range(studies)])
    print_rate("least squares, 20% test, fresh data for each seed", find_differences(d).mean())


def print_limits(studies: int) -> None:
    """Print the other rates."""
    print("\nthe best of equal arms against a new baseline: at looks, at one look at 40 seeds")
    for arms in (8, 16):
        rates = (simulate_choice(arms, 10 * studies, at_looks) for at_looks in (True, False))
        print_rate(f"of {arms} arms", *rates)
    print("\nthe best of five after two of its ten seeds: by t, by both tests")
    print_rate("a difference", *simulate_seen_seeds(20 * studies))
    print("\n2 SDs better, failing in 8 of 30 runs on average: crashes, half of them divergences")
    print_rate("better", *(simulate_crashes(share, studies) for share in (0.0, 0.5)))
    print("\nten copies of a run that is right on 5, 10 or 25 items, against its equal")
    print_rate("a difference", *(simulate_perfect_copies(items, studies // 5) for items in (5, 10, 25)))
    print("\nlognormal differences: warnings of 10 and of 20 pairs")
    print_rate("warned of", *(measure_skewness_warnings(pairs, studies) for pairs in (10, 20)))


if __name__ == "__main__":
    (number,) = read_numbers(__doc__, studies=1000)
    print_splits(number)
    print_limits(number)
