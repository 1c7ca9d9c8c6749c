"""The project of a program that was run, and its copy; `unrolled compare` in a folder of its own."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.helpers.command_call import check_command
from tests.helpers.program_project import write_project


@pytest.fixture(scope="session")
def program_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a program's study that was run to its end."""
    folder = write_project(tmp_path_factory.mktemp("program"))
    check_command(folder, "run", "mine.toml")
    return folder


@pytest.fixture
def program_copy(program_folder: Path, tmp_path: Path) -> Path:
    """Return a copy of the program's folder, which a test may change."""
    return Path(shutil.copytree(program_folder, tmp_path / "copy"))


@pytest.fixture
def compare(tmp_path: Path, monkeypatch, call_command) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs `unrolled compare` in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return partial(call_command, "compare")
