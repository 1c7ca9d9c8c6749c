"""Projects that commands have run: a program, its copy, a bundle and its author's folder."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.helpers.bundle_files import make_bundle
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


@pytest.fixture(scope="session")
def source_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the bundle of a study on a text of the user's own, in the folder of the study."""
    return make_bundle(tmp_path_factory.mktemp("author"), "lm4")


@pytest.fixture
def bundle(source_bundle: Path, tmp_path: Path) -> Path:
    """Return a copy of the bundle where nothing else of the study is."""
    return Path(shutil.copy(source_bundle, tmp_path))


@pytest.fixture
def author_folder(source_bundle: Path, tmp_path: Path) -> Path:
    """Return a copy of the folder in which the study was run."""
    return shutil.copytree(source_bundle.parent, tmp_path / "author", ignore=shutil.ignore_patterns("*.zip"))


@pytest.fixture
def compare(tmp_path: Path, monkeypatch, call_command) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs `unrolled compare` in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return partial(call_command, "compare")
