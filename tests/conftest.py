"""What no test may depend on: the folder that pytest was started in, and what the caller's shell has set."""

import atexit
import gc
import os
import shutil
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pynvml
import pytest

from tests.helpers import command_process
from tests.helpers import nvml_stand_in as stand_in
from tests.helpers.new_process import new_fork_server, new_process
from unrolled.ablations.runner import process
from unrolled.bench.hardware import devices

WANTED = {"UNROLLED_SCREENSHOTS"}  # where the browser's tests leave pictures
TERMINAL = {"COLUMNS", "FORCE_COLOR", "LINES", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"}
GIT = {"GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"}  # as a hook of git's sets them

for name in list(os.environ):  # before a module is imported that reads them
    if (name.startswith(("MLFLOW_", "UNROLLED_")) and name not in WANTED) or name in TERMINAL | GIT:
        del os.environ[name]

LACKS = "this machine lacks "
"""How the reason begins for which a test is skipped that needs a program beside Python, make and git."""

# Behind `make test &` it is ignored, and so would be every Ctrl-C that a test sends.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


CACHE = tempfile.mkdtemp(prefix="unrolled-cache-")
os.environ["UNROLLED_CACHE"] = CACHE  # of the checkouts of commits
atexit.register(shutil.rmtree, CACHE, ignore_errors=True)


def pytest_configure(config: pytest.Config) -> None:
    """Hide GPUs and use one thread a process, except for benchmarks and for FLAGS="-m gpu"."""
    if config.option.markexpr != "gpu" and not config.getoption("benchmark_enable", default=False):
        os.environ |= {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: a fifth of the tests' time is waiting. A worker takes about 1 GB."""
    return min(devices.count_cores() + 1, 8)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that have slow tests, so that at the end no worker is alone with one."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over what is loaded: its rounds take a twentieth of the time."""
    gc.freeze()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """Tell in the last line but one how many tests were skipped for want of which program."""
    yield
    reasons = [report.longrepr[2] for report in terminalreporter.stats.get("skipped", ())]
    lacking = Counter(reason.partition(LACKS)[2] for reason in reasons if LACKS in reason)
    if lacking:
        summary = ", ".join(f"{programs} ({count})" for programs, count in sorted(lacking.items()))
        terminalreporter.write_line(f"skipped for want of: {summary}")


@pytest.fixture(scope="session")
def need() -> Callable[..., None]:
    """Skip the test unless programs are installed. `.ci/run` installs them all."""

    def check(*programs: str) -> None:
        if lacking := [name for name in programs if not shutil.which(name)]:
            pytest.skip(LACKS + " and ".join(lacking))

    return check


@pytest.fixture(scope="session", autouse=True)
def run_in_temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A study that a test runs leaves its results, pages and mlflow.db here, not in the repository."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("here"))
        yield


@pytest.fixture(scope="session", autouse=True)
def share_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let all workers find the files that the first of them made."""
    folder = tmp_path_factory.getbasetemp()
    command_process.shared_folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session", autouse=True)
def skip_fsync() -> Iterator[None]:
    """No test takes the power away, and waiting for the disk would be a tenth of many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def share_fork_server() -> Iterator[None]:
    """Fork programs' trials, too, from the server of the chapter's, which takes four seconds to start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "PRELOADED", [*process.PRELOADED, "unrolled.bench.program.program_run"])
        yield


@pytest.fixture
def restore_registries() -> Iterator[None]:
    """A process loads its plug-ins once. Here one process has those of every test."""
    with new_process():
        yield


@pytest.fixture(scope="module")
def restart_fork_server() -> Iterator[None]:
    """Begin with a new fork server: it keeps the environment and the modules that it was started with."""
    with new_fork_server():
        yield


@contextmanager
def _small_disk(folder: Path, size: str) -> Iterator[None]:
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def small_disk(need: Callable[..., None]) -> Callable[[Path, str], AbstractContextManager[None]]:
    """Mount a disk of a size such as "64k" at a folder that is made for it."""
    need("mount", "umount")
    return _small_disk


@pytest.fixture
def nvml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[stand_in.Machine]:
    """A machine whose GPUs a test counts: none at first. They are visible."""
    machine = stand_in.Machine(tmp_path / "gpus")
    machine.has(0)
    monkeypatch.setenv(stand_in.VARIABLE, str(machine.path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    functions = {name: getattr(pynvml, name) for name in stand_in.FUNCTIONS}
    stand_in.install()
    yield machine
    for name, function in functions.items():
        setattr(pynvml, name, function)
