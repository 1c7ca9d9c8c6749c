"""A run's temporary files and processes, in real processes that are killed."""

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.processes import wait_for

SAY = "from unrolled.ablations import run_folder; print(run_folder.open_run_folder(), flush=True); "


@pytest.fixture
def tmpdir(monkeypatch) -> Iterator[Path]:
    """Yield a TMPDIR that is short enough for a socket, as pytest's are not, and empty at the end."""
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("TMPDIR", folder)
        yield Path(folder)
        assert list(Path(folder).iterdir()) == []


def start_process(program: str) -> tuple[subprocess.Popen[str], Path]:
    """Start a process that runs `program` once it has a folder, and return both."""
    process = subprocess.Popen([sys.executable, "-c", SAY + program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_the_next_process_removes_what_killed_ones_left(tmpdir: Path) -> None:
    program = "import time; (run_folder.open_run_folder() / 'file').touch(); time.sleep(600)"
    victim, victim_folder = start_process(program)
    survivor, survivor_folder = start_process(program)
    wait_for((victim_folder / "file").exists)
    stray = subprocess.Popen(["sleep", "600"], env={**os.environ, "UNROLLED_RUN": str(victim_folder)})
    # a killed process is there until its parent has waited for it
    reaper = threading.Thread(target=stray.wait)
    reaper.start()
    victim.kill()
    victim.communicate()
    assert (victim_folder / "file").exists()
    start_process("")[0].communicate()
    assert not victim_folder.exists()
    assert survivor_folder.exists()
    reaper.join(60)
    assert stray.returncode == -9
    survivor.kill()
    survivor.communicate()
    start_process("")[0].communicate()


def test_a_path_that_is_too_long_for_a_socket_is_not_taken(tmp_path: Path, monkeypatch) -> None:
    deep = tmp_path / ("deep" * 20)
    deep.mkdir()
    monkeypatch.setenv("TMPDIR", str(deep))
    process, folder = start_process("")
    process.communicate()
    assert folder.parent == Path("/tmp")


def test_temporary_files_go_with_their_process(tmpdir: Path) -> None:
    process, folder = start_process(
        "import tempfile\nwith run_folder.use_run_folder(): print(tempfile.mkdtemp())"
    )
    assert Path(process.communicate()[0].strip()).parent == folder
    assert folder.parent == tmpdir and not folder.exists()
