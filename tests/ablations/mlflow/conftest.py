"""Synthetic results, databases with MLflow's schema, and real servers."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import urllib.request
from collections import namedtuple

import pytest

from tests.helpers.processes import wait_for
from tests.helpers.stub_results import build_plan
from unrolled.ablations.mlflow.database import set_environment
from unrolled.ablations.mlflow.ui import make_ui_command
from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.trial import Result

set_environment()  # before anything imports mlflow

Run = namedtuple("Run", "name status start end params tags curves")
STARTED = 1_700_000_000.25  # unix seconds


@pytest.fixture
def study():
    """Return the plan of a study without trials."""
    return build_plan(study="regularization", question="What carries the gain?")


@pytest.fixture(scope="session")
def make_result():
    """Return a function that makes a Result: by default three epochs of 2 + 1 s after 1 s of loading."""

    def make(seed=0, status="done", losses=(3.0, 2.0, 1.5), metrics=None, options=None, **facts):
        epochs = [
            {"train_loss": loss + 0.1, "train_ar": 0.2, "train_tar": 0.3, "valid_loss": loss,
             "valid_accuracy": 0.1 * i, "speed_train_seconds": 2.0, "speed_valid_seconds": 1.0}
            for i, loss in enumerate(losses)
        ]  # fmt: skip
        names = epochs[0] if epochs else ()
        if metrics is None:
            metrics = {
                "valid_loss": losses[-1],
                "valid_perplexity": 4.5,
                "speed_train": 2e4,
                "memory_peak": 81.5,
            }
        return Result(
            trial=ChapterTrial(
                model="lm7", seed=seed, options=options or {"hidden": 64, "dropout": 0.4}, data="5a" * 32
            ),
            status=status,
            started=facts.pop("started", STARTED + 100 * seed),
            attempt_seconds=3.0 * len(epochs) + 1.0,
            curves={name: tuple((float(i), e[name]) for i, e in enumerate(epochs)) for name in names},
            metrics=metrics,
            **facts,
        )

    return make


@pytest.fixture
def read_runs():
    """Return a function that reads all of a study in MLflow but ids, sorted by the run's name."""
    from mlflow import MlflowClient

    def read_histories(client, run):
        names = sorted(run.data.metrics)
        points = {name: client.get_metric_history(run.info.run_id, name) for name in names}
        return {
            name: [(m.step, m.value, m.timestamp) for m in points_of_name]
            for name, points_of_name in points.items()
        }

    def read(uri, study="regularization", role="trial"):
        client = MlflowClient(tracking_uri=uri)
        experiment = client.get_experiment_by_name(f"unrolled/{study}")
        runs = client.search_runs([experiment.experiment_id], f"tags.`unrolled.role` = '{role}'")
        runs_read = [
            Run(run.info.run_name, run.info.status, run.info.start_time, run.info.end_time, run.data.params,
             {name: tag for name, tag in run.data.tags.items() if name != "mlflow.parentRunId"},
             read_histories(client, run))
            for run in runs
        ]  # fmt: skip
        return sorted(runs_read, key=lambda run: run[:4])

    return read


@pytest.fixture
def read_run(read_runs):
    """Return a function that reads the only run that `read_runs` reads."""

    def read(uri, **filters):
        (run,) = read_runs(uri, **filters)
        return run

    return read


@pytest.fixture
def client(store):
    """Return MLflow's client of this test's database; `experiment` is the study's."""
    from mlflow import MlflowClient

    class Client(MlflowClient):
        @property
        def experiment(self):
            return self.get_experiment_by_name("unrolled/regularization")

    return Client(tracking_uri=store)


@pytest.fixture
def report_folder(tmp_path):
    """Return a report's folder."""
    (tmp_path / "out" / "figures").mkdir(parents=True)
    (tmp_path / "out" / "index.html").write_text("the report")
    (tmp_path / "out" / "figures" / "forest.svg").write_text("<svg/>")
    return tmp_path / "out"


@pytest.fixture
def read_reports(tmp_path):
    """Return a function that reads the reports among the artifacts."""
    return lambda: [page.read_text() for page in tmp_path.glob("mlartifacts/**/index.html")]


@pytest.fixture(scope="session")
def find_port():
    """Return a function that finds a port that Linux gives to no client while a server is down."""

    def find_free_port():
        for port in random.sample(range(20_000, 32_000), 100):
            with socket.socket() as listener, contextlib.suppress(OSError):
                listener.bind(("127.0.0.1", port))
                return port
        raise AssertionError("a hundred ports are taken")

    return find_free_port


class Server:
    """MLflow's pages of a database. After `kill` it can be started again, on the same port."""

    def __init__(self, database, port, command, variables):
        self.database = database
        self.store = f"sqlite:///{database}"
        self.port = port
        self.address = f"http://127.0.0.1:{port}"
        self.command = command
        self.variables = variables
        self.log = database.with_name("server.log")
        self.start()

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, cwd=self.database.parent, env=self.variables, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        wait_for(self.is_ready)

    def is_ready(self):
        assert self.process.poll() is None, self.log.read_text()
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.address}/health", timeout=2):
            return True

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="session")
def serve(find_port):
    """Return a function that serves a database as `unrolled ui` does, or by that very command."""

    @contextlib.contextmanager
    def serve_database(database, *words, variables=None):
        port = find_port()
        command = [*words, "--port", str(port)] if words else make_ui_command(f"sqlite:///{database}", port)
        server = Server(database, port, command, variables)
        yield server
        server.kill()

    return serve_database
