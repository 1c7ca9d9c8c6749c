"""The reference pages say what the code does."""

import subprocess
import sys
from pathlib import Path

GENERATE = Path(__file__).parents[1] / "docs" / "generate.py"


def test_the_reference_pages_are_those_of_the_code() -> None:
    command = [sys.executable, str(GENERATE), "--check"]  # a process of its own, without a test's plug-ins
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
