"""`unrolled server`: a real PostgreSQL under a real MLflow, for several drivers at once."""

import contextlib
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from argparse import Namespace
from pathlib import Path

import psutil
import pytest
from mlflow_writers import ask, feed, start
from processes import wait_for
from stub_plans import planned

from ablations.tracking import database, projection
from ablations.tracking.server import server as serve
from bench.trial import BadInput

COMMAND = [sys.executable, "-m", "ablations.cli", "server", "--folder"]


class Served:
    """The command in a process of its own, stopped and started again on the same folder and port."""

    def __init__(self, folder, port):
        self.folder, self.port = folder, port
        self.address = f"http://127.0.0.1:{port}"
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            [*COMMAND, str(self.folder), "--port", str(self.port)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        said = []
        for line in self.process.stdout:
            said.append(line)
            if line.startswith("export"):
                return said
        logs = [log.read_text() for log in self.folder.glob("*.log")]
        raise AssertionError("\n".join([*said, *logs]))

    def stop(self, number=signal.SIGINT):
        """Send a signal, wait for the end of all; the exit code and the rest of what was printed."""
        below = self.below()
        self.process.send_signal(number)
        rest, _ = self.process.communicate(timeout=120)
        wait_for(lambda: not any(process.is_running() for process in below))
        return self.process.returncode, rest

    def below(self):
        """The processes of MLflow and PostgreSQL: all descendants."""
        return psutil.Process(self.process.pid).children(recursive=True)


@pytest.fixture(scope="module")
def served(find_port, need):
    """One server for these tests: making its tables takes seconds."""
    pytest.importorskip("psycopg2", reason="PostgreSQL's driver is missing: pip install 'unrolled[server]'")
    if not list(database.DEBIAN.glob("*/bin/initdb")):
        need("initdb")  # PostgreSQL's
    # Not below pytest's own folder: root's PostgreSQL runs as the user postgres, who may not go there.
    folder = Path(tempfile.mkdtemp(prefix="unrolled-test-", dir="/tmp"))
    one = Served(folder, find_port())
    one.start()
    yield one
    if one.process.poll() is None:
        one.stop()
    shutil.rmtree(folder)


# two drivers


def end(driver):
    """What a driver says in the end: nothing where everything is written."""
    said, _ = driver.communicate(timeout=300)
    return said.strip()


def finished(snapshot, served, study):
    with contextlib.suppress(AttributeError):  # there is no such experiment yet
        return sum(run[1] == "FINISHED" for run in snapshot(served.address, study=study))
    return 0


@pytest.mark.slow
def test_two_drivers_write_at_once_and_a_restart_in_the_middle_loses_and_doubles_nothing(
    served, result, snapshot
):
    results = [result(seed=seed) for seed in range(20)]
    drivers = {study: start("record", served.address, study, "240") for study in ("one", "other")}
    for driver in drivers.values():
        feed(driver, results[:10])
    wait_for(lambda: all(finished(snapshot, served, study) for study in drivers))
    assert served.stop() == (0, "")
    for driver in drivers.values():
        feed(driver, results[10:])
    served.start()
    assert {study: end(driver) for study, driver in drivers.items()} == {"one": "", "other": ""}
    for study in drivers:
        runs = snapshot(served.address, study=study)
        assert sorted(run[0] for run in runs) == sorted(f"baseline/seed={seed}" for seed in range(20))
        assert {run[1] for run in runs} == {"FINISHED"}
        assert projection.sync(
            planned(study=study), {"baseline": results}, served.address
        ) == projection.Synced(0, 20, 0)


@pytest.mark.slow
def test_two_drivers_of_one_study_are_levelled_by_sync(served, result, snapshot):
    results = [result(seed=seed) for seed in range(8)]
    drivers = [start("record", served.address, "shared", "240") for _ in range(2)]
    for driver, its in zip(drivers, (results, results[::-1]), strict=True):
        feed(driver, its)
    assert [end(driver) for driver in drivers] == ["", ""]
    projection.sync(planned(study="shared"), {"baseline": results}, served.address)
    runs = snapshot(served.address, study="shared")
    assert [run[:2] for run in runs] == [(f"baseline/seed={seed}", "FINISHED") for seed in range(8)]


@pytest.mark.slow
def test_what_a_server_holds_is_what_a_file_holds(served, result, store, snapshot):
    """The same parameters, tags, metrics and times; also what a database may choke on."""
    results = {
        "nul\0 and 🙂": [result(seed=1, losses=(3.0, float("inf"), float("nan")))],
        "long": [result(seed=2, options={"words": "é" * 9000})],
    }
    for where in (served.address, store):
        projection.sync(planned(study="alike"), results, where)
    assert snapshot(served.address, study="alike") == snapshot(store, study="alike")
    (kept,) = (served.folder / "artifacts").rglob("params/*.txt")
    assert kept.read_text(encoding="utf-8") == "é" * 9000


# hardened


@pytest.mark.slow
def test_only_this_machine_is_served_and_pages_of_others_are_refused(served):
    assert ask(served.address, "GET", "/", Host="evil.example")[0] == 403  # DNS rebinding
    assert ask(served.address, "GET", "/", Host="10.0.0.1:5000")[0] == 403  # MLflow would take private ones
    create = served.address, "POST", "/api/2.0/mlflow/experiments/create"
    assert ask(*create, {"name": "theirs"}, Origin="http://evil.example")[0] == 403
    assert ask(*create, {"name": "ours"})[0] == 200
    addresses = {line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]}
    assert f"0100007F:{served.port:04X}" in addresses  # 127.0.0.1, as proc(5) writes it
    assert f"00000000:{served.port:04X}" not in addresses


