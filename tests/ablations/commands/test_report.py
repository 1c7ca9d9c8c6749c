"""Drafts of files whose process was killed while it wrote them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ablations.commands.report import prepare_folder
from ablations.ledger import Ledger

KILLED = """
import os, signal, sys
from pathlib import Path
from bench.files import save
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
save(Path(sys.argv[1]), b"half")
"""


def locked(folder: Path) -> None:
    with Ledger(folder).lock_study("study"):
        pass


@pytest.mark.parametrize(
    ("sweeps", "files"),
    [
        (prepare_folder, ("index.html", "study/index.html")),
        (locked, ("trials/ab/abcd.json", "plans/study.json", "checkpoints/abcd.cpu.pt")),
    ],
)
def test_the_next_report_or_run_removes_them_and_none_of_a_process_that_lives(
    sweeps, files: tuple[str, ...], tmp_path: Path
) -> None:
    living = set()
    for file in files:
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
        (draft,) = path.parent.glob(".*")
        assert draft.name.startswith(f".{path.name}.") and not path.exists()
        living.add(path.with_name(f".{path.name}.{os.getppid()}.1.partial"))
    for draft in living:
        draft.write_bytes(b"half")
    sweeps(tmp_path)
    assert set(tmp_path.rglob(".*")) == living
