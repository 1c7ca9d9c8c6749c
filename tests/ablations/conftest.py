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

sys.path.append(str(Path(__file__).parent))  # trials are named by import, here and in their processes

import as_typed
import processes

from unrolled.ablations.cli import main
from unrolled.ablations.ledger import Ledger
from unrolled.bench.chapter.retrain import restoring_torch_state

HERE = Path(__file__).parent


class Study:
    """A study of stub trials in a process of its own."""

    def __init__(self, **words: object) -> None:
        self.marked = processes.Marked()
        self.alive = self.marked.alive
        program = sys.executable, str(HERE / "stub_trials.py"), json.dumps(words, default=str)
        self.process = self.marked.start(*program, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def read_until(self, word: str) -> None:
        seen = []
        for line in self.process.stdout:
            seen.append(line)
            if line.startswith(word):
                return
        raise AssertionError(f"{word!r} is not in {''.join(seen)!r}")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def interrupt(self) -> None:
        """Ctrl-C, which a terminal sends to the whole foreground group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def end(self) -> tuple[int, str]:
        """Wait for the driver; its exit code and the rest of what it printed."""
        output, _ = self.process.communicate(timeout=120)
        return self.process.returncode, output

    def trials(self) -> list[int]:
        """The fork server's children that lead a session."""
        return [pid for server in self.fork_servers() for pid in _children(server) if _session(pid) == pid]

    def fork_servers(self) -> list[int]:
        """The fork server, of which there may be none or, just after a kill, two."""
        mine = _children(self.process.pid)
        return [pid for pid in mine if "forkserver" in processes.read(pid, "cmdline")]


def _children(pid: int) -> list[int]:
    try:
        return [child.pid for child in psutil.Process(pid).children()]
    except psutil.NoSuchProcess:
        return []


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


@pytest.fixture(scope="session", autouse=True)
def a_folder_that_workers_share(tmp_path_factory: pytest.TempPathFactory) -> None:
    own = tmp_path_factory.getbasetemp()
    as_typed.shared_folder = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="module")
def torch_as_it_was() -> Iterator[None]:
    """Trials in this process; torch is left as it was found."""
    with restoring_torch_state():
        yield


@pytest.fixture
def warned() -> list[str]:
    """The lines that `ledger` warned with."""
    return []


@pytest.fixture
def ledger(tmp_path: Path, warned: list[str]) -> Ledger:
    return Ledger(tmp_path / "results", warned.append)


@pytest.fixture
def command(capsys) -> Callable[..., tuple[int, str, str]]:
    """Run a command in this process: its exit code, what it printed, and its errors."""

    def run(*words: object) -> tuple[int, str, str]:
        code = main([*map(str, words)])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """The path of an empty MLflow database of this test's own."""
    (tmp_path / "mlflow.db").write_bytes(as_typed.empty_database())
    return tmp_path / "mlflow.db"


@pytest.fixture
def store(database: Path) -> str:
    return f"sqlite:///{database}"


@pytest.fixture
def wait_for() -> Callable[..., None]:
    return processes.wait_for


@pytest.fixture
def start_study(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Study]]:
    """Start studies in processes of their own; what is left of them at the end is killed.

    In a temporary folder of their own: another run on this machine would end what a killed one has left.
    """
    if not Path("/proc/self/environ").exists():
        pytest.skip("finds processes through /proc")
    started: list[Study] = []

    def start(folder: Path, *, count: int, **options: object) -> Study:
        started.append(Study(**{"folder": folder, "count": count, "workers": 2, **options}))
        return started[-1]

    with tempfile.TemporaryDirectory() as temporary:  # pytest's own path is too long for a socket
        monkeypatch.setenv("TMPDIR", temporary)
        yield start
        for study in started:
            study.marked.end()
