"""How often `compare` errs, by simpler rules and by its own.

    python tests/simulations/simulate_compare.py [STUDIES]

prints the rates (2,000 studies: three minutes of CPU).

- Folds: two learners of equal expected error on one data set of 200 rows, on either half of ten features that
  count alike, compared by squared error.
- Failures: two equal arms of 16 seeds, of one of which the worst runs crash.
- Rows: two equal arms of ten seeds, which are judged on 20 documents of other difficulty, and each side lacks
  some of them; or of which some rows collapse, and the arm's fail.
"""

import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[2]))  # where a script finds `tests`

from tests.helpers.designs import compare_table
from tests.simulations.command_line import read_numbers
from tests.simulations.noise_laws import make_generator
from unrolled.bench.metric import Metric
from unrolled.reports.foreign.columns import Columns
from unrolled.reports.statistics.error_contrasts import compare_folds
from unrolled.reports.statistics.pairs import JudgedScale, compare_pairs

ROWS = 200
FEATURES = 10


Learner = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""A function from the rows of training, their targets and the rows of a test to predictions."""


def fit_least_squares(x: np.ndarray, y: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Return the predictions of a linear model."""
    return test @ np.linalg.lstsq(x, y, rcond=None)[0]


def fit_nearest(x: np.ndarray, y: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Return the target of the nearest row."""
    distances = (x**2).sum(axis=1) - 2 * test @ x.T
    return y[distances.argmin(axis=1)]


def draw_data(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return a data set: its rows (200, 10) and their targets."""
    x = rng.normal(size=(ROWS, FEATURES))
    return x, x.sum(axis=1) + rng.normal(size=ROWS)


def draw_fold_differences(
    rng: np.random.Generator,
    folds: int,
    repeats: int,
    fit: Learner = fit_least_squares,
    *,
    data: tuple[np.ndarray, np.ndarray] | None = None,
    taken: int | None = None,
) -> np.ndarray:
    """Return differences of two equal learners' test errors (folds × repeats,) on one data set.

    Of each repeat only the first `taken` folds are tested.
    """
    x, y = data or draw_data(rng)
    halves = x[:, : FEATURES // 2], x[:, FEATURES // 2 :]
    differences = []
    for _ in range(repeats):
        for test in np.array_split(rng.permutation(ROWS), folds)[:taken]:
            is_training = np.ones(ROWS, bool)
            is_training[test] = False
            first, second = (
                float(np.mean((y[test] - fit(half[is_training], y[is_training], half[test])) ** 2))
                for half in halves
            )
            differences.append(first - second)
    return np.array(differences)


def simulate_fold_rates(
    rng: np.random.Generator, repeats: int, studies: int, fit: Learner = fit_least_squares
) -> np.ndarray:
    """Return how often equal learners are called different at .05: as independent pairs, as folds."""
    wrong = np.zeros(2)
    zeros = dict.fromkeys(range(10 * repeats), 0.0)
    for _ in range(studies):
        d = dict(enumerate(draw_fold_differences(rng, 10, repeats, fit)))
        plain = compare_pairs(d, zeros, JudgedScale(1.0))
        corrected = compare_folds(d, zeros, JudgedScale(1.0), test_share=0.1)
        wrong += plain.p <= 0.05, corrected.p <= 0.05
    return wrong / studies


def simulate_repeat_means(rng: np.random.Generator, studies: int) -> float:
    """Return how often equal learners differ by ten means, each of ten folds."""
    zeros = dict.fromkeys(range(10), 0.0)
    wrong = 0
    for _ in range(studies):
        means = draw_fold_differences(rng, 10, 10).reshape(10, 10).mean(axis=1)
        wrong += compare_pairs(dict(enumerate(means)), zeros, JudgedScale(1.0)).p <= 0.05
    return wrong / studies


def simulate_fold_seeds(rng: np.random.Generator, noise: float, studies: int) -> np.ndarray:
    """Return how often nearest neighbours of five seeds a fold differ: by fold and seed, by means of folds.

    The differences of seeds have `noise` times the SD of those of folds.
    """
    wrong = np.zeros(2)
    for _ in range(studies):
        of_folds = draw_fold_differences(rng, 10, 1, fit_nearest)[:, np.newaxis]
        d = of_folds + noise * of_folds.std() * rng.standard_normal((10, 5))
        for place, x in enumerate((d.ravel(), d.mean(axis=1))):
            zeros = dict.fromkeys(range(len(x)), 0.0)
            c = compare_folds(dict(enumerate(x)), zeros, JudgedScale(1.0), test_share=0.1)
            wrong[place] += c.p <= 0.05
    return wrong / studies


def simulate_failure_rates(rng: np.random.Generator, crashed: int, studies: int) -> np.ndarray:
    """Return how often an arm whose worst runs crash is called better: by survivors, and by all."""
    columns = Columns(("arm",), ("seed",), (Metric("loss", 0.5),))
    better = np.zeros(2)
    for _ in range(studies):
        losses = pd.DataFrame(rng.normal(size=(2, 16)).T, columns=["a", "b"])
        frame = losses.rename_axis("seed").melt(var_name="arm", value_name="loss", ignore_index=False)
        frame = frame.reset_index().assign(status="done")
        worst = losses.b.nlargest(crashed).index
        frame.loc[(frame.arm == "b") & frame.seed.isin(worst), "status"] = "failed"
        survivors = frame[~frame.seed.isin(worst)]
        verdicts = [compare_table(table, columns).arms[1].verdict for table in (survivors, frame)]
        better += [v.kind == "better" for v in verdicts]
    return better / studies


def simulate_row_rates(rng: np.random.Generator, lacking: tuple[range, range], studies: int) -> np.ndarray:
    """Return how often equal arms that lack documents are called different: unmatched, and matched."""
    columns = Columns(("arm",), ("seed",), (Metric("loss", 0.02),))
    different = np.zeros(2)
    for _ in range(studies):
        difficulty = np.sort(rng.normal(0, 0.1, 20))
        losses = difficulty + rng.normal(0, 0.02, size=(2, 10, 20))
        frame = pd.DataFrame(
            {"arm": arm, "seed": seed, "document": f"d{document}", "loss": losses[arm, seed, document]}
            for arm in range(2) for seed in range(10) for document in range(20)
            if document not in lacking[arm]
        )  # fmt: skip
        verdicts = [
            compare_table(frame, replace(columns, item=(item,))).arms[1].verdict
            for item in ("none", "document")
        ]
        different += [v.kind in ("better", "worse") for v in verdicts]
    return different / studies


def simulate_collapse_rates(rng: np.random.Generator, rate: float, size: float, studies: int) -> np.ndarray:
    """Return how often an arm is called better whose equal's collapsed rows fail: by the rest, by all."""
    columns = Columns(("arm",), ("seed",), (Metric("loss", 0.02),), item=("document",))
    better = np.zeros(2)
    for _ in range(studies):
        losses = np.sort(rng.normal(0, 0.1, 20)) + rng.normal(0, 0.02, size=(2, 10, 20))
        collapsed = rng.random(losses.shape) < rate
        losses[collapsed] += size
        index = pd.MultiIndex.from_product(
            [range(2), range(10), range(20)], names=["arm", "seed", "document"]
        )
        frame = pd.DataFrame({"loss": losses.ravel(), "status": "done"}, index).reset_index()
        failed = collapsed.ravel() & (frame.arm == 1)
        survivors = frame[~failed].groupby(["arm", "seed"], as_index=False).loss.mean()
        marked_frame = frame.assign(status=np.where(failed, "failed", "done"))
        tables = ((survivors, replace(columns, item=())), (marked_frame, columns))
        verdicts = [compare_table(*table).arms[1].verdict for table in tables]
        better += [v is not None and v.kind == "better" for v in verdicts]
    return better / studies


def print_rates(title: str, *rates: float) -> None:
    """Print a row of a table."""
    print(f"{title:42}" + "".join(f"{rate:7.3f}" for rate in rates), flush=True)


def print_folds(studies: int) -> None:
    """Print the rates of folds."""
    print("folds: as independent pairs, as folds")
    for name, fit in {"least squares": fit_least_squares, "nearest neighbours": fit_nearest}.items():
        for repeats in (1, 3, 10):
            rng = make_generator(repeats)
            number = studies // repeats
            print_rates(f"{name}, {repeats} × 10", *simulate_fold_rates(rng, repeats, number, fit))
    print_rates("ten means of ten folds, as pairs", simulate_repeat_means(make_generator(0), studies // 10))
    print("nearest neighbours, five seeds a fold: by fold and seed, by fold")
    for noise in (0.2, 0.5, 1.0):
        rates = simulate_fold_seeds(make_generator(0), noise, studies)
        print_rates(f"seeds differ by {noise:g} of the folds' SD", *rates)


def print_lost(studies: int) -> None:
    """Print the rates of tables that lack runs or rows."""
    print("lost runs and rows: by a simpler rule, by today's")
    for crashed in (2, 4, 6):
        rates = simulate_failure_rates(make_generator(crashed), crashed, studies)
        print_rates(f"{crashed} of 16 failed", *rates)
    for name, lacking in (
        ("2 others lack", (range(2), range(18, 20))),
        ("hardest 2 lack", (range(0), range(18, 20))),
        ("hardest 1 lacks", (range(0), range(19, 20))),
    ):
        print_rates(name, *simulate_row_rates(make_generator(len(name)), lacking, studies))
    for rate, size in ((0.05, 0.6), (0.02, 0.6), (0.1, 0.16), (0.2, 0.16)):
        rates = simulate_collapse_rates(make_generator(0), rate, size, studies)
        print_rates(f"{rate:.0%} collapse by {size / 0.02:.0f} δ", *rates)


if __name__ == "__main__":
    (number,) = read_numbers(__doc__, studies=2000)
    print_folds(number)
    print_lost(number // 8)
    print(f"a rate of .05 has a standard error of {math.sqrt(0.05 * 0.95 / number):.3f}")
