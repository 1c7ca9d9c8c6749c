"""Training goes on whatever happens to MLflow, and in the end every trial is there exactly once."""

import contextlib
import http.client
import os
import random
import socket
import sqlite3
import subprocess
import threading
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from mlflow import MlflowClient

from tests.helpers.command_process import empty_database
from tests.helpers.mlflow_writers import feed_results, start_writer
from tests.helpers.processes import wait_for
from tests.helpers.stub_results import write_to_mlflow
from unrolled.ablations.mlflow import mlflow_runs, writer

NAMES = [f"baseline/seed={seed}" for seed in range(4)]


@pytest.fixture
def shorten_waits(monkeypatch):
    """Have MLflow wait 3 s for a server, and ask it once."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "3")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


@pytest.fixture
def open_writer(study):
    """Yield a function that opens the study with a writer whose thread ends with the test."""
    writers = []

    def open_study(uri):
        writers.append(writer.Writer(uri))
        writers[-1].open_study(study)
        return writers[-1]

    yield open_study
    for study_writer in writers:
        study_writer.close()


@pytest.fixture
def unlock(database):
    """Lock the database as another process that writes does, and yield the function that unlocks it."""
    connection = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN EXCLUSIVE")
    yield lambda: connection.execute("ROLLBACK")
    connection.close()


@pytest.fixture
def trials(make_result):
    """Return four trials of one arm, as a run hands them over at its end."""
    return [("baseline", make_result(seed=seed)) for seed in range(4)]


def write_trials(study_writer, trials):
    """Hand trials to the writer."""
    for arm, result in trials:
        study_writer.write_trial(arm, partial(lambda result: result, result))


def list_ended(runs):
    """Return the names of the runs that ended."""
    return [run[0] for run in runs if run[1] in ("FINISHED", "FAILED")]


# the database


@pytest.mark.slow  # MLflow itself waits 5 to 20 s for a lock
def test_a_locked_database_stops_no_training_and_is_written_once_after_it(
    unlock, store, open_writer, trials, read_runs, capsys
):
    study_writer = open_writer(store)
    write_trials(study_writer, trials[:3])
    assert not study_writer.error, "they are queued while the thread still waits for the lock"
    wait_for(lambda: study_writer.error)
    assert "database is locked" in str(study_writer.error)
    unlock()
    write_trials(study_writer, trials[3:])
    study_writer._jobs.join()
    assert study_writer.error, "nothing is attempted before the end"
    study_writer.write_missing(trials)
    assert study_writer.finish_writing() == ""
    assert capsys.readouterr().err.count("database is locked") == 1
    assert list_ended(read_runs(store)) == NAMES


def test_a_database_deleted_during_a_run_is_rewritten_by_sync(
    database, store, study, open_writer, trials, read_runs
):
    study_writer = open_writer(store)
    study_writer.write_missing(trials[:2])
    assert study_writer.error is None
    database.unlink()
    study_writer.write_missing(trials)
    assert study_writer.finish_writing().endswith("run `unrolled sync`")
    new_store = store.replace("sqlite:///", "sqlite:////")  # another name, as MLflow keeps what it has open
    write_to_mlflow(study, {"baseline": [result for _, result in trials]}, new_store)
    assert list_ended(read_runs(new_store)) == NAMES


def test_a_database_that_is_overwritten_is_told_and_training_goes_on(database, store, open_writer, trials):
    study_writer = open_writer(store)
    study_writer.write_missing(trials[:2])
    database.write_bytes(b"not a database " * 5000)
    study_writer.write_missing(trials)
    assert study_writer.finish_writing().endswith("run `unrolled sync`")


@pytest.mark.parametrize("uri", ["sqlite:///{folder}", "sqlite:////proc/mlflow.db"])
def test_an_unusable_database_is_told_at_once_with_the_reason(
    tmp_path, open_writer, trials, monkeypatch, uri
):
    monkeypatch.setattr(writer, "PATIENCE", 5.0)
    study_writer = open_writer(uri.format(folder=tmp_path))
    study_writer.write_missing(trials)
    assert isinstance(study_writer.error, OSError) and not isinstance(study_writer.error, TimeoutError)
    assert study_writer.finish_writing().endswith("run `unrolled sync`")


def test_a_result_that_is_gone_when_its_turn_comes_is_left_out(store, open_writer, trials, read_runs):
    study_writer = open_writer(store)
    study_writer.write_trial("baseline", lambda: None)
    write_trials(study_writer, trials)
    assert study_writer.finish_writing() == ""
    assert list_ended(read_runs(store)) == NAMES


def test_a_run_that_is_refused_leaves_no_study(store, client, database):
    study_writer = writer.Writer(store)
    assert study_writer.finish_writing() == ""
    assert client.experiment is None


# killed


def start_process(store, results=(), **options):
    """Start a process that writes to a store, and feed it results."""
    process = start_writer("write", store, "regularization", **options)
    feed_results(process, results)
    return process


def kill_process(process):
    """Kill a process and wait for it."""
    process.kill()
    process.communicate()


@pytest.mark.slow
def test_a_parent_killed_while_it_writes_leaves_nothing_twice_and_nothing_half(
    study, store, make_result, read_runs
):
    results = [make_result(seed=i) for i in range(10)]
    dice = random.Random(0)
    count = dice.randrange(2, 8)
    process = start_process(store, results[: count + 1])  # it gets no more: it cannot be too fast
    assert process.stdout.readline() == "ready\n"
    for _ in range(count):
        assert process.stdout.readline() == "written\n"
    time.sleep(dice.uniform(0, 0.03))  # somewhere within the next one, or just after it
    kill_process(process)
    counts = write_to_mlflow(study, {"baseline": results}, store)
    assert counts[1] in (count, count + 1)
    assert counts[0] + counts[1] == 10
    assert sorted(run[0] for run in read_runs(store)) == sorted(f"baseline/seed={i}" for i in range(10))
    assert {run[1] for run in read_runs(store)} == {"FINISHED"}


@pytest.mark.slow
def test_a_database_that_a_killed_parent_began_is_made_by_two_at_once(
    study, tmp_path, make_result, read_runs
):
    store = f"sqlite:///{tmp_path}/mlflow.db"
    killed = start_process(store)
    wait_for(lambda: list(tmp_path.iterdir()))
    time.sleep(0.4)
    kill_process(killed)
    processes = [start_process(store, [make_result(seed=i)], stderr=subprocess.PIPE) for i in range(2)]
    for process in processes:
        assert process.communicate(timeout=120) == ("ready\nwritten\n", "")
        assert process.returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]  # no draft stays
    # The study's lock keeps two parents from one study; here they share one, the harshest case.
    assert write_to_mlflow(study, {"baseline": [make_result(seed=i) for i in range(2)]}, store)[1] >= 1
    assert list_ended(read_runs(store)) == NAMES[:2]


# a server


@pytest.fixture(scope="module")
def mlflow_server(serve, tmp_path_factory):
    """Serve an empty database for all faults."""
    database = tmp_path_factory.mktemp("behind") / "mlflow.db"
    database.write_bytes(empty_database())
    with serve(database) as server:
        yield server


@pytest.fixture
def empty_store(mlflow_server):
    """Yield the server's store, in which no study is."""
    yield mlflow_server.store
    client = MlflowClient(tracking_uri=mlflow_server.store)
    number = client.get_experiment_by_name("unrolled/regularization").experiment_id
    client.rename_experiment(number, f"of an earlier test {number}")


