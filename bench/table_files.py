"""Files of rows, each a mapping from names to values: `FORMATS` has the readers of each suffix."""

import csv
import importlib.util
import io
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from unrolled.bench.errors import BadInput

Row = Mapping[str, Any]

NO_NUMBER = "None", "null", "NA"
"""Text that means "no number" in a column of numbers; elsewhere it is text, such as an arm's name."""
_TRUTHS = {word: word.lower() == "true" for word in ("True", "true", "TRUE", "False", "false", "FALSE")}
_NOT_FINITE = re.compile(r"(?<=[:,\[\s])(-?)(nan|inf)(?=\s*[,}\]])")
_JSON_NAMES = {"nan": "NaN", "inf": "Infinity"}


@dataclass(frozen=True)
class Format:
    """The readers of one format, each a function from a file to its rows.

    `read_growing` reads a file that a program may still be writing, or was killed while writing, and skips
    what is no row. `read_complete` reads a finished table, in which each line must be a row; None if it is
    the same reader.
    """

    read_growing: Callable[[Path], Iterable[Row]]
    read_complete: Callable[[Path], Iterable[Row]] | None = None
    package: str = ""  # package that the reader imports; "" if Python alone can read it
    requirement: str = ""  # name by which pip installs the package, if that differs


def find_format(name: str, key: str = "") -> Format:
    """Return the format of a file by its suffix or, for TensorBoard, by "tfevents" in its name.

    Raises BadInput for any other name, and for a format whose package is not installed.
    """
    path = Path(name)
    suffix = path.suffix.lower()
    format = EVENTS if "tfevents" in path.name else FORMATS.get(suffix)
    if format is None:
        rule = f"{suffix} is no format that is read" if suffix else f"{path.name!r} has no suffix"
        raise BadInput(rule, key=key, cure=f"name the file by its format, one of {', '.join(FORMATS)}")
    if format.package and not importlib.util.find_spec(format.package):
        cure = f"pip install {format.requirement or format.package}"
        raise BadInput(f"needs the package {format.package}", key=key, cure=cure)
    return format


def read_rows(path: Path, rows_key: str = "", *, finished: bool = False) -> list[Row]:
    """Return the rows of a file, in the format that its name says.

    `rows_key` is the key of the list of rows in a .json file, such as "log_history". In a `finished` table
    each line must be a row: see Format. Raises BadInput, naming the file, if it cannot be read.
    """
    format = find_format(path.name)
    read = (format.read_complete if finished else None) or format.read_growing
    try:
        return read_json(path, rows_key) if rows_key else list(read(path))
    except UnicodeDecodeError as error:
        raise BadInput(f"byte {error.start} is not UTF-8", place=path, cure="write it as UTF-8") from error
    except RecursionError as error:
        raise BadInput("is nested too deeply", place=path, cure="write rows of numbers") from error
    except (ValueError, csv.Error, NotImplementedError, OSError) as error:  # pyarrow's derive from these
        rule = f"cannot be read ({' '.join(str(error).split())[:200]})"
        raise BadInput(rule, place=path, cure="write it as its suffix says") from error


def parse_row(line: str) -> Row | None:
    """Return the JSON object in a line; None for any other line. It may have nan and inf: {"loss": nan}."""
    if not line.lstrip().startswith("{"):
        return None
    for text in (line, _NOT_FINITE.sub(lambda match: match[1] + _JSON_NAMES[match[2]], line)):
        try:
            row = json.loads(text)
        except (ValueError, RecursionError):
            continue
        return row if isinstance(row, Mapping) else None
    return None


def read_csv(path: Path, delimiter: str = ",") -> Iterator[Row]:
    """Yield a row for each line below the header that has cells. Raises ValueError: see `_read_cells`.

    A cell is a number or a boolean if it reads as one, None if it is empty, and else text.
    """
    for cells in _read_cells(path, delimiter):
        yield {name: _parse_cell(cell) for name, cell in cells.items()}


def read_typed_csv(path: Path, delimiter: str = ",") -> list[Row]:
    """Return the rows of a finished table, as `read_csv` does, but with all text in a column that has text.

    Otherwise "1.10" in a column with "main" would be the arm 1.1, and the commit "12e4567" infinity.
    """
    rows = list(_read_cells(path, delimiter))
    texts = {name for cells in rows for name, cell in cells.items() if _is_text(cell)}
    return [
        {name: (cell or None) if name in texts else _parse_cell(cell) for name, cell in cells.items()}
        for cells in rows
    ]


