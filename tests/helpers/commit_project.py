"""A repository with a study in it whose arms are commits."""

from pathlib import Path

import pandas as pd
import pytest

from tests.helpers.command_call import check_command
from tests.helpers.git_repository import begin_repository, commit_files, git
from unrolled.ablations.ledger import Ledger

TRAIN = """
import json, random, sys
import helper

seed, rate = int(sys.argv[1]), float(sys.argv[2])
bias = float(open("data/bias.txt").read())
print(json.dumps({"loss": helper.BASE + rate + bias + random.Random(seed).gauss(0, 0.05)}))
"""
STUDY = """
name = "branch"
question = "Is the branch better?"
metrics = [{ name = "loss", delta = 0.05 }]
seeds = 2
[program]
run = "python train.py {seed} {rate}"
data = ["data"]
[baseline]
commit = "main"
rate = 0.1
[design.one_at_a_time]
commit = ["better", "words", "comment", "broken"]
"""
EDITS = {
    "better": {"helper.py": "BASE = 0.5\n"},
    "words": {"README.md": "Other words.\n"},
    "comment": {"helper.py": "BASE = 1.0  # as ever\n"},
    "broken": {"helper.py": "raise SystemExit('no such thing')\n"},
}


def commit_branch(folder: Path, branch: str, files: dict[str, str], message: str = "a change") -> None:
    """Commit files on a branch that begins at main, which stays checked out."""
    git(folder, "checkout", "-qB", branch)
    commit_files(folder, message, files)
    git(folder, "checkout", "-q", "main")


def make_project(folder: Path, study: str = STUDY) -> Path:
    """Make a repository with a study, a branch for each of EDITS, and data that git ignores."""
    files = {"train.py": TRAIN, "helper.py": "BASE = 1.0\n", "README.md": "Words.\n", ".gitignore": "data/\n"}
    begin_repository(folder, {**files, "branch.toml": study})
    for branch, edits in EDITS.items():
        commit_branch(folder, branch, edits, f"a change: {branch}")
    (folder / "data").mkdir()
    (folder / "data" / "bias.txt").write_text("0.25")
    return folder


def read_trials(folder: Path, name: str = "branch") -> pd.DataFrame:
    """Return the table of trials beside a study's page."""
    return pd.read_csv(folder / "out" / name / "trials.csv")


def count_trials(folder: Path) -> int:
    """Return the number of results."""
    return len(Ledger(folder / "results").find_result_files())


def run_and_require_gain(folder: Path) -> None:
    """Run the study and require that `better` is better, as its own files make it."""
    check_command(folder, "run", "branch.toml", "--seeds", "0-1")
    losses = read_trials(folder).groupby("arm").loss.mean()
    assert losses["main"] == pytest.approx(losses["better"] + 0.5)


PAIR_STUDY = (
    STUDY.split("[design")[0].replace('data = ["data"]\n', "")
    + '[design.one_at_a_time]\ncommit = ["better"]\n'
)


def make_pair(folder: Path, study: str, files: dict[str, str], edits: dict[str, str]) -> Path:
    """Make a repository with these files on main, and edits of them on the branch `better`."""
    begin_repository(folder, {**files, "branch.toml": study})
    commit_branch(folder, "better", edits)
    return folder
