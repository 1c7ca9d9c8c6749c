"""Verdicts on results that were made elsewhere: a table of rows, each with an arm, a pair and metrics.

Rows of two arms with the same pair (a seed, a fold, a document) are compared by their differences, as the
arms of a study are. Without a column of pairs the arms are compared by Welch's test.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.trial import BadInput, require
from reports.statistics.contrasts import ArmSummary, Contrast, contrast, summarise
from reports.statistics.unpaired import welch
from reports.statistics.verdicts import Verdict, Word, judged

LOWER = {"loss", "error", "err", "nats", "nll", "perplexity", "ppl", "bits", "mse", "rmse", "mae",
    "seconds", "time", "latency", "memory"}  # fmt: skip
"""Words in the names of metrics of which lower values are better."""
LARGEST, LONGEST_NAME = 1e150, 200
HIGHER = {"accuracy", "acc", "auc", "f1", "precision", "recall", "score", "r2", "bleu", "rouge", "hits",
    "reward", "speed", "throughput"}  # fmt: skip


@dataclass(frozen=True)
class Measure:
    """A metric's column, its δ and its direction."""

    name: str
    delta: float
    lower_is_better: bool


@dataclass(frozen=True)
class Design:
    """How rows are read: the columns that name an arm and a pair (""), the metrics, the baseline ("")."""

    arm: tuple[str, ...]
    pair: str
    measures: tuple[Measure, ...]
    baseline: str = ""


@dataclass(frozen=True)
class ForeignArm:
    """An arm by one metric: its values, and the verdict against the baseline, which has none."""

    name: str
    summary: ArmSummary
    verdict: Verdict | None


@dataclass(frozen=True)
class Foreign:
    """Every arm by every metric. `alone` has, by arm, the pairs that it or the baseline lacks."""

    source: str
    design: Design
    rows: int
    arms: Mapping[str, tuple[ForeignArm, ...]]  # by metric, the baseline first
    alone: Mapping[str, tuple[str, ...]]

    @property
    def baseline(self) -> str:
        """The arm that the others are held against."""
        return next(iter(self.arms.values()))[0].name

    @property
    def worse(self) -> list[str]:
        """The arms that are worse than the baseline by the first metric."""
        first = self.arms[self.design.measures[0].name]
        return [arm.name for arm in first if arm.verdict and arm.verdict.word is Word.WORSENS]


def direction(metric: str, lower: Sequence[str], higher: Sequence[str]) -> bool:
    """Whether lower is better: as the two lists say, else by a word in the metric's name. Raises BadInput."""
    if metric in lower or metric in higher:
        return metric in lower
    words = set(re.split("[^a-z0-9]+", metric.lower()))
    found = {kind for kind, known in ((True, LOWER), (False, HIGHER)) if words & known}
    if len(found) != 1:
        cure = f"add --lower {metric} or --higher {metric}"
        raise BadInput(
            "whether lower or higher is better cannot be told from the name", key=metric, cure=cure
        )
    return found.pop()


def compare(frame: pd.DataFrame, design: Design, source: str) -> Foreign:
    """Hold every arm of a table against the baseline, by default its first arm.

    Raises BadInput for a column that is missing, a value that is no number, two rows of one arm and pair,
    or a table of one arm.
    """
    arms = _arms(frame, design, source)
    order = list(dict.fromkeys(arms))
    one, cure = f"has one arm, {order[0]!r}", "name with --arm the columns in which arms differ"
    require(len(order) > 1, one, place=source, cure=cure)
    baseline = design.baseline or order[0]
    if baseline not in order:
        raise BadInput(f"has no arm {baseline!r}", place=source, cure=f"it has: {', '.join(order)}")
    order.sort(key=lambda name: name != baseline)
    pairs, labels = _pairs(frame, design, arms, source)
    found, alone = {}, {}
    for m in design.measures:
        values, contrasts = _contrasts(m, _numbers(frame[m.name], source), arms, pairs, order)
        verdicts, how = judged(contrasts), m.lower_is_better
        found[m.name] = tuple(
            ForeignArm(name, summarise(values[name], lower_is_better=how), verdicts.get(name))
            for name in order
        )
        alone = {name: tuple(labels[i] for i in c.unpaired) for name, c in contrasts.items() if c.unpaired}
    return Foreign(source, design, len(frame), found, alone)


