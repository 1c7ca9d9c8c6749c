"""Reading a program's command line: the files that its words name, and the Python that runs it."""

import glob
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise, takewhile
from pathlib import Path

from unrolled.bench.errors import BadInput, require
from unrolled.bench.program.identity.layout import Layout
from unrolled.bench.program.template import fill_template
from unrolled.bench.sources.imports import UNREADABLE, import_names
from unrolled.bench.trial import Scalar

LOCK_FILES = {
    "uv": ("uv.lock",),
    "poetry": ("poetry.lock",),
    "pdm": ("pdm.lock",),
    "pipenv": ("Pipfile.lock",),
    "pixi": ("pixi.lock",),
    "rye": ("requirements.lock",),
    **dict.fromkeys(
        ("conda", "mamba", "micromamba"), ("conda-lock.yml", "environment*.yml", "environment*.yaml")
    ),
    **dict.fromkeys(("docker", "podman", "apptainer", "singularity", "hatch", "pipx", "uvx"), ()),
}
"""Programs that choose a Python and its packages, and the files that list these packages, as patterns."""

_SYSTEM = tuple(Path("/", name) for name in ("bin", "sbin", "usr/bin", "usr/sbin"))
_SHELLS = ("sh", "bash", "dash", "zsh", "ksh")
_SEPARATOR = ";"  # stands for a separator between the commands of a shell
_SEED = "\0"  # stands for the seed; no path contains it
_OUT = "\1"  # stands for the trial's own folder
_PYTHON = re.compile(r"(python|pypy)[\d.]*")
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_FIRST_LINES = re.compile(rb"""#!\s*(?:\S*/env\s+(?:-S\s+)?)?([^\s'"]+)(?:\s*'''exec'\s+"?([^\s"]+))?""")


@dataclass(frozen=True)
class CommandLine:
    """The files and the Python that a command line names, and that decide a program's numbers."""

    interpreter: str  # the Python that runs the program; "" if another program chooses it
    is_assumed: bool = False  # whether Unrolled's Python is taken because nothing names one
    files: Mapping[str, Path] = field(default_factory=dict)  # files that the words name, and lock files
    folders: tuple[str, ...] = ()  # folders that the words name; their files do not count
    module_folders: tuple[Path, ...] = ()  # folders in which the interpreter looks for modules first
    modules: tuple[str, ...] = ()  # modules that are run by name, or by a script beside the interpreter
    variables: Mapping[str, str] = field(default_factory=dict)  # variables that `env` sets


def read_command(template: str, settings: Mapping[str, Scalar], layout: Layout) -> CommandLine:
    """Read a command line with these settings, for any seed.

    Raises BadInput for a Python that does not exist, and if no file says which packages it has.
    """
    folder = layout.folder
    values = {**settings, "seed": _SEED, "out": _OUT, "study": str(layout.study_folder)}
    words = [layout.locate_program(word) for word in fill_template(template, values)]
    words += _split_shell_words(words)
    variables, command = _split_environment([word.replace(_SEED, "0").replace(_OUT, "out") for word in words])
    files = dict(_find_files(words, layout))
    scripts = [path for path in files.values() if is_python(path)]
    module_folders = tuple(dict.fromkeys(path.parent for path in scripts))
    modules = tuple(_list_named_modules(command))
    if modules or not module_folders:
        module_folders = (*module_folders, folder)
    programs = [Path(word).name for before, word in pairwise((_SEPARATOR, *command)) if before == _SEPARATOR]
    launcher = next((name for name in programs if name in LOCK_FILES), "")
    if launcher:
        interpreter = ""
        files |= _find_lock_files(launcher, folder, scripts)
    elif words[0] in ("python", "python3"):
        interpreter = sys.executable
    else:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        activated = [str(path.parent) for path in files.values() if path.name == "activate"]
        path = os.pathsep.join((*activated, variables.get("PATH", path)))
        interpreter, script = _find_interpreter(command, folder, path)
        modules += tuple(_list_script_imports(script))
    is_assumed = not (launcher or interpreter)
    return CommandLine(
        interpreter=sys.executable if is_assumed else interpreter,
        is_assumed=is_assumed,
        files=files,
        folders=tuple(_find_folders(words, folder)),
        module_folders=module_folders,
        modules=modules,
        variables=variables,
    )


def is_python(path: Path) -> bool:
    """Return True for a Python source, by its name or its first line."""
    if path.suffix in (".py", ".pyw"):
        return True
    return any(_PYTHON.fullmatch(Path(word).name) for word in _read_first_lines(path))


def _read_first_lines(path: Path) -> list[str]:
    """Return the programs that a script's first lines start, the last first: "#!/bin/sh" → ["/bin/sh"]."""
    first_bytes = b""
    with suppress(OSError), path.open("rb") as file:
        first_bytes = file.read(512)
    match = _FIRST_LINES.match(first_bytes)
    return [os.fsdecode(word) for word in match.group(2, 1) if word] if match else []


