"""A plug-in may read the files that count in its trials' identities, and no others."""

import ctypes
import importlib
import os
import platform
import runpy
import sqlite3
import subprocess
from contextlib import nullcontext, suppress
from importlib.machinery import ExtensionFileLoader, ModuleSpec, SourceFileLoader
from pathlib import Path

import psutil
import pytest

from tests.helpers.bad_input import raises_bad_input
from unrolled.bench.errors import BadInput
from unrolled.bench.sources.module_sources import ReadAudit

READ = {
    "open": ("scale.txt", lambda path: path.read_text()),
    "exec": ("late.py", lambda path: exec(path.read_text())),
    "runpy": ("late.py", lambda path: runpy.run_path(str(path))),
    "a loader": ("late.py", lambda path: SourceFileLoader("late", str(path)).get_code("late")),
    "a module by its name": ("late.py", lambda path: importlib.import_module("late")),
    "bytecode of another tool": ("__pycache__/late.one.two.three.pyc", lambda path: path.read_text()),
    "sqlite3": ("late.db", lambda path: sqlite3.connect(path)),
    "sqlite3 by an address": ("late.db", lambda path: sqlite3.connect(f"file:{path}?mode=ro", uri=True)),
    "ctypes": ("late.so", lambda path: ctypes.CDLL(str(path))),
    "a module in C": (
        "late.so",
        lambda path: ExtensionFileLoader("late", str(path)).create_module(
            ModuleSpec("late", None, origin=str(path))
        ),
    ),
}


@pytest.mark.parametrize("way", READ)
def test_a_file_that_does_not_count_is_refused_however_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    name, read = READ[way]
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / name).write_text("1.0\n")
    reads = ReadAudit()
    with (
        raises_bad_input(Path(name).name, place="my.py"),
        reads.refuse_other_files([], "my.py"),
    ):
        read(tmp_path / name)
    assert reads.files[-1] == str((tmp_path / name).resolve())
    with (
        raises_bad_input(Path(name).name, place="my.py"),
        reads.refuse_other_files([], "my.py"),
    ):
        pytest.fail("what was read before is refused at the start")


STARTS = {
    "subprocess": lambda: subprocess.run(["cat", "scale.txt"], check=False),
    "os.system": lambda: os.system("cat scale.txt"),
    "os.posix_spawn": lambda: os.posix_spawn("/bin/cat", ["cat", "scale.txt"], {}),
    "os.execv": lambda: os.execv("/bin/cat", ["cat", "scale.txt"]),
    "the C library": lambda: ctypes.CDLL(None).fopen(b"scale.txt", b"r"),
}


@pytest.mark.parametrize("way", STARTS)
@pytest.mark.parametrize("is_caught", [False, True])
def test_a_program_or_library_that_reads_unseen_is_refused(way: str, is_caught: bool) -> None:
    caught = suppress(BadInput) if is_caught else nullcontext()
    with raises_bad_input("`data_file`", place="my.py"), ReadAudit().refuse_other_files([], "my.py"), caught:
        STARTS[way]()


def test_a_program_that_was_started_before_is_refused_at_the_start() -> None:
    reads = ReadAudit()
    subprocess.run(["true"], check=True)
    with raises_bad_input("true", place="my.py"), reads.refuse_other_files([], "my.py"):
        pytest.fail("the block is not entered")


def test_an_installed_package_may_start_programs() -> None:
    with ReadAudit().refuse_other_files([], "my.py"):
        assert platform.libc_ver()
        assert psutil.Popen(["true"]).wait() == 0
        sqlite3.connect(":memory:").close()


def test_counted_files_and_folders_may_be_read(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    for name in ("scale.txt", "kept/state.pt"):
        (tmp_path / name).write_text("1.0")
    with ReadAudit().refuse_other_files([str(tmp_path / "scale.txt"), str(tmp_path / "kept")], "my.py"):
        (tmp_path / "scale.txt").read_text()
        (tmp_path / "kept" / "state.pt").read_text()
