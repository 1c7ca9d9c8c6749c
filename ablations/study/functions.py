"""A Python function as a program: where other processes find it, and its settings."""

import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from unrolled.bench.errors import BadInput, require
from unrolled.bench.plugin_sources import sources_of
from unrolled.bench.program.template import PLACES
from unrolled.bench.trial import Scalar


def function_tables(
    function: Callable[..., Any], given: Mapping[str, Any], keys: Mapping[str, Any]
) -> dict[str, Any]:
    """The [program] and [baseline] of a function: its defaults, changed by what is `given`, and other `keys`.

    Raises BadInput for a function that no other process can import, for one without a seed, and for a setting
    without a value.
    """
    rule, cure = "is no function", "give one that is defined at the top of a module, with def"
    require(hasattr(function, "__qualname__"), rule, place=f"{function!r:.80}", cure=cure)
    place, parameters = f"function {function.__name__!r}", inspect.signature(function).parameters
    require(
        "seed" in parameters,
        "has no parameter `seed`",
        place=place,
        cure="add it, and seed every random draw with it",
    )
    rest = {name: each for name, each in parameters.items() if name not in PLACES}
    defaults = {name: each.default for name, each in rest.items() if isinstance(each.default, Scalar)}
    named = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    for name, each in rest.items():
        missing = each.default is inspect.Parameter.empty and each.kind in named and name not in given
        require(
            not missing,
            f"{name!r} has no default",
            place=place,
            cure=f"give one, or baseline={{{name!r}: …}}",
        )
    file, module = _find(inspect.unwrap(function), place)
    folder = file.parents[module.count(".") + (file.name == "__init__.py")]
    files = [Path(source).resolve() for source in sources_of(sys.modules[function.__module__], ()).files]
    code = [str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path) for path in files]
    program = {"function": f"{module}:{function.__name__}", "folder": str(folder), "code": code}
    return {"program": {**program, **keys}, "baseline": {**defaults, **given}}


def _find(function: Callable[..., Any], place: str) -> tuple[Path, str]:
    """The file and the name of a function's module, by which another process imports it."""
    module = sys.modules[function.__module__]
    nested = "<" in function.__qualname__ or "." in function.__qualname__
    require(
        not nested,
        "is defined within something else",
        place=place,
        cure="define it at the top of a module, with def",
    )
    written, file = Path(inspect.getsourcefile(function) or ""), getattr(module, "__file__", None)
    if file is None or not written.exists() or written.resolve() != Path(file).resolve():
        raise BadInput(
            "is of no file: of a notebook's cell, say, which no other process can import",
            place=place,
            cure="begin the cell with %%writefile train.py, then import it from there",
        )
    # of a script there is no spec, of `python -m package.module` it has the name by which it is imported
    return Path(file).resolve(), module.__spec__.name if module.__spec__ else Path(file).stem
