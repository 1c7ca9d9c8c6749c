"""A Python function as the program of a study: its module, its source files and its settings."""

import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from unrolled.bench.errors import BadInput, require
from unrolled.bench.program.template import BUILT_IN_FIELDS
from unrolled.bench.sources.module_sources import find_sources
from unrolled.bench.trial import Scalar


def make_function_tables(
    function: Callable[..., Any], settings: Mapping[str, Any], keys: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the tables of a function: {"program": {"function": "train:main", …}, "baseline": {"lr": 0.1}}.

    [program] also has `keys`. [baseline] has the defaults of the function's parameters, changed by
    `settings`. Raises BadInput for a function that no other process can import, for one without the parameter
    `seed`, and for a parameter without a value.
    """
    require(
        hasattr(function, "__qualname__"),
        "is no function",
        place=f"{function!r:.80}",
        cure="give one that is defined at the top of a module, with def",
    )
    place = f"function {function.__name__!r}"
    parameters = inspect.signature(function).parameters
    require(
        "seed" in parameters,
        "has no parameter `seed`",
        place=place,
        cure="add it, and seed every random draw with it",
    )
    baseline = {}
    for name, parameter in parameters.items():
        if name in BUILT_IN_FIELDS:
            continue
        if isinstance(parameter.default, Scalar):
            baseline[name] = parameter.default
        is_named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        is_missing = parameter.default is parameter.empty and is_named and name not in settings
        require(
            not is_missing,
            f"{name!r} has no default",
            place=place,
            cure=f"give one, or baseline={{{name!r}: …}}",
        )
    file, module = _find_module(inspect.unwrap(function), place)
    folder = file.parents[module.count(".") + (file.name == "__init__.py")]
    sources = [Path(source).resolve() for source in find_sources(sys.modules[function.__module__]).files]
    program = {
        "function": f"{module}:{function.__name__}",
        "folder": str(folder),
        "code": [str(path.relative_to(folder) if path.is_relative_to(folder) else path) for path in sources],
    }
    return {"program": program | dict(keys), "baseline": baseline | dict(settings)}


def _find_module(function: Callable[..., Any], place: str) -> tuple[Path, str]:
    """Return the file and the name of a function's module, by which another process imports it."""
    nested = "<" in function.__qualname__ or "." in function.__qualname__
    require(
        not nested,
        "is defined within something else",
        place=place,
        cure="define it at the top of a module, with def",
    )
    module = sys.modules[function.__module__]
    file = getattr(module, "__file__", None)
    source = Path(inspect.getsourcefile(function) or "")
    if file is None or not source.exists() or source.resolve() != Path(file).resolve():
        raise BadInput(
            "is of no file: of a notebook's cell, say, which no other process can import",
            place=place,
            cure="begin the cell with %%writefile train.py, then import it from there",
        )
    # a script has no spec; under `python -m package.module` the spec has the import name
    return Path(file).resolve(), module.__spec__.name if module.__spec__ else Path(file).stem
