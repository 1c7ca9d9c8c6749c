"""What benchmarks measure with: a profile of sizes, processes and their environment."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.processes import helpers_path
from unrolled.ablations.runner.process import ENVIRONMENT


@dataclass(frozen=True, kw_only=True)
class Profile:
    """How much is measured."""

    rounds: int  # of every arm, in turn
    epochs: int  # of the chapter's 4 to 15, from which a whole trial is worked out
    sizes: tuple[tuple[int, int], ...]  # (batch, hidden) of throughput
    families: tuple[str, ...]  # models of throughput and growth
    growth: int  # doublings
    seeds: int  # of the study of eight models


TINY = Profile(rounds=1, epochs=1, sizes=((64, 64),), families=("lm4",), growth=1, seeds=1)
SHORT = Profile(
    rounds=3,
    epochs=2,
    sizes=((64, 64), (256, 64), (1024, 64), (64, 256), (256, 256), (64, 1024)),
    families=("lm4", "lm6"),
    growth=3,
    seeds=5,
)
GRID = tuple((batch, hidden) for batch in (64, 128, 256, 512, 1024) for hidden in (64, 128, 256, 512, 1024))
FULL = Profile(
    rounds=5,
    epochs=4,
    sizes=GRID,
    families=("lm4", "lm5", "lm6", "gru", "lstm-chunk"),
    growth=4,
    seeds=10,
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="benchmarks: more sizes, more rounds; hours")


def pytest_benchmark_update_json(config: pytest.Config, output_json: dict[str, Any]) -> None:
    """Print below pytest-benchmark's tables what a benchmark measured beside its own time."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    assert reporter is not None
    for measured in output_json["benchmarks"]:
        for name, value in measured["extra_info"].items():
            reporter.write_line(f"{measured['name']}: {name} {_digits(value)}")


def _digits(value: Any) -> Any:
    """Return floats with four significant digits, wherever they stand."""
    if isinstance(value, dict):
        return {key: _digits(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_digits(part) for part in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


LOAD = os.getloadavg()[0]  # now, before the first benchmark makes its own


@pytest.fixture
def load() -> float:
    """Return how many processes ran, on average, in the minute before the benchmarks."""
    return LOAD


@pytest.fixture
def profile(benchmark, pytestconfig: pytest.Config) -> Profile:
    """Return tiny sizes where nothing is measured, so that benchmarks run with every test and do not rot."""
    return TINY if benchmark.disabled else FULL if pytestconfig.getoption("--full", default=False) else SHORT


class Process:
    """`measures.py` in a process of its own; `ask` waits for one answer."""

    def __init__(self, environment: dict[str, str], *how: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.measures", *how],
            env={**environment, "PYTHONPATH": helpers_path()},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, do: str, **words: Any) -> dict[str, Any]:
        """Return a measurement, by the name of its function; raise if the process ends over it."""
        assert self.process.stdin
        assert self.process.stdout
        print(json.dumps({"do": do, **words}), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{do} {words} ended its process: exit code {self.process.wait()}")
        return json.loads(answer)

    def close(self) -> None:
        self.process.communicate(timeout=60)


@pytest.fixture(scope="session")
def unrolled_process() -> Iterator[Process]:
    """Yield a process with what every trial's process has."""
    yield from _start_process({**os.environ, **ENVIRONMENT})


@pytest.fixture(scope="session")
def plain_process(pytestconfig: pytest.Config, request: pytest.FixtureRequest) -> Iterator[Process]:
    """Yield a process with one thread, or Unrolled's where nothing is measured."""
    if pytestconfig.getoption("benchmark_enable", default=False):
        yield from _start_process(_copy_environment(), "one-thread")
    else:
        yield request.getfixturevalue("unrolled_process")


def _start_process(environment: dict[str, str], *how: str) -> Iterator[Process]:
    """Yield a process that answers measurements, until the tests end."""
    process = Process(environment, *how)
    yield process
    process.close()


@pytest.fixture
def make_environment(benchmark) -> Callable[[Path], dict[str, str]]:
    """Return the environment of a command that keeps its results and its MLflow in a folder.

    Where nothing is measured, that of the tests, with one thread.
    """
    environment = {**os.environ} if benchmark.disabled else _copy_environment()
    return lambda folder: {**environment, "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}


def _copy_environment() -> dict[str, str]:
    """Return this process's environment without the variables that benchmarks set."""
    return {name: value for name, value in os.environ.items() if name not in ENVIRONMENT}
