"""Lines of code. A line of Python is one if it holds more than a comment or a docstring."""

import ast
from collections.abc import Iterable, Sequence
from pathlib import Path


def list_code_lines(source: bytes) -> list[bytes]:
    """Return the lines that hold more than a comment or a docstring.

    Each string that is a statement of its own is a docstring, that of a field too. Raises SyntaxError,
    ValueError and RecursionError.
    """
    lines = source.splitlines()
    docstring_lines: set[int] = set()
    text_lines: set[int] = set()  # an empty line or a "#" within a string is code
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and _is_docstring(node, lines):
            docstring_lines.update(_number_lines(node))
        elif isinstance(node, ast.Constant | ast.JoinedStr):
            text_lines.update(_number_lines(node))
    return [
        line
        for number, line in enumerate(lines, 1)
        if number not in docstring_lines and (number in text_lines or _is_code(line))
    ]


def count_code_lines(paths: Iterable[Path]) -> int:
    """Return the number of lines of code in files. A file that is no text has none."""
    return sum(count_text_lines(_read_text(path), is_python=path.suffix == ".py") for path in paths)


def count_text_lines(text: str, *, is_python: bool) -> int:
    """Return the number of lines of code in a text. Python that cannot be parsed counts as other text.

    Each line of another text counts, unless it is empty.
    """
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


def _is_docstring(node: ast.Expr, lines: Sequence[bytes]) -> bool:
    """Return True for a string that is a statement and stands alone on its lines."""
    is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    before = lines[node.lineno - 1][: node.col_offset]
    after = lines[_number_lines(node)[-1] - 1][node.end_col_offset :]
    return is_text and not before.strip() and not after.strip()


def _number_lines(node: ast.expr | ast.stmt) -> range:
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)


def _is_code(line: bytes) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith(b"#")
