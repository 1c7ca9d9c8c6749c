"""Trials as a table from which arms are compared: a frame with a row for each trial.

| column | what it has |
|---|---|
| arm | the arm's name |
| seed | the seed, or another thing that pairs the rows of two arms, such as a fold |
| status | done, diverged or failed; without this column every row is done |
| each metric | its number |

The table of a study also has the settings, costs and identity of each trial.
"""

import math
from collections.abc import Iterable, Mapping
from itertools import repeat
from typing import Any

import pandas as pd

from unrolled.bench.metric import LARGEST_FINITE, Metric
from unrolled.bench.table_columns import STUDY_COLUMNS
from unrolled.bench.trial import ResultInStudy
from unrolled.reports.compare.design import Design, Statuses, choose_seconds, make_judged_values
from unrolled.reports.compare.evidence import Evidence, make_evidence
from unrolled.reports.compare.row_matches import ONE_RUN


def tabulate_results(design: Design) -> pd.DataFrame:
    """Return the table of a study's results. A cell is NaN if its trial has no such number."""
    records = [
        make_trial_record(arm.name, seed, result)
        for arm in design.arms
        for seed, result in arm.results.items()
    ]
    return pd.DataFrame(records or {"arm": [], "seed": [], "status": []}, dtype=object)


def make_trial_record(arm: str, seed: int, result: ResultInStudy) -> dict[str, object]:
    """Return the row of a trial: outcome, settings and, if it is done, metrics."""
    facts = {
        "trial": result.trial.id,
        "arm": arm,
        "seed": seed,
        "status": result.status,
        "reason": result.reason,
        "attempts": result.attempts,
        "seconds": choose_seconds(result),
    }
    measured = result.metrics if result.is_done else {}
    numbers = {name: x if math.isfinite(x) else math.inf for name, x in sorted(measured.items())}
    settings = result.trial.flat_settings()
    cells = {**numbers, **settings, **facts}  # values that a program logs replace neither
    return {name: cells[name] for name in (*facts, *settings, *numbers)}


def list_metric_columns(table: pd.DataFrame, design: Design) -> list[str]:
    """Return the columns that are metrics, `seconds` among them, and no facts or settings of a trial."""
    settings = {name for arm in design.arms if (trial := arm.example_trial) for name in trial.flat_settings()}
    return sorted(set(table.columns) - settings - {*STUDY_COLUMNS})


def read_evidence(table: pd.DataFrame, metrics: Iterable[Metric], design: Design) -> Evidence:
    """Return the evidence of a table's rows by these metrics, which are those of the design at least."""
    copied_seeds: dict[str, Any] = {}
    if ONE_RUN in table:
        first_pairs = table[table[ONE_RUN]].drop_duplicates("arm")
        copied_seeds = dict(zip(first_pairs.arm, first_pairs.seed, strict=True))
    judged_values = {metric.name: _collect_judged_values(table, metric, design) for metric in metrics}
    return make_evidence(_collect_statuses(table, design), judged_values, design, copied_seeds)


def _collect_statuses(table: pd.DataFrame, design: Design) -> Statuses:
    """Return the status of every row, by arm and seed."""
    by_arm: dict[str, dict[Any, str]] = {arm.name: {} for arm in design.arms}
    column = table.status if "status" in table else repeat("done", len(table))
    for arm, seed, status in zip(table.arm, table.seed, column, strict=True):
        by_arm[arm][seed] = status
    return by_arm


def _collect_judged_values(
    table: pd.DataFrame, metric: Metric, design: Design
) -> Mapping[str, Mapping[Any, float]]:
    """Return the values of a metric by arm and seed, on the judged scale: see `make_judged_values`."""
    measured_values: dict[str, dict[Any, float]] = {arm.name: {} for arm in design.arms}
    for arm, seed, number in zip(table.arm, table.seed, read_numbers(table, metric.name), strict=True):
        measured_values[arm][seed] = number
    return {arm: make_judged_values(by_seed, metric) for arm, by_seed in measured_values.items()}


def read_numbers(table: pd.DataFrame, metric: str) -> "pd.Series[float]":
    """Return a metric's measured number in every row: infinite for a diverged trial, NaN for a failed one."""
    column = table[metric] if metric in table else pd.Series(math.nan, table.index)
    numbers = pd.to_numeric(column).astype(float)
    numbers = numbers.mask(numbers.abs() > LARGEST_FINITE, math.inf)
    if "status" in table:
        numbers = numbers.where(table.status == "done").mask(table.status == "diverged", math.inf)
    return numbers
