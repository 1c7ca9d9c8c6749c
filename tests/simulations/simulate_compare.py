"""How often `compare` errs, by simpler rules and by its own: `python tests/simulations/simulate_compare.py`.

Folds: two learners of equal expected error on one data set of 200 rows, least squares on either half of ten
features that count alike, compared by squared error. Failures: two equal arms of 16 seeds, of one of which
the worst runs crash. Rows: two equal arms of ten seeds, which are judged on 20 documents of other difficulty,
and each side lacks some of them; or of which some rows collapse, and the arm's fail.
"""

import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[2]))  # where a script finds `tests`

from tests.helpers.designs import compare_table
from unrolled.bench.metric import Metric
from unrolled.reports.foreign.columns import Columns
from unrolled.reports.statistics.error_contrasts import compare_folds
from unrolled.reports.statistics.pairs import JudgedScale, compare_pairs

ROWS = 200
FEATURES = 10
STUDIES = 2000


def draw_fold_differences(rng: np.random.Generator, folds: int, repeats: int) -> np.ndarray:
    """Return differences of two equal learners' test errors (folds × repeats,) on one data set."""
    x = rng.normal(size=(ROWS, FEATURES))
    y = x.sum(axis=1) + rng.normal(size=ROWS)
    halves = x[:, : FEATURES // 2], x[:, FEATURES // 2 :]
    differences = []
    for _ in range(repeats):
        for test in np.array_split(rng.permutation(ROWS), folds):
            train = np.setdiff1d(np.arange(ROWS), test)
            errors = []
            for half in halves:
                weights = np.linalg.lstsq(half[train], y[train], rcond=None)[0]
                errors.append(float(np.mean((y[test] - half[test] @ weights) ** 2)))
            differences.append(errors[0] - errors[1])
    return np.array(differences)


def simulate_fold_rates(rng: np.random.Generator, repeats: int, studies: int) -> np.ndarray:
    """Return how often equal learners are called different at .05: as independent pairs, as folds."""
    wrong = np.zeros(2)
    zeros = dict.fromkeys(range(10 * repeats), 0.0)
    for _ in range(studies):
        d = dict(enumerate(draw_fold_differences(rng, 10, repeats)))
        plain = compare_pairs(d, zeros, JudgedScale(1.0))
        corrected = compare_folds(d, zeros, JudgedScale(1.0), test_share=0.1)
        wrong += plain.p <= 0.05, corrected.p <= 0.05
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


if __name__ == "__main__":
    print("                  before  after")
    for repeats in (1, 3, 10):
        plain, corrected = simulate_fold_rates(np.random.default_rng(repeats), repeats, STUDIES // repeats)
        print(f"{repeats} × 10 folds      {plain:.3f}  {corrected:.3f}")
    for crashed in (2, 4, 6):
        survivors, all_runs = simulate_failure_rates(np.random.default_rng(crashed), crashed, STUDIES // 4)
        print(f"{crashed} of 16 failed     {survivors:.3f}  {all_runs:.3f}")
    for name, lacking in (
        ("2 others lack", (range(2), range(18, 20))),
        ("hardest 2 lack", (range(0), range(18, 20))),
        ("hardest 1 lacks", (range(0), range(19, 20))),
    ):
        unmatched, matched = simulate_row_rates(np.random.default_rng(len(name)), lacking, STUDIES // 4)
        print(f"{name:<18}{unmatched:.3f}  {matched:.3f}")
    for rate, size in ((0.05, 0.6), (0.02, 0.6), (0.1, 0.16), (0.2, 0.16)):
        survivors, all_runs = simulate_collapse_rates(np.random.default_rng(0), rate, size, STUDIES // 4)
        print(f"{rate:.0%} collapse by {size / 0.02:.0f} δ  {survivors:.3f}  {all_runs:.3f}")
    print(f"a rate of .05 has a standard error of {math.sqrt(0.05 * 0.95 / STUDIES):.3f}")
