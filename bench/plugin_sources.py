"""The sources of a plug-in's numbers: its file, the modules that it imports, the data that it declares.

Imports are read from the source, so that one inside a function counts as well. Any other file that is read
in the process that trains is refused there: see `Reads`.
"""

import importlib.util
import os
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any
from urllib.parse import unquote

from unrolled.bench.chapter.models.spec import Sources
from unrolled.bench.errors import BadInput
from unrolled.bench.imports import UNREADABLE, absolute_names, import_names

BENCH = Path(__file__).parent
PROJECT = ("unrolled", "bench", "ablations", "reports")
STANDARD = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")}
SYSTEM = {Path("/", name) for name in ("etc", "lib", "lib64", "proc", "sys", "usr", "System", "Library")}
"""Folders of the operating system, which describe the machine."""


def sources_of(module: ModuleType, declared: Iterable[Path]) -> Sources:
    """Follow the imports of a loaded plug-in to every file and package that counts for its trials."""
    own = Path(str(module.__file__))
    files, families, packages = {own, *declared}, set[Path](), set[str]()
    queue = [(own, module.__package__ or "")]
    while queue:
        for name in imported_names(*queue.pop()):
            top, found = name.partition(".")[0], _origin(name)
            if top == "unrolled":
                families |= {found[0]} if found and found[0].parent == BENCH / "chapter" / "models" else set()
            elif found is not None and not _installed(found[0]):
                if found[0] not in files:
                    files.add(found[0])
                    queue.append(found)
            elif found is not None and top not in sys.stdlib_module_names:
                packages.add(top)
    names = metadata.packages_distributions() if packages - {"torch"} else {}
    return Sources(
        files=tuple(sorted(map(str, files))),
        families=tuple(sorted(map(str, families - {BENCH / "chapter" / "models" / "registry.py"}))),
        packages=tuple(sorted({names[top][0] for top in packages - {"torch"} if top in names})),
    )


STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "ctypes.dlopen")
"""Events by which code outside of Python begins to run, whose reads no event tells of."""


