"""A user's own cell, model or regulariser, from a file named on the command line.

    # my_cell.py
    from torch import nn
    from unrolled import cell

    @cell("mgu", "minimal gated unit")
    class MinimalGatedUnit(nn.Module):
        def __init__(self, inputs, hidden): …
        def forward(self, x, h=None): …   # x (b, inputs) → h (b, hidden), and the state to carry: h

The file is the user's code and runs with the user's rights; a study can name the models that it registers,
never the file. `unrolled new` writes a file to start from.
"""

import hashlib
import importlib.util
import inspect
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import fields, replace
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.chapter.models.registry import ZOO
from unrolled.bench.chapter.models.spec import PLUGIN_PARTS, PLUGIN_PENALTIES, ModelSpec, Penalty
from unrolled.bench.errors import BadInput, require
from unrolled.bench.files.regular_files import read_regular_file
from unrolled.bench.sources.identity import ROOT, record_content
from unrolled.bench.sources.module_sources import find_sources
from unrolled.bench.trial import PLANNED_FIELDS, Scalar

Cls = TypeVar("Cls", bound=type)
Function = TypeVar("Function", bound=Callable[..., Any])

LM6 = ZOO["lm6"]
"""LMModel6, whose settings and options a plug-in has unless it sets its own."""

_MODELS = ROOT / "bench" / "chapter" / "models"
ZOO_FILES = {*_MODELS.glob("*.py")} - {_MODELS / "registry.py"}
"""The files with the models' classes, which count in a plug-in's identity if it imports them."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
MOST_BYTES = 10_000_000
"""Bytes that a plug-in may have."""

BARE_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_FIELDS = {field.name for field in fields(ChapterTrial)}
_SETTINGS = _FIELDS - {"model", "seed", "options", *PLANNED_FIELDS}
_PREFIX = "unrolled_plugin_"
_RENAME = "choose another name"


_DECLARED: list[Path] = []  # files declared by the plug-in that is being loaded


def load_plugin(name: str) -> ModuleType:
    """Import a file by its path, under a generated name. A loaded file is not run again.

    The bytes that are executed are the bytes that are hashed. Raises BadInput, naming the file and what is
    wrong with it, after which nothing is registered.
    """
    path = Path(os.path.realpath(name))
    place = f"plug-in {name}"
    require(name.endswith(".py"), "is no Python file", place=place, cure="give the path of one, my_cell.py")
    module_name = f"{_PREFIX}{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    if module_name in sys.modules:
        return sys.modules[module_name]
    try:
        content = read_regular_file(name, MOST_BYTES)
    except OSError as error:
        raise BadInput(error.strerror, place=place, cure="give the path of a Python file") from error
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None  # the name ends in .py
    module = sys.modules[module_name] = importlib.util.module_from_spec(spec)
    zoo = set(ZOO)
    penalties = set(PLUGIN_PENALTIES)
    _DECLARED.clear()
    try:
        record_content(path, content)
        exec(compile(content, path, "exec", dont_inherit=True), module.__dict__)
        _attach_sources(name, module, ZOO.keys() - zoo, PLUGIN_PENALTIES.keys() - penalties)
    except (Exception, SystemExit) as error:
        del sys.modules[module_name]
        for key in ZOO.keys() - zoo:
            del ZOO[key]
        for key in PLUGIN_PENALTIES.keys() - penalties:
            del PLUGIN_PENALTIES[key]
        raise _explain_error(error, path, place) from error
    return module


def _attach_sources(name: str, module: ModuleType, models: Set[str], penalties: Set[str]) -> None:
    """Give the models and penalties that a module has registered their `sources`."""
    cure = "decorate a class with @cell or @model, or use @regularizer"
    require(models or penalties, "registers nothing", cure=cure)
    sources = find_sources(module, _DECLARED, ZOO_FILES)
    ZOO.update({key: replace(ZOO[key], sources=sources) for key in models})
    PLUGIN_PENALTIES.update({key: replace(PLUGIN_PENALTIES[key], sources=sources) for key in penalties})
    PLUGIN_PARTS[name] = [*(ZOO[key] for key in models), *(PLUGIN_PENALTIES[key] for key in penalties)]


def find_companion_files(name: str) -> list[str]:
    """Return the other files that the trials of a loaded plug-in need."""
    files = {file for part in PLUGIN_PARTS.get(name, ()) for file in part.sources.files}
    return sorted(files - {str(Path(name).resolve())})


def data_file(name: str) -> Path:
    """Return the path of a file beside the calling plug-in; its content counts in its trials' identities.

        WORDS = data_file("words.txt").read_text()

    Call this function at the top of the plug-in. Raises BadInput if there is no such file.
    """
    path = Path(sys._getframe(1).f_globals["__file__"]).resolve().parent / name
    require(path.is_file(), f"there is no file {path}", key=f"data_file({name!r})")
    record_content(path, path.read_bytes())
    _DECLARED.append(path)
    return path


def cell(name: str, title: str = "", **settings: Any) -> Callable[[Cls], Cls]:
    """Register a recurrent cell: unrolled over time and layers, between the embedding and the output.

    The class is called with (inputs, hidden, **options). A study can set these options, unless their default
    is None. An instance maps x (b, inputs) and its state (None at first) to its output (b, hidden) and its
    next state. `settings` change the ChapterTrial's fields from LMModel6's. Raises BadInput for a name that
    is taken, an unknown setting, or a keyword without a default.
    """
    _check_name("cell", name)

    def register(cls: Cls) -> Cls:
        # a cell derived from nn.GRUCell also has the keywords device and dtype, whose default is None
        defaults = {
            key: value for key, value in _read_keyword_defaults(cls, skip=2).items() if value is not None
        }
        cell_options = _check_options("cell", name, defaults, reserved=LM6.options)

        def build(
            vocab: int, hidden: int, layers: int, dropout: float, tying: bool, **options: Scalar
        ) -> Any:
            from unrolled.bench.chapter.models.recurrent import (  # imports torch; not for planning
                RecurrentLM,
                StackedCells,
            )

            def build_rnn() -> StackedCells:
                return StackedCells([cls(hidden, hidden, **options) for _ in range(layers)])

            return RecurrentLM(vocab, build_rnn, hidden, dropout, tying)

        _register_model(name, title or cls.__name__, cls, build, {**LM6.options, **cell_options}, settings)
        return cls

    return register


def model(
    name: str, title: str = "", options: Mapping[str, Scalar] | None = None, **settings: Any
) -> Callable[[Cls], Cls]:
    """Register a LanguageModel. The class is called with (vocab, **options); `options` are its keywords.

    If `options` is None they are read from the constructor's signature, where each keyword needs a default.
    Raises BadInput as `cell` does.
    """
    _check_name("model", name)

    def register(cls: Cls) -> Cls:
        keywords = _read_keyword_defaults(cls, skip=1) if options is None else options
        model_options = _check_options("model", name, keywords)
        _register_model(name, title or cls.__name__, cls, cls, model_options, settings)
        return cls

    return register


def regularizer(name: str, title: str = "") -> Callable[[Function], Function]:
    """Register a penalty: a function from a model's Output (logits, raw, dropped) to a tensor (), 0 or more.

    Its name becomes an option of every trained model: the strength by which its value is multiplied before it
    is added to the loss; 0.0 switches it off. Raises BadInput for a name that is taken.
    """
    _check_name("regularizer", name)
    key = f"regularizer {name!r}"
    require(BARE_KEY.fullmatch(name), "letters, digits and _ only, as it becomes a setting", key=key)
    is_setting = name in _FIELDS or any(name in spec.options for spec in ZOO.values())
    require(not is_setting, "a setting is called so", key=key, cure=_RENAME)

    def register(function: Function) -> Function:
        require(name not in PLUGIN_PENALTIES, "exists already", key=key, cure=_RENAME)
        file = inspect.getfile(function)
        PLUGIN_PENALTIES[name] = Penalty(
            name=name,
            title=title or name,
            description=_read_first_doc_line(function, file),
            function=function,
            file=file,
        )
        return function

    return register


def locate_error(error: BaseException) -> str:
    """Return 'my_cell.py, line 9' if the error passed through a plug-in's file; else ''."""
    plugins = {getattr(module, "__file__", None) for name, module in sys.modules.items() if _PREFIX in name}
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in plugins]
    return f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""


