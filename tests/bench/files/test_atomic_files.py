"""Files that belong together are all replaced or none, and what a killed process began is removed."""

import errno
import os
import subprocess
from pathlib import Path

from tests.helpers.bad_input import raises_bad_input
from unrolled.bench.files.atomic_files import make_output_folder, remove_abandoned_drafts, save_files


def test_a_full_disk_replaces_no_file_of_several(tmp_path: Path, small_disk) -> None:
    with small_disk(tmp_path / "disk", "64k"):
        first = tmp_path / "disk" / "one"
        second = tmp_path / "disk" / "two"
        save_files({first: b"1", second: b"2"})
        with raises_bad_input(os.strerror(errno.ENOSPC), place=second):
            save_files({first: b"new", second: bytes(1 << 17)})
        assert (first.read_bytes(), second.read_bytes()) == (b"1", b"2")
        assert sorted(path.name for path in first.parent.iterdir()) == ["one", "two"]


def test_only_the_drafts_of_dead_processes_are_removed(tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    for pid in (dead.pid, os.getppid()):
        (tmp_path / f".page.html.{pid}.1.partial").write_bytes(b"half")
    remove_abandoned_drafts(tmp_path.iterdir())
    assert [path.name for path in tmp_path.iterdir()] == [f".page.html.{os.getppid()}.1.partial"]


def test_git_ignores_a_new_folder_and_no_folder_of_the_users(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "train.py").write_text("")
    for name, ignored in (("results", True), ("mine", False)):
        for _ in range(2):
            make_output_folder(tmp_path / name)
        assert (tmp_path / name / ".gitignore").exists() is ignored