@pytest.mark.slow
@pytest.mark.parametrize("key", ["artifact_location", "artifactLocation"])
def test_no_client_chooses_where_artifacts_lie(served, key):
    body = {"name": f"in /etc by {key}", key: "file:///etc"}
    status, said = ask(served.address, "POST", "/api/2.0/mlflow/experiments/create", body)
    assert (status, "keeps artifacts in its own folder" in said) == (400, True)
    up = "/api/2.0/mlflow-artifacts/artifacts/..%2f..%2f..%2fetc/passwd"
    assert ask(served.address, "GET", up) == (404, "closed here")


@pytest.mark.slow
def test_the_database_has_no_port_no_password_and_no_superuser_for_mlflow(served):
    import psycopg2

    commands = " ".join(word for process in served.below() for word in process.cmdline())
    where = re.search(r"//unrolled@/mlflow\?host=(\S+)", commands)[1]
    with contextlib.closing(psycopg2.connect(host=where, user="unrolled", dbname="mlflow")) as connection:
        cursor = connection.cursor()
        cursor.execute("SHOW listen_addresses")
        assert cursor.fetchone() == ("",)
        cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = user")
        assert cursor.fetchone() == (False,)
    with pytest.raises(psycopg2.OperationalError, match=r"no pg_hba\.conf entry"):
        psycopg2.connect(host=where, user="postgres", dbname="postgres")
    for private in (served.folder, served.folder / "database", Path(where)):
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert stat.S_IMODE((served.folder / "mlflow.log").stat().st_mode) == 0o600


# its end


@pytest.mark.slow
def test_one_that_is_killed_leaves_nothing_running_and_starts_again(served):
    code, _ = served.stop(signal.SIGKILL)  # returns once MLflow and PostgreSQL have ended too
    assert code == -signal.SIGKILL
    said = served.start()
    assert said == [
        f"MLflow: {served.address}/#/experiments?workflowType=machine_learning (Ctrl-C ends it)\n",
        f"data: {served.folder}\n",
        f"export MLFLOW_TRACKING_URI={served.address}\n",
    ]


@pytest.mark.slow
def test_a_second_one_on_the_same_folder_is_refused(served, free_port):
    command = [*COMMAND, str(served.folder), "--port", str(free_port)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert re.fullmatch(
        r'unrolled: .*/database: PostgreSQL did not start \(.*lock file "postmaster.pid" already exists\); '
        r"see .*/postgres.log\n",
        done.stderr,
    )


def test_a_port_that_is_taken_is_one_clear_line(tmp_path):
    pytest.importorskip("psycopg2")
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(BadInput) as refused:
        serve(Namespace(folder=tmp_path / "server", port=taken.getsockname()[1]))
    assert str(refused.value).endswith(": Address already in use; choose another one")
    assert not (tmp_path / "server").exists()


def test_a_folder_of_something_else_is_left_as_it_is(tmp_path, free_port):
    folder = tmp_path / "home"
    folder.mkdir(mode=0o755)
    (folder / "letter.txt").touch()
    done = subprocess.run(
        [*COMMAND, str(folder), "--port", str(free_port)], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (
        2, f"unrolled: --folder {folder}: holds other things (letter.txt); choose a new folder\n"
    )  # fmt: skip
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755


def run(folder):
    with database.running(folder):
        raise AssertionError("it started")


@pytest.fixture
def no_postgresql(monkeypatch, tmp_path):
    monkeypatch.setattr(database, "DEBIAN", tmp_path / "none")
    monkeypatch.setenv("PATH", str(tmp_path / "none"))


@pytest.mark.usefixtures("no_postgresql")
def test_without_postgresql_the_cure_is_named(tmp_path):
    with pytest.raises(BadInput, match="not installed here; install PostgreSQL: apt-get install postgresql"):
        run(tmp_path / "database")


def test_a_database_of_another_postgresql_is_refused_with_the_package_to_install(monkeypatch, tmp_path):
    programs = tmp_path / "debian" / "15" / "bin"
    programs.mkdir(parents=True)
    (programs / "initdb").write_text("#!/bin/sh\necho 'initdb (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)'\n")
    (programs / "initdb").chmod(0o755)
    monkeypatch.setattr(database, "DEBIAN", tmp_path / "debian")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    (tmp_path / "database").mkdir()
    (tmp_path / "database" / "PG_VERSION").write_text("9\n")
    with pytest.raises(BadInput, match=r"made by PostgreSQL 9, which .* apt-get install postgresql-9"):
        run(tmp_path / "database")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's database runs as another user")
@pytest.mark.usefixtures("served")  # PostgreSQL is there
def test_a_folder_that_the_databases_user_cannot_reach_is_refused(tmp_path):
    closed = tmp_path / "closed"
    (closed / "server").mkdir(parents=True)
    closed.chmod(0o700)
    with pytest.raises(BadInput, match="user postgres, who runs the database for root, cannot get there"):
        run(closed / "server" / "database")
