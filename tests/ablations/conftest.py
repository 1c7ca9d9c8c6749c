import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from multiprocessing import forkserver
from pathlib import Path

import pytest

HERE = Path(__file__).parent
if str(HERE) not in sys.path:  # trials are named by import, here and in their processes
    sys.path.append(str(HERE))


@pytest.fixture(scope="module", autouse=True)
def a_fork_server_of_its_own() -> Iterator[None]:
    """It keeps the environment and the modules that it was first started with, whichever test did."""
    yield
    forkserver._forkserver._stop()  # type: ignore[attr-defined]


class Study:
    """A study of stub trials in a process of its own, with all its descendants, whoever adopted them."""

    def __init__(self, **words: object) -> None:
        self.mark = f"UNROLLED_TEST={uuid.uuid4()}"
        name, value = self.mark.split("=")
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "stub_trials.py"), json.dumps(words, default=str)],
            env={**os.environ, name: value},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def read_until(self, word: str) -> None:
        assert self.process.stdout is not None
        seen = []
        for line in self.process.stdout:
            seen.append(line)
            if line.startswith(word):
                return
        raise AssertionError(f"{word!r} is not in {''.join(seen)!r}")

    def end(self) -> tuple[int, str]:
        """Wait for the driver; its exit code and the rest of what it printed."""
        output, _ = self.process.communicate(timeout=120)
        return self.process.returncode, output

    def alive(self) -> list[int]:
        """The processes that carry the study's mark."""
        return [pid for pid in _pids() if self.mark in _read(pid, "environ").split("\0")]

    def trials(self) -> list[int]:
        """The processes of the fork server's children: those that lead a session and are not the driver."""
        return [
            pid
            for pid in self.alive()
            if pid != self.process.pid and "forkserver" in _read(pid, "cmdline") and _session(pid) == pid
        ]

    def fork_servers(self) -> list[int]:
        """The fork server, of which there may be none or, just after a kill, two."""
        trials = self.trials()
        servers = [p for p in self.alive() if "forkserver" in _read(p, "cmdline")]
        return [p for p in servers if _session(p) not in trials]  # a trial's child before its exec is none


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


def _wait_for(condition: Callable[[], object], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.fixture
def wait_for() -> Callable[..., None]:
    """Wait until a condition holds; fails after two minutes, which no machine is too busy to keep."""
    return _wait_for


@pytest.fixture
def start_study() -> Iterator[Callable[..., Study]]:
    """Start studies in processes of their own; what is left of them at the end is killed."""
    if not Path("/proc/self/environ").exists():
        pytest.skip("finds processes through /proc")
    started: list[Study] = []

    def start(folder: Path, *, count: int, workers: int = 2, attempts: int = 3, **options: object) -> Study:
        words = {"folder": folder, "count": count, "workers": workers, "attempts": attempts, **options}
        started.append(Study(**words))
        return started[-1]

    yield start
    for study in started:
        for pid in study.alive():
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                continue
        study.process.wait(10)
        assert study.process.stdout is not None
        study.process.stdout.close()
