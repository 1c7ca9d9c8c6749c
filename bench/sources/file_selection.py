"""The files that enter a program's identity: those that a study's patterns name, or default ones.

Virtual environments, caches, files of studies, and files that Unrolled and MLflow write are left out.
"""

import functools
import glob
import os
import re
import tomllib
from collections.abc import Iterable, Iterator
from fnmatch import translate
from pathlib import Path

from unrolled.bench.errors import require
from unrolled.bench.files.atomic_files import OUTPUT_MARK
from unrolled.bench.sources.identity import read_file_state
from unrolled.bench.trial import FileState

CODE_SUFFIXES = (".py", ".so", ".pyd", ".sh")
"""Files that count by default, wherever they lie below the program's folder."""
BESIDE_CODE = (
    *("*.yaml", "*.yml", "*.toml", "*.json", "*.cfg", "*.ini"),
    *("Makefile", "makefile", "GNUmakefile", "*.mk"),
    *("uv.lock", "pixi.lock", "poetry.lock", "pdm.lock", "Pipfile", "Pipfile.lock"),
    *("requirements*.txt", "constraints*.txt"),
)
"""Files that count by default in the program's folder, in folders with code, and in CONFIGURATION_FOLDERS."""
CONFIGURATION_FOLDERS = frozenset(("conf", "config", "configs", "cfg", "cfgs"))

DOCUMENTS = frozenset((".adoc", ".markdown", ".md", ".rst"))
"""Suffixes of files that do not count by default, though git has them."""

_is_beside_code = re.compile("|".join(map(translate, BESIDE_CODE))).match
_is_notice = re.compile(
    r"(AUTHORS|CHANGELOG|CHANGES|CITATION|CONTRIBUTING|COPYING|LICEN[CS]E|NOTICE|README)\b.*"
).match
_GIT_FILES = ".git", ".mailmap", ".pre-commit"
_EDITOR_FILES = ".editorconfig", ".vscode", ".idea"
_SERVICE_FILES = ".circleci", ".travis"
_WRITTEN_FOLDERS = frozenset(("__pycache__", "mlruns", "mlartifacts"))
_STUDY_KEYS = {"name", "question", "baseline"}  # keys that every study file has


def match_files(folder: Path, patterns: Iterable[str]) -> dict[str, Path]:
    """Return the files that match, by their names relative to the folder, or absolute as their pattern.

    A pattern that matches a folder stands for all files below it. Raises BadInput for a pattern that matches
    no file.
    """
    files: dict[str, Path] = {}
    exclusions = Exclusions(folder)
    for pattern in patterns:
        names = glob.glob(pattern, root_dir=folder, recursive=True)  # noqa: PTH207 (absolute, too)
        searched = [name for name in names if not exclusions.has_folder(folder / name)]
        matches: dict[str, Path] = {}
        for name in (*names, *_list_names_below(folder, searched)):
            path = Path(os.path.normpath(folder / name))
            if path.is_file() and not exclusions.has_file(path):
                matches[name] = path
        rule = "no file matches"
        if names:
            rule = "matches nothing that counts, only folders without files or what Unrolled writes"
        require(matches, rule, place=folder, key=repr(pattern), cure="correct `code` or `data`")
        files |= matches
    return dict(sorted(files.items()))


def match_names(names: Iterable[str], pattern: str) -> list[str]:
    """Return the names that a pattern matches, as `match_files` does, without looking at the disk."""
    pieces = []
    for piece in re.split(
        r"(\*\*/|\*\*|\*|\?|\[!?\]?[^\]]*\])", os.path.normpath(pattern) if pattern else ""
    ):
        wildcard = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(piece)
        is_class = piece.startswith("[") and piece.endswith("]")
        pieces.append(wildcard or (piece.replace("[!", "[^") if is_class else re.escape(piece)))
    matches = re.compile("".join(pieces) + "(/.*)?").fullmatch
    return [name for name in names if matches(name)]


def is_code(name: str) -> bool:
    """Return True for a file of code, by its suffix."""
    return name.endswith(CODE_SUFFIXES)


def select_tracked_code(folder: Path, names: Iterable[str]) -> dict[str, Path]:
    """Return the files that count among those that git tracks, by their names in the folder."""
    counted = [name for name in sorted(names) if not _is_document(Path(name))]
    paths = {name: folder / name for name in counted if _WRITTEN_FOLDERS.isdisjoint(Path(name).parts)}
    return {name: path for name, path in paths.items() if path.is_file() and not _is_uncounted(path)}


