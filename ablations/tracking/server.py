"""`unrolled ui` and `unrolled server`: MLflow's own server, on 127.0.0.1 only.

`ui` shows the database that trials are written to; `server` puts PostgreSQL beneath it, so that several
drivers can write at once.
"""

import importlib.util
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from argparse import Namespace
from contextlib import suppress
from pathlib import Path

from ablations.flags import check_free
from ablations.tracking import browsing, database, store
from bench.trial import BadInput

OWN = {"database", "database.new", "artifacts", "mlflow.log", "postgres.log"}
"""Names that a server's folder may hold before its database is complete."""

PATIENCE = 180.0  # seconds that a first start may take: it makes some fifty tables


def ui(args: Namespace) -> int:
    """Replace this process by MLflow's server for the database that trials are written to."""
    command = ui_command(where := store.uri(), args.port)
    check_free(args.port)
    store.settings()
    with suppress(sqlite3.Error):  # MLflow reports a damaged database
        store.relocate(where)
    print(f"MLflow: {browsing.first_page(args.port)} (Ctrl-C ends it)", flush=True)
    os.execvp(command[0], command)


def ui_command(where: str, port: int = 5000) -> list[str]:
    """The command that shows `where` at http://127.0.0.1:port. Call `settings` first: it turns jobs off."""
    if where.startswith("http"):
        public = store.public(where)
        raise BadInput(
            f"{public} is a server already", place="MLFLOW_TRACKING_URI", cure="open it in a browser"
        )
    return _command(where, ["--default-artifact-root", store.artifacts(where)], port)


def _command(where: str, artifacts: list[str], port: int) -> list[str]:
    address = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--app-name", "unrolled"]
    # Another name that leads here (DNS rebinding) and other pages' requests are refused.
    hosts, origins = f"127.0.0.1:{port},localhost:{port}", _address(port)
    guards = ["--allowed-hosts", hosts, "--cors-allowed-origins", origins]
    quiet = ["--uvicorn-opts", "--no-access-log --timeout-graceful-shutdown 5"]
    data = ["--backend-store-uri", where, *artifacts]
    return [sys.executable, "-m", "mlflow", "server", *data, *address, *guards, *quiet]


def server(args: Namespace) -> int:
    """Serve MLflow on PostgreSQL until Ctrl-C. Raises BadInput with the cure for what is missing."""
    if importlib.util.find_spec("psycopg2") is None:
        raise BadInput("PostgreSQL's driver is missing", cure=".venv/bin/pip install -e '.[server]'")
    check_free(args.port)
    os.umask(0o077)
    _make_private(args.folder)
    for number in (signal.SIGTERM, signal.SIGHUP):  # as Ctrl-C: MLflow first, then the database
        signal.signal(number, signal.default_int_handler)
    with suppress(KeyboardInterrupt), database.running(args.folder / "database") as where:
        _serve(where, args.folder, args.port)
    return 0


def _make_private(folder: Path) -> None:
    """Make the server's folder, for its owner alone. Raises BadInput if it holds other things."""
    folder.mkdir(parents=True, exist_ok=True)
    strange = {path.name for path in folder.iterdir()} - OWN
    if strange and not (folder / "database" / "PG_VERSION").exists():
        raise BadInput(
            f"holds other things ({min(strange)})", place=f"--folder {folder}", cure="choose a new folder"
        )
    folder.chmod(0o700)


def _serve(where: str, folder: Path, port: int) -> None:
    """Run MLflow until Ctrl-C. Raises BadInput if it stops by itself."""
    store.settings()
    log, artifacts = folder / "mlflow.log", (folder / "artifacts").absolute()
    command = _command(where, ["--artifacts-destination", artifacts.as_uri()], port)
    with log.open("ab") as stream:
        process = subprocess.Popen(
            command, stdout=stream, stderr=stream, start_new_session=True,
            preexec_fn=database.dies_with_parent(signal.SIGTERM),
        )  # fmt: skip
    try:
        _await(process, port)
        if process.poll() is None:
            print(f"MLflow: {browsing.first_page(port)} (Ctrl-C ends it)")
            print(f"data: {folder}")
            print(f"export MLFLOW_TRACKING_URI={_address(port)}", flush=True)
        process.wait()
        raise BadInput(f"MLflow's server ended ({database.last_line(log)})", cure=f"see {log}")
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the rest takes seconds
        _end(process)


def _await(process: "subprocess.Popen[bytes]", port: int) -> None:
    """Wait until the server answers or has ended."""
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError), urllib.request.urlopen(f"{_address(port)}/health", timeout=5):
            return
        time.sleep(0.2)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Let the server finish its answers, then kill what is left of its group."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(20)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _address(port: int) -> str:
    return f"http://127.0.0.1:{port}"
