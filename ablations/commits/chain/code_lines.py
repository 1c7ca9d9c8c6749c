"""Counting lines of code.

A line of Python counts if it holds more than a comment or a docstring; a line of another file, if it holds
text.
"""

from collections.abc import Iterable
from pathlib import Path

from unrolled.bench.sources.code_lines import list_code_lines


def count_code_lines(paths: Iterable[Path]) -> int:
    """Return the number of lines of code in files. A file that is no text has none."""
    return sum(count_text_lines(_read_text(path), is_python=path.suffix == ".py") for path in paths)


def count_text_lines(text: str, *, is_python: bool) -> int:
    """Return the number of lines of code in a text. Python that cannot be parsed counts as other text."""
    if is_python:
        try:
            return len(list_code_lines(text.encode()))
        except (SyntaxError, ValueError, RecursionError):
            pass
    return sum(bool(line.strip()) for line in text.splitlines())


def _read_text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return ""
