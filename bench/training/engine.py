"""What an engine gives back. An engine is `train(trial, model, train, valid, device) -> Training`."""

import math
from dataclasses import dataclass, field

from bench.metrics import Tally
from bench.trial import Epoch


class Diverged(ArithmeticError):
    """The training loss is no longer a number."""


@dataclass
class Training:
    """The record of one training: an Epoch each, and step by step the loss, learning rate and momentum."""

    epochs: list[Epoch] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    lrs: list[float] = field(default_factory=list)
    moms: list[float] = field(default_factory=list)
    wd: float = math.nan  # as the optimizer had it
    resets: int = 0  # times that the hidden state was forgotten
    valid: Tally = field(default_factory=Tally)  # of the last epoch

    def step(self, loss: float, lr: float, mom: float) -> None:
        """Note one update. Raises Diverged where the loss is not finite."""
        self.losses.append(loss)
        self.lrs.append(float(lr))  # fastai hands out numpy floats
        self.moms.append(float(mom))
        if not math.isfinite(loss):
            raise Diverged(f"diverged: the training loss is {loss} at step {len(self.losses)}")
