"""Asking the Python that runs a program what it has installed, by letting it run `describe_python.py`."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from unrolled.bench.errors import BadInput
from unrolled.bench.sources.identity import read_file_state
from unrolled.bench.trial import FileState

SECONDS = 120.0  # seconds to wait for an answer: a Python on a network disk may take long
PATH_VARIABLES = ("PYTHONPATH", "PYTHONHOME", "PYTHONNOUSERSITE", "PYTHONUSERBASE")
"""Variables that decide which modules a Python finds."""

_SCRIPT = Path(__file__).with_name("describe_python.py")


class Module(NamedTuple):
    """A top-level module that is installed; one of the standard library has neither packages nor sources."""

    packages: Mapping[str, str]  # versions by package
    sources: tuple[str, ...]  # files or folders that have no version, such as an editable install's


class Answer(NamedTuple):
    """The modules and packages of a Python. The answer holds while the `watched` files keep their state."""

    python: str  # "python 3.11.2"
    modules: Mapping[str, Module | None]  # None for a module that does not exist
    packages: Mapping[str, str | None]  # versions by their names in the index
    sys_path: tuple[str, ...]  # folders in which it looks for modules
    watched: Mapping[str, FileState]


class Question(NamedTuple):
    """A Python, the modules and packages about which it is asked, and what its answer depends on."""

    interpreter: str
    modules: tuple[str, ...]
    packages: tuple[str, ...]
    variables: tuple[str, ...]  # values of PATH_VARIABLES
    folder: str = ""  # where it runs, if a variable names a relative folder
    wants_sys_path: bool = False  # whether the answer needs `sys_path`


_ANSWERS: dict[Question, Answer] = {}


def ask_python(
    interpreter: str,
    modules: Iterable[str],
    packages: Iterable[str],
    variables: Mapping[str, str],
    folder: Path,
    *,
    wants_sys_path: bool = False,
) -> tuple[Question, Answer]:
    """Return a question about modules and packages, and the answer of a Python.

    An earlier answer is used if nothing was installed since. `variables` are those of the program, which runs
    in `folder`. The answer has the Python's path if `wants_sys_path` is true. Raises BadInput, naming the
    Python, if it does not answer.
    """
    environ = {**os.environ, **variables}
    values = tuple(environ.get(name, "") for name in PATH_VARIABLES)
    entries = [entry for value in values for entry in value.split(os.pathsep)]
    is_relative = any(entry and not Path(entry).is_absolute() for entry in entries)
    question = Question(
        interpreter=interpreter,
        modules=tuple(sorted(modules)),
        packages=tuple(packages),
        variables=values,
        folder=str(folder) if is_relative else "",
        wants_sys_path=wants_sys_path,
    )
    answer = _ANSWERS.get(question)
    if answer is None or any(read_file_state(Path(path)) != state for path, state in answer.watched.items()):
        answer = _ANSWERS[question] = _run_description(question, environ, folder)
    return question, answer


def remember_answers(answers: Mapping[Question, Answer]) -> None:
    """Keep answers that another process got."""
    _ANSWERS.update(answers)


def _run_description(question: Question, environ: Mapping[str, str], folder: Path) -> Answer:
    """Return the answer; for the standard library of this Python, none is started. Raises BadInput."""
    is_this_python = question.interpreter == sys.executable and not any(question.variables)
    is_standard = sys.stdlib_module_names.issuperset(question.modules)
    if is_this_python and is_standard and not (question.packages or question.wants_sys_path):
        modules: dict[str, Module | None] = {name: Module({}, ()) for name in question.modules}
        return Answer(f"python {platform.python_version()}", modules, {}, (), {})
    try:
        process = subprocess.run(
            [question.interpreter, str(_SCRIPT), json.dumps([question.modules, question.packages])],
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            check=True,
        )
        description: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        raise BadInput(
            f"{question.interpreter} does not say which packages it has ({_find_reason(error)})",
            key="run",
            cure="name a Python of 3.8 or newer, or start this one in a script: bash run.sh {seed}",
        ) from error
    modules = {
        name: Module(module["packages"], tuple(module["sources"])) if module else None
        for name, module in description["modules"].items()
    }
    watched = {path: read_file_state(folder / path) for path in description["watched"]}
    return Answer(
        python=description["python"],
        modules=modules,
        packages=description["packages"],
        sys_path=tuple(description["path"]),
        watched=watched,
    )


def _find_reason(error: Exception) -> str:
    """Return the last line that a failed process wrote to standard error, or else the error's message."""
    if not isinstance(error, subprocess.CalledProcessError):
        return str(error)
    lines = error.stderr.strip().splitlines()
    return lines[-1] if lines else f"exit code {error.returncode}"
