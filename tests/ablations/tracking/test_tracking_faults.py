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
from mlflow_writers import feed, start
from processes import wait_for

from ablations.tracking import projection
from ablations.tracking.recorder import Recorder

NAMES = [f"baseline/seed={seed}" for seed in range(4)]


@pytest.fixture
def short_waits(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "3")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


@pytest.fixture
def recorder(study):
    """Start recorders that a failing test does not leave behind."""
    started = []

    def start(where):
        started.append(Recorder(study, where, pause=0.1))
        return started[-1]

    yield start
    for one in started:
        one.close(patience=0)


@pytest.fixture
def lock(database):
    """Lock the database as another process that writes does."""
    connection = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN EXCLUSIVE")
    yield lambda: connection.execute("ROLLBACK")
    connection.close()


def names(runs):
    return [run[0] for run in runs if run[1] in ("FINISHED", "FAILED")]


def record(writing, result, seeds):
    for seed in seeds:
        writing.record("baseline", partial(result, seed=seed))


# the database


@pytest.mark.slow  # MLflow itself waits 5 to 20 s for a lock
def test_a_database_locked_for_longer_than_mlflow_waits_stops_no_training_and_is_written_once(
    lock, store, recorder, result, snapshot
):
    writing = recorder(store)
    begun = time.monotonic()
    record(writing, result, range(4))
    assert time.monotonic() - begun < 10  # MLflow would wait four times as long for the lock
    assert not writing.wait(0.1)
    wait_for(lambda: writing.problem)
    assert "database is locked" in writing.problem
    lock()
    assert writing.wait(120)
    assert writing.close() == ""
    assert writing.problem == ""
    assert names(snapshot(store)) == NAMES


def test_the_end_waits_no_longer_than_told_and_says_how_to_catch_up(
    lock, study, store, recorder, result, snapshot
):
    writing = recorder(store)
    record(writing, result, range(2))
    begun = time.monotonic()
    line = writing.close(patience=0.5)
    assert time.monotonic() - begun < 10  # and not for ever, as the lock is held until further down
    assert line == "MLflow is behind by 2 trials (no answer within 0.5 s): run `unrolled sync`"
    lock()
    writing._thread.join(120)  # here the process would have ended
    projection.sync(study, {"baseline": [result(seed=0), result(seed=1)]}, store)
    assert names(snapshot(store)) == NAMES[:2]


def test_one_trial_that_mlflow_refuses_does_not_hold_up_the_others(
    store, recorder, result, snapshot, monkeypatch
):
    write = projection.Projection._write

    def refuse(self, arm, one, *more):
        if one.trial.seed == 1:
            raise ValueError("refused\nfor a reason")
        return write(self, arm, one, *more)

    monkeypatch.setattr(projection.Projection, "_write", refuse)
    writing = recorder(store)
    record(writing, result, (1, 0, 2))
    wait_for(lambda: sum(job.trials for job in writing._jobs) == 1)
    assert writing.close(patience=5) == "MLflow is behind by 1 trial (refused): run `unrolled sync`"
    assert names(snapshot(store)) == ["baseline/seed=0", "baseline/seed=2"]


def test_a_recorder_opens_and_finishes_the_study_run(store, recorder, result, snapshot, out, published):
    writing = recorder(store)
    wait_for(lambda: writing._begun)
    assert [run[1] for run in snapshot(store, role="study")] == ["RUNNING"]
    writing.record("baseline", result)
    assert writing.wait(120)
    assert writing.link("baseline", result().trial.id).startswith("#/experiments/")
    writing.publish(out)
    assert writing.close("KILLED") == ""
    assert [run[1] for run in snapshot(store, role="study")] == ["KILLED"]
    assert published() == ["the report"]


# killed


def start_projecting(store, results=()):
    process = start("project", store, "regularization")
    feed(process, results)
    return process


