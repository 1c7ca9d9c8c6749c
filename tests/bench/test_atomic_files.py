"""Files that belong together are all replaced or none, and what a killed process began is removed."""

import os
import subprocess
from pathlib import Path

import pytest

from unrolled.bench.atomic_files import make_output_folder, remove_abandoned_drafts, save_files
from unrolled.bench.errors import BadInput


def test_where_the_disk_is_full_no_file_of_several_is_replaced(tmp_path: Path, small_disk) -> None:
    with small_disk(tmp_path / "disk", "64k"):
        first = tmp_path / "disk" / "one"
        second = tmp_path / "disk" / "two"
        save_files({first: b"1", second: b"2"})
        with pytest.raises(BadInput, match=rf"^{second}: cannot be written \(No space left on device\)"):
            save_files({first: b"new", second: bytes(1 << 17)})
        assert (first.read_bytes(), second.read_bytes()) == (b"1", b"2")
        assert sorted(path.name for path in first.parent.iterdir()) == ["one", "two"]


def test_the_drafts_of_dead_processes_are_swept_and_those_of_the_living_are_not(tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    for pid in (dead.pid, os.getppid()):
        (tmp_path / f".page.html.{pid}.1.partial").write_bytes(b"half")
    remove_abandoned_drafts(tmp_path.iterdir())
    assert [path.name for path in tmp_path.iterdir()] == [f".page.html.{os.getppid()}.1.partial"]


def test_git_ignores_a_new_folder_of_ours_and_no_folder_that_has_files_of_the_users(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "train.py").write_text("")
    for name, ignored in (("results", True), ("mine", False)):
        for _ in range(2):
            make_output_folder(tmp_path / name)
        assert (tmp_path / name / ".gitignore").exists() is ignored
