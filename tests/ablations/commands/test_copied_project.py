"""A finished project that is copied or moved writes into itself, and the original stays as it is."""

import hashlib
import shutil
import socket
import sqlite3
import subprocess
import urllib.request
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

import pytest
from as_typed import COMMAND, write
from called import call


def told(folder, *words):
    """What the command says on stderr in a folder, with the database in it."""
    done = call(folder, *words)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A project whose study has been run."""
    folder = tmp_path_factory.mktemp("projects") / "original"
    folder.mkdir()
    told(write(folder, seeds="seeds = 2"), "run", "small.toml")
    return folder


@pytest.fixture
def copied(finished, tmp_path):
    """A copy of it, as `cp -r` makes one."""
    folder = tmp_path / "the copy"
    subprocess.run(["cp", "-r", finished, folder], check=True)
    return folder


def state(folder):
    """Every file and folder below it: its bytes, and when it was changed."""
    return {
        path.relative_to(folder): (
            path.is_file() and hashlib.sha256(path.read_bytes()).digest(),
            path.stat().st_mtime_ns,
        )
        for path in sorted(folder.rglob("*"))
    }


def places(folder):
    """The folders in which MLflow says that experiments and runs keep their artifacts."""
    with sqlite3.connect(folder / "mlflow.db") as database:
        query = "SELECT artifact_location FROM experiments UNION SELECT artifact_uri FROM runs"
        return [Path(unquote(place.removeprefix("file://"))) for (place,) in database.execute(query)]


def test_a_copy_trains_logs_and_reports_into_itself(finished, copied):
    before = state(finished)
    said = told(copied, "run", "small.toml", "--seeds", "0-2")
    assert [line for line in said.splitlines() if "copied or moved" in line] == [
        f"{copied}/mlflow.db: was copied or moved; its artifacts are in {copied}/mlartifacts now, "
        f"not in {finished}/mlartifacts"
    ]
    for words in (["sync"], ["report"], ["run", "small.toml", "--seeds", "0-2"]):
        assert "copied" not in told(copied, *words)
    assert state(finished) == before
    assert all(place.is_relative_to(copied) for place in places(copied))
    pages = list((copied / "mlartifacts").rglob("index.html"))
    assert len(pages) == 2  # of the plan before, and of this one with a seed more
    reports = {page.read_bytes() for page in (copied / "out").rglob("index.html")}
    assert reports & {page.read_bytes() for page in pages}


def test_a_folder_that_was_moved_keeps_its_artifacts(finished, copied, tmp_path):
    moved = tmp_path / "moved"
    shutil.move(copied, moved)
    said = told(moved, "sync")
    assert f"its artifacts are in {moved}/mlartifacts now" in said
    assert all(place.is_relative_to(moved) for place in places(moved))
    assert not copied.exists()


def fetched(address: str) -> bytes:
    with suppress(OSError), urllib.request.urlopen(address, timeout=60) as answer:
        return answer.read()
    return b""


def test_the_page_of_a_copy_shows_the_copys_own_report(finished, copied, wait_for):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    before = state(finished)
    (page,) = (copied / "mlartifacts").rglob("index.html")
    page.write_text("the copy's own")
    run = page.relative_to(copied / "mlartifacts").parts[0]
    ui = subprocess.Popen([COMMAND, "ui", "--port", str(port)], cwd=copied, stderr=subprocess.DEVNULL)
    try:
        address = f"http://127.0.0.1:{port}/get-artifact?path=index.html&run_uuid={run}"
        wait_for(lambda: fetched(address) == b"the copy's own")
    finally:
        ui.terminate()
        ui.wait()
    assert state(finished) == before
