"""The command as a user types it: in a process, a folder and an MLflow database of its own."""

import os
import subprocess
import sys
from pathlib import Path

COMMAND = str(Path(sys.executable).with_name("unrolled"))
TEXT = "the cat sat on the mat and the dog sat on the log . " * 60
BASELINE = """
[baseline]
model = "lm4"
corpus = "text.txt"
epochs = 1
batch = 4
window = 8
"""
"""Of a study that trains on TEXT in a moment."""
SMALL = f"""
name = "small"
question = "Does a narrower network do worse?"
seeds = 5
{BASELINE}[design.one_at_a_time]
hidden = [8]
"""


def environment(folder: Path, **more: str) -> dict[str, str]:
    """The caller's variables without those of a test run, and where MLflow keeps its data."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "PYTEST", "COV"))}
    return {**clean, "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db", **more}


def unrolled(folder: Path, *words: str | bytes, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder until it ends, with `more` variables."""
    return subprocess.run(
        [COMMAND, *words],
        cwd=folder,
        env=environment(folder, **more),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
