"""Processes that a test starts, found through /proc with all that they start, whoever adopts it."""

import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


class Marked:
    """Programs in sessions of their own, with a mark in their environment that all descendants inherit."""

    def __init__(self) -> None:
        self.variable, self.value = "UNROLLED_TEST", str(uuid.uuid4())
        self.programs: list[subprocess.Popen[str]] = []

    def start(self, *words: str, **options) -> subprocess.Popen[str]:
        options["env"] = {**os.environ, **options.get("env", {}), self.variable: self.value}
        program = subprocess.Popen(words, text=True, start_new_session=True, **options)
        self.programs.append(program)
        return program

    def alive(self) -> list[int]:
        mark = f"{self.variable}={self.value}"
        pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
        return [pid for pid in pids if mark in read(pid, "environ").split("\0")]

    def end(self) -> None:
        for pid in self.alive():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for program in self.programs:
            program.wait(10)
            if program.stdout:
                program.stdout.close()


def read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def lives(pid: int) -> bool:
    return read(pid, "stat").rpartition(")")[2].split()[:1] not in ([], ["Z"])


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until a condition holds; fails after two minutes, which no machine is too busy to keep."""
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
