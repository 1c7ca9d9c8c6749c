"""Trials that need no torch and whose arms differ by known amounts; also `unrolled` with them for its work.

An arm is LMModel4 with other options: `hidden` moves the loss (see `MOVED`), `lr` names what happens. Words for
trials are in the environment: SLEEP (seconds each takes), FAIL ("hidden/seed …", which fail), GATE (a folder: a
trial named there as "hidden-seed.wait" ends once that file is gone), LOG (a file: a line for each start and end).
"""

import hashlib
import os
import random
import sys
import time
from pathlib import Path

from bench.trial import Result, Trial, failure

MOVED = {64: 0.0, 32: 0.0, 8: 1.0, 16: 0.35, 24: 0.16}
"""The loss of a width; its noise has an SD of .3, and .02 for 32, which is as good as 64."""


def act(trial: Trial) -> Result:
    hidden = int(trial.options["hidden"])
    log(f"start {hidden} {trial.seed}")
    time.sleep(float(os.environ.get("SLEEP", 0)))
    if "GATE" in os.environ:
        gate = Path(os.environ["GATE"], f"{hidden}-{trial.seed}.wait")
        while gate.exists():
            time.sleep(0.01)
    log(f"end {hidden} {trial.seed}")
    if f"{hidden}/{trial.seed}" in os.environ.get("FAIL", "").split():
        return failure(trial, "no luck")
    luck = random.Random(trial.seed).gauss(0, 0.5)
    own = random.Random(f"{hidden} {trial.seed}").gauss(0, 0.02 if hidden == 32 else 0.3)
    loss = 3 + MOVED[hidden] + luck + (0 if hidden == 64 else own)
    return Result(
        trial=trial,
        status="done",
        metrics={"valid_loss": loss, "valid_accuracy": 1 / loss},
        fingerprints={"weights": hashlib.sha256(str(loss).encode()).hexdigest()},
    )


def log(line: str) -> None:
    if "LOG" in os.environ:
        with Path(os.environ["LOG"]).open("a") as file:
            file.write(f"{line}\n")


class Unlogged:
    """Stands in for the thread that writes to MLflow."""

    def __init__(self, *_: object) -> None:
        pass

    def record(self, *_: object) -> None:
        pass

    def close(self, *_: object, **__: object) -> str:
        return ""

    def wait(self, *_: object) -> bool:
        return True

    def link(self, *_: object) -> None:
        return None

    def publish(self, *_: object) -> None:
        pass


def unrolled(*words: str) -> int:
    """The command with these trials for its work, without MLflow and pages."""
    from ablations.cli import main
    from ablations.commands import run

    honest = run.conditions
    run.conditions = lambda *args: {**honest(*args), "work": "look_trials:act", "preload": ("look_trials",)}
    run._try_first_batches = lambda *_: None
    run.Recorder = Unlogged  # type: ignore[assignment, misc]
    run.published = lambda *_: ()  # type: ignore[assignment]
    run.render = lambda found, out: out / "index.html"
    run.index = lambda *_: None
    return main(list(words))


if __name__ == "__main__":
    sys.exit(unrolled(*sys.argv[1:]))
