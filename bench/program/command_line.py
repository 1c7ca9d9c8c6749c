"""What a program's command line tells of its identity: files among its words, and the Python that runs it."""

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
from unrolled.bench.imports import UNREADABLE, import_names
from unrolled.bench.program.places import Places
from unrolled.bench.program.template import fill
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
"""Programs that choose a Python and its packages, and the files that say which, in or above a folder."""

_SYSTEM = tuple(Path("/", name) for name in ("bin", "sbin", "usr/bin", "usr/sbin"))
_SHELLS = ("sh", "bash", "dash", "zsh", "ksh")
_SEPARATOR = ";"  # between the commands of a shell
_SEED, _OUT = "\0", "\1"  # in place of a seed and of the trial's own folder, which no path contains
_PYTHON = re.compile(r"(python|pypy)[\d.]*")
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_FIRST_LINES = re.compile(rb"""#!\s*(?:\S*/env\s+(?:-S\s+)?)?([^\s'"]+)(?:\s*'''exec'\s+"?([^\s"]+))?""")


@dataclass(frozen=True)
class CommandLine:
    """What decides a program's numbers, as far as its command line tells."""

    interpreter: str  # the Python that runs it; "" where another program chooses that
    files: Mapping[str, Path] = field(default_factory=dict)  # that its words name, and lock files
    folders: tuple[str, ...] = ()  # that its words name: their files do not count
    search: tuple[Path, ...] = ()  # folders in which that Python first looks for modules
    modules: tuple[str, ...] = ()  # that are run by their name, or by a script beside the interpreter
    variables: Mapping[str, str] = field(default_factory=dict)  # that `env` sets
    isolating: str = ""  # the word by which a Python ignores the variable PYTHONPATH that it gets


def read_command(template: str, settings: Mapping[str, Scalar], places: Places) -> CommandLine:
    """Read a command line with these settings, for any seed.

    Raises BadInput for a Python that does not exist, and where no file says which packages it has.
    """
    folder = places.folder
    words = fill(template, {**settings, "seed": _SEED, "out": _OUT, "study": str(places.study)})
    words = [places.locate_program(word) for word in words]
    words += _words_for_a_shell(words)
    variables, command = _split_environment([w.replace(_SEED, "0").replace(_OUT, "out") for w in words])
    files = dict(_files_among(words, places))
    scripts = [path for path in files.values() if is_python(path)]
    search = tuple(dict.fromkeys(path.parent for path in scripts))
    modules = tuple(_modules_of(command))
    if modules or not search:
        search = (*search, folder)
    launcher = next((name for name in _programs(command) if name in LOCK_FILES), "")
    if launcher:
        interpreter = ""
        files |= _lock_files(launcher, folder, scripts)
    else:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        activated = [str(path.parent) for path in files.values() if path.name == "activate"]
        path = os.pathsep.join((*activated, variables.get("PATH", path)))
        if words[0] in ("python", "python3"):
            interpreter = sys.executable
        else:
            interpreter, script = _find_interpreter(command, folder, path)
            modules += tuple(_imports_of(script))
    folders = tuple(_folders_among(words, folder))
    isolating = _find_isolating(words)
    return CommandLine(interpreter, files, folders, search, modules, variables, isolating)


def refuse_isolation(word: str) -> None:
    """Raise BadInput for a word by which a Python would not look first where its commit is."""
    rule, cure = f"{word} keeps Python from looking first in the checkout of the commit", "leave it out"
    require(not word, rule, key="run", cure=cure)


def _find_isolating(words: Sequence[str]) -> str:
    """The word by which a Python does not get PYTHONPATH; "" for none."""
    for index, program in enumerate(words):
        rest = words[index + 1 :]
        if _PYTHON.fullmatch(Path(program).name):
            options = takewhile(lambda word: not word.endswith(".py") and word not in ("-m", "-c"), rest)
            isolating = [word for word in options if re.fullmatch("-[A-Za-z]*[EIS][A-Za-z]*", word)]
        elif Path(program).name == "env":
            options = takewhile(
                lambda word: word.startswith("-") or "=" in word or word == "PYTHONPATH", rest
            )
            isolating = [
                word for word in options if word in ("-", "-i", "--ignore-environment", "PYTHONPATH")
            ]
            isolating += [word for word in options if word == "--unset=PYTHONPATH"]
        else:
            continue
        if isolating:
            return isolating[0]
    return ""


def is_python(path: Path) -> bool:
    """Return True for a Python source, by its name or its first line."""
    if path.suffix in (".py", ".pyw"):
        return True
    named = _FIRST_LINES.match(_first_bytes(path))
    return bool(named and any(_PYTHON.fullmatch(Path(os.fsdecode(word)).name) for word in named.groups(b"")))


def _first_bytes(path: Path) -> bytes:
    with suppress(OSError), path.open("rb") as file:
        return file.read(512)
    return b""


