"""Studies from a text."""

from collections.abc import Callable
from pathlib import Path

import pytest

from unrolled.ablations.study.loading import load_study
from unrolled.ablations.study.study import Study


@pytest.fixture
def load_text(tmp_path: Path) -> Callable[[str], Study]:
    """Return a function that loads the study of a TOML text."""

    def load(text: str) -> Study:
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return load_study(path)

    return load