def _explain_error(error: BaseException, path: Path, place: str) -> BadInput:
    """Return the BadInput for an error that importing a plug-in raised, with its line and the cure."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    rule = f"{type(error).__name__}: {error}"
    cure = ""
    match error:
        case BadInput():
            lines = []
            rule = ": ".join(filter(None, (error.place, error.key, error.rule)))
            cure = error.cure
        case SyntaxError():
            lines = [error.lineno] if error.lineno else []
            rule = error.msg
            cure = "correct it"
        case ModuleNotFoundError() if (path.parent / f"{(error.name or '').partition('.')[0]}.py").exists():
            rule = f"imports {error.name}.py beside it"
            cure = "a plug-in is one file: put both into one"
        case ModuleNotFoundError() if (error.name or "").startswith("unrolled."):
            rule = f"imports {error.name}, which is no part of Unrolled"
            cure = "write `from unrolled import cell`, or the names that it needs"
        case ModuleNotFoundError():
            rule = f"needs the package {error.name!r}"
            cure = "install it where unrolled is installed"
        case SystemExit():
            rule = "ends the program when it is imported"
            cure = "take sys.exit() out"
    return BadInput(rule, place=place, key=f"line {lines[-1]}" if lines else "", cure=cure)


def _check_name(decorator: str, name: Any) -> None:
    require(isinstance(name, str), f"@{decorator} needs a name", cure=f'write @{decorator}("my-name")')
    require(
        NAME.fullmatch(name), "letters, digits, -, _ and . only", key=f"{decorator} {name!r}", cure=_RENAME
    )


def _read_keyword_defaults(cls: type, skip: int) -> dict[str, Any]:
    """Return the parameters of a constructor with their defaults, without the first `skip`."""
    parameters = list(inspect.signature(cls).parameters.values())[skip:]
    return {parameter.name: parameter.default for parameter in parameters}


def _check_options(
    decorator: str, name: str, keywords: Mapping[str, Any], reserved: Iterable[str] = ()
) -> dict[str, Scalar]:
    """Return keywords as options. Raises BadInput for one without a default, and for a reserved name."""
    reserved = {*_FIELDS, *PLUGIN_PENALTIES, *reserved}
    for key, value in keywords.items():
        keyword = f"{decorator} {name!r}: its keyword {key!r}"
        cure = "a number, a string or a boolean"
        require(isinstance(value, Scalar), f"{keyword} needs a default", cure=cure)
        require(key not in reserved, f"{keyword} is a setting already", cure="rename it")
    return dict(keywords)


def _register_model(
    name: str,
    title: str,
    cls: type,
    build: Callable[..., Any],
    options: Mapping[str, Scalar],
    settings: Mapping[str, Any],
) -> None:
    file = inspect.getfile(cls)
    require(name not in ZOO, "exists already", key=f"model {name!r}", cure=_RENAME)
    for key in settings:
        cure = f"known: {', '.join(sorted(_SETTINGS))}"
        require(key in _SETTINGS, f"{key!r} is not a setting", key=f"model {name!r}", cure=cure)
    builder = f"_build_{name}"
    setattr(sys.modules[cls.__module__], builder, build)
    ZOO[name] = ModelSpec(
        name=name,
        title=title,
        description=_read_first_doc_line(cls, file),
        module=cls.__module__,
        builder=builder,
        options=options,
        settings={**LM6.settings, **settings},
        chapter_seconds=14.0,
        file=file,
    )


def _read_first_doc_line(registered: Any, file: str) -> str:
    docstring = inspect.cleandoc(registered.__doc__ or "")  # getdoc would return the docstring of nn.Module
    return (docstring or f"from {Path(file).name}").splitlines()[0]