def _split_environment(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Return variables and command: ["env", "LR=1", "python", "a.py"] → {"LR": "1"}, ["python", "a.py"]."""
    variables: dict[str, str] = {}
    if Path(words[0]).name != "env":
        return variables, list(words)
    command = list(words[1:])
    while command:
        if assignment := _ASSIGNMENT.fullmatch(command[0]):
            variables[assignment[1]] = assignment[2]
        elif command[0] in ("-u", "--unset", "-C", "--chdir"):
            del command[0]
        elif not command[0].startswith("-"):
            break
        del command[:1]
    return variables, command


def _split_shell_words(words: Sequence[str]) -> list[str]:
    """Return the words of the text that a shell runs: bash -c "cd a && ./run 1" → [";", "cd", "a", …]."""
    inner: list[str] = []
    for shell, option, text in zip(words, words[1:], words[2:], strict=False):
        if Path(shell).name in _SHELLS and re.fullmatch(r"-\w*c", option):
            with suppress(ValueError):  # the word may have an unclosed quote
                inner += [_SEPARATOR, *shlex.split(re.sub(r"(&&|\|\||[;&|])", rf" {_SEPARATOR} ", text))]
    return inner


def _split_words(words: Sequence[str]) -> Iterator[str]:
    """Yield each word and its parts that may be paths: "--config=a.json" → itself, "a.json", "--config"."""
    for word in words:
        pieces = dict.fromkeys((word, word.partition("=")[2], *re.split("[=,:@]", word)))
        yield from (piece for piece in pieces if piece and _OUT not in piece)


def _find_files(words: Sequence[str], layout: Layout) -> Iterator[tuple[str, Path]]:
    """Yield the files that words name, for every seed, by the names of `Layout.name_file`."""
    folder = layout.folder
    for piece in _split_words(words):
        names: Iterable[str] = [piece]
        if _SEED in piece:
            any_seed = re.compile(r"\d+".join(map(re.escape, piece.split(_SEED))))
            pattern = glob.escape(piece).replace(_SEED, "*")
            names = filter(any_seed.fullmatch, glob.glob(pattern, root_dir=folder))  # noqa: PTH207
        for name in names:
            path = Path(os.path.normpath(folder / name))
            is_program = path.parent in _SYSTEM or _PYTHON.fullmatch(path.name)
            if os.path.isfile(path) and not is_program:  # noqa: PTH113 (a word may be too long for a name)
                yield layout.name_file(path, os.path.normpath(name)), path


def _find_folders(words: Sequence[str], folder: Path) -> Iterator[str]:
    """Yield the folders that words name, but for the program's own."""
    for piece in _split_words(words):
        path = Path(os.path.normpath(folder / piece.replace(_SEED, "0")))
        if os.path.isdir(path) and not folder.is_relative_to(path):  # noqa: PTH112
            yield piece


def _list_named_modules(command: Sequence[str]) -> Iterator[str]:
    """Yield the module after `-m` and those that the source after `-c` imports, up to the first script."""
    for option, word in pairwise(takewhile(lambda word: not word.endswith(".py"), command)):
        if option == "-m":
            yield from (word, f"{word}.__main__")
        elif option == "-c":
            with suppress(*UNREADABLE):
                yield from import_names(word)


def _list_script_imports(script: Path | None) -> Iterator[str]:
    """Yield the modules that an installed script, such as torchrun, imports."""
    if script is not None:
        with suppress(OSError, *UNREADABLE):
            yield from import_names(script.read_bytes())


def _find_interpreter(command: Sequence[str], folder: Path, path: str) -> tuple[str, Path | None]:
    """Return the Python that runs a command, and the installed script that its first word names, or None.

    For `python train.py` that is python and None; for `torchrun train.py` the Python in torchrun's first line
    and the path of torchrun. The Python is "" if nothing names one. Raises BadInput if the command begins
    with a Python that does not exist.
    """
    first_word = command[0] if command else ""
    for word in command:
        if _PYTHON.fullmatch(Path(word).name):
            if located := _locate_program(word, folder, path):
                return _prefer_this_python(located), None
            if word == first_word:
                cure = "write its path, from the study's folder or absolute, or python"
                raise BadInput(f"there is no Python {word}", key="run", cure=cure)
    located = _locate_program(first_word, folder, path) if first_word else ""
    script = Path(located) if located and is_python(Path(located)) else None
    if script is None:
        return "", None
    word = next(iter(_read_first_lines(script)), "python")
    interpreter = _prefer_this_python(_locate_program(word, folder, path) or sys.executable)
    # a file that `run` names by path is counted anyway
    return interpreter, None if "/" in first_word else script


def _locate_program(word: str, folder: Path, path: str) -> str:
    """Return the path of a program that is started in the folder; "" if there is none."""
    program = os.path.normpath(folder / word) if "/" in word else word
    return shutil.which(program, path=path) or ""


def _prefer_this_python(interpreter: str) -> str:
    """Return the interpreter, by the name of the Python that runs Unrolled if it is the same file."""
    this = Path(sys.executable)
    is_same = Path(interpreter).parent == this.parent and Path(interpreter).resolve() == this.resolve()
    return sys.executable if is_same else interpreter


def _find_lock_files(launcher: str, folder: Path, scripts: Sequence[Path]) -> dict[str, Path]:
    """Return the lock files that list a launcher's packages: those in the nearest folder, or of a script.

    Raises BadInput if there is none, unless LOCK_FILES has no pattern for the launcher.
    """
    patterns = LOCK_FILES[launcher]
    for parent in (folder, *folder.parents):
        if paths := sorted(path for pattern in patterns for path in parent.glob(pattern)):
            return {os.path.relpath(path, folder): path for path in paths}
    locks = [script.with_name(f"{script.name}.lock") for script in scripts]
    if paths := [path for path in locks if path.is_file()]:
        return {os.path.relpath(path, folder): path for path in paths}
    require(
        not patterns,
        f"{launcher} chooses the packages, and no file says which: there is no {' or '.join(patterns)}",
        key="run",
        cure=f"let {launcher} write it in {folder}, or name a Python by its path in place of {launcher}",
    )
    return {}