def _read_cells(path: Path, delimiter: str) -> Iterator[dict[str, str]]:
    """Yield the cells of each line by the names of the header.

    Raises ValueError for a header without names or with a repeated name, and for a row longer than the
    header.
    """
    text = path.read_bytes().decode("utf-8-sig")
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header = next(lines, None)
    if header is None:
        return
    check_header(header, delimiter)
    for cells in filter(None, lines):
        if any(cells[len(header) :]):
            raise ValueError(f"line {lines.line_num} has {len(cells)} cells, the header {len(header)}")
        yield dict(zip(header, cells, strict=False))


def check_header(header: list[str], delimiter: str) -> None:
    """Raise ValueError for a header of numbers, with a repeated name, or with another delimiter."""
    line = delimiter.join(header)
    repeated_names = [name for name, count in Counter(header).items() if count > 1 and name]
    if repeated_names:
        raise ValueError(f"the header names {repeated_names[0]!r} twice")
    if all(isinstance(_parse_cell(name), int | float) for name in header):
        raise ValueError(f"its first line names no columns: {line[:60]}")
    for separator in {";", "\t", ","} - {delimiter}:
        if len(header) == 1 and separator in line:
            raise ValueError(f"its columns are separated by {separator!r}, and not by {delimiter!r}")


def _is_text(cell: str) -> bool:
    return isinstance(_parse_cell(cell), str) and cell.strip() not in NO_NUMBER


def _parse_cell(cell: str) -> float | str | None:
    word = cell.strip()
    if not word or word in _TRUTHS:
        return _TRUTHS.get(word)
    try:
        number = float(word)
    except ValueError:
        return cell
    if "_" in word:  # it is a name, though Python reads 1_0 as 10
        return cell
    is_whole = math.isfinite(number) and word.lstrip("+-").isdecimal()
    return int(word) if is_whole else number


def read_json(path: Path, rows_key: str = "") -> list[Row]:
    """Return the rows of a file: a list of objects, a single object, or the list at `rows_key` of an object.

    Raises ValueError for other data.
    """
    data = json.loads(path.read_bytes().decode("utf-8-sig"))
    if rows_key:
        keys = ", ".join(map(str, data)) if isinstance(data, Mapping) else "none"
        if not isinstance(data, Mapping) or not isinstance(data.get(rows_key), list):
            raise ValueError(f"it has no list {rows_key!r}; its keys: {keys}")
        data = data[rows_key]
    rows = data if isinstance(data, list) else [data]
    if not all(isinstance(row, Mapping) for row in rows):
        raise ValueError("it is neither an object nor a list of objects")
    return rows


def read_json_lines(path: Path) -> Iterator[Row]:
    """Return the lines that are JSON objects. Others are skipped: logs, or half a line after a kill."""
    return filter(None, map(parse_row, path.read_bytes().decode("utf-8-sig").split("\n")))


def read_all_json_lines(path: Path) -> list[Row]:
    """Return the lines of a finished table. Raises ValueError for one that is no JSON object."""
    rows = []
    for number, line in enumerate(path.read_bytes().decode("utf-8-sig").split("\n"), 1):
        if line.strip():
            row = parse_row(line)
            if row is None:
                raise ValueError(f"line {number} is no JSON object")
            rows.append(row)
    return rows


def read_parquet(path: Path) -> list[Row]:
    """Return the rows of a table."""
    import pyarrow.parquet

    rows: list[Row] = pyarrow.parquet.read_table(io.BytesIO(path.read_bytes())).to_pylist()
    return rows


def read_tensorboard(path: Path) -> list[Row]:
    """Return the scalars of a file of events, a row each: {"step": 10, "loss/train": 0.5}."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util import tensor_util

    events = EventAccumulator(str(path), size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    tags = events.Tags()
    rows: list[Row] = []
    for tag in tags["scalars"]:
        rows += [{"step": event.step, tag: event.value} for event in events.Scalars(tag)]
    for tag in tags["tensors"]:  # Keras writes its metrics as tensors
        arrays = [(event.step, tensor_util.make_ndarray(event.tensor_proto)) for event in events.Tensors(tag)]
        rows += [{"step": step, tag: float(array)} for step, array in arrays if array.ndim == 0]
    return rows


FORMATS = {
    ".csv": Format(read_csv, read_typed_csv),
    ".tsv": Format(partial(read_csv, delimiter="\t"), partial(read_typed_csv, delimiter="\t")),
    ".json": Format(read_json),
    ".jsonl": Format(read_json_lines, read_all_json_lines),
    ".ndjson": Format(read_json_lines, read_all_json_lines),
    ".parquet": Format(read_parquet, package="pyarrow"),
}
"""The reader of each suffix.

A further format needs a row here and one in WRITERS of tests/bench/test_table_files.py. All trials of
programs are then trained again, because the source of this file is part of their identity.
"""

EVENTS = Format(read_tensorboard, package="tensorboard", requirement="'unrolled[tensorboard]'")
"""The format of TensorBoard's files, which have no suffix: events.out.tfevents.1700000000.host."""
