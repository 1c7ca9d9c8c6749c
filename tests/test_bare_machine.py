"""The tests themselves on a machine with nothing but Python."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.parametrize(
    ("tests", "programs"),
    [
        ("ablations/mlflow/test_mlflow_in_browser.py", "chromium and chromedriver"),
        ("reports/test_page_in_browser.py", "chromium and chromedriver"),
        ("bench/test_machine.py", "git"),
    ],
)
def test_what_needs_a_program_is_skipped_without_it_and_the_last_lines_tell(
    tmp_path: Path, tests: str, programs: str
) -> None:
    command = [sys.executable, "-m", "pytest", "-n0", "-p", "no:cacheprovider", str(HERE / tests)]
    environ = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")} | {"PATH": str(tmp_path)}
    done = subprocess.run(command, cwd=HERE.parent, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and " error" not in done.stdout, done.stdout
    assert done.stdout.splitlines()[-2].startswith(f"skipped for want of: {programs} (")
