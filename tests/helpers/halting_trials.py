"""A real trial that stands still once it has written a checkpoint, until it is killed."""

import time
from typing import Any

from unrolled.bench.chapter.run import run_trial
from unrolled.bench.chapter.training.checkpoint import Checkpoint
from unrolled.bench.chapter.trial import ChapterTrial
from unrolled.bench.trial import Result

STOPS_AFTER = 2
"""Checkpoints: the first is not the last that is kept."""


def act(trial: ChapterTrial) -> Result:
    save = Checkpoint.save
    states = []

    def save_and_stand_still(self: Checkpoint, state: dict[str, Any]) -> None:
        save(self, state)
        states.append(state)
        if len(states) == STOPS_AFTER:
            assert self.path is not None
            self.path.with_suffix(".stands-still").touch()
            time.sleep(3600)

    Checkpoint.save = save_and_stand_still  # type: ignore[method-assign]
    return run_trial(trial)
