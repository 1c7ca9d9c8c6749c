"""Files with a JSON object a line, .jsonl and .ndjson."""

from collections.abc import Iterator
from pathlib import Path

from unrolled.bench.formats.table_files import Format, Row, parse_row


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


JSON_LINES = Format(read_json_lines, read_all_json_lines)
