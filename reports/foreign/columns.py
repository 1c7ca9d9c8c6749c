"""Tables from elsewhere: rows with any columns, made into the table from which arms are compared.

If rows of two arms share a seed, a document or a fold, they are pairs, and verdicts are over the differences
of pairs, as in a study. Without a column that pairs rows, the arms are compared as two samples.
"""

import re
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from unrolled.bench.errors import BadInput, require
from unrolled.bench.metric import LARGEST_FINITE, Metric
from unrolled.bench.table_columns import FIRST_LOOK, ROWS_AVERAGED
from unrolled.reports.compare.row_matches import ONE_RUN
from unrolled.reports.foreign.row_means import PAIR, average_rows, find_one_run_arms

LONGEST_NAME = 200
SEPARATOR = " / "
"""What stands between the values of several columns in the name of an arm."""
FOLDS_CURE = "write --pair repeat,fold --test-share 0.1, for ten folds"
RUN_COLUMNS = {
    "seed",
    "random_seed",
    "random_state",
    "run",
    "run_id",
    "run_name",
    "rep",
    "replicate",
    "trial",
}
"""Names of columns that tell runs apart."""
_FOLDS = {"fold", "folds", "split", "splits"}


@dataclass(frozen=True)
class Columns:
    """Which columns of a table are compared: what the options of `unrolled compare` name."""

    arm: tuple[str, ...]  # columns in which arms differ
    pair: tuple[str, ...]  # columns by which rows of two arms are paired; () for none
    metrics: tuple[Metric, ...]
    baseline: str = ""  # name of an arm; "" for the arm of the first row
    test_share: float = 0.0  # if pairs are folds or splits of the data: the share that is test set; else 0
    item: tuple[str, ...] = ()  # columns that tell rows of one arm and pair apart; or (SAMPLES,)


STATUS = "status"  # column that says how a run ended, in upper or lower case; see `_find_status_column`
SAMPLES = "none"  # in place of an item: rows of one arm and pair are independent samples
ENDS = {
    **dict.fromkeys(("done", "finished", "complete", "completed", "success", "succeeded", "ok"), "done"),
    "terminated": "done",
    **dict.fromkeys(("fail", "failed", "failure", "error", "crashed", "killed", "timeout"), "failed"),
    **dict.fromkeys(("preempted", "pruned", "cancelled", "canceled", "out_of_memory"), "failed"),
    **dict.fromkeys(("running", "pending", "queued", "scheduled", "waiting"), "failed"),  # no number yet
    "diverged": "diverged",
}
"""How a run ended, by the words of status columns in lower case."""


def arrange_table(frame: pd.DataFrame, columns: Columns, source: str) -> pd.DataFrame:
    """Return the table of these columns: arm, seed, status, metrics, and how many rows were averaged.

    Rows of one arm and pair are averaged: see `row_means`. Of a study only the trials of the first look are
    taken, and the table has the column `FIRST_LOOK`. Raises BadInput for a missing column, and for a value
    that is not a number. The message counts rows from 1; the frame's index counts from 0.
    """
    items = () if columns.item == (SAMPLES,) else columns.item
    for column in (*columns.arm, *columns.pair, *items, *(metric.name for metric in columns.metrics)):
        if column not in frame.columns:
            raise BadInput(
                f"has no column {column!r}",
                place=source,
                cure=f"it has: {', '.join(map(str, frame.columns))}",
            )
    require(len(frame), "has no rows", place=source, cure="give a table with results")
    if of_study := FIRST_LOOK in frame.columns:
        frame = frame[frame[FIRST_LOOK].astype(str) == "True"]
        cure = "give its whole table; in MLflow `unrolled sync STUDY` marks those trials"
        require(len(frame), "has no trial of a study's first look", place=source, cure=cure)
    arms = join_labels(frame, columns.arm, source)
    _check_spaces(arms, source)
    longest = max(map(len, arms))
    require(
        longest <= LONGEST_NAME,
        f"the name of an arm has {longest:,} characters, of which {LONGEST_NAME} are shown",
        place=source,
        cure="name another column with --arm",
    )
    ends = read_ends(frame, columns, source)
    table = pd.DataFrame({"arm": arms, "seed": _read_pairs(frame, columns, ends, source), "status": ends})
    for metric in columns.metrics:
        table[metric.name] = _read_numbers(frame[metric.name], ends == "done", source)
        if metric.ratio and (unfit := (table[metric.name] <= 0) & (ends == "done")).any():
            raise BadInput(
                f"row {_find_row(unfit)}: {table[metric.name][unfit].iloc[0]:g} has no ratio",
                place=source,
                key=metric.name,
                cure="give δ in the metric's unit, not in per cent",
            )
    numbers = [metric.name for metric in columns.metrics]
    diverged = table[numbers].abs().eq(np.inf).any(axis=1) & (ends == "done")
    table[numbers] = table[numbers].mask(diverged, np.inf)  # a run diverges by every metric
    table = _average_rows(frame, table, columns, source)
    return table.assign(**{FIRST_LOOK: True}) if of_study else table


