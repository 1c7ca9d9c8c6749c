"""A finished project that is copied never writes into the original."""

import hashlib
import socket
import sqlite3
import subprocess

from as_typed import unrolled, write
from called import call, succeed


def state(folder):
    """Every file and folder below it: its bytes, and when it was changed."""
    return {
        path.relative_to(folder): (
            path.is_file() and hashlib.sha256(path.read_bytes()).digest(),
            path.stat().st_mtime_ns,
        )
        for path in sorted(folder.rglob("*"))
    }


def test_a_copied_database_is_refused_and_the_ledger_makes_another_one(tmp_path):
    original, copied = tmp_path / "original", tmp_path / "the copy"
    original.mkdir()
    succeed(write(original, seeds="seeds = 2"), "run", "small.toml")
    subprocess.run(["cp", "-r", original, copied], check=True)
    before = state(original)
    trained = call(copied, "run", "small.toml", "--seeds", "0-2")
    assert trained.returncode == 0 and "was copied or moved" in trained.stderr
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    served = call(copied, "ui", "--port", str(port))
    assert served.returncode == 2 and "was copied or moved" in served.stderr
    refused = call(copied, "sync")
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1
    assert f"its artifacts are in {(original / 'mlartifacts').as_uri()}" in refused.stderr
    (copied / "mlflow.db").unlink()
    assert unrolled(copied, "sync").returncode == 0  # in this process MLflow has the removed file open
    assert state(original) == before
    with sqlite3.connect(copied / "mlflow.db") as database:
        places = {place for (place,) in database.execute("SELECT artifact_uri FROM runs")}
    assert places and all(place.startswith((copied / "mlartifacts").as_uri()) for place in places)
