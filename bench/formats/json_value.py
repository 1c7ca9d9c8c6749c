"""Files of one JSON value, .json: a list of rows, a single row, or an object that has a list of rows."""

import json
from collections.abc import Mapping
from pathlib import Path

from unrolled.bench.formats.table_files import Format, Row


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


JSON = Format(read_json, takes_rows_key=True)
