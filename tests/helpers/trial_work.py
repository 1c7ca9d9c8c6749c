"""Work for the trials of a run: none, work that halts at a checkpoint, and a list of the files it loads.

This module imports little, since the last of them lists what a trial's process has imported.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from unrolled.ablations.runner.child import ProcessConditions
from unrolled.bench.sources.identity import ROOT
from unrolled.bench.trial import Result, Trial

LAST_CHECKPOINT = 2
"""The number of checkpoints after which a trial halts: the first is not the last that is kept."""


def train_nothing(trial: Trial) -> Result:
    """Return a result as long as a real one's."""
    return Result(trial=trial, status="done", trace={"checksums": "0" * 50_000})


def halt_at_checkpoint(trial: Any) -> Result:
    """Train a real trial that stands still once it has written a checkpoint, until it is killed."""
    from unrolled.bench.chapter.chapter_run import run_trial
    from unrolled.bench.chapter.training.checkpoint import Checkpoint

    save = Checkpoint.save
    states = []

    def save_and_stand_still(self: Checkpoint, state: dict[str, Any]) -> None:
        save(self, state)
        states.append(state)
        if len(states) == LAST_CHECKPOINT:
            assert self.path is not None
            self.path.with_suffix(".stands-still").touch()
            time.sleep(3600)

    Checkpoint.save = save_and_stand_still  # type: ignore[method-assign]
    return run_trial(trial)


def print_modules(trial: Trial) -> Result:
    """Run a trial and print the files of the project that its process has loaded at the end."""
    work: Callable[[Trial], Result] = trial.trainer.run_trial.load()
    result = work(trial)
    files = [module.__file__ for name, module in sys.modules.items() if name.startswith("unrolled.")]
    print(*files, sep="\n")
    raise RuntimeError(f"prints are kept of trials that fail; this one is {result.status}")


def list_loaded_files(trial: Trial, checkpoints: Path) -> set[str]:
    """Return the files of the package `bench` that a trial's process loads, relative to it."""
    from unrolled.ablations.runner.process import run_in_process  # which no trial's process loads

    result = run_in_process(
        trial, ProcessConditions(run_import=f"{__name__}:print_modules"), checkpoints=checkpoints
    )
    assert result is not None and result.reason.endswith("this one is done"), result
    files = [Path(line) for line in result.output.splitlines() if line.startswith(str(ROOT))]
    return {os.path.relpath(file, ROOT / "bench") for file in files if file.suffix == ".py"}
