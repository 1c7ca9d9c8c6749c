"""Kills all descendants of a process. Linux only; elsewhere these functions do nothing.

A process that calls setsid() leaves its group, and one whose parent has died belongs to init: killing a group
does not reach it. A child subreaper (prctl(2)) is the parent of every orphan among its descendants instead of
init. Each trial's process is one, so whatever a trial starts stays below it in the tree of processes. The
fork server is one too: it inherits what a killed trial leaves behind.
"""

import ctypes
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

LINUX = sys.platform == "linux"
PR_SET_CHILD_SUBREAPER = 36
PATIENCE = 10.0  # seconds for killed processes to be gone: one in a system call may take long


def adopt_orphans() -> None:
    """Make this process the parent of those among its descendants whose own parent ends."""
    if LINUX:
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def kill_below(pid: int, spare: Collection[int] = ()) -> None:
    """Kill the descendants of a process, but for its children `spare` and what is below those."""
    deadline = time.monotonic() + PATIENCE
    while (found := _below(pid, spare)) and time.monotonic() < deadline:  # one may have started another
        _kill(*found)
        time.sleep(0.001)


def kill_tree(pid: int) -> None:
    """Kill a process that adopts orphans, and all that it started."""
    kill_below(pid)  # first, as long as all of it is there
    _kill(pid)


def kill_own() -> None:
    """Kill all that this process, which adopts orphans, has started. Cheap if there is nothing."""
    deadline = time.monotonic() + PATIENCE
    with suppress(ChildProcessError):  # none is left
        while LINUX and time.monotonic() < deadline:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):  # none has just ended, but some live
                _kill(*_below(os.getpid()))
                time.sleep(0.001)


def _kill(*pids: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def _below(pid: int, spare: Collection[int] = ()) -> list[int]:
    """The descendants of a process that live. Source: proc(5), stat; the name before may hold anything."""
    children: dict[int, list[int]] = defaultdict(list)
    ended = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError):
            state, parent = path.read_text(errors="replace").rpartition(")")[2].split()[:2]
            children[int(parent)].append(int(path.parent.name))
            if state in "ZX":
                ended.add(int(path.parent.name))
    found = [child for child in children[pid] if child not in spare]
    for each in found:
        found += children[each]
    return [each for each in found if each not in ended]
