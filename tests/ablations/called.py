"""The command and scripts in this process, which has mlflow and pandas loaded, and a fork server with torch.

Where the claim is about the command's own process, `as_typed.unrolled` starts one, for eight seconds of CPU.
"""

import io
import runpy
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from as_typed import environment
from new_process import new_process

from unrolled.ablations.cli import main
from unrolled.reports.design import find_page
from unrolled.reports.summary import read_summary


@contextmanager
def _typed(folder: Path, words: tuple[str, ...], **more: str) -> Iterator[tuple[io.StringIO, io.StringIO]]:
    """What is printed within the block, and its errors, in a new process's folder, with its variables."""
    out, err = io.StringIO(), io.StringIO()
    patched = pytest.MonkeyPatch.context()
    with new_process(), patched as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(folder)
        patch.setattr(sys, "argv", [*words])
        for name, value in environment(folder, **more).items():
            patch.setenv(name, value)
        yield out, err


def call(folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder, with `more` variables."""
    with _typed(folder, ("unrolled", *words), **more) as (out, err):
        code = main()
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


def succeed(folder: Path, *words: str, **more: str) -> str:
    """Run a command that has to end well; what it prints."""
    done = call(folder, *words, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def facts(folder: Path, study: str) -> str:
    """What a new page of a study says of its trials and contrasts."""
    succeed(folder, "report", study)
    summary = read_summary(find_page(study, folder / "out"))
    assert summary is not None
    return summary.facts


def run_script(folder: Path, script: str, **names: object) -> str:
    """Run a script of Python in a folder, with these names defined; what it prints."""
    with _typed(folder, (script,)) as (out, _):
        runpy.run_path(script, names, run_name="__main__")
    return out.getvalue()
