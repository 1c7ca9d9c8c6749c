"""The files that decide a module's numbers: its own, those that it imports, and the data that it declares.

A user's plug-in and a user's function are such modules. Imports are read from the source, so that an import
inside a function counts as well. The process that trains refuses to let a plug-in read any other file: see
`ReadAudit`.
"""

import importlib.util
import os
import sys
import sysconfig
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any
from urllib.parse import unquote

from unrolled.bench.errors import BadInput
from unrolled.bench.sources.identity import ROOT
from unrolled.bench.sources.imports import find_module, list_imports

STANDARD_FOLDERS = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")}
_SYSTEM_NAMES = ("etc", "lib", "lib64", "proc", "sys", "usr", "System", "Library")
SYSTEM_FOLDERS = [Path("/", name) for name in _SYSTEM_NAMES]
"""Folders of the operating system, which describe the machine."""
PROJECT_FOLDERS = [ROOT / name for name in ("unrolled", "bench", "ablations", "reports")]


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Files and packages that decide a module's numbers, besides the files that every trial needs."""

    files: tuple[str, ...] = ()  # the module, the user's modules that it imports, and its data files
    zoo_files: tuple[str, ...] = ()  # files of the zoo that a plug-in builds on
    packages: tuple[str, ...] = ()  # installed packages that it imports, except torch


def find_sources(
    module: ModuleType, declared: Iterable[Path] = (), zoo_files: Collection[Path] = ()
) -> Sources:
    """Return the files and packages that a loaded module imports, directly or not, and `declared` files.

    Of the files of this project only `zoo_files` count.
    """
    module_file = Path(str(module.__file__))
    files = {module_file, *declared}
    used_zoo_files: set[Path] = set()
    packages: set[str] = set()
    queue = [(module_file, module.__package__ or "")]
    while queue:
        for name in list_imports(*queue.pop()):
            top = name.partition(".")[0]
            origin = find_module(name)
            if origin is None:
                continue
            path = origin[0]
            if top == "unrolled":
                if path in zoo_files:
                    used_zoo_files.add(path)
            elif not _is_installed(path):
                if path not in files:
                    files.add(path)
                    queue.append(origin)
            elif top not in sys.stdlib_module_names:
                packages.add(top)
    packages.discard("torch")  # torch is among the versions of every trial
    distributions = metadata.packages_distributions() if packages else {}
    return Sources(
        files=tuple(sorted(map(str, files))),
        zoo_files=tuple(sorted(map(str, used_zoo_files))),
        packages=tuple(sorted({distributions[top][0] for top in packages if top in distributions})),
    )


START_EVENTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "ctypes.dlopen")
"""Audit events that start a program or load a library, whose own reads raise no event."""


