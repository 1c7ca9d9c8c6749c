"""The modules that a Python source imports, read from its text, and the files that they are in."""

import ast
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

from unrolled.bench.errors import BadInput

UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)
"""The errors of reading a file that is not Python, or is nested too deeply."""


def import_names(source: bytes | str) -> Iterator[str]:
    """Yield the names of all modules that a source may import, relative ones with their dots.

    For `from a import b` these are a and a.b, as b may be a module. Raises one of UNREADABLE.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            yield base
            prefix = f"{base}." if node.module else base
            yield from (f"{prefix}{alias.name}" for alias in node.names)


def list_imports(path: Path, package: str) -> Iterator[str]:
    """Yield the names of all modules that a source file may import; relative ones by their full names.

    Raises BadInput for a file that is not Python.
    """
    if path.suffix != ".py":
        return
    try:
        names = tuple(import_names(path.read_bytes()))
    except UNREADABLE as error:
        reason = str(error) or "nested too deeply"
        cure = "correct it; `code` in [program] can name the files that count, and leave it out"
        raise BadInput(f"is no Python that can be read ({reason})", place=path, cure=cure) from error
    for name in names:
        level = len(name) - len(name.lstrip("."))
        if not level:
            yield name
        elif package and level <= package.count(".") + 1:  # the import does not lead out of the package
            yield importlib.util.resolve_name(name, package)


def find_module(name: str) -> tuple[Path, str] | None:
    """Return the file and the package of a module, loaded or not; None if it has no file."""
    if name.partition(".")[0] in sys.builtin_module_names:
        return None
    try:
        spec = getattr(sys.modules.get(name), "__spec__", None) or importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):  # in `from a import b`, b may not be a module
        return None
    if spec is None or not spec.has_location or spec.origin is None:
        return None
    return Path(spec.origin), spec.parent or ""