class FaultyServer(ThreadingHTTPServer):
    """A server with the faults of its next answers, and the count of those that it had."""

    def __init__(self, *words):
        super().__init__(*words)
        self.injected = 0
        self.faults: list[str] = []
        self.address = f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def proxy(mlflow_server):
    """Yield a server before MLflow's whose `faults` say what becomes of the next requests."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            fault = server.faults.pop(0) if server.faults else "pass"
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            server.injected += fault != "pass"
            status, answer = (500, b"broken") if fault == "refuse" else self.forward(body)
            if fault == "slow":  # until the client has waited long enough and hung up
                self.connection.recv(1, socket.MSG_PEEK)
            self.send_response(500 if fault == "lose" else status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_POST = do_PATCH = do_GET

        def forward(self, body):
            connection = http.client.HTTPConnection("127.0.0.1", mlflow_server.port, timeout=30)
            connection.request(self.command, self.path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = response.read()
            connection.close()
            return response.status, answer

        def log_message(self, *_):
            pass

        def handle(self):
            with contextlib.suppress(OSError):  # the client did not wait
                super().handle()

    server = FaultyServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.slow
@pytest.mark.usefixtures("shorten_waits")
@pytest.mark.parametrize("fault", ["refuse", "lose", "slow"])
def test_a_server_that_answers_500_or_late_gets_every_trial_once(
    fault, proxy, study, empty_store, open_writer, trials, read_runs
):
    study_writer = open_writer(proxy.address)
    write_trials(study_writer, trials[:1])
    study_writer._jobs.join()
    proxy.faults += ["pass"] * random.Random(fault).randrange(6) + [fault]
    write_trials(study_writer, trials[1:])
    wait_for(lambda: study_writer.error)
    study_writer.write_missing(trials)
    assert study_writer.finish_writing() == ""
    assert proxy.injected == 1
    assert [run[:2] for run in read_runs(empty_store)] == [(name, "FINISHED") for name in NAMES]


@pytest.mark.slow
@pytest.mark.usefixtures("shorten_waits")
def test_what_fails_at_the_end_too_is_told_and_written_by_sync(
    proxy, study, empty_store, open_writer, trials, read_runs
):
    study_writer = open_writer(proxy.address)
    study_writer._jobs.join()
    proxy.faults += ["pass"] * random.Random("lose").randrange(12) + ["lose"]
    study_writer.write_missing(trials)
    assert study_writer.finish_writing().endswith("run `unrolled sync`")
    results = {"baseline": [result for _, result in trials]}
    write_to_mlflow(study, results, proxy.address)
    assert [run[:2] for run in read_runs(empty_store)] == [(name, "FINISHED") for name in NAMES]
    assert write_to_mlflow(study, results, empty_store) == (0, 4)


@pytest.mark.slow
def test_a_server_killed_and_restarted_gets_every_trial_once(
    mlflow_server, empty_store, open_writer, trials, read_runs
):
    study_writer = open_writer(mlflow_server.address)
    write_trials(study_writer, trials[:2])
    study_writer._jobs.join()
    mlflow_server.kill()
    write_trials(study_writer, trials[2:])
    wait_for(lambda: study_writer.error)
    mlflow_server.start()
    study_writer.write_missing(trials)
    assert study_writer.finish_writing() == ""
    assert list_ended(read_runs(empty_store)) == NAMES


@pytest.mark.slow
@pytest.mark.usefixtures("empty_store")
def test_the_report_reaches_a_server(mlflow_server, study, report_folder):
    mlflow_runs.MlflowRuns(study, mlflow_server.address).publish_report(report_folder, (), ())
    (page,) = mlflow_server.database.parent.glob("mlartifacts/**/index.html")
    assert page.read_text() == "the report"


@pytest.mark.slow
def test_a_server_that_never_answers_does_not_keep_the_process_alive(make_result, tmp_path):
    """A socket that accepts and stays silent, a study of one trial: the process ends in bounded time."""
    variables = {**os.environ, "MLFLOW_HTTP_REQUEST_TIMEOUT": "3600"}  # it would stay for an hour
    with socket.create_server(("127.0.0.1", 0)) as listener:
        uri = f"http://127.0.0.1:{listener.getsockname()[1]}"
        process = start_writer(
            "train", uri, "regularization", "1", cwd=tmp_path, env=variables, stderr=subprocess.PIPE
        )
        feed_results(process, [make_result()])
        outputs = process.communicate(timeout=200)
    report, errors = outputs
    assert "no answer within 1 s" in report
    assert "unrolled sync" in report
    assert errors == ""
    assert process.returncode == 0
