"""Clusters of Dask on this machine, and trials that wait for a test."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.helpers.processes import ROOT, ProgramGroup, helpers_path, wait_for
from tests.helpers.stub_trials import make_trial
from unrolled.bench.chapter.chapter_trial import ChapterTrial

pytest.importorskip("distributed", reason="needs the extra: pip install 'unrolled[cluster]'")

WORKER = "-m", "distributed.cli.dask_worker"
FLAGS = "--nthreads", "1", "--memory-limit", "0", "--no-dashboard"


@pytest.fixture(scope="module", autouse=True)
def use_new_fork_server() -> None:
    """Go on with the fork server of the tests: a cluster's workers have their own."""


class Processes(ProgramGroup):
    """A scheduler, its workers and all that they start."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.address = ""
        self.logs: list[Path] = []

    def run_until(self, *words: str, pattern: str, **settings: str) -> re.Match[str]:
        """Start a Python program and wait for a line of it; later lines are not read."""
        self.logs.append(self.folder / f"{len(self.programs)}.log")
        code = settings.pop("code", str(ROOT))
        settings = {"DASK_DISTRIBUTED__WORKER__DAEMON": "False", **settings}
        settings["PYTHONPATH"] = helpers_path(code)
        words = (sys.executable, *words)
        folder = self.folder
        with self.logs[-1].open("w") as log:
            self.start(*words, env=settings, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
        return self.read_until(pattern)

    def read_until(self, pattern: str) -> re.Match[str]:
        """Wait for a line of the program that was started last."""

        def find_line() -> re.Match[str] | None:
            has_ended = self.programs[-1].poll() is not None
            match = re.search(pattern, text := self.logs[-1].read_text(), re.MULTILINE)
            assert match or not has_ended, text
            return match

        wait_for(find_line)
        return find_line()

    def start_cluster(self, workers: int = 2, **settings: str) -> subprocess.Popen[str]:
        """Start workers that restart when they die, and their scheduler, and return the scheduler."""
        scheduler = self.start_scheduler(**settings)
        words = (*WORKER, self.address, "--nworkers", str(workers), *FLAGS)
        self.run_until(*words, pattern=rf"(?s)(Registered to.*){{{workers}}}", **settings)
        return scheduler

    def start_scheduler(self, host: str = "127.0.0.1", *flags: str, **settings: str) -> subprocess.Popen[str]:
        """Start a scheduler by Dask's own command."""
        words = ("-m", "distributed.cli.dask_scheduler", "--host", host, "--port", "0", "--no-dashboard")
        self.address = self.run_until(*words, *flags, pattern=r"Scheduler at:\s+(t\w+://\S+)", **settings)[1]
        return self.programs[-1]

    def start_worker(self, *flags: str, **settings) -> str:
        """Start a worker without a nanny by Dask's own command and return its address."""
        words = (*WORKER, self.address, "--no-nanny", *FLAGS, *flags)
        return self.run_until(
            *words, pattern=r"Start worker at:\s+(t\w+://\S+)(?s:.*)Registered to", **settings
        )[1]

    def start_driver(self, **words: object) -> subprocess.Popen[str]:
        """Start a driver of stub trials in a process of its own."""
        program = "-m", "tests.helpers.stub_trials", json.dumps(words, default=str)
        self.run_until(*program, pattern="^start ")
        return self.programs[-1]


@contextmanager
def open_processes(folders: pytest.TempPathFactory) -> Iterator[Processes]:
    """Yield processes, and kill them afterwards."""
    if not Path("/proc/self/environ").exists():
        pytest.skip("finds processes through /proc")
    group = Processes(folders.mktemp("processes"))
    yield group
    group.kill_all()


@pytest.fixture
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """Yield processes that end with the test."""
    with open_processes(tmp_path_factory) as group:
        yield group


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a cluster of two workers, which come back when they are killed.

    It ends with the file that uses it: its four processes take a tenth of a core while they wait.
    """
    with open_processes(tmp_path_factory) as group:
        group.start_cluster()
        yield group.address


@pytest.fixture(scope="module")
def two_places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a cluster of one worker, which trains two trials at once and loads torch once."""
    with open_processes(tmp_path_factory) as group:
        group.start_scheduler()
        group.start_worker("--nthreads", "2")
        yield group.address


class Gate:
    """The folder by which gated trials and a test communicate."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.log = folder / "log"
        self.log.touch()

    def make_trials(self, count: int) -> list[ChapterTrial]:
        return [make_trial(seed, "gated", gate=str(self.folder)) for seed in range(count)]

    def list_attempts(self) -> list[tuple[int, int, int]]:
        """Return seed, process and worker's process of every attempt, in order."""
        lines = self.log.read_text().splitlines()
        return [(int(seed), int(pid), int(worker)) for seed, pid, worker in map(str.split, lines)]

    def count_attempts(self, seed: int) -> int:
        return [attempt_seed for attempt_seed, *_ in self.list_attempts()].count(seed)

    def open_for(self, *seeds: int) -> None:
        for seed in seeds:
            (self.folder / str(seed)).touch()


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate")
