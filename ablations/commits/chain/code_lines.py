"""Counting lines of code.

A line of Python counts if it holds more than a comment or a docstring; a line of another file, if it holds
text.
"""

import ast
import io
import tokenize
from collections.abc import Iterable
from pathlib import Path

_WITHOUT_CODE = frozenset(
    (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
)


def count_code_lines(paths: Iterable[Path]) -> int:
    """Return the number of lines of code in files. A file that is no text has none."""
    return sum(count_text_lines(_read_text(path), is_python=path.suffix == ".py") for path in paths)


def count_text_lines(text: str, *, is_python: bool) -> int:
    """Return the number of lines of code in a text. Python that cannot be parsed counts as other text."""
    if is_python:
        try:
            return len(_list_token_lines(text) - _list_docstring_lines(text))
        except (SyntaxError, tokenize.TokenError, ValueError, RecursionError):
            pass
    return sum(bool(line.strip()) for line in text.splitlines())


def _read_text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return ""


def _list_token_lines(text: str) -> set[int]:
    """Return the numbers of lines that hold a token other than a comment."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    spans = ((token.start[0], token.end[0]) for token in tokens if token.type not in _WITHOUT_CODE)
    return {line for start, end in spans for line in range(start, end + 1)}


def _list_docstring_lines(text: str) -> set[int]:
    """Return the numbers of lines of docstrings that stand alone on their lines."""
    lines: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            is_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            if first is not None and is_text and isinstance(first.value.value, str):  # type: ignore[attr-defined]
                lines |= {*range(first.lineno, (first.end_lineno or first.lineno) + 1)}
    return lines
