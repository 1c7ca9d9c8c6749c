"""Trials that need no torch and whose arms differ by known amounts.

An arm is LMModel4 of another width. What trials do besides is in the environment: SLEEP (seconds that each
takes), FAIL ("width/seed …", those that fail), GATE (a folder: trials wait while it has their "width-seed")
and LOG (a file, which gets a line when a trial starts and one when it ends).

Every fork server of `look_study` loads this module, so it imports little.
"""

import os
import random
import time
from pathlib import Path

from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.trial import Result, make_failed_result

LOSS_SHIFTS = {64: 0.0, 8: 3.0, 24: 0.1, 32: 0.0, 48: 0.0}
"""The loss of a width: 8 is decided at the first look, 32 by its small noise, 24 not at all. Without
`to_the_end` 24 is given up at the first look."""


def act(trial: ChapterTrial) -> Result:
    """Return the result of a trial, after whatever the environment asks of it."""
    hidden = int(trial.options["hidden"])
    log(f"start {hidden} {trial.seed}")
    time.sleep(float(os.environ.get("SLEEP", 0)))
    if "GATE" in os.environ:
        gate = Path(os.environ["GATE"], f"{hidden}-{trial.seed}")
        while gate.exists():
            time.sleep(0.01)
    log(f"end {hidden} {trial.seed}")
    if f"{hidden}/{trial.seed}" in os.environ.get("FAIL", "").split():
        return make_failed_result(trial, "no luck")
    luck = random.Random(trial.seed).gauss(0, 0.5)
    noise = random.Random(f"{hidden} {trial.seed}").gauss(0, 0.01 if hidden == 32 else 0.3)
    loss = 5 + LOSS_SHIFTS[hidden] + luck + noise * (hidden != 64)
    return Result(
        trial=trial,
        status="done",
        metrics={"valid_loss": loss, "valid_accuracy": 1 / loss},
        fingerprints={"weights": str(loss)},
    )


def log(line: str) -> None:
    """Write a line to the file LOG."""
    if "LOG" in os.environ:
        with Path(os.environ["LOG"]).open("a") as file:
            file.write(f"{line}\n")
