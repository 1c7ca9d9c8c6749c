"""The bundle of a study that was run, and its author's folder."""

import shutil
from pathlib import Path

import pytest

from tests.ablations.bundles.bundle_files import make_bundle


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
