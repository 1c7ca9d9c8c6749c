"""Processes that a test starts, found through /proc with all that they start, whoever adopts it."""

import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]


def helpers_path(*folders: str | Path) -> str:
    """Return a PYTHONPATH by which a process has these folders first, and then this package."""
    return os.pathsep.join(filter(None, (*map(str, folders), str(ROOT), os.environ.get("PYTHONPATH"))))


class ProgramGroup:
    """Programs in sessions of their own, with a mark in their environment that all descendants inherit."""

    def __init__(self) -> None:
        self.variable = "UNROLLED_TEST"
        self.value = str(uuid.uuid4())
        self.programs: list[subprocess.Popen[str]] = []

    def start(self, *words: str, **options) -> subprocess.Popen[str]:
        """Start a program and return it."""
        options["env"] = {**os.environ, **options.get("env", {}), self.variable: self.value}
        program = subprocess.Popen(words, text=True, start_new_session=True, **options)
        self.programs.append(program)
        return program

    def living_pids(self) -> list[int]:
        """Return the processes of the programs that live, and of whatever they started."""
        mark = f"{self.variable}={self.value}"
        pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
        return [pid for pid in pids if mark in read_proc_file(pid, "environ").split("\0")]

    def kill_all(self) -> None:
        """Kill all of them and wait for the programs."""
        for pid in self.living_pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for program in self.programs:
            program.wait(10)
            if program.stdout:
                program.stdout.close()


def read_proc_file(pid: int, name: str) -> str:
    """Return the text of a process's file in /proc, or "" if it is gone."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def is_alive(pid: int) -> bool:
    """Return whether a process exists and is no zombie."""
    return read_proc_file(pid, "stat").rpartition(")")[2].split()[:1] not in ([], ["Z"])


def wait_for(condition: Callable[..., object]) -> None:
    """Wait until a condition holds, and fail after two minutes."""
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