def _average_rows(frame: pd.DataFrame, table: pd.DataFrame, columns: Columns, source: str) -> pd.DataFrame:
    """Return a row for each arm and pair. Raises BadInput for several rows that no item tells apart."""
    repeated = table.duplicated(PAIR)
    if not columns.pair or not repeated.any():
        return table.assign(**{ROWS_AVERAGED: 1})
    pair = " and ".join(columns.pair)
    other_columns = frame.columns.difference([*columns.arm, *(metric.name for metric in columns.metrics)])
    fold = find_fold([*map(str, other_columns)])
    of_folds = columns.test_share or (fold and frame[fold].astype(str).nunique() > 1)
    if not columns.item or (columns.item == (SAMPLES,) and of_folds):
        row = table[repeated].iloc[0]
        cure_of_rows = (
            "--item COLUMN names what tells them apart, a document say; "
            f"--item {SAMPLES} says that they are independent samples"
        )
        rule = f"has several rows of arm {row.arm!r} and {pair} {row.seed}"
        raise BadInput(rule, place=source, cure=FOLDS_CURE if of_folds else cure_of_rows)
    items = None
    if columns.item != (SAMPLES,):
        item_cells = frame[[*columns.item]].convert_dtypes()  # 3 and 3.0 are one item
        items = _read_shared_values(item_cells, columns.item, table.status, source).astype(str)
        repeated = table.assign(item=items).duplicated([*PAIR, "item"])
        if repeated.any():
            raise BadInput(
                f"row {_find_row(repeated)} repeats an item of its arm and {pair}",
                place=source,
                key=f"--item {','.join(columns.item)}",
                cure="leave it out, or name all columns that tell rows apart: document,sample",
            )
    baseline = columns.baseline if columns.baseline in {*table.arm} else table.arm.iloc[0]
    ratios = [metric for metric in columns.metrics if metric.ratio]
    for metric in ratios:  # averaged as they are judged: the mean of ratios is geometric
        table[metric.name] = table[metric.name].map(metric.to_judged_scale)
        table["status"] = table.status.mask((table.status == "done") & table[metric.name].isna(), "failed")
    means = average_rows(table, [metric.name for metric in columns.metrics], baseline, items)
    for metric in ratios:
        means[metric.name] = means[metric.name].map(metric.from_judged_scale)
    qualities = [metric.name for metric in columns.metrics if metric.is_quality]
    return means.assign(**{ONE_RUN: means.arm.isin(find_one_run_arms(table, qualities, items))})


def find_fold(names: Sequence[str]) -> str:
    """Return the first column with "fold" or "split" as a word of its name, such as "cv_fold"; or ""."""
    return next((name for name in names if _FOLDS & {*re.split(r"[^a-z]+", name.lower())}), "")


def find_unnamed_failures(frame: pd.DataFrame, columns: Columns, source: str) -> "pd.Series[bool]":
    """Return which runs failed before they logged their arm, as runs of an MLflow experiment may."""
    if not {*columns.arm} <= {*frame.columns}:
        return pd.Series(False, frame.index)
    return (read_ends(frame, columns, source) == "failed") & frame[[*columns.arm]].isna().any(axis=1)


def read_ends(frame: pd.DataFrame, columns: Columns, source: str) -> "pd.Series[str]":
    """Return how each run ended: done, diverged or failed; done if no column says it."""
    name = _find_status_column(frame)
    if not name or name in (*columns.arm, *columns.pair, *columns.item):
        return pd.Series("done", frame.index)
    ends = _read_words(frame[name]).map(ENDS)
    if (unknown := ends.isna()).any():
        raise BadInput(
            f"row {_find_row(unknown)}: {frame[name][unknown].iloc[0]!r} is not known",
            place=source,
            key=name,
            cure="write done, failed or diverged",
        )
    return ends


def _read_words(column: pd.Series) -> "pd.Series[str]":
    return column.astype(str).str.strip().str.lower()


