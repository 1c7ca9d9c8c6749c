"""The rows of numbers that a program prints, writes or returns. Those with a step make curves."""

import glob
import json
import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from threading import RLock
from typing import Any

from unrolled.bench.errors import BadInput, require
from unrolled.bench.formats.file_formats import find_format
from unrolled.bench.formats.table_files import NO_NUMBER, Row, parse_row, read_rows
from unrolled.bench.phrases import plural
from unrolled.bench.program.line_patterns import LinePatterns

STEPS = "step", "epoch"  # columns that make a row a point of a curve
LARGEST_STEP = 2**53  # a row with a larger step, or with NaN, is no point of a curve
_NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)


@dataclass
class MetricRows:
    """The rows of one metric: those with a number, and those that name it without one.

    Pandas and strict JSON write NaN as an empty cell or null, as they write a number that was not measured.
    The two are told apart by the rows before. With a number in each row of its kind, and then in none, the
    metric has become NaN. Rows of another kind, such as one of training losses that leaves the validation
    loss empty, have numbers that no row with the metric has.
    """

    companions: set[str] = field(default_factory=set)  # numbers that rows with a number of it have, too
    number_count: int = 0
    empty_count: int = 0  # number of rows without a number after the last one with it
    has_gaps: bool = False  # whether an empty row came before one with a number

    def add_number(self, companions: set[str]) -> None:
        """Add a row with a number, beside numbers of these names."""
        self.companions |= companions
        self.has_gaps |= self.empty_count > 0
        self.number_count += 1
        self.empty_count = 0

    def add_empty(self, companions: set[str]) -> None:
        """Add a row that names the metric without a number, beside numbers of these names."""
        if companions <= self.companions:
            self.empty_count += 1

    @property
    def ends_empty(self) -> bool:
        """True if the last rows lack the number that each row before had, two or more of them."""
        return self.empty_count > 0 and not self.has_gaps and self.number_count > 1


@dataclass
class ReportedMetrics:
    """The numbers that a program has reported so far, in this attempt and in those that were killed."""

    patterns: LinePatterns = field(default_factory=lambda: LinePatterns({}))
    last: dict[str, float] = field(default_factory=dict)  # the last value of each metric
    curves: dict[str, dict[float, float]] = field(default_factory=dict)  # points by step; the last one counts
    settings: dict[str, Any] = field(default_factory=dict)  # settings that the program reports as used
    # metric → which text stood in place of a number
    not_numbers: dict[str, str] = field(default_factory=dict)
    _rows: dict[str, MetricRows] = field(default_factory=lambda: defaultdict(MetricRows), init=False)
    _journal: Path | None = field(default=None, init=False, repr=False)
    _lock: RLock = field(default_factory=RLock, init=False, repr=False)  # two threads read the two pipes

    def open_journal(self, path: Path) -> None:
        """Read the rows that a killed attempt left in a file, and append further rows to the file."""
        with path.open("a", encoding="utf-8") as journal:
            print(file=journal)  # a killed program may have left half a line
        for row in filter(None, map(parse_row, path.read_text("utf-8").splitlines())):
            self.add_row(row)
        self._journal = path

    def add_row(self, row: Mapping[str, Any]) -> None:
        """Record the numbers of a row by name. Other values are ignored, but for a mapping of `settings`."""
        numbers = {
            # a lone surrogate, which UTF-8 cannot write, becomes its escape
            str(name).encode(errors="backslashreplace").decode(): number
            for name, value in row.items()
            if (number := _number_of(value)) is not None
        }
        steps = [numbers[name] for name in STEPS if abs(numbers.get(name, math.inf)) <= LARGEST_STEP]
        empty_names = [
            name for name, x in row.items() if x is None or (isinstance(x, str) and x in ("", *NO_NUMBER))
        ]
        with self._lock:
            for name in numbers:
                self._rows[name].add_number(numbers.keys() - {name})
            for name in self._rows.keys() & empty_names:
                self._rows[name].add_empty({*numbers})
            if isinstance(row.get("settings"), Mapping):
                self.settings |= row["settings"]
            if self._journal:
                with self._journal.open("a", encoding="utf-8") as journal:
                    print(json.dumps({**row, **numbers}, default=str, skipkeys=True), file=journal)
            for name, number in numbers.items():
                if name not in STEPS:
                    self.last[name] = number
                    if steps:
                        self.curves.setdefault(name, {})[steps[0]] = number

    def add_line(self, line: str) -> None:
        """Record what the patterns match in a printed line, and the matches that are no numbers."""
        with self._lock:
            for part in line.split("\r"):  # progress bars write over themselves
                for row in self.patterns.match_line(part):
                    for name, value in row.items():
                        if isinstance(value, str):
                            reason = f"its pattern of {name} found {value!r:.60}, which is no number"
                            self.not_numbers.setdefault(name, reason)
                    self.add_row(row)

    @property
    def unread_metrics(self) -> dict[str, Any]:
        """Metrics that could not be read, for the provenance: see `bench.trial.Result`."""
        emptied = {
            name: f"{name} has a number in {plural(rows.number_count, 'row')} and none in the last "
            f"{rows.empty_count}: write nan if it diverged"
            for name, rows in self._rows.items()
            if rows.ends_empty
        }
        not_numbers = emptied | self.not_numbers
        unread = {"not_numbers": not_numbers, "unmatched": self.patterns.similar_lines}
        return {name: metrics for name, metrics in unread.items() if metrics}

    def reduce_metric(self, metric: str, reduction: str) -> float:
        """Return a metric's "last" value, "min" or "max" of its curve, or "mean 5" of its last 5 points."""
        points = [value for _, value in sorted(self.curves.get(metric, {}).items())]
        word, _, number = reduction.partition(" ")
        if word == "last" or not points:
            return self.last[metric]
        if word == "mean":
            return _average(points[-int(number) :])
        finite = [value for value in points if math.isfinite(value)]
        return {"min": min, "max": max}[word](finite, default=math.nan)


