"""The folder of a run's temporary files, which is removed at the end of the run, or by the next run.

A process holds a lock (flock) on its folder, which the kernel frees however the process ends. The next run
removes unlocked folders, and kills the processes that have one of them in their environment. The folder lies
in the system's temporary folder, because the path of a socket has at most 107 bytes (103 on macOS).
"""

import atexit
import fcntl
import functools
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

PREFIX = "unrolled-run-"
RUN_VARIABLE = "UNROLLED_RUN"  # holds the folder, in the environment of the run's processes

MOST_ROOT_BYTES = 60
"""Most bytes of the path above the folder: its name and that of multiprocessing's socket take 38 more."""

STARTING_SECONDS = 1.0  # how long a process that is being started may have no environment
PATIENCE = 10.0  # seconds to wait for killed processes: one in a system call may take long to end


@functools.cache
def open_run_folder() -> Path:
    """Return this process's folder. The first call makes it, and removes those of dead processes."""
    root = Path(tempfile.gettempdir())
    if len(os.fsencode(root)) > MOST_ROOT_BYTES:
        root = Path("/tmp")
    for path in root.glob(f"{PREFIX}*"):
        _remove_if_unlocked(path)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=root))
        try:
            _lock_folder(folder)
        except (BlockingIOError, FileNotFoundError):  # another process swept the folder before it was locked
            continue
        except OSError:  # a file system without locks is not swept
            break
        if folder.is_dir():
            break
    call_at_exit(_remove_folder, folder)
    return folder


def call_at_exit(function: Callable[..., None], *arguments: object) -> None:
    """Call a function at the end of this process, but not at the end of a process forked from it."""
    owner = os.getpid()
    atexit.register(lambda: function(*arguments) if os.getpid() == owner else None)


@contextmanager
def use_run_folder() -> Iterator[None]:
    """Make `tempfile` use this process's folder."""
    default = tempfile.tempdir
    tempfile.tempdir = str(open_run_folder())
    try:
        yield
    finally:
        tempfile.tempdir = default


def _lock_folder(path: Path) -> int:
    """Return a descriptor that locks a folder and that no child inherits. Raises OSError if it is locked."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(descriptor).st_uid != os.geteuid():
            raise PermissionError(path)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _remove_if_unlocked(path: Path) -> None:
    with suppress(OSError):  # the folder is another user's, or its process lives
        descriptor = _lock_folder(path)
        _remove_folder(path)
        os.close(descriptor)


def _remove_folder(path: Path) -> None:
    end_processes(RUN_VARIABLE, path)
    shutil.rmtree(path, ignore_errors=True)


def end_processes(variable: str, path: Path) -> None:
    """Kill the processes that were started with this path in an environment variable; wait for their end."""
    deadline = time.monotonic() + PATIENCE
    starting = True
    while starting and time.monotonic() < deadline:
        psutil.process_iter.cache_clear()  # the cache may hold an ended process under the number of a new one
        processes = list(psutil.process_iter())
        # checked first, so that a process that has just started is in `marked`
        starting = any(map(_is_starting, processes))
        marked = [process for process in processes if _read_environment(process).get(variable) == str(path)]
        for process in marked:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(marked, timeout=PATIENCE)


def _is_starting(process: psutil.Process) -> bool:
    """Return True if the kernel is still loading a process's program: its environment cannot be read yet.

    Loading takes milliseconds: an older process has no environment at all. Kernel threads and zombies have no
    program.
    """
    with suppress(psutil.Error, OSError):
        young = time.time() - process.create_time() < STARTING_SECONDS
        return young and bool(process.exe()) and not process.environ()
    return False


def _read_environment(process: psutil.Process) -> dict[str, str]:
    with suppress(psutil.Error, OSError):  # the process is another user's, or gone
        return dict(process.environ())
    return {}