Values = Mapping[str, Mapping[Any, float]]
"""A metric by arm and, within it, by what its rows are paired by."""


def values(frame: pd.DataFrame, design: Design, measure: Measure, source: str) -> Values:
    """A table's values of one metric. Raises BadInput as `compare` does."""
    arms = _arms(frame, design, source)
    _pairs(frame, design, arms, source)
    found: dict[str, dict[Any, float]] = {}
    numbers = _numbers(frame[measure.name], source)
    for arm, pair, number in zip(arms, frame[design.pair], numbers, strict=True):
        found.setdefault(arm, {})[pair] = float(number)
    return found


def _arms(frame: pd.DataFrame, design: Design, source: str) -> pd.Series:
    """The name of each row's arm. Raises BadInput for a column that is missing or a cell that is empty."""
    for column in filter(None, (*design.arm, design.pair, *(m.name for m in design.measures))):
        if column not in frame.columns:
            cure = f"it has: {', '.join(map(str, frame.columns))}"
            raise BadInput(f"has no column {column!r}", place=source, cure=cure)
    for column in design.arm:
        _filled(frame[column], source)
    require(len(frame), "has no rows", place=source, cure="give a table with results")
    names = frame[list(design.arm)].astype(str).agg(" / ".join, axis=1) if len(design.arm) > 1 else None
    arms = (frame[design.arm[0]].astype(str) if names is None else names).rename("arm")
    longest = max(map(len, arms))
    rule = f"the name of an arm has {longest:,} characters, of which {LONGEST_NAME} are shown"
    require(longest <= LONGEST_NAME, rule, place=source, cure="name another column with --arm")
    return arms


def _pairs(
    frame: pd.DataFrame, design: Design, arms: pd.Series, source: str
) -> tuple["pd.Series[int] | None", Sequence[str]]:
    """The pair of each row as a number, and what each number stands for; None without a column of pairs."""
    if not design.pair:
        return None, ()
    given = frame[design.pair]
    _filled(given, source)
    try:
        codes, labels = pd.factorize(given, sort=True)
    except TypeError as error:  # lists or objects
        raise BadInput("has values that are no plain text or number", place=source, key=design.pair,
                       cure="name another column with --pair") from error  # fmt: skip
    pairs = pd.Series(codes, index=frame.index)
    twice = pd.DataFrame({"arm": arms, "pair": pairs}).duplicated()
    if twice.any():
        row = int(np.flatnonzero(twice)[0])
        raise BadInput(
            f"row {_row(twice)} is another one of arm {arms.iloc[row]!r} and {design.pair} {given.iloc[row]}",
            place=source,
            cure="add the column in which they differ to --arm, or keep one of them",
        )
    return pairs, [str(label) for label in labels]


def _filled(column: pd.Series, source: str) -> None:
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


def _contrasts(
    measure: Measure,
    numbers: "pd.Series[float]",
    arms: pd.Series,
    pairs: "pd.Series[int] | None",
    order: Sequence[str],
) -> tuple[dict[str, dict[int, float]], dict[str, Contrast]]:
    """The values of every arm by one metric, and the contrasts with the first, as one family."""
    keys = range(len(numbers)) if pairs is None else pairs.to_numpy()
    values: dict[str, dict[int, float]] = {name: {} for name in order}
    for name, key, value in zip(arms, map(int, keys), map(float, numbers), strict=True):
        values[name][key] = value
    base, *others = order
    delta, lower, family = measure.delta, measure.lower_is_better, len(others)
    found: dict[str, Contrast] = {}
    for name in others:
        if pairs is None:
            sides = [*values[name].values()], [*values[base].values()]
            found[name] = welch(*sides, delta=delta, lower_is_better=lower, family=family)
        else:
            both = values[name], values[base]
            found[name] = contrast(*both, delta=delta, lower_is_better=lower, family=family)
    return values, found