def _is_document(path: Path) -> bool:
    """Return True for a notice such as README.md, and for a text in the folder docs at the top.

    Files for git, for editors and for services, such as .gitignore, count as documents, too. Any other text
    may be one that the program reads.
    """
    is_text = path.suffix.lower() in DOCUMENTS
    is_documentation = path.parts[0] in ("doc", "docs")
    is_notice = path.suffix.lower() in ("", ".txt", *DOCUMENTS) and bool(_is_notice(path.name))
    return (
        (is_text and is_documentation)
        or is_notice
        or path.parts[0].startswith((*_GIT_FILES, *_EDITOR_FILES, *_SERVICE_FILES))
    )


def _list_names_below(folder: Path, names: Iterable[str]) -> Iterator[str]:
    """Yield the names of everything below the folders among `names`."""
    top = ""
    for name in sorted(name.rstrip("/") for name in names):
        if not (top and name.startswith(f"{top}/")) and (folder / name).is_dir():
            top = name
            yield from glob.glob(f"{glob.escape(name)}/**", root_dir=folder, recursive=True)  # noqa: PTH207


def select_default_code(folder: Path) -> dict[str, Path]:
    """Return the files that count if a study names none, by their names relative to the folder.

    Code counts wherever it is below the folder, configuration only beside code or in CONFIGURATION_FOLDERS.
    """
    files: dict[str, Path] = {}
    visited: set[str] = set()  # guards against links that lead in a circle
    exclusions = Exclusions(folder)
    for directory, folders, names in os.walk(folder, followlinks=True):
        path = Path(directory)
        relative = path.relative_to(folder)
        visited.add(os.path.realpath(path))
        inner = [name for name in folders if name[0] != "." and not exclusions.has_folder(path / name)]
        folders[:] = sorted(name for name in inner if os.path.realpath(path / name) not in visited)
        visible_names = [name for name in names if name[0] != "."]
        code = [name for name in visible_names if is_code(name)]
        if code or relative == Path() or not CONFIGURATION_FOLDERS.isdisjoint(relative.parts):
            code += filter(_is_beside_code, visible_names)
        paths = {str(relative / name): path / name for name in code}
        files |= {name: path for name, path in paths.items() if path.is_file() and not _is_uncounted(path)}
    return dict(sorted(files.items()))


class Exclusions:
    """The files and folders that no pattern and no default can make count."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folders: dict[Path, bool] = {}

    def has_folder(self, folder: Path) -> bool:
        """Return True for a virtual environment, a cache, and a folder that Unrolled or MLflow writes."""
        if folder not in self._folders:
            marks = "pyvenv.cfg", "conda-meta", OUTPUT_MARK
            # os.path: a folder that cannot be read has none
            is_marked = any(os.path.exists(folder / mark) for mark in marks)  # noqa: PTH110
            self._folders[folder] = is_marked or folder.name in ("site-packages", *_WRITTEN_FOLDERS)
        return self._folders[folder]

    def has_file(self, path: Path) -> bool:
        """Return True for a file in a folder of `has_folder`, for MLflow's database and for a study file."""
        folders = [folder for folder in path.parents if not self._root.is_relative_to(folder)]
        return any(map(self.has_folder, folders)) or _is_uncounted(path)


def _is_uncounted(path: Path) -> bool:
    """Return True for MLflow's database, what SQLite writes beside it, and the file of a study."""
    if _is_tracking_database(path.name):
        return True
    return path.suffix == ".toml" and _is_study(path, read_file_state(path))


def _is_tracking_database(name: str) -> bool:
    address = os.environ.get("MLFLOW_TRACKING_URI", "").partition("?")[0]
    names = {"mlflow.db", Path(address).name if address.startswith("sqlite:///") else "mlflow.db"}
    return any(re.fullmatch(rf"\.?{re.escape(database)}([-.].*)?", name) for database in names if database)


@functools.lru_cache(maxsize=1000)  # each of thousands of arms asks again
def _is_study(path: Path, state: FileState) -> bool:
    """Return True for the file of a study; `state` is the file's, so that an edited one is read again."""
    try:
        return tomllib.loads(path.read_text("utf-8-sig")).keys() >= _STUDY_KEYS
    except (OSError, ValueError, RecursionError):
        return False