def _split_environment(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The variables that a leading `env` sets, and the words of the program that it starts."""
    variables: dict[str, str] = {}
    rest = list(words)
    if Path(rest[0]).name != "env":
        return variables, rest
    del rest[0]
    while rest:
        if assignment := _ASSIGNMENT.fullmatch(rest[0]):
            variables[assignment[1]] = assignment[2]
        elif rest[0] in ("-u", "--unset", "-C", "--chdir"):
            del rest[0]
        elif not rest[0].startswith("-"):
            break
        del rest[:1]
    return variables, rest


def _words_for_a_shell(words: Sequence[str]) -> list[str]:
    """The words of what a shell runs: of `bash -c "source env/bin/activate && python train.py"`."""
    inner: list[str] = []
    for shell, option, text in zip(words, words[1:], words[2:], strict=False):
        if Path(shell).name in _SHELLS and re.fullmatch(r"-\w*c", option):
            with suppress(ValueError):  # an open quote
                inner += [_SEPARATOR, *shlex.split(re.sub(r"(&&|\|\||[;&|])", rf" {_SEPARATOR} ", text))]
    return inner


def _programs(command: Sequence[str]) -> Iterator[str]:
    """The names of the programs that a command starts: the first, and those that a shell runs."""
    for before, word in pairwise((_SEPARATOR, *command)):
        if before == _SEPARATOR:
            yield Path(word).name


def _pieces(words: Sequence[str]) -> Iterator[str]:
    """The words and their parts that may be paths: of `--config=a.json` also a.json."""
    for word in words:
        for piece in dict.fromkeys((word, word.partition("=")[2], *re.split("[=,:@]", word))):
            if piece and _OUT not in piece:
                yield piece


def _files_among(words: Sequence[str], places: Places) -> Iterator[tuple[str, Path]]:
    """The files that words name, by the names of `Places.name`; those of every seed."""
    folder = places.folder
    for piece in _pieces(words):
        names: Iterable[str] = [piece]
        if _SEED in piece:
            any_seed = re.compile(r"\d+".join(map(re.escape, piece.split(_SEED))))
            pattern = glob.escape(piece).replace(_SEED, "*")
            names = filter(any_seed.fullmatch, glob.glob(pattern, root_dir=folder))  # noqa: PTH207
        for name in names:
            path = Path(os.path.normpath(folder / name))
            is_program = path.parent in _SYSTEM or _PYTHON.fullmatch(path.name)
            if os.path.isfile(path) and not is_program:  # noqa: PTH113 (a word may be too long for a name)
                yield places.name(path, os.path.normpath(name)), path


def _folders_among(words: Sequence[str], folder: Path) -> Iterator[str]:
    """The folders that words name, but for the program's own."""
    for piece in _pieces(words):
        path = Path(os.path.normpath(folder / piece.replace(_SEED, "0")))
        if os.path.isdir(path) and not folder.is_relative_to(path):  # noqa: PTH112
            yield piece


def _modules_of(command: Sequence[str]) -> Iterator[str]:
    """The modules that `-m` runs and that the source after `-c` imports: options before any script."""
    for option, word in pairwise(takewhile(lambda word: not word.endswith(".py"), command)):
        if option == "-m":
            yield from (word, f"{word}.__main__")
        elif option == "-c":
            with suppress(*UNREADABLE):
                yield from import_names(word)


def _imports_of(script: Path | None) -> Iterator[str]:
    """The modules that an installed script, such as torchrun, imports."""
    if script is not None:
        with suppress(OSError, *UNREADABLE):
            yield from import_names(script.read_bytes())


def _find_interpreter(command: Sequence[str], folder: Path, path: str) -> tuple[str, Path | None]:
    """The Python that runs a command, and the installed script of its first word where that is one.

    It is the first word that names a Python, or that of the script's first line, or else the one that runs
    Unrolled. Raises BadInput where the command begins with a Python that does not exist.
    """
    first = command[0] if command else ""
    for word in command:
        if _PYTHON.fullmatch(Path(word).name):
            if located := _locate(word, folder, path):
                return _same_or_own(located), None
            require(
                word != first,
                f"there is no Python {word}",
                key="run",
                cure="write its path, from the study's folder or absolute, or python",
            )
    located = _locate(first, folder, path) if first else ""
    script = Path(located) if located and is_python(Path(located)) else None
    if script is None:
        return sys.executable, None
    named = _FIRST_LINES.match(_first_bytes(script))
    word = os.fsdecode(named[2] or named[1]) if named else "python"
    own = script if "/" not in first else None  # a file that `run` names counts by itself
    return _same_or_own(_locate(word, folder, path) or sys.executable), own


def _locate(word: str, folder: Path, path: str) -> str:
    """The path of a program as it is found when it is started in the folder; "" if it is not."""
    if "/" in word:
        program = os.path.normpath(folder / word)
        return program if shutil.which(program) else ""
    return shutil.which(word, path=path) or ""


def _same_or_own(interpreter: str) -> str:
    """The interpreter, or the one that runs Unrolled where it is the same by another name."""
    own = Path(sys.executable)
    is_own = Path(interpreter).parent == own.parent and Path(interpreter).resolve() == own.resolve()
    return sys.executable if is_own else interpreter


def _lock_files(launcher: str, folder: Path, scripts: Sequence[Path]) -> dict[str, Path]:
    """The files that say which packages a launcher provides, in the nearest folder that has one.

    Raises BadInput where there is none.
    """
    patterns = LOCK_FILES[launcher]
    for place in (folder, *folder.parents):
        if found := sorted(path for pattern in patterns for path in place.glob(pattern)):
            return {os.path.relpath(path, folder): path for path in found}
    of_scripts = [script.with_name(f"{script.name}.lock") for script in scripts]
    if any(path.is_file() for path in of_scripts):
        return {os.path.relpath(path, folder): path for path in of_scripts if path.is_file()}
    if patterns:
        raise BadInput(
            f"{launcher} chooses the packages, and no file says which: there is no {' or '.join(patterns)}",
            key="run",
            cure=f"let {launcher} write it in {folder}, or name a Python by its path in place of {launcher}",
        )
    return {}
