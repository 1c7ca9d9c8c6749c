"""A user's own cell, model or regulariser, from a file named on the command line.

    # my_cell.py
    from torch import nn
    from bench.plugins import cell

    @cell("mgu", "minimal gated unit")
    class MinimalGatedUnit(nn.Module):
        def __init__(self, inputs, hidden): …
        def forward(self, x, h=None): …   # x (b, inputs) → h (b, hidden), and the state to carry: h

The file is the user's code and runs with the user's rights; a study can name a model of it, never a file.
"""

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from bench.models.registry import ZOO, ModelSpec
from bench.trial import BadInput, Scalar

Cls = TypeVar("Cls", bound=type)

CHAPTER = ZOO["lm6"]
"""Where a plug-in starts from, unless it says otherwise: LMModel6's settings and options."""


def load(name: str) -> ModuleType:
    """Import a module by its dotted name, or a .py file by its path. Loading a file twice is once.

    Raises BadInput, naming the file and what is wrong with it.
    """
    if not name.endswith(".py"):
        return importlib.import_module(name)
    path = Path(name).resolve()
    module_name = f"unrolled_plugin_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    if module_name in sys.modules:
        return sys.modules[module_name]
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise BadInput(f"plug-in {name}: no such file; give the path of a Python file")
    module = sys.modules[module_name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BadInput as error:
        del sys.modules[module_name]
        raise BadInput(f"plug-in {name}: {error}") from error
    except ModuleNotFoundError as error:
        del sys.modules[module_name]
        raise BadInput(f"plug-in {name}: needs the package {error.name!r}; install it into .venv") from error
    except Exception as error:
        del sys.modules[module_name]
        raise BadInput(f"plug-in {name}: {type(error).__name__}: {error}") from error
    return module


def cell(name: str, title: str = "", **settings: Any) -> Callable[[Cls], Cls]:
    """Register a recurrent cell: unrolled over time and layers, between the embedding and the output.

    The class is called with (inputs, hidden); an instance maps x (b, inputs) and its state (None at first) to
    its output (b, hidden) and its next state. `settings` change the Trial's fields from LMModel6's.
    """

    def register(cls: Cls) -> Cls:
        def build(
            vocab: int, hidden: int = 64, layers: int = 2, dropout: float = 0.0, tying: bool = False
        ) -> Any:
            from bench.models.recurrent import RecurrentLM, Unrolled

            return RecurrentLM(
                vocab, lambda: Unrolled([cls(hidden, hidden) for _ in range(layers)]), hidden, dropout, tying
            )

        _add(name, title or cls.__name__, cls, build, CHAPTER.options, settings)
        return cls

    return register


def model(
    name: str, title: str = "", options: Mapping[str, Scalar] | None = None, **settings: Any
) -> Callable[[Cls], Cls]:
    """Register a LanguageModel. The class is called with (vocab, **options); `options` are its keywords.

    Without `options` they are read from the constructor's signature, where each needs a default.
    """

    def register(cls: Cls) -> Cls:
        keywords = list(inspect.signature(cls).parameters.values())[1:]
        given = {k.name: k.default for k in keywords} if options is None else dict(options)
        missing = [key for key, value in given.items() if value is inspect.Parameter.empty]
        if missing:
            raise BadInput(f"model {name!r}: its keyword {missing[0]!r} needs a default")
        _add(name, title or cls.__name__, cls, cls, given, settings)
        return cls

    return register


def _add(
    name: str,
    title: str,
    cls: type,
    build: Callable[..., Any],
    options: Mapping[str, Scalar],
    settings: Mapping[str, Any],
) -> None:
    module = sys.modules[cls.__module__]
    file = Path(inspect.getfile(cls))
    if name in ZOO and ZOO[name].module != cls.__module__:
        raise BadInput(f"a model called {name!r} exists already; choose another name")
    builder = f"_build_{name}"
    setattr(module, builder, build)
    ZOO[name] = ModelSpec(
        name=name,
        title=title,
        about=(inspect.getdoc(cls) or f"from {file.name}").splitlines()[0],
        module=cls.__module__,
        builder=builder,
        options=options,
        settings={**CHAPTER.settings, **settings},
        seconds=14.0,
        file=str(file),
    )
