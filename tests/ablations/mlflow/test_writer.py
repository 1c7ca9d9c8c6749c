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
from as_typed import empty_database
from mlflow import MlflowClient
from mlflow_writers import feed, start
from processes import wait_for
from stub_plans import sync

from unrolled.ablations.mlflow import study_runs, writer

NAMES = [f"baseline/seed={seed}" for seed in range(4)]


@pytest.fixture
def short_waits(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "3")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


@pytest.fixture
def open_writer(study):
    """Open the study with writers whose threads end with the test."""
    started = []

    def open_study(where):
        started.append(writer.Writer(where))
        started[-1].open_study(study)
        return started[-1]

    yield open_study
    for one in started:
        one.close()


@pytest.fixture
def lock(database):
    """Lock the database as another process that writes does; the function ends the lock."""
    connection = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN EXCLUSIVE")
    yield lambda: connection.execute("ROLLBACK")
    connection.close()


@pytest.fixture
def trials(result):
    """Four trials of one arm, as a run hands them over at its end."""
    return [("baseline", result(seed=seed)) for seed in range(4)]


def write(writing, trials):
    for arm, result in trials:
        writing.write_trial(arm, partial(lambda result: result, result))


def names(runs):
    return [run[0] for run in runs if run[1] in ("FINISHED", "FAILED")]


# the database


@pytest.mark.slow  # MLflow itself waits 5 to 20 s for a lock
def test_a_locked_database_stops_no_training_and_the_end_of_the_run_writes_it_once(
    lock, store, open_writer, trials, snapshot, capsys
):
    writing = open_writer(store)
    write(writing, trials[:3])
    assert not writing.error, "they are queued while the thread still waits for the lock"
    wait_for(lambda: writing.error)
    assert "database is locked" in str(writing.error)
    lock()
    write(writing, trials[3:])
    wait_for(lambda: not writing._jobs.unfinished_tasks)
    assert writing.error, "nothing is attempted before the end"
    writing.write_missing(trials)
    assert writing.finish_writing() == ""
    assert capsys.readouterr().err.count("database is locked") == 1
    assert names(snapshot(store)) == NAMES


def test_a_database_that_is_deleted_while_it_is_written_is_told_and_made_anew_by_sync(
    database, store, study, open_writer, trials, snapshot
):
    writing = open_writer(store)
    writing.write_missing(trials[:2])
    assert writing.error is None
    database.unlink()
    writing.write_missing(trials)
    assert writing.finish_writing().endswith("run `unrolled sync`")
    again = store.replace("sqlite:///", "sqlite:////")  # another name, as MLflow keeps what it has open
    sync(study, {"baseline": [result for _, result in trials]}, again)
    assert names(snapshot(again)) == NAMES


def test_a_database_that_is_overwritten_is_told_and_training_goes_on(database, store, open_writer, trials):
    writing = open_writer(store)
    writing.write_missing(trials[:2])
    database.write_bytes(b"not a database " * 5000)
    writing.write_missing(trials)
    assert writing.finish_writing().endswith("run `unrolled sync`")


@pytest.mark.parametrize("uri", ["sqlite:///{folder}", "sqlite:////proc/mlflow.db"])
def test_a_database_that_cannot_be_opened_or_created_is_told_at_once_with_the_reason(
    tmp_path, open_writer, trials, monkeypatch, uri
):
    monkeypatch.setattr(writer, "PATIENCE", 5.0)
    writing = open_writer(uri.format(folder=tmp_path))
    writing.write_missing(trials)
    assert isinstance(writing.error, OSError) and not isinstance(writing.error, TimeoutError)
    assert writing.finish_writing().endswith("run `unrolled sync`")


def test_a_result_that_is_gone_when_its_turn_comes_is_left_out(store, open_writer, trials, snapshot):
    writing = open_writer(store)
    writing.write_trial("baseline", lambda: None)
    write(writing, trials)
    assert writing.finish_writing() == ""
    assert names(snapshot(store)) == NAMES


def test_a_run_that_is_refused_leaves_no_study(store, client, database):
    writing = writer.Writer(store)
    assert writing.finish_writing() == ""
    assert client.experiment is None


# killed


def start_projecting(store, results=(), **options):
    process = start("write", store, "regularization", **options)
    feed(process, results)
    return process


def end(process):
    process.kill()
    process.communicate()


@pytest.mark.slow
def test_a_parent_killed_while_it_writes_leaves_nothing_twice_and_nothing_half(
    study, store, result, snapshot
):
    results = [result(seed=i) for i in range(40)]
    chance = random.Random(0)
    before = chance.randrange(20)
    process = start_projecting(store, results[: before + 1])  # it gets no more: it cannot be too fast
    assert process.stdout.readline() == "ready\n"
    for _ in range(before):
        assert process.stdout.readline() == "written\n"
    time.sleep(chance.uniform(0, 0.03))  # somewhere within the next one, or just after it
    end(process)
    done = sync(study, {"baseline": results}, store)
    assert done[1] in (before, before + 1)
    assert done[0] + done[1] == 40
    assert sorted(run[0] for run in snapshot(store)) == sorted(f"baseline/seed={i}" for i in range(40))
    assert {run[1] for run in snapshot(store)} == {"FINISHED"}


@pytest.mark.slow
def test_a_parent_killed_while_it_creates_the_database_does_not_spoil_it(study, tmp_path, result, snapshot):
    store = f"sqlite:///{tmp_path}/mlflow.db"
    process = start_projecting(store)
    wait_for(lambda: list(tmp_path.iterdir()))
    time.sleep(0.4)
    end(process)
    sync(study, {"baseline": [result()]}, store)
    assert names(snapshot(store)) == NAMES[:1]
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]  # no draft stays


