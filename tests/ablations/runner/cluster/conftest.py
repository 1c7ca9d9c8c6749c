import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from processes import Marked, wait_for
from stub_trials import trial

from unrolled.bench.chapter.trial import ChapterTrial

pytest.importorskip("distributed", reason="needs the extra: pip install 'unrolled[cluster]'")

HERE = Path(__file__).parent
ROOT = HERE.parents[3]
sys.path.append(str(HERE))


WORKER = "-m", "distributed.cli.dask_worker"
FLAGS = "--nthreads", "1", "--memory-limit", "0", "--no-dashboard"


class Processes(Marked):
    """A scheduler, its workers and all that they start."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder, self.address = folder, ""
        self.logs: list[Path] = []

    def run(self, *words: str, until: str, **settings: str) -> re.Match[str]:
        """Start a Python program and wait for a line of it; later lines are not read."""
        self.logs.append(self.folder / f"{len(self.programs)}.log")
        code = settings.pop("code", str(ROOT))
        paths = filter(None, (code, str(HERE), str(HERE.parents[1]), os.environ.get("PYTHONPATH")))
        settings = {"DASK_DISTRIBUTED__WORKER__DAEMON": "False", **settings}
        settings["PYTHONPATH"] = os.pathsep.join(paths)
        words, at = (sys.executable, *words), self.folder
        with self.logs[-1].open("w") as log:
            self.start(*words, env=settings, cwd=at, stdout=log, stderr=subprocess.STDOUT)
        return self.read_until(until)

    def read_until(self, pattern: str) -> re.Match[str]:
        """Wait for a line of the program that was started last."""

        def said() -> re.Match[str] | None:
            ended = self.programs[-1].poll() is not None
            found = re.search(pattern, text := self.logs[-1].read_text(), re.MULTILINE)
            assert found or not ended, text
            return found

        wait_for(said)
        return said()

    def cluster(self, workers: int = 2, **settings: str) -> subprocess.Popen[str]:
        """A scheduler, which is returned, and workers that are started again when they die."""
        scheduler = self.scheduler(**settings)
        words = (*WORKER, self.address, "--nworkers", str(workers), *FLAGS)
        self.run(*words, until=rf"(?s)(Registered to.*){{{workers}}}", **settings)
        return scheduler

    def scheduler(self, host: str = "127.0.0.1", *flags: str, **settings: str) -> subprocess.Popen[str]:
        """A scheduler alone, as Dask's own command starts it."""
        words = ("-m", "distributed.cli.dask_scheduler", "--host", host, "--port", "0", "--no-dashboard")
        self.address = self.run(*words, *flags, until=r"Scheduler at:\s+(t\w+://\S+)", **settings)[1]
        return self.programs[-1]

    def worker(self, *flags: str, **settings) -> str:
        """A worker without a nanny, as Dask's own command starts it; its address."""
        words = (*WORKER, self.address, "--no-nanny", *FLAGS, *flags)
        return self.run(*words, until=r"Start worker at:\s+(t\w+://\S+)(?s:.*)Registered to", **settings)[1]

    def driver(self, **words: object) -> subprocess.Popen[str]:
        """A driver of stub trials in a process of its own."""
        self.run(str(HERE.parents[1] / "stub_trials.py"), json.dumps(words, default=str), until="^start ")
        return self.programs[-1]


@contextmanager
def _processes(folders: pytest.TempPathFactory) -> Iterator[Processes]:
    if not Path("/proc/self/environ").exists():
        pytest.skip("finds processes through /proc")
    made = Processes(folders.mktemp("processes"))
    yield made
    made.end()


@pytest.fixture
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """What is started here ends with the test."""
    with _processes(tmp_path_factory) as made:
        yield made


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a cluster of two workers, which come back when they are killed.

    It ends with the file that uses it: its four processes take a tenth of a core while they wait.
    """
    with _processes(tmp_path_factory) as made:
        made.cluster()
        yield made.address


class Gate:
    """The folder by which gated trials and a test communicate."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.log = folder / "log"
        self.log.touch()

    def trials(self, count: int) -> list[ChapterTrial]:
        return [trial(seed, "gated", gate=str(self.folder)) for seed in range(count)]

    def begun(self) -> list[tuple[int, int, int]]:
        """Seed, process and worker's process of every attempt, in order."""
        lines = self.log.read_text().splitlines()
        return [(int(seed), int(pid), int(worker)) for seed, pid, worker in map(str.split, lines)]

    def attempts(self, seed: int) -> int:
        return [begun for begun, *_ in self.begun()].count(seed)

    def open(self, *seeds: int) -> None:
        for seed in seeds:
            (self.folder / str(seed)).touch()


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate")
