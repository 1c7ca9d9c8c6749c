"""Trials that need no torch and whose loss is known: every dropout has a learning rate that suits it."""

import math

from unrolled.bench.chapter.trial import ChapterTrial
from unrolled.bench.trial import Result, failure

SUITS = {0.0: 0.01, 0.1: 0.003, 0.2: 0.03, 0.3: 0.01}
"""The best learning rate by dropout; at it, a trial's loss is the dropout and its luck."""


def act(trial: ChapterTrial) -> Result:
    dropout = float(trial.options["dropout"])
    if dropout == 0.2 and trial.lr > 0.01 and trial.seed == 2001:
        return failure(trial, "diverged at step 3", status="diverged")
    if dropout == 0.3 and trial.seed >= 2000:
        return failure(trial, "killed by signal 9")
    luck = trial.seed % 10 / 100 + round(trial.seed * (1 + 10 * dropout)) % 3 / 1000
    loss = 1 + dropout + abs(math.log10(trial.lr / SUITS[dropout])) + luck
    return Result(
        trial=trial,
        status="done",
        metrics={"valid_loss": loss, "valid_accuracy": 1 / loss},
        fingerprints={"weights": trial.id},
    )
