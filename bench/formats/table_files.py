"""Files of rows, each a mapping from names to values: what the formats of `bench.formats` share."""

import csv
import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unrolled.bench.errors import BadInput

Row = Mapping[str, Any]

NO_NUMBER = "None", "null", "NA"
"""Text that means "no number" in a column of numbers; elsewhere it is text, such as an arm's name."""
_NOT_FINITE = re.compile(r"(?<=[:,\[\s])(-?)(nan|inf)(?=\s*[,}\]])")
_JSON_NAMES = {"nan": "NaN", "inf": "Infinity"}


@dataclass(frozen=True)
class Format:
    """The readers of one format, each a function from a file to its rows, in a module of their own.

    `read_partial` reads a file that a program may still be writing, or was killed while writing, and skips
    what is no row. `read_complete` reads a finished table, in which each line must be a row; None if it is
    the same reader.
    """

    read_partial: Callable[..., Iterable[Row]]
    read_complete: Callable[..., Iterable[Row]] | None = None
    takes_rows_key: bool = False  # whether the readers also take the key of the list of rows in a file
    package: str = ""  # package that the reader imports; "" if Python alone can read it
    requirement: str = ""  # name by which pip installs the package, if that differs

    @property
    def source_file(self) -> Path:
        """The source file of its readers, which enters the identity of each trial that uses the format."""
        return Path(inspect.getfile(self.read_partial))


def read_rows(path: Path, file_format: Format, rows_key: str = "", *, finished: bool = False) -> list[Row]:
    """Return the rows of a file in a format.

    `rows_key` is the key of the list of rows, such as "log_history", for a format that takes one. In a
    `finished` table each line must be a row: see Format. Raises BadInput, naming the file, if it cannot be
    read.
    """
    read = (file_format.read_complete if finished else None) or file_format.read_partial
    try:
        return list(read(path, rows_key) if rows_key else read(path))
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
