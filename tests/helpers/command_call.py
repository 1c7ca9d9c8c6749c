"""The command and scripts in this process, which has mlflow and pandas loaded, and a fork server with torch.

Where the claim is about the command's own process, `command_process.check_process` starts one (8 s of CPU).
"""

import io
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.helpers.command_process import make_environment
from tests.helpers.new_process import new_process
from unrolled.ablations.cli import main
from unrolled.reports.page.summary import find_page, read_summary


@contextmanager
def capture_output(
    folder: Path, words: tuple[str, ...], **variables: str
) -> Iterator[tuple[io.StringIO, io.StringIO]]:
    """Capture output and errors of the block, with a new process's arguments, folder and variables."""
    output = io.StringIO()
    errors = io.StringIO()
    context = pytest.MonkeyPatch.context()
    with new_process(), context as patch, redirect_stdout(output), redirect_stderr(errors):
        patch.chdir(folder)
        patch.setattr(sys, "argv", [*words])
        for name, value in make_environment(folder, **variables).items():
            patch.setenv(name, value)
        yield output, errors


def run_command(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder, with these variables."""
    with capture_output(folder, ("unrolled", *words), **variables) as (output, errors):
        code = main()
    return subprocess.CompletedProcess(words, code, output.getvalue(), errors.getvalue())


def check_command(folder: Path, *words: str, **variables: str) -> str:
    """Run a command that has to end well and return its output."""
    process = run_command(folder, *words, **variables)
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


def refuse_command(folder: Path, *words: str, **variables: str) -> str:
    """Run a command that has to be refused and return its errors."""
    process = run_command(folder, *words, **variables)
    assert process.returncode == 2, process.stdout + process.stderr
    return process.stderr


class PrintedCounts(NamedTuple):
    """What became of a study's trials in a run."""

    trained: int = 0
    stored: int = 0
    failed: int = 0
    diverged: int = 0
    left: int = 0


def read_trial_counts(output: str) -> PrintedCounts:
    """Return the counts that a run of one study prints; here alone tests know their wording."""
    pattern = r"(\d+) trained, (\d+) already there, (\d+) failed, (\d+) diverged, (\d+) left"
    (counts,) = re.findall(pattern, output)
    return PrintedCounts(*map(int, counts))


def read_facts(folder: Path, study: str) -> str:
    """Return the facts of a study's trials and contrasts on a new page."""
    check_command(folder, "report", study)
    summary = read_summary(find_page(study, folder / "out"))
    assert summary is not None
    return summary.facts


def run_script(folder: Path, script: str, **names: object) -> str:
    """Run a Python script in a folder, with these names defined, and return its output."""
    with capture_output(folder, (script,)) as (output, _):
        runpy.run_path(script, names, run_name="__main__")
    return output.getvalue()
