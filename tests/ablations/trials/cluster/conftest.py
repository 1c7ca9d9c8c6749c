import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from ablations.ledger import Ledger

pytest.importorskip("distributed", reason="needs the extra: pip install 'unrolled[cluster]'")

HERE = Path(__file__).parent
ROOT = HERE.parents[3]
if str(HERE) not in sys.path:
    sys.path.append(str(HERE))


class Processes:
    """A scheduler, its workers and all that they start, known by a mark in their environment."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.mark = folder, f"UNROLLED_CLUSTER_TEST={uuid.uuid4()}"
        self.programs: list[subprocess.Popen[str]] = []
        self.logs: list[Path] = []
        self.address = ""

    def start(self, *words: str, until: str, prefix: tuple[str, ...] = (), **settings: str) -> re.Match[str]:
        """Start a program and wait for a line of it; later lines are not read."""
        name, value = self.mark.split("=")
        self.logs.append(self.folder / f"{len(self.programs)}.log")
        paths = (
            settings.pop("code", str(ROOT)),
            str(HERE),
            str(HERE.parents[1]),
            os.environ.get("PYTHONPATH", ""),
        )
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), name: value}
        environment |= {"DASK_DISTRIBUTED__WORKER__DAEMON": "False", **settings}
        with self.logs[-1].open("w") as log:
            program = subprocess.Popen(
                [*prefix, sys.executable, *words],
                env=environment,
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        self.programs.append(program)
        return self.read_until(until)

    def read_until(self, pattern: str) -> re.Match[str]:
        """Wait for a line of the program that was started last."""
        found: list[re.Match[str]] = []

        def said() -> bool:
            ended = self.programs[-1].poll() is not None
            text = self.logs[-1].read_text()
            found.extend(re.finditer(pattern, text, re.MULTILINE))
            assert found or not ended, text
            return bool(found)

        deadline = time.monotonic() + 120
        while not said():
            assert time.monotonic() < deadline, self.logs[-1].read_text()
            time.sleep(0.02)
        return found[0]

    def cluster(self, workers: int = 2, **settings: str) -> subprocess.Popen[str]:
        """A scheduler and workers in one program, as `make cluster` starts them."""
        words = ("-m", "ablations.trials.local_cluster", "--port", "0", "--workers", str(workers))
        self.address = self.start(*words, until=r"^(tcp://\S+), ", **settings)[1]
        return self.programs[-1]

    def scheduler(
        self, host: str = "127.0.0.1", flags: tuple[str, ...] = (), **settings: str
    ) -> subprocess.Popen[str]:
        """A scheduler alone, as Dask's own command starts it."""
        words = ("-m", "distributed.cli.dask_scheduler", "--host", host, "--port", "0", "--no-dashboard")
        found = self.start(*words, *flags, until=r"Scheduler at:\s+(t\w+://\S+)", **settings)
        self.address = found[1]
        return self.programs[-1]

    def worker(self, *flags: str, **settings) -> str:
        """A worker without a nanny, as Dask's own command starts it; its address."""
        words = ("-m", "distributed.cli.dask_worker", self.address, "--no-nanny", "--no-dashboard")
        words = (*words, "--nthreads", "1", "--memory-limit", "0", *flags)
        found = self.start(*words, until=r"Start worker at:\s+(t\w+://\S+)(?s:.*)Registered to", **settings)
        return found[1]

    def driver(self, **words: object) -> subprocess.Popen[str]:
        """A driver of gated trials in a process of its own."""
        self.start(str(HERE / "gated_trials.py"), json.dumps(words, default=str), until="^start ")
        return self.programs[-1]

    def alive(self) -> list[int]:
        """Everything that is left, whoever adopted it."""
        return [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit() and self._mine(p)]

    def _mine(self, process: Path) -> bool:
        try:
            return self.mark in (process / "environ").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            return False

    def end(self) -> None:
        for pid in self.alive():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        for program in self.programs:
            program.wait(10)


@pytest.fixture
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """What is started here ends with the test."""
    yield from _processes(tmp_path_factory)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a cluster of two workers, which come back when they are killed."""
    for made in _processes(tmp_path_factory):
        made.cluster()
        yield made.address


def _processes(folders: pytest.TempPathFactory) -> Iterator[Processes]:
    if not Path("/proc/self/environ").exists():
        pytest.skip("finds processes through /proc")
    made = Processes(folders.mktemp("processes"))
    yield made
    made.end()


class Cable:
    """A veth pair into a network namespace, whose far end can be pulled and put back."""

    def __init__(self) -> None:
        pid = os.getpid()
        self.name = f"unrolled-{pid}"
        self.inside = ("ip", "netns", "exec", self.name)
        self.ends = f"ur{pid}a", f"ur{pid}b"
        network = f"10.213.{pid >> 6 & 255}"
        self.near, self.far = f"{network}.{(pid & 63) * 4 + 1}", f"{network}.{(pid & 63) * 4 + 2}"

    def lay(self) -> None:
        near, far = self.ends
        for words in (
            f"netns add {self.name}",
            f"link add {near} type veth peer name {far} netns {self.name}",
            f"addr add {self.near}/30 dev {near}",
            f"link set {near} up",
            f"-n {self.name} addr add {self.far}/30 dev {far}",
            f"-n {self.name} link set lo up",
            f"-n {self.name} link set {far} up",
        ):
            subprocess.run(["ip", *words.split()], check=True, capture_output=True)

    def set(self, state: str) -> None:
        subprocess.run(["ip", "-n", self.name, "link", "set", self.ends[1], state], check=True)

    def remove(self) -> None:
        for words in (f"link del {self.ends[0]}", f"netns del {self.name}"):
            subprocess.run(["ip", *words.split()], check=False, capture_output=True)


@pytest.fixture
def cable() -> Iterator[Cable]:
    made = Cable()
    try:
        made.lay()
    except FileNotFoundError:
        pytest.skip("needs the command ip (Debian: iproute2)")
    except subprocess.CalledProcessError as error:
        made.remove()
        pytest.skip(f"may not make a network namespace here: {error.stderr.decode().strip()}")
    yield made
    made.remove()


class Gate:
    """The folder by which gated trials and a test understand each other."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.log = folder / "log"
        self.log.touch()

    def begun(self) -> list[tuple[int, int, int]]:
        """Seed, process and worker's process of every attempt, in order."""
        lines = self.log.read_text().splitlines()
        return [(int(seed), int(pid), int(worker)) for seed, pid, worker in map(str.split, lines)]

    def open(self, *seeds: int) -> None:
        for seed in seeds:
            (self.folder / str(seed)).touch()


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "results")
