"""A finished project that is copied never writes into the original."""

import hashlib
import socket
import sqlite3
import subprocess

from tests.helpers.command_call import check_command, refuse_command, run_command
from tests.helpers.program_project import write_project


def read_state(folder):
    """Return content and time of change of all files and folders below one."""
    return {
        path.relative_to(folder): (
            path.is_file() and hashlib.sha256(path.read_bytes()).digest(),
            path.stat().st_mtime_ns,
        )
        for path in sorted(folder.rglob("*"))
    }


def test_a_copied_database_is_refused_and_the_ledger_makes_another_one(tmp_path):
    original = tmp_path / "original"
    copy = tmp_path / "the copy"
    check_command(write_project(original), "run", "mine.toml", "--seeds", "0-1")
    subprocess.run(["cp", "-r", original, copy], check=True)
    state = read_state(original)
    run_result = run_command(copy, "run", "mine.toml", "--seeds", "0-2")
    assert run_result.returncode == 0 and "was copied or moved" in run_result.stderr
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert "was copied or moved" in refuse_command(copy, "ui", "--port", str(port))
    errors = refuse_command(copy, "sync")
    assert errors.count("\n") == 1
    assert f"its artifacts are in {(original / 'mlartifacts').as_uri()}" in errors
    (copy / "mlflow.db").unlink()
    # by another name, as MLflow has the removed file open
    check_command(copy, "sync", MLFLOW_TRACKING_URI=f"sqlite:////{copy}/mlflow.db")
    assert read_state(original) == state
    with sqlite3.connect(copy / "mlflow.db") as database:
        places = {place for (place,) in database.execute("SELECT artifact_uri FROM runs")}
    assert places and all(place.startswith((copy / "mlartifacts").as_uri()) for place in places)