def end(process):
    process.kill()
    process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_parent_killed_while_it_writes_leaves_nothing_twice_and_nothing_half(
    seed, study, store, result, snapshot
):
    results = [result(seed=i) for i in range(40)]
    chance = random.Random(seed)
    before = chance.randrange(20)
    process = start_projecting(store, results[: before + 1])  # it gets no more: it cannot be too fast
    assert process.stdout.readline() == "ready\n"
    for _ in range(before):
        assert process.stdout.readline() == "written\n"
    time.sleep(chance.uniform(0, 0.03))  # somewhere within the next one, or just after it
    end(process)
    done = projection.sync(study, {"baseline": results}, store)
    assert done.kept in (before, before + 1)
    assert done.written + done.kept == 40
    assert sorted(run[0] for run in snapshot(store)) == sorted(f"baseline/seed={i}" for i in range(40))
    assert {run[1] for run in snapshot(store)} == {"FINISHED"}
    assert [run[1] for run in snapshot(store, role="study")].count("RUNNING") == 0


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.3, 0.7, 1.1])
def test_a_parent_killed_while_it_creates_the_database_does_not_spoil_it(
    seconds, study, tmp_path, result, snapshot
):
    store = f"sqlite:///{tmp_path}/mlflow.db"
    process = start_projecting(store)
    wait_for(lambda: list(tmp_path.iterdir()))
    time.sleep(seconds)
    end(process)
    projection.sync(study, {"baseline": [result()]}, store)
    assert names(snapshot(store)) == NAMES[:1]
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]  # no draft stays


@pytest.mark.slow
def test_two_parents_that_create_the_database_at_once_both_write(study, tmp_path, result, snapshot):
    store = f"sqlite:///{tmp_path}/mlflow.db"
    both = [start_projecting(store, [result(seed=i)]) for i in range(2)]
    for process in both:
        process.stdin.close()
        assert process.stdout.read() == "ready\nwritten\n"
        assert process.wait(120) == 0
        process.stdout.close()
    # The study's lock keeps two parents from one study; here they share one, the harshest case.
    assert projection.sync(study, {"baseline": [result(seed=i) for i in range(2)]}, store).kept >= 1
    assert names(snapshot(store)) == NAMES[:2]


# a server


@pytest.fixture
def proxy(server):
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
            behind = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
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

    server()
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
    fault, proxy, study, store, recorder, result, snapshot
):
    dice = random.Random(fault)
    proxy.faults += [fault, "pass", "pass", *dice.sample([fault] * 4 + ["pass"] * 16, 20)]
    writing = recorder(proxy.address)
    record(writing, result, range(4))
    assert writing.close(patience=200) == ""
    assert proxy.injected == 5
    assert [run[:2] for run in snapshot(store)] == [(name, "FINISHED") for name in NAMES]
    results = {"baseline": [result(seed=seed) for seed in range(4)]}
    assert projection.sync(study, results, store) == projection.Synced(written=0, kept=4, removed=0)


@pytest.mark.slow
def test_a_server_that_is_killed_in_the_middle_and_restarted_gets_every_trial_once(
    server, store, recorder, result, snapshot
):
    writing = recorder(server.address)
    record(writing, result, [0])
    wait_for(lambda: writing.problem)  # it is not there yet
    first = server()
    assert writing.wait(120)
    server.kill(first)
    record(writing, result, range(1, 4))
    wait_for(lambda: writing.problem)
    server()
    assert writing.wait(120)
    link = writing.link("baseline", result().trial.id)
    assert link.startswith(f"{server.address}/#/experiments/")
    assert writing.close() == ""
    assert names(snapshot(store)) == NAMES


@pytest.mark.slow
def test_artifacts_reach_a_server(server, study, tmp_path, result, out, published):
    server()
    projection.sync(study, {"baseline": [result(options={"words": "x" * 7000})]}, server.address)
    projection.Projection(study, server.address).publish(out)
    assert published() == ["the report"]
    assert [len(page.read_text()) for page in tmp_path.glob("mlartifacts/**/params/*.txt")] == [7000]


def test_syncing_with_a_server_that_is_down_is_one_clear_line(free_port, study, result):
    with pytest.raises(projection.BadInput, match=r"nothing answers.* run `unrolled sync` again") as refused:
        projection.sync(study, {"baseline": [result()]}, f"http://user:secret@127.0.0.1:{free_port}")
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.slow
def test_a_server_that_never_answers_does_not_keep_the_process_alive(result, tmp_path):
    """A socket that accepts and stays silent, a study of one trial: the process ends in bounded time."""
    patient = {**os.environ, "MLFLOW_HTTP_REQUEST_TIMEOUT": "3600"}  # it would stay for an hour
    with socket.create_server(("127.0.0.1", 0)) as hole:
        where = f"http://127.0.0.1:{hole.getsockname()[1]}"
        process = start(
            "record", where, "regularization", "4", cwd=tmp_path, env=patient, stderr=subprocess.PIPE
        )
        feed(process, [result()])
        said = process.communicate(timeout=200)
    assert said == ("MLflow is behind by 1 trial (no answer within 4 s): run `unrolled sync`\n", "")
    assert process.returncode == 0
