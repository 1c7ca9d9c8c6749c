"""A program that a user might have: its study, with a setting, a switch and a seed, and one run of it."""

from pathlib import Path

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.runner.child import Limits
from unrolled.ablations.runner.parallel import TrialConditions, run_trials
from unrolled.ablations.runner.supervisor import RunSupervisor
from unrolled.bench.program.program_trial import ProgramTrial
from unrolled.bench.trial import Result

PROGRAM = """
import argparse, json, random
parser = argparse.ArgumentParser()
parser.add_argument("--dropout", type=float)
parser.add_argument("--deep", action=argparse.BooleanOptionalAction)
parser.add_argument("--seed", type=int)
given = parser.parse_args()
random.seed(given.seed)
accuracy = 0.8 + random.gauss(0, 0.01) + given.dropout / 10 + 0.05 * given.deep
for epoch in range(3):
    print(json.dumps({"epoch": epoch, "accuracy": accuracy + epoch / 100}))
print("done")
"""
STUDY = """
name = "mine"
question = "Does dropout help?"
metrics = [{ name = "accuracy", delta = 0.01 }]
seeds = 5

[program]
run = "python train.py --dropout {dropout} {deep?--deep:--no-deep} --seed {seed}"

[baseline]
dropout = 0.0
deep = false

[design.one_at_a_time]
dropout = [0.5]
deep = [true]
"""
ECHO = "import time\nprint(json.dumps({**vars(given), 'timestamp': time.time(), 'path': 'runs/3'}))\n"
"""What programs tell beside their metrics: their arguments, the seed among them, and the time."""


def write_project(folder: Path, program: str = PROGRAM, study: str = STUDY) -> Path:
    """Write a program and its study and return their folder."""
    folder.mkdir(exist_ok=True)
    (folder / "train.py").write_text(program)
    (folder / "mine.toml").write_text(study)
    return folder


def run_program(folder: Path, program: str, *, resumes: bool = True, **changes: object) -> Result:
    """Run a program with one seed and return its result."""
    (folder / "train.py").write_text(program)
    fields = {"run": "python train.py {seed} {out}", "code_patterns": ("train.py",), **changes}
    trial = ProgramTrial(seed=3, folder=str(folder), **fields).identify()
    ledger = Ledger(folder / "results")
    conditions = TrialConditions(limits=Limits(time_limit=30), resumes=resumes)
    run_trials([trial], ledger, conditions, RunSupervisor(retries=True))
    result = ledger.read_result(trial.id)
    assert result is not None
    return result
