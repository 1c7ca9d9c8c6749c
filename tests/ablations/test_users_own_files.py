"""A user's own files with the names of our packages, or of modules that we import, are never executed."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.command_call import read_trial_counts
from tests.helpers.command_process import COMMAND, make_environment

OURS = "bench.py", "reports.py", "reports/__init__.py", "ablations.py", "ablations/__init__.py", "unrolled.py"
LIBRARIES = "numpy.py", "psutil.py", "queue.py", "random.py", "signal.py", "threading.py", "types.py"
EXECUTED = "open({marker!r}, 'a').write(__file__ + '\\n')\nraise SystemExit('executed')\n"

FUNCTION = """
import random

def train(seed, width=1):
    random.seed(seed)
    return {"loss": random.random() + width}
"""
STUDY_OF_A_FUNCTION = """
from bench import train
from unrolled import declare_study, bundle, run, verify
from unrolled.ablations.options import VerifyOptions

metrics = [{"name": "loss", "delta": 0.1}]
study = declare_study("mine", train, one_at_a_time={"width": [2]}, metrics=metrics, seeds=1)
run(study)
assert verify(study, VerifyOptions(number=1))
bundle(study, "mine.zip")
"""
PROGRAM = """
import json, random, sys
random.seed(sys.argv[1])
print(json.dumps({"loss": random.random() + float(sys.argv[2])}))
"""
STUDY_OF_A_PROGRAM = """
name = "mine"
question = "Is it worth it?"
metrics = [{ name = "loss", delta = 0.1 }]
seeds = 1
[program]
run = "python train.py {seed} {width}"
[baseline]
width = 1
[design.one_at_a_time]
width = [2]
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "files", "own_files"),
    [
        (
            [COMMAND, "run", "study/mine.toml"],
            {"mine.toml": STUDY_OF_A_PROGRAM, "train.py": PROGRAM},
            ["bench.py", "reports/__init__.py", "ablations.py"],
        ),
        (
            [sys.executable, "study/my_study.py"],
            {
                "my_study.py": STUDY_OF_A_FUNCTION,
                "bench.py": FUNCTION,
            },  # the function's module is called bench
            ["reports/__init__.py", "ablations.py"],
        ),
    ],
    ids=["the command", "a function, from Python"],
)
def test_files_of_the_users_folders_are_not_imported(
    tmp_path: Path, words: list[str], files: dict[str, str], own_files: list[str]
) -> None:
    """A folder that a script lies in is on its own path, so there only our names can be in the way."""
    marker = tmp_path / "executed"
    for name in (*OURS, *LIBRARIES, *(f"study/{name}" for name in own_files)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(EXECUTED.format(marker=str(marker)))
    for name, text in files.items():
        (tmp_path / "study" / name).write_text(text)
    # pytest's own variable would be the user's
    variables = {
        name: value for name, value in make_environment(tmp_path).items() if name != "PYTHONSAFEPATH"
    }
    process = subprocess.run(words, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout + process.stderr
    assert read_trial_counts(process.stdout).trained == 2
    assert not marker.exists(), marker.read_text()
