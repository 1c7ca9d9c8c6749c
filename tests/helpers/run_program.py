"""A program that is run with one seed, as the trials of a study are."""

from pathlib import Path

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.runner.child import Limits
from unrolled.ablations.runner.parallel import TrialConditions, run_trials
from unrolled.bench.program.trial import ProgramTrial
from unrolled.bench.trial import Result


def run_program(folder: Path, program: str, *, resumes: bool = True, **changes: object) -> Result:
    """Run a program with one seed and return its result."""
    (folder / "train.py").write_text(program)
    fields = {"run": "python train.py {seed} {out}", "code_patterns": ("train.py",), **changes}
    trial = ProgramTrial(seed=3, folder=str(folder), **fields).identify()
    ledger = Ledger(folder / "results")
    conditions = TrialConditions(limits=Limits(time_limit=30), resumes=resumes)
    run_trials([trial], ledger, conditions, should_retrain=lambda result: result.status == "failed")
    result = ledger.read_result(trial.id)
    assert result is not None
    return result
