"""Tables with a header and a row a line: cells are separated by commas in a .csv, by tabs in a .tsv."""

import csv
import io
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from unrolled.bench.formats.table_files import NO_NUMBER, Format, Row

_TRUTHS = {word: word.lower() == "true" for word in ("True", "true", "TRUE", "False", "false", "FALSE")}


def read_csv(path: Path) -> Iterator[Row]:
    """Yield a row for each line below the header that has cells. Raises ValueError: see `_read_cells`.

    A cell is a number or a boolean if it reads as one, None if it is empty, and else text.
    """
    yield from ({name: _parse_cell(cell) for name, cell in cells.items()} for cells in _read_cells(path))


def read_typed_csv(path: Path) -> list[Row]:
    """Return the rows of a finished table, as `read_csv` does, but with all text in a column that has text.

    Otherwise "1.10" in a column with "main" would be the arm 1.1, and the commit "12e4567" infinity.
    """
    rows = list(_read_cells(path))
    texts = {name for cells in rows for name, cell in cells.items() if _is_text(cell)}
    return [
        {name: (cell or None) if name in texts else _parse_cell(cell) for name, cell in cells.items()}
        for cells in rows
    ]


def _read_cells(path: Path) -> Iterator[dict[str, str]]:
    """Yield the cells of each line by the names of the header.

    Raises ValueError for a header without names or with a repeated name, and for a row longer than the
    header.
    """
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    text = path.read_bytes().decode("utf-8-sig")
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header = next(lines, None)
    if header is None:
        return
    _check_header(header, delimiter)
    for cells in filter(None, lines):
        if any(cells[len(header) :]):
            raise ValueError(f"line {lines.line_num} has {len(cells)} cells, the header {len(header)}")
        yield dict(zip(header, cells, strict=False))


def _check_header(header: list[str], delimiter: str) -> None:
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


DELIMITED = Format(read_csv, read_typed_csv)
