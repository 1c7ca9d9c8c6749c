"""The command in this process, which has mlflow and pandas loaded, and a fork server with torch.

Where the claim is about the command's own process, `as_typed.unrolled` starts one, for eight seconds of CPU.
"""

import io
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from as_typed import environment
from new_process import new_process

from ablations.cli import main


def call(folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder, with `more` variables."""
    out, err = io.StringIO(), io.StringIO()
    patched = pytest.MonkeyPatch.context()
    with new_process(), patched as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["unrolled", *words])
        for name, value in environment(folder, **more).items():
            patch.setenv(name, value)
        code = main()
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())