def find_similar_line(output: str, metric: str) -> str:
    """Return the line most similar to a row with this metric, the last of equals; "" if none names it."""
    last_word = re.split(r"[\W_]", metric)[-1]
    lines = [line.strip() for line in reversed(output.splitlines()) if last_word in line]

    def count_resemblances(line: str) -> int:
        return (metric in line) + ("{" in line) + any(map(str.isdigit, line))

    return max(lines, key=count_resemblances, default="")


def read_metrics_files(
    pattern: str, rows_key: str = "", patterns: LinePatterns | None = None
) -> tuple[list[Row], dict[str, str]]:
    """Return the rows of the files that match, the oldest file first, and by column what is no number in it.

    With `patterns`, the rows are the lines that match them; see `read_rows` for `rows_key`. Raises BadInput
    if no file matches, or a file cannot be read.
    """
    names = map(Path, glob.glob(pattern, recursive=True))  # noqa: PTH207 (an absolute pattern)
    paths = sorted(filter(Path.is_file, names), key=lambda path: path.stat().st_mtime_ns)
    require(paths, f"it wrote no {Path(pattern).name}", cure="see `metrics` in [program]")
    rows: list[Row] = []
    not_numbers: dict[str, str] = {}
    for path in paths:
        try:
            if patterns:
                rows_of_file = list(patterns.match_file(path))
            else:
                rows_of_file = read_rows(path, find_format(pattern), rows_key)
        except BadInput as error:
            error.place = f"its {path.name}"
            raise
        rows += rows_of_file
        not_numbers |= _find_text(rows_of_file, path.name)
    return rows, not_numbers


def _find_text(rows: Sequence[Row], file: str) -> dict[str, str]:
    """Return, for each column that has numbers, a clause on its first cell that is text, with the place."""
    numeric = {name for row in rows for name, cell in row.items() if _number_of(cell) is not None}
    texts: dict[str, str] = {}
    for number, row in enumerate(rows, 1):
        for name in numeric & row.keys() - texts.keys():
            if row[name] not in (None, *NO_NUMBER) and _number_of(row[name]) is None:
                texts[name] = f"row {number} of its {file}: {name} is {row[name]!r:.60}, and no number"
    return texts


def _average(values: Sequence[float]) -> float:
    """Return the mean; NaN if it is undefined, as of infinity and -infinity."""
    try:
        return fmean(values)
    except (ValueError, OverflowError):
        return math.nan


def _number_of(value: Any) -> float | None:
    """Return a number, or that of an array or a tensor of one element; None for anything else.

    A text is no number, but for "NaN" and "inf", which strict JSON cannot write in another way.
    """
    if isinstance(value, bool) or (isinstance(value, str) and not _NOT_FINITE.fullmatch(value.strip())):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):  # torch raises RuntimeError
        return None
