"""The numbers that a program tells: rows that it prints, writes or returns; those with a step make curves."""

import glob
import json
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from unrolled.bench.errors import BadInput, require
from unrolled.bench.table_files import Row, parse_row, read_rows

STEPS = "step", "epoch"  # the columns by which a row is a point of a curve


@dataclass
class Told:
    """What a program has told so far, in this attempt and in those that were killed."""

    last: dict[str, float] = field(default_factory=dict)  # the last value of each metric
    curves: dict[str, dict[float, float]] = field(default_factory=dict)  # by step; the last told counts
    settings: dict[str, Any] = field(default_factory=dict)  # that it says it used
    _rows: Path | None = field(default=None, init=False, repr=False)

    def resume(self, path: Path) -> None:
        """Take the rows that an attempt told before it was killed, and keep those to come there, too."""
        with path.open("a", encoding="utf-8") as rows:
            print(file=rows)  # a kill may have left half a line
        for row in filter(None, map(parse_row, path.read_text("utf-8").splitlines())):
            self.add(row)
        self._rows = path

    def add(self, row: Mapping[str, Any]) -> None:
        """Take a row: numbers by name, also those of arrays and tensors. Other values are left out."""
        if isinstance(row.get("settings"), Mapping):
            self.settings |= row["settings"]
        told = {_writable(name): _number(x) for name, x in row.items() if not isinstance(x, str | bool)}
        numbers = {name: x for name, x in told.items() if x is not None}
        if self._rows:
            with self._rows.open("a", encoding="utf-8") as rows:
                print(json.dumps({**row, **numbers}, default=str, skipkeys=True), file=rows)
        step = next((numbers[name] for name in STEPS if name in numbers), None)
        for name, value in numbers.items():
            if name not in STEPS:
                self.last[name] = value
                if step is not None:
                    self.curves.setdefault(name, {})[step] = value

    def value(self, metric: str, take: str) -> float:
        """What counts of a metric: its "last" value, "min" or "max" of its curve, or "mean 5" of its end."""
        points = [value for _, value in sorted(self.curves.get(metric, {}).items())]
        word, _, number = take.partition(" ")
        if word == "last" or not points:
            return self.last[metric]
        if word == "mean":
            return _mean(points[-int(number) :])
        finite = [value for value in points if math.isfinite(value)]
        return {"min": min, "max": max}[word](finite, default=math.nan)


class SimilarLine:
    """The printed line that looks most like a row with one of these metrics; the last one of several."""

    text = ""
    _likeness = 0

    def __init__(self, metrics: Iterable[str]) -> None:
        self._words = {name: re.split(r"[\W_]", name)[-1] for name in metrics}

    def compare(self, line: str) -> None:
        """Keep the line if it looks as much like a row as the one that is kept, or more."""
        for name, last_word in self._words.items():
            likeness = (name in line) + ("{" in line) + any(map(str.isdigit, line))
            if last_word in line and likeness >= self._likeness:
                self.text = line.strip()
                self._likeness = likeness


def read_files(pattern: str, judged: Collection[str] = ()) -> Iterator[Row]:
    """The rows of the files that match, oldest file first.

    Raises BadInput for none, for an unreadable one, and for a metric that is judged and is no number.
    """
    names = map(Path, glob.glob(pattern, recursive=True))  # noqa: PTH207 (an absolute pattern)
    paths = sorted(filter(Path.is_file, names), key=lambda path: path.stat().st_mtime_ns)
    require(paths, f"it wrote no {Path(pattern).name}", cure="see `metrics` in [program]")
    for path in paths:
        try:
            rows = read_rows(path)
        except BadInput as error:
            error.place = f"its {path.name}"
            raise
        for number, row in enumerate(rows, 1):
            for name in judged:
                value = row.get(name)
                is_number = not isinstance(value, str | bool) and _number(value) is not None
                rule = f"{name} is {value!r:.60}, and no number"
                require(value is None or is_number, rule, place=f"row {number} of its {path.name}")
            yield row


def _writable(name: object) -> str:
    """A name as UTF-8 can write it: a lone surrogate becomes its escape."""
    return str(name).encode(errors="backslashreplace").decode()


def _mean(values: Sequence[float]) -> float:
    """The mean; NaN where the sum is none, as of infinity and -infinity."""
    try:
        return fmean(values)
    except (ValueError, OverflowError):
        return math.nan


def _number(value: Any) -> float | None:
    """A number, the only one of an array or a tensor included; None for anything else."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):  # torch raises the last one
        return None
