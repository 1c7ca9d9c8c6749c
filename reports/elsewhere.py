"""Tables from elsewhere: rows of any columns, read as the table from which arms are compared.

Rows of two arms that share something (a seed, a fold, a document) are compared by their differences, as the
arms of a study are. Without such a column the arms are compared by Welch's test.
"""

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.errors import BadInput, plural, require
from bench.metric import Metric
from reports.design import Design, MeasuredArm

LARGEST, LONGEST_NAME = 1e150, 200


@dataclass(frozen=True)
class Columns:
    """The columns of a table from which arms are compared."""

    arm: tuple[str, ...]  # those in which arms differ
    pair: str  # what rows of two arms share; "" for nothing
    metrics: tuple[Metric, ...]
    baseline: str = ""  # an arm; "" for that of the first row


def arrange(frame: pd.DataFrame, columns: Columns, source: str) -> pd.DataFrame:
    """The table of these columns: arm, seed, and a column for each metric.

    Raises BadInput for a column that is missing, a value that is no number, or two rows of one arm and pair.
    """
    for column in filter(None, (*columns.arm, columns.pair, *(metric.name for metric in columns.metrics))):
        if column not in frame.columns:
            cure = f"it has: {', '.join(map(str, frame.columns))}"
            raise BadInput(f"has no column {column!r}", place=source, cure=cure)
    for column in columns.arm:
        _check_filled(frame[column], source)
    require(len(frame), "has no rows", place=source, cure="give a table with results")
    frame = frame.reset_index(drop=True)
    arms = frame[columns.arm[0]].astype(str)
    for column in columns.arm[1:]:
        arms = arms + " / " + frame[column].astype(str)
    longest = max(map(len, arms))
    rule = f"the name of an arm has {longest:,} characters, of which {LONGEST_NAME} are shown"
    require(longest <= LONGEST_NAME, rule, place=source, cure="name another column with --arm")
    seeds = _seeds(frame, columns, arms, source)
    numbers = {metric.name: _numbers(frame[metric.name], source) for metric in columns.metrics}
    return pd.DataFrame({**numbers, "arm": arms, "seed": seeds})


def design_of(frame: pd.DataFrame, table: pd.DataFrame, columns: Columns, source: str, page: str) -> Design:
    """How the arms of a table are compared. Raises BadInput for a table of one arm, and another baseline."""
    order = list(dict.fromkeys(table.arm))
    rule, cure = f"has one arm, {order[0]!r}", "name with --arm the columns in which arms differ"
    require(len(order) > 1, rule, place=source, cure=cure)
    baseline = columns.baseline or order[0]
    if baseline not in order:
        raise BadInput(f"has no arm {baseline!r}", place=source, cure=f"it has: {', '.join(order)}")
    order.sort(key=lambda name: name != baseline)
    named = frame[list(columns.arm)].astype(str).set_axis(table.arm)
    levels = {name: named.loc[[name]].iloc[0].to_dict() for name in order}
    base = levels[baseline].items()
    changes = {name: {str(c): x for c, x in own.items() - base} for name, own in levels.items()}
    others = plural(len(order) - 1, "arm")
    return Design(
        study=page,
        question=f"{source}: {others} against {baseline}, {plural(len(table), 'row')}",
        metrics=columns.metrics,
        arms=tuple(MeasuredArm(name=name, title=name, changes=changes[name]) for name in order),
        pair=columns.pair,
    )


def _seeds(frame: pd.DataFrame, columns: Columns, arms: pd.Series, source: str) -> pd.Series:
    """What each row shares with one of any other arm; the row's number where nothing is paired."""
    if not columns.pair:
        return pd.Series(range(len(frame)))
    seeds = frame[columns.pair]
    _check_filled(seeds, source)
    if seeds.dtype == object:
        plain = seeds.map(lambda value: isinstance(value, Hashable)).all()
        rule, cure = "has values that are no plain text or number", "name another column with --pair"
        require(plain, rule, place=source, key=columns.pair, cure=cure)
        seeds = seeds.astype(str)
    twice = pd.DataFrame({"arm": arms, "seed": seeds}).duplicated()
    if twice.any():
        row = _row(twice)
        arm, seed = arms[row - 1], seeds[row - 1]
        raise BadInput(
            f"row {row} is another one of arm {arm!r} and {columns.pair} {seed}",
            place=source,
            cure="add the column in which they differ to --arm, or keep one of them",
        )
    return seeds


def _check_filled(column: pd.Series, source: str) -> None:
    """Raise BadInput for a column with an empty cell."""
    if (empty := column.isna()).any():
        rule = f"row {_row(empty)} has no {column.name}"
        raise BadInput(rule, place=source, cure="fill it in, or leave it out")


def _numbers(column: pd.Series, source: str) -> "pd.Series[float]":
    """A metric's column as numbers. Infinity is a value (a divergence); an empty cell is an error."""
    numbers = pd.to_numeric(column, errors="coerce").astype(float)
    if (bad := numbers.isna()).any():
        value = column[bad].iloc[0]
        what = "is empty" if pd.isna(value) else f"{value!r} is not a number"
        cure = "write a number; inf stands for a run that diverged"
        raise BadInput(f"row {_row(bad)}: {what}", place=source, key=str(column.name), cure=cure)
    if (huge := (numbers.abs() > LARGEST) & (numbers.abs() < np.inf)).any():
        rule = f"row {_row(huge)}: {numbers[huge].iloc[0]:g} is beyond ±{LARGEST:g}, where squares overflow"
        raise BadInput(rule, place=source, key=str(column.name), cure="write inf for a run that diverged")
    return numbers


def _row(where: "pd.Series[bool]") -> int:
    """The number of the first row that is marked, counted from 1 without the head."""
    return int(np.flatnonzero(where)[0]) + 1
