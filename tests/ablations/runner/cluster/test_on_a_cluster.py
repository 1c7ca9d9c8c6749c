"""The command on a cluster: real trials, a text and a model of the user's own, and the same bits as here."""

from pathlib import Path

import pytest
from called import call

MODEL = """
from torch import nn
from bench.plugins import cell

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
STUDY = """
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
def test_a_study_on_a_cluster_has_the_bits_that_verify_finds_here(two: str, tmp_path: Path) -> None:
    (tmp_path / "leaky.py").write_text(MODEL)
    (tmp_path / "leaky.toml").write_text(STUDY)
    (tmp_path / "my.txt").write_text("the cat sat on a mat and saw another cat there . " * 60)

    def run(*words: str) -> str:
        done = call(tmp_path, *words, "--plugin", "leaky.py")
        assert done.returncode == 0, done.stderr
        return done.stdout

    told = run("run", "leaky.toml", "--cluster", two)
    assert "[4/4] " in told
    assert "leaky: 4 trained, 0 already there, 0 failed, 0 diverged, 0 left" in told
    assert "2 of 2 bit-identical" in run("verify", "leaky", "-n", "2")