class ReadAudit:
    """An audit hook that collects the files that this process reads by `open`, `import`, sqlite3 or ctypes.

    Files of the machine, of installed packages and of this project are left out, and so are files that the
    process wrote itself. `starts` are programs that the plug-in starts, and libraries that it loads. Files
    that a library reads without Python's `open` are not seen. The audit ends with `refuse_other_files`.
    """

    def __init__(self) -> None:
        self.files: list[str] = []
        self.starts: list[str] = []
        self._written: set[str] = set()
        self._place = ""  # place of the plug-in, within the block
        self._allowed: set[str] | None = None  # files and folders that may be read, within the block
        self._is_over = False
        sys.addaudithook(self._on_event)

    @contextmanager
    def refuse_other_files(self, counted: Iterable[str], place: str) -> Iterator[None]:
        """Refuse files that this process read, before the block or in it, if they are not `counted`.

        A folder in `counted` stands for the files directly in it. Raises BadInput when a file is opened or a
        program is started and, if the code of the block caught the error, again at the end of the block.
        """
        self._allowed = {os.path.realpath(path) for path in counted if path}
        self._place = place
        try:
            self._check_all()
            yield
        finally:
            self._is_over = True  # an audit hook cannot be removed
        self._check_all()

    def _check_all(self) -> None:
        for path in self.files:
            self._check_file(path)
        for name in self.starts:
            raise _explain_unseen_reads(name, self._place)

    def _check_file(self, path: str) -> None:
        if self._allowed is not None and not self._allowed & {path, str(Path(path).parent)}:
            raise _explain_uncounted_file(Path(path), self._place)

    def _on_event(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._is_over:
            return
        flags = os.O_RDONLY
        if event == "open":
            path, _, flags = arguments
        elif event == "import":  # only a module in C has a path
            path = arguments[1]
        elif event == "sqlite3.connect":
            path = _find_database_path(arguments[0])
            flags = os.O_RDWR | os.O_CREAT
        elif event == "ctypes.dlopen" and "/" in str(arguments[0]):
            path = arguments[0]
        else:
            if event in START_EVENTS and _is_called_by_plugin():
                self._record_start(str(arguments[0]))
            return
        if isinstance(path, str | bytes):  # otherwise it is a file descriptor
            self._record_file(os.path.realpath(os.fsdecode(path)), flags)

    def _record_start(self, name: str) -> None:
        self.starts.append(name)
        if self._allowed is not None:
            raise _explain_unseen_reads(name, self._place)

    def _record_file(self, path: str, flags: int) -> None:
        if path.endswith(".pyc"):
            with suppress(ValueError):  # another tool may have named the compiled file
                path = importlib.util.source_from_cache(path)
        if flags & os.O_CREAT and (flags & (os.O_TRUNC | os.O_EXCL) or not Path(path).exists()):
            self._written.add(path)
        unread = flags & os.O_WRONLY or path in self._written
        if unread or not Path(path).is_file() or _belongs_to_machine(Path(path)):
            return
        self.files.append(path)
        self._check_file(path)


def _explain_uncounted_file(path: Path, place: str) -> BadInput:
    line = f"import {path.stem}" if path.suffix == ".py" else f"data_file({path.name!r})"
    return BadInput(
        f"reads {path.name}, which its trials' identity does not count",
        place=place,
        cure=f"write `{line}` at the top of the plug-in",
    )


def _explain_unseen_reads(name: str, place: str) -> BadInput:
    return BadInput(
        f"starts or loads {name}, which may read files that its trials' identity does not count",
        place=place,
        cure="read them in Python: `data_file` names those that count",
    )


def _find_database_path(name: object) -> str | None:
    """Return the file of a database of sqlite3; None for one in memory."""
    text = os.fsdecode(name) if isinstance(name, str | bytes | os.PathLike) else ""
    if text.startswith("file:"):
        text = unquote(text.removeprefix("file:").partition("?")[0])
        text = f"/{text.lstrip('/')}" if text.startswith("//") else text
    return None if text in ("", ":memory:") else text


def _is_called_by_plugin() -> bool:
    """Return True if the user's code calls the standard library here, and no installed package does."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith("<frozen") and not _is_standard(Path(os.path.realpath(name))):
            return not _belongs_to_machine(Path(name))
        frame = frame.f_back
    return False


def _is_standard(path: Path) -> bool:
    """Return True for a file of Python's standard library."""
    return not _is_package(path) and any(path.is_relative_to(folder) for folder in STANDARD_FOLDERS)


def _is_package(path: Path) -> bool:
    """Return True for a file of an installed package."""
    return not {"site-packages", "dist-packages"}.isdisjoint(path.parts)


def _is_installed(path: Path) -> bool:
    """Return True for a file of Python or of an installed package."""
    return _is_package(path) or _is_standard(path)


def _belongs_to_machine(path: Path) -> bool:
    """Return True for a file of the operating system, of an installed package or of this project."""
    folders = (*SYSTEM_FOLDERS, *PROJECT_FOLDERS)
    return _is_installed(path) or any(path.is_relative_to(folder) for folder in folders)
