"""The command as a user types it: in a process, a folder and an MLflow database of its own."""

import fcntl
import functools
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

shared_folder = Path()
"""A folder of this test run, which its workers share; a fixture of the session sets it."""

COMMAND = str(Path(sys.executable).with_name("unrolled"))
COMMAND_LINES = """
import sys
from unrolled.ablations.cli import main

sys.exit(max(main(line.split()) for line in sys.argv[1:]))
"""
"""A program that calls the command with each of its arguments, a line each: it is started once for them."""
TEXT = "the cat sat on the mat and the dog sat on the log . " * 60


def write_study(
    folder: Path,
    name: str = "small",
    seeds: str = "seeds = 5",
    widths: Sequence[int] = (8,),
    arms="",
    **settings,
) -> Path:
    """Write a study of a small text, with arms of these widths, and return its folder.

    `seeds` are lines of the study, with its looks or metrics if need be; `arms` are more of them.
    """
    settings = {"model": "lm4", "corpus": "text.txt", "epochs": 1, "batch": 4, "window": 8, **settings}
    baseline = "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())
    design = f"[design.one_at_a_time]\nhidden = {[*widths]}\n" if widths else ""
    header = f'name = "{name}"\nquestion = "Does a narrower network do worse?"\n{seeds}\n'
    (folder / settings["corpus"]).write_text(TEXT)
    (folder / f"{name}.toml").write_text(f"{header}[baseline]\n{baseline}{design}{arms}")
    return folder


def make_environment(folder: Path, **variables: str) -> dict[str, str]:
    """Return the caller's variables without those of a test run, with an MLflow database of the folder."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "PYTEST", "COV"))}
    database = folder / "mlflow.db"
    if not database.exists():
        database.write_bytes(empty_database())
        with closing(sqlite3.connect(database)) as db, db:
            db.execute("UPDATE experiments SET artifact_location = ?", [f"{folder}/mlruns/0"])
    return {**clean, "MLFLOW_TRACKING_URI": f"sqlite:///{database}", **variables}


@functools.cache
def empty_database() -> bytes:
    """Return a database with MLflow's schema, which takes four seconds: one worker makes it for all."""
    code = (
        "import sys; from unrolled.ablations.mlflow import database; database.prepare_database(sys.argv[1])"
    )
    database = shared_folder / "empty.db"
    with (shared_folder / "empty.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not database.exists():
            with TemporaryDirectory() as folder:
                path = Path(folder) / "mlflow.db"
                words = [sys.executable, "-c", code, f"sqlite:///{path}"]
                subprocess.run(words, capture_output=True, check=True)
                shutil.move(path, database)
    return database.read_bytes()


def check_process(folder: Path, *words: str, **variables: str) -> str:
    """Run a command that has to end well, with these variables, and return its output."""
    process = subprocess.run(
        [COMMAND, *words],
        cwd=folder,
        env=make_environment(folder, **variables),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


def list_imports(folder: Path, *lines: str) -> tuple[int, set[str]]:
    """Return the highest exit code of commands in one process, and the slow packages that they import."""
    code = """
import sys
from unrolled.ablations.cli import main
def run(line):
    try:
        return main(line.split())
    except SystemExit as end:
        return end.code
code = max(map(run, sys.argv[1:]))
print(code, *{"torch", "fastai", "mlflow", "pandas"} & {*sys.modules})
"""
    program = [sys.executable, "-c", code, *lines]
    process = subprocess.run(program, cwd=folder, capture_output=True, text=True, check=True)
    number, *packages = process.stdout.splitlines()[-1].split()
    return int(number), {*packages}


def write_sitecustomize(folder: Path, code: str) -> str:
    """Write a sitecustomize.py and return the PYTHONPATH under which every process runs it first."""
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(code)
    return os.pathsep.join(filter(None, (str(folder / "site"), os.environ.get("PYTHONPATH"))))


def read_mlflow_runs(folder: Path, role: str) -> list[str]:
    """Return the statuses of MLflow's active runs of a role; a half-written run is there as deleted."""
    with sqlite3.connect(folder / "mlflow.db") as db:
        query = (
            "SELECT status FROM runs JOIN tags USING (run_uuid) "
            "WHERE key = 'unrolled.role' AND value = ? AND lifecycle_stage = 'active'"
        )
        return [status for (status,) in db.execute(query, (role,))]
