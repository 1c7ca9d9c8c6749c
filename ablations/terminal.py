"""Lines on the terminal: without control characters, and wrapped between words."""

import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import TextIO

from unrolled.bench.phrases import make_visible

LAST_COLUMN = 24  # fewest characters for the last column of a table


def print_line(line: object, file: TextIO | None = None, indent: int = 2) -> None:
    """Print one line with its control characters made visible.

    On a terminal a long one is wrapped, and `indent` is the indentation of the lines after the first.
    """
    file = file or sys.stdout
    text = make_visible(line)
    if file.isatty():
        width = shutil.get_terminal_size().columns
        blanks = " " * min(indent, max(0, width - LAST_COLUMN))
        text = textwrap.fill(
            text, width, subsequent_indent=blanks, break_long_words=False, break_on_hyphens=False
        )
    print(text, file=file, flush=True)


def print_rows(rows: Sequence[Sequence[str]]) -> None:
    """Print rows in aligned columns, of which the last is wrapped where it begins."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    indent = sum(widths[:-1]) + 2 * len(widths[:-1])
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        print_line("  ".join(cells).rstrip(), indent=indent)
