"""The command on a cluster, where models, programs and studies with looks come to what they come to here."""

from pathlib import Path

import pytest

from tests.helpers.command_call import PrintedCounts, check_command, read_trial_counts
from tests.helpers.git_repository import git
from tests.helpers.look_study import StudyOnDisk

pytestmark = pytest.mark.usefixtures("skip_mlflow")

MODEL = """
from torch import nn
from unrolled import cell

@cell("leaky", "leaky unit", epochs=1, batch=4, window=8)
class Leaky(nn.Module):
    def __init__(self, inputs, hidden):
        super().__init__()
        self.both = nn.Linear(inputs + hidden, hidden)

    def forward(self, x, h=None):
        import torch
        h = torch.zeros_like(x) if h is None else h
        h = 0.5 * h + 0.5 * torch.tanh(self.both(torch.cat([x, h], 1)))
        return h, h
"""
CELL = """
name = "leaky"
question = "Is it worth it?"
seeds = 2
[baseline]
model = "leaky"
corpus = "my.txt"
[[arm]]
name = "narrow"
set = { hidden = 16 }
"""


@pytest.mark.slow
def test_a_study_on_a_cluster_has_the_bits_that_verify_finds_here(two_places: str, tmp_path: Path) -> None:
    (tmp_path / "leaky.py").write_text(MODEL)
    (tmp_path / "leaky.toml").write_text(CELL)
    (tmp_path / "my.txt").write_text("the cat sat on a mat and saw another cat there . " * 60)

    output = check_command(tmp_path, "run", "leaky.toml", "--cluster", two_places, "--plugin", "leaky.py")
    assert "[4/4] " in output
    assert read_trial_counts(output) == PrintedCounts(trained=4)
    output = check_command(tmp_path, "verify", "leaky", "-n", "2", "--plugin", "leaky.py")
    assert "2 of 2 bit-identical" in output


PROGRAM = """
import json, pathlib, random, sys
import helper
random.seed(int(sys.argv[1]))
text = pathlib.Path("data.txt").read_text()
print(json.dumps({"loss": random.random() * int(sys.argv[2]) + len(text) + helper.one}))
"""
PROGRAMS = """
name = "mine"
question = "Is it worth it?"
metrics = [{ name = "loss", delta = 0.1 }]
seeds = 2
[program]
run = "python train.py {seed} {width}"
data = ["data.txt"]
[baseline]
width = 1
[design.one_at_a_time]
width = [2]
"""


@pytest.mark.slow
def test_programs_and_commits_have_the_same_numbers_on_a_cluster(two_places: str, tmp_path: Path) -> None:
    for name, text in {
        "train.py": PROGRAM,
        "mine.toml": PROGRAMS,
        "data.txt": "abc",
        "helper.py": "one = 1",
    }.items():
        (tmp_path / name).write_text(text)
    run = "run", "mine.toml", "--cluster", two_places
    assert read_trial_counts(check_command(tmp_path, *run)) == PrintedCounts(trained=4)
    assert "4 of 4 bit-identical" in check_command(tmp_path, "verify", "mine.toml", "-n", "4")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "train.py", "helper.py")
    git(tmp_path, "commit", "-qm", "as it was")
    (tmp_path / "helper.py").write_text("one = 2")
    output = check_command(tmp_path, *run, "--set", "commit=HEAD,worktree")
    assert read_trial_counts(output) == PrintedCounts(trained=4, stored=2)


@pytest.mark.slow
def test_a_study_on_a_cluster_ends_as_it_does_here(two_places: str, tmp_path: Path) -> None:
    outcomes = []
    for name, flags in (("here", ("-j", "1")), ("there", ("--cluster", two_places))):
        (tmp_path / name).mkdir()
        study = StudyOnDisk(tmp_path / name)
        study.run(*flags)
        outcomes.append((study.outcome(), study.list_trained_trials()))
    (local_outcome, local_trials), (cluster_outcome, cluster_trials) = outcomes
    assert local_outcome == cluster_outcome
    assert local_trials <= cluster_trials
    assert len(cluster_trials - local_trials) <= 2 * 3, "its two places, at each of three looks"
