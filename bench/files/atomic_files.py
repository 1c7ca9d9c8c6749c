"""Atomic writes: a draft is written, synced and renamed, so that a file is there in full or not at all."""

import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from unrolled.bench.errors import BadInput, require

OUTPUT_MARK = ".unrolled"  # a folder with a file of this name is Unrolled's own: see `make_output_folder`
PARTIAL = ".partial"  # the suffix of a draft's name, `.NAME.PID.THREAD.partial`, in the folder of the file


def save_file(path: Path, data: bytes) -> None:
    """Write a file so that it is there in full or not at all, even after a loss of power.

    Raises BadInput if the disk is full or the folder cannot be written.
    """
    save_files({path: data})


def save_files(files: Mapping[Path, bytes]) -> None:
    """Write files that belong together: none gets its name before the drafts of all are on the disk.

    Raises BadInput if the disk is full, which leaves every file as it was, or a folder cannot be written.
    """
    drafts = {path: make_draft_path(path) for path in files}
    try:
        for path, draft in drafts.items():
            with explain_file_errors(path):
                make_folder(path.parent)
                _write_synced(draft, files[path])
        for path, draft in drafts.items():
            with explain_file_errors(path):
                draft.replace(path)
                _sync_folder(path.parent)
    except BaseException:
        for draft in drafts.values():
            with suppress(OSError):
                draft.unlink(missing_ok=True)
        raise


def make_draft_path(path: Path) -> Path:
    """Return the path of the draft that this thread writes of a file or a folder."""
    return path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}{PARTIAL}")


def remove_abandoned_drafts(drafts: Iterable[Path]) -> None:
    """Remove the drafts of processes that no longer run."""
    for draft in drafts:
        try:
            os.kill(int(draft.name.split(".")[-3]), 0)
        except (ProcessLookupError, ValueError):
            draft.unlink(missing_ok=True)
        except (PermissionError, IndexError):
            continue  # the process is alive and another user's, or the file is no draft of ours


@contextmanager
def explain_file_errors(path: Path) -> Iterator[None]:
    """Turn an OSError inside the block into a BadInput that names the file and the cure."""
    try:
        yield
    except OSError as error:
        raise BadInput(
            f"cannot be written ({error.strerror})",
            place=path,
            cure="make room or make the folder writable, then run again; everything recorded so far is kept",
        ) from error


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, and sync each new entry to the disk."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync_folder(folder.parent)


def make_output_folder(folder: Path) -> None:
    """Make a folder for files that Unrolled writes, marked so that none counts as a program's code or data.

    Git ignores the folder, unless it had files of the user's. Raises BadInput if it cannot be written.
    """
    require(not folder.is_file(), "is a file", place=folder, cure="give a folder")
    is_new = not folder.is_dir() or not any(folder.iterdir())
    if not (mark := folder / OUTPUT_MARK).exists():
        save_file(mark, b"Unrolled writes this folder. No file in it counts as code or data of a program.\n")
    if is_new:
        save_file(folder / ".gitignore", b"*\n")


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