@pytest.mark.slow
def test_two_parents_that_create_the_database_at_once_both_write_and_tell_the_terminal_nothing(
    study, tmp_path, result, snapshot
):
    store = f"sqlite:///{tmp_path}/mlflow.db"
    both = [start_projecting(store, [result(seed=i)], stderr=subprocess.PIPE) for i in range(2)]
    for process in both:
        assert process.communicate(timeout=120) == ("ready\nwritten\n", "")
        assert process.returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]
    # The study's lock keeps two parents from one study; here they share one, the harshest case.
    assert sync(study, {"baseline": [result(seed=i) for i in range(2)]}, store)[1] >= 1
    assert names(snapshot(store)) == NAMES[:2]


# a server


@pytest.fixture(scope="module")
def real(serve, tmp_path_factory):
    """A server for every fault."""
    database = tmp_path_factory.mktemp("behind") / "mlflow.db"
    database.write_bytes(empty_database())
    with serve(database) as server:
        yield server


@pytest.fixture
def served(real):
    """Its store, in which no study is."""
    yield real.store
    client = MlflowClient(tracking_uri=real.store)
    number = client.get_experiment_by_name("unrolled/regularization").experiment_id
    client.rename_experiment(number, f"of an earlier test {number}")


@pytest.fixture
def proxy(real):
    """A server in front of MLflow's whose `faults` say what becomes of the next requests."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            fault = proxied.faults.pop(0) if proxied.faults else "pass"
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            proxied.injected += fault != "pass"
            status, answer = (500, b"broken") if fault == "refuse" else self.forward(body)
            if fault == "slow":  # until the client has waited long enough and hung up
                self.connection.recv(1, socket.MSG_PEEK)
            self.send_response(500 if fault == "lose" else status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_POST = do_PATCH = do_GET

        def forward(self, body):
            behind = http.client.HTTPConnection("127.0.0.1", real.port, timeout=30)
            behind.request(self.command, self.path, body, {"Content-Type": "application/json"})
            response = behind.getresponse()
            answer = response.read()
            behind.close()
            return response.status, answer

        def log_message(self, *_):
            pass

        def handle(self):
            with contextlib.suppress(OSError):  # the client did not wait
                super().handle()

    proxied = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    proxied.injected, proxied.faults, proxied.address = 0, [], f"http://127.0.0.1:{proxied.server_port}"
    thread = threading.Thread(target=proxied.serve_forever)
    thread.start()
    yield proxied
    proxied.shutdown()
    thread.join()
    proxied.server_close()


@pytest.mark.slow
@pytest.mark.usefixtures("short_waits")
@pytest.mark.parametrize("fault", ["refuse", "lose", "slow"])
def test_a_server_that_answers_500_or_late_gets_every_trial_once(
    fault, proxy, study, served, open_writer, trials, snapshot
):
    writing = open_writer(proxy.address)
    write(writing, trials[:1])
    wait_for(lambda: not writing._jobs.unfinished_tasks)
    proxy.faults += ["pass"] * random.Random(fault).randrange(6) + [fault]
    write(writing, trials[1:])
    wait_for(lambda: writing.error)
    writing.write_missing(trials)
    assert writing.finish_writing() == ""
    assert proxy.injected == 1
    assert [run[:2] for run in snapshot(served)] == [(name, "FINISHED") for name in NAMES]


@pytest.mark.slow
@pytest.mark.usefixtures("short_waits")
def test_what_fails_at_the_end_too_is_told_and_written_by_sync(
    proxy, study, served, open_writer, trials, snapshot
):
    writing = open_writer(proxy.address)
    wait_for(lambda: not writing._jobs.unfinished_tasks)
    proxy.faults += ["pass"] * random.Random("lose").randrange(12) + ["lose"]
    writing.write_missing(trials)
    assert writing.finish_writing().endswith("run `unrolled sync`")
    results = {"baseline": [result for _, result in trials]}
    sync(study, results, proxy.address)
    assert [run[:2] for run in snapshot(served)] == [(name, "FINISHED") for name in NAMES]
    assert sync(study, results, served) == (0, 4)


@pytest.mark.slow
def test_a_server_that_is_killed_in_the_middle_and_restarted_gets_every_trial_once(
    real, served, open_writer, trials, snapshot
):
    writing = open_writer(real.address)
    write(writing, trials[:2])
    wait_for(lambda: not writing._jobs.unfinished_tasks)
    real.kill()
    write(writing, trials[2:])
    wait_for(lambda: writing.error)
    real.start()
    writing.write_missing(trials)
    assert writing.finish_writing() == ""
    assert names(snapshot(served)) == NAMES


@pytest.mark.slow
@pytest.mark.usefixtures("served")
def test_the_report_reaches_a_server(real, study, out):
    study_runs.StudyRuns(study, real.address).publish_report(out, (), ())
    (page,) = real.database.parent.glob("mlartifacts/**/index.html")
    assert page.read_text() == "the report"


@pytest.mark.slow
def test_a_server_that_never_answers_does_not_keep_the_process_alive(result, tmp_path):
    """A socket that accepts and stays silent, a study of one trial: the process ends in bounded time."""
    patient = {**os.environ, "MLFLOW_HTTP_REQUEST_TIMEOUT": "3600"}  # it would stay for an hour
    with socket.create_server(("127.0.0.1", 0)) as hole:
        where = f"http://127.0.0.1:{hole.getsockname()[1]}"
        process = start(
            "train", where, "regularization", "4", cwd=tmp_path, env=patient, stderr=subprocess.PIPE
        )
        feed(process, [result()])
        said = process.communicate(timeout=200)
    assert said == ("MLflow lacks some of this (no answer within 4 s): run `unrolled sync`\n", "")
    assert process.returncode == 0
