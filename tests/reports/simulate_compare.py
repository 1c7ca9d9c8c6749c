"""How often `compare` errs, before and after its mends: `python tests/reports/simulate_compare.py`, minutes.

Folds: two learners of equal expected error on one data set of 200 rows, least squares on either half of ten
features that count alike, compared by squared error. Failures: two equal arms of 16 seeds, of one of which
the worst runs crash. Benchmarks: unchanged code, whose runs differ by a log-normal factor.
"""

import math

import numpy as np
import pandas as pd
from synthetic import compare_table

from bench.metric import Metric
from reports.elsewhere import Columns
from reports.statistics.contrasts import contrast
from reports.statistics.elsewhere import compare_folds
from reports.statistics.speed_ratio import ratios_of_rounds

ROWS, FEATURES, STUDIES = 200, 10, 2000


def fold_differences(rng: np.random.Generator, folds: int, repeats: int) -> np.ndarray:
    """Differences of two equal learners' test errors (folds × repeats,) on one data set."""
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


def folds() -> None:
    """The rate at which equal learners are called different at .05."""
    for repeats in (1, 3, 10):
        rng, rates = np.random.default_rng(repeats), np.zeros(2)
        studies = STUDIES // repeats
        for _ in range(studies):
            d = dict(enumerate(fold_differences(rng, 10, repeats)))
            zeros = dict.fromkeys(d, 0.0)
            plain = contrast(d, zeros, delta=1.0).p
            rates += plain <= 0.05, compare_folds(d, zeros, delta=1.0, test_share=0.1).p <= 0.05
        print(f"{repeats} × 10 folds      {rates[0] / studies:.3f}  {rates[1] / studies:.3f}")


def failures() -> None:
    """The rate at which an arm whose worst runs crash is called better than its equal."""
    columns = Columns(("arm",), ("seed",), (Metric("loss", 0.5),))
    for crashed in (2, 4, 6):
        rng, claims = np.random.default_rng(crashed), [0, 0]
        for _ in range(STUDIES // 4):
            losses = rng.normal(size=(2, 16))
            worst = np.argsort(losses[1])[-crashed:]
            rows = [
                {
                    "arm": arm,
                    "seed": s,
                    "loss": losses[i, s],
                    "status": "failed" if i and s in worst else "done",
                }
                for i, arm in enumerate("ab")
                for s in range(16)
            ]
            frame = pd.DataFrame(rows)
            survivors = frame[~frame.seed.isin(worst)]
            for i, table in enumerate((survivors, frame)):
                v = compare_table(table, columns).rows[1].verdict
                claims[i] += v.claims and v.contrast.better
        shares = [number / (STUDIES // 4) for number in claims]
        print(f"{crashed} of 16 failed     {shares[0]:.3f}  {shares[1]:.3f}")


def benchmarks() -> None:
    """The rate at which unchanged code is called slower than 5 %, with one and with three runs a side."""
    for spread in (0.03, 0.05):
        rng, slower = np.random.default_rng(7), {1: 0, 3: 0}
        for runs in slower:
            for _ in range(STUDIES):
                before, after = (_stored(seconds) for seconds in np.exp(rng.normal(0, spread, (2, runs))))
                slower[runs] += bool(ratios_of_rounds({"b": (before, after)}, 0.05)["b"].fault)
        print(f"runs differ by {spread:.2f} {slower[1] / STUDIES:.3f}  {slower[3] / STUDIES:.3f}")


def _stored(seconds: np.ndarray) -> pd.DataFrame:
    """Stored runs of one benchmark."""
    return pd.DataFrame({"seconds": seconds, "iqr": 0.01, "rounds": 50})


if __name__ == "__main__":
    print("                  before  after")
    folds()
    failures()
    benchmarks()
    print(f"a rate of .05 has a standard error of {math.sqrt(0.05 * 0.95 / STUDIES):.3f}")
