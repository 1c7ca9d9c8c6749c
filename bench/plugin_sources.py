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
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import ModuleType
from typing import Any

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


class Reads:
    """The files that this process reads by `open` or `import` until its block ends.

    An audit hook. Files of the machine, of installed packages and of this project are left out, and those
    that the process wrote itself. What a library reads without Python's `open` is not seen.
    """

    def __init__(self) -> None:
        self.files: list[str] = []
        self._written: set[str] = set()
        self._refuse: Callable[[str], None] | None = None
        self._over = False
        sys.addaudithook(self._on_event)

    @contextmanager
    def only(self, counted: Iterable[str], place: str) -> Iterator[None]:
        """Refuse other files than these, and than those in these folders, in the block and before it.

        Raises BadInput at the file's opening, and at the block's end where its code caught that.
        """
        known = {os.path.realpath(path) for path in counted if path}

        def refuse(path: str) -> None:
            if not known & {path, str(Path(path).parent)}:
                raise _uncounted(Path(path), place)

        for path in self.files:
            refuse(path)
        self._refuse = refuse
        try:
            yield
        finally:
            self._over = True  # a hook cannot be removed
        for path in self.files:
            refuse(path)

    def _on_event(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._over:
            return
        if event == "open":
            path, flags = arguments[0], arguments[2]
        elif event == "import":  # of a module in C, which has a path
            path, flags = arguments[1], os.O_RDONLY
        else:
            return
        if isinstance(path, str | bytes):  # and no descriptor
            self._opened(os.path.realpath(os.fsdecode(path)), flags)

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
    is_code = path.suffix in (".py", *EXTENSION_SUFFIXES)
    line = f"import {path.name.partition('.')[0]}" if is_code else f"data_file({path.name!r})"
    return BadInput(
        f"reads {path.name}, which its trials' identity does not count",
        place=place,
        cure=f"write `{line}` at the top of the plug-in",
    )


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
    if {"site-packages", "dist-packages"} & set(path.parts):
        return True
    return any(path.is_relative_to(folder) for folder in STANDARD)


def _is_the_machines(path: Path) -> bool:
    """Whether a file belongs to the operating system, to what is installed or to this project."""
    own = (BENCH.parent / package for package in PROJECT)
    return _installed(path) or any(path.is_relative_to(folder) for folder in (*SYSTEM, *own))
