"""A plug-in may read the files that count in its trials' identities, and no others."""

import importlib
import runpy
from importlib.machinery import ExtensionFileLoader, ModuleSpec, SourceFileLoader
from pathlib import Path

import pytest

from unrolled.bench.errors import BadInput
from unrolled.bench.plugin_sources import Reads

READ = {
    "open": ("scale.txt", lambda path: path.read_text()),
    "exec": ("late.py", lambda path: exec(path.read_text())),
    "runpy": ("late.py", lambda path: runpy.run_path(str(path))),
    "a loader": ("late.py", lambda path: SourceFileLoader("late", str(path)).get_code("late")),
    "a module by its name": ("late.py", lambda path: importlib.import_module("late")),
    "bytecode of another tool": ("__pycache__/late.one.two.three.pyc", lambda path: path.read_text()),
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
    reads = Reads()
    with pytest.raises(BadInput, match=f"^my.py: reads {Path(name).name}, "), reads.only([], "my.py"):
        read(tmp_path / name)
    assert reads.files[-1] == str((tmp_path / name).resolve())
    with pytest.raises(BadInput, match=f"^my.py: reads {Path(name).name}, "), reads.only([], "my.py"):
        pytest.fail("what was read before is refused at the start")


def test_files_that_count_and_those_in_a_folder_that_counts_may_be_read(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    for name in ("scale.txt", "kept/state.pt"):
        (tmp_path / name).write_text("1.0")
    with Reads().only([str(tmp_path / "scale.txt"), str(tmp_path / "kept")], "my.py"):
        (tmp_path / "scale.txt").read_text()
        (tmp_path / "kept" / "state.pt").read_text()
