"""Ledgers, databases and studies in processes, for the tests of `ablations`."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.helpers import command_process, processes
from tests.helpers.command_without_mlflow import silence_mlflow
from unrolled.ablations.cli import main
from unrolled.ablations.ledger import Ledger
from unrolled.bench.chapter.retrain import preserve_torch_state


class StudyProcess:
    """A study of stub trials in a process of its own."""

    def __init__(self, **words: object) -> None:
        self.programs = processes.ProgramGroup()
        self.living_pids = self.programs.living_pids
        program = sys.executable, "-m", "tests.helpers.stub_trials", json.dumps(words, default=str)
        self.process = self.programs.start(
            *program,
            env={"PYTHONPATH": processes.helpers_path()},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def read_until(self, word: str) -> None:
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if line.startswith(word):
                return
        raise AssertionError(f"{word!r} is not in {''.join(lines)!r}")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def interrupt(self) -> None:
        """Send Ctrl-C as a terminal does: to the whole foreground group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def wait_for_end(self) -> tuple[int, str]:
        """Wait for the driver and return its exit code and the rest of its output."""
        output, _ = self.process.communicate(timeout=120)
        return self.process.returncode, output

    def trial_pids(self) -> list[int]:
        """Return the fork server's children that lead a session."""
        return [
            pid
            for server in self.fork_server_pids()
            for pid in _list_children(server)
            if _session_id(pid) == pid
        ]

    def fork_server_pids(self) -> list[int]:
        """Return the fork server, of which there may be none or, just after a kill, two."""
        children = _list_children(self.process.pid)
        return [pid for pid in children if "forkserver" in processes.read_proc_file(pid, "cmdline")]


def _list_children(pid: int) -> list[int]:
    try:
        return [child.pid for child in psutil.Process(pid).children()]
    except psutil.NoSuchProcess:
        return []


def _session_id(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


@pytest.fixture(scope="module")
def restore_torch_state() -> Iterator[None]:
    """Restore torch's global state after trials in this process."""
    with preserve_torch_state():
        yield


@pytest.fixture
def warnings() -> list[str]:
    """Return the list of the lines that `ledger` warns with."""
    return []


@pytest.fixture
def ledger(tmp_path: Path, warnings: list[str]) -> Ledger:
    """Return an empty ledger, whose warnings `warnings` keeps."""
    return Ledger(tmp_path / "results", warnings.append)


@pytest.fixture
def call_command(capsys) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs a command here and returns its exit code, output and errors."""

    def run(*words: object) -> tuple[int, str, str]:
        code = main([*map(str, words)])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def skip_mlflow() -> Iterator[None]:
    """Have `run` write nothing to MLflow, which takes longer than small trials do."""
    with silence_mlflow():
        yield


@pytest.fixture(scope="module")
def skip_mlflow_in_module() -> Iterator[None]:
    """Have `run` write nothing to MLflow in fixtures of the module, too."""
    with silence_mlflow():
        yield


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Return the path of an empty MLflow database."""
    (tmp_path / "mlflow.db").write_bytes(command_process.empty_database())
    return tmp_path / "mlflow.db"


@pytest.fixture
def store(database: Path) -> str:
    """Return the address of the empty database, as MLflow writes it."""
    return f"sqlite:///{database}"


@pytest.fixture
def start_study(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., StudyProcess]]:
    """Yield a function that starts a study in a process of its own, and kill them at the end.

    In a temporary folder of their own: another run on this machine would end what a killed one has left.
    """
    if not Path("/proc/self/environ").exists():
        pytest.skip("finds processes through /proc")
    studies: list[StudyProcess] = []

    def start(folder: Path, *, count: int, **options: object) -> StudyProcess:
        studies.append(StudyProcess(**{"folder": folder, "count": count, "workers": 2, **options}))
        return studies[-1]

    with tempfile.TemporaryDirectory() as directory:  # pytest's own path is too long for a socket
        monkeypatch.setenv("TMPDIR", directory)
        yield start
        for study in studies:
            study.programs.kill_all()
