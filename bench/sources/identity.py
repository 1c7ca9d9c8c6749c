"""Identity of a trial beside its settings: hashes of files, versions of packages.

A trial is identified when it is planned (`Trial.identify`), and checked again in the process that trains it
(`Trial.read_planned_file_states`): files, texts and packages may have changed in between.
"""

import functools
import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from unrolled.bench.sources.code_lines import list_code_lines
from unrolled.bench.trial import FileState, Trial


def describe_changes(before: Trial, after: Trial) -> Iterator[str]:
    """Yield phrases on how code, text, versions and device of two trials of equal settings differ."""
    if before.versions != after.versions:
        old = _parse_versions(before.versions)
        new = _parse_versions(after.versions)
        names = [name for name in old | new if old.get(name) != new.get(name)]
        yield " and ".join(f"{name} {old.get(name, '(none)')} → {new.get(name, '(none)')}" for name in names)
    if before.device != after.device:
        yield f"device {before.device} → {after.device}"
    if find_code_hash(before) != find_code_hash(after):
        yield "the code was edited"
    if find_plugin_hash(before) != find_plugin_hash(after):
        yield "the plug-in was edited"
    if before.data != after.data:
        yield f"{after.data_name} was edited"


def _parse_versions(versions: str) -> dict[str, str]:
    """Return the versions of "torch 2.13.0, numpy 2.3.0" by their package."""
    return dict(package.rsplit(" ", 1) for package in versions.split(", ") if package)


def find_code_hash(trial: Trial) -> str:
    """Return the first part of a trial's `source`, the hash of its code without plug-ins."""
    return trial.source.partition("-")[0]


def find_plugin_hash(trial: Trial) -> str:
    """Return the second part of a trial's `source`, the hash of its plug-ins; "" if it has none."""
    return trial.source.partition("-")[2]


def read_package_version(package: str) -> str:
    """Return the version of the loaded package, or of the installed one if it is not loaded."""
    imported = getattr(sys.modules.get(package), "__version__", None)
    return str(imported or installed_version(package)).partition("+")[0]


installed_version = functools.cache(metadata.version)  # it reads a file, once for thousands of trials


def hash_contents(paths: Iterable[Path]) -> str:
    """Return the sha256 of the names and contents of files. Raises OSError."""
    total = hashlib.sha256()
    for path in paths:
        if path not in _CONTENT_HASHES:
            record_content(path, path.read_bytes())
        total.update(f"{path.name}\0{_CONTENT_HASHES[path]}\0".encode())
    return total.hexdigest()


def hash_code(paths: Iterable[Path], more: str = "") -> str:
    """Return the sha256 of the names and code of Python files, and of the text `more`.

    Comments and docstrings that have a line of their own are no code, unless a file cannot be parsed, such as
    one of another's bundle. Raises OSError.
    """
    total = hashlib.sha256(more.encode())
    for path in paths:
        if path not in _SOURCES:
            record_source(path, path.read_bytes())
        total.update(f"{path.name}\0{_hash_code(_SOURCES[path])}\0".encode())
    return total.hexdigest()


@functools.cache
def _hash_code(source: bytes) -> str:
    with suppress(SyntaxError, ValueError, RecursionError):
        source = b"\n".join(list_code_lines(source))
    return hashlib.sha256(source).hexdigest()


_CONTENT_HASHES: dict[Path, str] = {}
"""sha256 of each file when this process first read it, or as `record_content` recorded it."""
_SOURCES: dict[Path, bytes] = {}
"""The source of each file of Unrolled when this process first read it, or as `record_source` recorded it."""

ROOT = Path(__file__).parents[2]
RUNNER = tuple(ROOT / "ablations" / name for name in ("ledger.py", "runner/child.py", "runner/process.py"))
"""Files that measure, carry or write the numbers of every result, whatever trains it.

They are named here, and `ablations` does not register them, as a trial is also identified where no runner is
loaded: its identity would depend on what was imported before.
"""


def record_content(path: Path, content: bytes) -> None:
    """Record the content with which a file was loaded: `hash_contents` then ignores later edits."""
    _CONTENT_HASHES[path] = hashlib.sha256(content).hexdigest()


def record_source(path: Path, source: bytes) -> None:
    """Record the source with which a module was loaded: `hash_code` then ignores later edits."""
    _SOURCES[path] = source


def record_sources(paths: Iterable[Path]) -> None:
    """Record the source of modules that this process is just loading, as `record_source` does."""
    for path in paths:
        record_source(path, path.read_bytes())


def read_file_state(path: Path) -> FileState:
    """Return size, inode and times of a file or folder: an edit changes at least one. () if there is none.

    The time of the inode's last change also shows an edit that keeps the size and restores the time of
    modification.
    """
    try:
        stat = path.stat()
    except OSError:
        return ()
    return stat.st_size, stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns


def find_changed_files(before: Mapping[Path, FileState]) -> list[Path]:
    """Return the files that were written since they were in this state."""
    return [path for path, state in before.items() if read_file_state(path) != state]
