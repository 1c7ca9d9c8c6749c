"""A program on a cluster: its files are sent to the workers, and its numbers are those of this machine."""

from pathlib import Path

import pytest
from called import call

PROGRAM = """
import json, pathlib, random, sys
import helper
random.seed(int(sys.argv[1]))
text = pathlib.Path("data.txt").read_text()
print(json.dumps({"loss": random.random() * int(sys.argv[2]) + len(text) + helper.one}))
"""
STUDY = """
name = "mine"
question = "Is it worth it?"
metrics = [{ name = "loss", delta = 0.1 }]
seeds = 3
[program]
run = "python train.py {seed} {width}"
data = ["data.txt"]
[baseline]
width = 1
[design.one_at_a_time]
width = [2]
"""


@pytest.mark.slow
def test_a_program_on_a_cluster_has_the_numbers_that_verify_finds_here(two: str, tmp_path: Path) -> None:
    for name, text in {
        "train.py": PROGRAM,
        "mine.toml": STUDY,
        "data.txt": "abc",
        "helper.py": "one = 1",
    }.items():
        (tmp_path / name).write_text(text)
    done = call(tmp_path, "run", "mine.toml", "--cluster", two)
    assert done.returncode == 0, done.stderr
    assert "mine: 6 trained" in done.stdout
    assert "6 of 6 bit-identical" in call(tmp_path, "verify", "mine.toml", "-n", "6").stdout
