"""The modules that a Python source imports, read from its text: nothing is run."""

import ast
from collections.abc import Iterator

UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)
"""The errors of reading what is no Python, or is nested too deeply."""


def import_names(source: bytes | str) -> Iterator[str]:
    """Yield the names of all modules that a source may import, relative ones with their dots.

    Of `from a import b` these are a and a.b, as b may be a module. Raises one of UNREADABLE.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            yield base
            prefix = f"{base}." if node.module else base
            yield from (f"{prefix}{alias.name}" for alias in node.names)
