"""Scripts of which a study is drafted, and their drafts."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from unrolled.ablations.drafting.draft import draft_study

pytestmark = pytest.mark.usefixtures("skip_mlflow")


def write_draft(folder: Path, source: str) -> tuple[dict[str, Any], str]:
    """Write the study of a script and return its tables and the lines on it."""
    (folder / "train.py").write_text(source)
    text, lines = draft_study("mine", folder / "train.py", folder)
    (folder / "mine.toml").write_text(text)
    return tomllib.loads(text), "\n".join(lines)


def flag_source(words: str) -> str:
    """Return a script with one flag."""
    return f"import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument({words})\n"
