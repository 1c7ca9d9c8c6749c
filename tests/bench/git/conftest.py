"""A repository whose commits are checked out."""

from pathlib import Path

import pytest

from tests.helpers.git_repository import make_repository


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the work tree of a repository."""
    make_repository(tmp_path / "repository")
    return tmp_path / "repository"
