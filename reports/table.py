"""Trials as a table: a frame with one row each, from which arms are compared.

Its columns are arm, seed (or what else rows of two arms share), status (every row is done where there is no
such column), and one for each metric. A study's has settings, costs and the identity of each trial, too.
"""

import math
from collections.abc import Mapping
from itertools import repeat
from typing import Any

import pandas as pd

from unrolled.bench.metric import LARGEST
from unrolled.bench.trial import STUDY_COLUMNS, Result
from unrolled.reports.design import Design, Statuses


def tabulate(design: Design) -> pd.DataFrame:
    """The table of a study's results, each trial once. Cells that a trial lacks are missing (NaN)."""
    records = [
        trial_record(arm.name, seed, result) for arm in design.arms for seed, result in arm.trials.items()
    ]
    return pd.DataFrame(records or {"arm": [], "seed": [], "status": []}, dtype=object)


def trial_record(arm: str, seed: int, result: Result) -> dict[str, object]:
    """A trial's outcome, settings and metrics; one that failed or diverged has no metric."""
    facts = {"trial": result.trial.id, "arm": arm, "seed": seed, "status": result.status}
    facts |= {"reason": result.reason, "attempts": result.attempts}
    measured = result.metrics if result.done else {}
    facts["seconds"] = measured.get("seconds", result.spent)
    numbers = {name: x if math.isfinite(x) else math.inf for name, x in sorted(measured.items())}
    settings = result.trial.factors()
    cells = {**numbers, **settings, **facts}  # what a program logs replaces neither
    return {name: cells[name] for name in (*facts, *settings, *numbers)}


def metric_columns(table: pd.DataFrame, design: Design) -> list[str]:
    """The columns that are metrics, `seconds` among them, and neither facts of a trial nor settings."""
    settings = {name for arm in design.arms if (trial := arm.example_trial) for name in trial.factors()}
    return sorted(set(table.columns) - settings - {*STUDY_COLUMNS})


def statuses(table: pd.DataFrame, design: Design) -> Statuses:
    """The status of every row."""
    by_arm: dict[str, dict[Any, str]] = {arm.name: {} for arm in design.arms}
    column = table.status if "status" in table else repeat("done", len(table))
    for arm, seed, status in zip(table.arm, table.seed, column, strict=True):
        by_arm[arm][seed] = status
    return by_arm


def values_of(table: pd.DataFrame, metric: str, design: Design) -> Mapping[str, Mapping[Any, float]]:
    """The numbers of one metric, as the design judges it: see `Metric.judged`."""
    by_arm: dict[str, dict[Any, float]] = {arm.name: {} for arm in design.arms}
    numbers = numbers_of(table, metric)
    if declared := next((known for known in design.metrics if known.name == metric and known.ratio), None):
        numbers = numbers.map(declared.judged)
    known = numbers.notna()
    for arm, seed, x in zip(table.arm[known], table.seed[known], numbers[known], strict=True):
        by_arm[arm][seed] = x
    return by_arm


def numbers_of(table: pd.DataFrame, metric: str) -> "pd.Series[float]":
    """The metric of every row: infinite where the trial diverged, NaN where it failed or has no number."""
    given = table[metric] if metric in table else pd.Series(math.nan, table.index)
    numbers = pd.to_numeric(given).astype(float)
    numbers = numbers.mask(numbers.abs() > LARGEST, math.inf)
    if "status" in table:
        numbers = numbers.where(table.status == "done").mask(table.status == "diverged", math.inf)
    return numbers