def _find_status_column(frame: pd.DataFrame) -> str:
    """Return the column that says how runs ended: `STATUS`, or "state" if it has a word of `ENDS`.

    So does a column such as "run_status" or "trial.state" that has no other words. A "state" may hold other
    things: OK is also a state of the USA.
    """
    columns = [*map(str, frame.columns)]
    for column in columns:
        if column.lower() == STATUS:
            return column
    for column in columns:
        last_word = re.split("[^a-z]", column.lower())[-1]
        words = {*_read_words(frame[column])} if last_word in (STATUS, "state") else set()
        if words & (ENDS.keys() - {"ok"}) and (column.lower() == "state" or words <= ENDS.keys()):
            return column
    return ""


def _read_pairs(frame: pd.DataFrame, columns: Columns, ends: pd.Series, source: str) -> pd.Series:
    """Return what pairs each row with rows of other arms, or the row's number if nothing is paired."""
    if columns.pair:
        return _read_shared_values(frame, columns.pair, ends, source)
    return pd.Series(range(len(frame)), frame.index)


def _read_shared_values(frame: pd.DataFrame, names: Sequence[str], ends: pd.Series, source: str) -> pd.Series:
    """Return the values of these columns in each row; a failed run without them gets a value of its own."""
    lacking = frame[[*names]].isna().any(axis=1) & (ends == "failed")
    if lacking.any():
        values = pd.Series([f"of failed row {row + 1}" for row in frame.index], frame.index, dtype=object)
        complete = frame[~lacking].convert_dtypes()  # numbers beside an empty cell are floats: 3, not 3.0
        return values.mask(~lacking, _read_shared_values(complete, names, ends, source).astype(str))
    if len(names) > 1:
        return join_labels(frame, names, source)
    values = frame[names[0]]
    _check_filled(values, source)
    if values.dtype == object:
        plain = values.map(lambda value: isinstance(value, Hashable)).all()
        rule = "has values that are no plain text or number"
        cure = "name another column"
        require(plain, rule, place=source, key=names[0], cure=cure)
        values = values.astype(str)
    return values


def join_labels(frame: pd.DataFrame, columns: Sequence[str], source: str) -> "pd.Series[str]":
    """Return the values of these columns as one text for each row.

    Raises BadInput if a cell is empty, or if rows with other values have the same text.
    """
    for column in columns:
        _check_filled(frame[column], source)
    rows = list(frame[[*columns]].astype(str).itertuples(index=False, name=None))
    labels = [SEPARATOR.join(row) for row in rows]
    for label, alike in Counter(SEPARATOR.join(row) for row in set(rows)).items():
        require(
            alike == 1,
            f"have other values in rows that would have one name, {label!r}",
            place=source,
            key=", ".join(columns),
            cure=f"write them without {SEPARATOR!r}",
        )
    return pd.Series(labels, frame.index, dtype=object)


def _check_spaces(arms: "pd.Series[str]", source: str) -> None:
    """Raise BadInput for two arms whose names differ in spaces alone, which no page shows."""
    names_by_words: dict[str, str] = {}
    for name in arms.unique():
        alike = names_by_words.setdefault(" ".join(name.split()), name)
        require(
            alike == name,
            f"the arms {alike!r} and {name!r} differ in spaces alone",
            place=source,
            cure="write them alike if they are one arm, or apart",
        )


def _check_filled(column: pd.Series, source: str) -> None:
    """Raise BadInput for a column with an empty cell."""
    if (empty := column.isna()).any():
        raise BadInput(
            f"row {_find_row(empty)} has no {column.name}", place=source, cure="fill it in, or leave it out"
        )


def _read_numbers(column: pd.Series, is_needed: "pd.Series[bool]", source: str) -> "pd.Series[float]":
    """Return a column as numbers, infinite if diverged. Raises BadInput for an empty cell that is needed."""
    numbers = pd.to_numeric(column, errors="coerce").astype(float)
    if (bad := numbers.isna() & is_needed).any():
        value = column[bad].iloc[0]
        fault = "is empty" if pd.isna(value) else f"{value!r} is not a number"
        raise BadInput(
            f"row {_find_row(bad)}: {fault}",
            place=source,
            key=str(column.name),
            cure="write a number; inf stands for a run that diverged, a column `status` tells of those that "
            "failed",
        )
    if (huge := (numbers.abs() > LARGEST_FINITE) & (numbers.abs() < np.inf)).any():
        raise BadInput(
            f"row {_find_row(huge)}: {numbers[huge].iloc[0]:g} is beyond ±{LARGEST_FINITE:g}, "
            "where cubes overflow",
            place=source,
            key=str(column.name),
            cure="write inf for a run that diverged",
        )
    return numbers


def _find_row(where: "pd.Series[bool]") -> int:
    """Return the number of the first row that is marked, counted from 1 without the head."""
    return int(where.index[where][0]) + 1
