"""What a run says of its outcome."""

from pathlib import Path

import pytest

from tests.helpers.command_call import check_command, run_command
from tests.helpers.program_project import write_project

PROGRAM = """
import argparse, json
from pathlib import Path
options = argparse.ArgumentParser()
options.add_argument("--kernel")
options.add_argument("--seed", type=int)
given = options.parse_args()
if given.kernel == "better" and given.seed in (2, 7) and Path(__file__).with_name("broken").exists():
    raise SystemExit(1)
better = given.kernel == "better"
gain = better * (0.5 + 0.00291 * (given.seed * 3 % 7))
print(json.dumps({"loss": 1 - gain + 0.0137 * (given.seed * 7 % 5)}))
"""
STUDY = """
name = "mine"
question = "Is it better?"
metrics = [{ name = "loss", delta = 0.05 }]
seeds = 8
looks = [5, 8]

[program]
run = "python train.py --kernel {kernel} --seed {seed}"

[baseline]
kernel = "base"

[design.one_at_a_time]
kernel = ["better"]
"""


@pytest.mark.usefixtures("skip_mlflow")
def test_failures_beyond_the_look_that_decided_are_no_faults(tmp_path: Path) -> None:
    """After each --retry the run asked for another, and its exit code stayed 1."""
    folder = write_project(tmp_path / "project", PROGRAM, STUDY)
    (folder / "broken").touch()
    process = run_command(folder, "run", "mine.toml", "-j", "1")
    assert process.returncode == 1
    assert "--retry" in process.stdout
    (folder / "broken").unlink()
    output = check_command(folder, "run", "mine.toml", "-j", "1", "--retry")
    assert "--retry" not in output
    assert " 1 failed" in output, "seed 7, beyond the look"
