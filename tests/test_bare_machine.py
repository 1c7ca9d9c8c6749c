"""The tests themselves on a machine with nothing but Python."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
BROWSER_TEST = HERE / "reports/page/test_page_in_browser.py::test_axe_would_find_a_fault"
GIT_TESTS = HERE / "bench/hardware/test_machine.py"


@pytest.mark.slow
def test_tests_without_their_program_are_skipped_and_counted_last(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-n0",
        "-p",
        "no:cacheprovider",
        str(BROWSER_TEST),
        str(GIT_TESTS),
    ]
    environ = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")} | {"PATH": str(tmp_path)}
    done = subprocess.run(command, cwd=HERE.parent, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and " error" not in done.stdout, done.stdout
    pattern = r"skipped for want of: chromium and chromedriver \(1\), git \(1\)"
    assert re.fullmatch(pattern, done.stdout.splitlines()[-2])