class Reads:
    """The files that this process reads by `open`, `import`, sqlite3 or ctypes until its block ends.

    An audit hook. Files of the machine, of installed packages and of this project are left out, and those
    that the process wrote itself. `starts` are programs and libraries that the plug-in itself starts or
    loads. What a library reads without Python's `open` is not seen.
    """

    def __init__(self) -> None:
        self.files: list[str] = []
        self.starts: list[str] = []
        self._written: set[str] = set()
        self._place = ""  # of the plug-in, within the block
        self._refuse: Callable[[str], None] | None = None
        self._over = False
        sys.addaudithook(self._on_event)

    @contextmanager
    def only(self, counted: Iterable[str], place: str) -> Iterator[None]:
        """Refuse other files than these, and than those in these folders, in the block and before it.

        Raises BadInput as a file is opened or a program is started, and at the block's end where its code
        caught that.
        """
        known = {os.path.realpath(path) for path in counted if path}

        def refuse(path: str) -> None:
            if not known & {path, str(Path(path).parent)}:
                raise _uncounted(Path(path), place)

        self._refuse_all(refuse, place)
        self._refuse, self._place = refuse, place
        try:
            yield
        finally:
            self._over = True  # a hook cannot be removed
        self._refuse_all(refuse, place)

    def _refuse_all(self, refuse: Callable[[str], None], place: str) -> None:
        for path in self.files:
            refuse(path)
        for name in self.starts:
            raise _unseen(name, place)

    def _on_event(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._over:
            return
        if event == "open":
            path, flags = arguments[0], arguments[2]
        elif event == "import":  # of a module in C, which has a path
            path, flags = arguments[1], os.O_RDONLY
        elif event == "sqlite3.connect":
            path, flags = _database(arguments[0]), os.O_RDWR | os.O_CREAT
        elif event == "ctypes.dlopen" and "/" in str(arguments[0]):
            path, flags = arguments[0], os.O_RDONLY
        else:
            if event in STARTS and _is_called_by_plug_in():
                self._started(str(arguments[0]))
            return
        if isinstance(path, str | bytes):  # and no descriptor
            self._opened(os.path.realpath(os.fsdecode(path)), flags)

    def _started(self, name: str) -> None:
        self.starts.append(name)
        if self._refuse:
            raise _unseen(name, self._place)

    def _opened(self, path: str, flags: int) -> None:
        if path.endswith(".pyc"):
            with suppress(ValueError):  # it is named as another tool names it
                path = importlib.util.source_from_cache(path)
        if flags & os.O_CREAT and (flags & (os.O_TRUNC | os.O_EXCL) or not Path(path).exists()):
            self._written.add(path)
        unread = flags & os.O_WRONLY or path in self._written
        if unread or not Path(path).is_file() or _is_the_machines(Path(path)):
            return
        self.files.append(path)
        if self._refuse:
            self._refuse(path)


def _uncounted(path: Path, place: str) -> BadInput:
    line = f"import {path.stem}" if path.suffix == ".py" else f"data_file({path.name!r})"
    return BadInput(
        f"reads {path.name}, which its trials' identity does not count",
        place=place,
        cure=f"write `{line}` at the top of the plug-in",
    )


def _unseen(name: str, place: str) -> BadInput:
    return BadInput(
        f"starts or loads {name}, which may read files that its trials' identity does not count",
        place=place,
        cure="read them in Python: `data_file` names those that count",
    )


def _database(name: object) -> str | None:
    """The file of a database of sqlite3; None for one in memory."""
    text = os.fsdecode(name) if isinstance(name, str | bytes | os.PathLike) else ""
    if text.startswith("file:"):
        text = unquote(text.removeprefix("file:").partition("?")[0])
        text = f"/{text.lstrip('/')}" if text.startswith("//") else text
    return None if text in ("", ":memory:") else text


def _is_called_by_plug_in() -> bool:
    """Return True if the user's code calls the standard library here, and no installed package does."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith("<frozen") and not _is_standard(Path(os.path.realpath(name))):
            return not _is_the_machines(Path(name))
        frame = frame.f_back
    return False


def _is_standard(path: Path) -> bool:
    """Return True for a file of Python's standard library."""
    return not _is_package(path) and any(path.is_relative_to(folder) for folder in STANDARD)


def _is_package(path: Path) -> bool:
    """Return True for a file of an installed package."""
    return not {"site-packages", "dist-packages"}.isdisjoint(path.parts)


def imported_names(path: Path, package: str) -> Iterator[str]:
    """Yield the names of all modules that a source file may import; relative ones as those of its package.

    Raises BadInput for what is no Python.
    """
    if path.suffix != ".py":
        return
    try:
        names = tuple(import_names(path.read_bytes()))
    except UNREADABLE as error:
        reason = str(error) or "nested too deeply"
        cure = "correct it; `code` in [program] can name the files that count, and leave it out"
        raise BadInput(f"is no Python that can be read ({reason})", place=path, cure=cure) from error
    yield from absolute_names(names, package)


def _origin(name: str) -> tuple[Path, str] | None:
    """The file and the package of a module, loaded or not; None for what is none or has no file."""
    if name.partition(".")[0] in sys.builtin_module_names:
        return None
    try:
        spec = getattr(sys.modules.get(name), "__spec__", None) or importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):  # `from a import b`, where b is no module
        return None
    if spec is None or not spec.has_location or spec.origin is None:
        return None
    return Path(spec.origin), spec.parent or ""


def _installed(path: Path) -> bool:
    """Whether a file belongs to Python or to an installed package."""
    return _is_package(path) or _is_standard(path)


def _is_the_machines(path: Path) -> bool:
    """Whether a file belongs to the operating system, to what is installed or to this project."""
    own = (BENCH.parent / package for package in PROJECT)
    return _installed(path) or any(path.is_relative_to(folder) for folder in (*SYSTEM, *own))
