"""The numbers that a program tells: rows of JSON or CSV, of which those with a step make curves."""

import csv
import glob
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from unrolled.bench.errors import BadInput, require

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
        for row in filter(None, map(row_of, path.read_text("utf-8").splitlines())):
            self.add(row)
        self._rows = path

    def add(self, row: Mapping[str, Any]) -> None:
        """Take a row: numbers by name, also those of arrays and tensors. Other values are left out."""
        if isinstance(row.get("settings"), Mapping):
            self.settings |= row["settings"]
        told = {str(name): _number(x) for name, x in row.items() if not isinstance(x, str | bool)}
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


def row_of(line: str) -> Mapping[str, Any] | None:
    """The JSON object that a line is, or None."""
    if not line.lstrip().startswith("{"):
        return None
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, Mapping) else None


def read(pattern: str) -> Iterator[Mapping[str, Any]]:
    """The rows of the files that match, oldest file first. Raises BadInput for none, or an unreadable one."""
    names = map(Path, glob.glob(pattern, recursive=True))  # noqa: PTH207 (an absolute pattern)
    paths = sorted(filter(Path.is_file, names), key=lambda path: path.stat().st_mtime_ns)
    require(paths, f"it wrote no {Path(pattern).name}", cure="see `metrics` in [program]")
    for path in paths:
        try:
            text = path.read_text("utf-8-sig")
            yield from _rows(path, text)
        except (ValueError, OSError) as error:
            raise BadInput(f"its {path.name} cannot be read ({error})") from error


def _rows(path: Path, text: str) -> Iterable[Mapping[str, Any]]:
    match path.suffix:
        case ".csv":
            return ({k: _number(cell) for k, cell in row.items()} for row in csv.DictReader(text.split("\n")))
        case ".json":
            row = json.loads(text)
            if not isinstance(row, Mapping):
                raise ValueError("it is no object")
            return [row]
        case _:
            return filter(None, map(row_of, text.split("\n")))


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
