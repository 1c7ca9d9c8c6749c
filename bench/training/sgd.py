"""The engine of AWD-LSTM: gradient descent without momentum at a constant rate, and NT-ASGD.

Merity, Keskar and Socher, 2018, sections 3 and 5; what these leave open is as in the authors' code: decay is
an L2 penalty on every weight, and averaging takes in every update since its trigger.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from bench.corpus import Batches
from bench.models.recurrent import LanguageModel
from bench.training import steps
from bench.training.engine import Training
from bench.trial import Epoch, Trial


def train(
    trial: Trial, model: LanguageModel, train: Batches, valid: Batches, device: torch.device
) -> Training:
    """Train as AWD-LSTM's authors do. Raises Diverged."""
    model.to(device).reset()
    return steps.train(trial, model, train, valid, device, Descent(trial, model))


def stalled(checks: Sequence[float], plateau_patience: int) -> bool:
    """Whether the last check is worse than the best of those more than `plateau_patience` checks before it.

    NT-ASGD's trigger: Merity, Keskar and Socher, 2018, algorithm 1, as their code has it. arXiv's version has
    a typo, which they confirm in awd-lstm-lm's issue 13.
    """
    *before, now = checks
    return len(before) > plateau_patience and now > min(before[: len(before) - plateau_patience])


class Descent(steps.Rule):
    """SGD at a rate proportional to the window's length; a plateau averages the weights or halves the rate.

    Averaging runs over every update from the trigger on (ASGD with t0 = 0 and λ = 0), the descent goes on
    from the weights themselves, and the average is what is evaluated and kept. Fine-tuning is a second run
    of it in a trial's last epochs: from the average of the first, and averaged from its first update.
    """

    kept = (*steps.Rule.kept, "lr", "checks", "average", "averaged")

    def __init__(self, trial: Trial, model: LanguageModel) -> None:
        self.weights = [p for p in model.parameters() if p.requires_grad]
        super().__init__(torch.optim.SGD(self.weights, lr=trial.lr, weight_decay=trial.wd))
        self.trial = trial
        self.lr = trial.lr
        self.checks: list[float] = []
        self.average: list[Tensor] = []  # of the weights, while there is one
        self.averaged = 0  # updates that are in it

    def before_step(self, length: int) -> tuple[float, float]:
        """Set the rate in proportion to the window's length, so that every token has the same weight."""
        lr = self.lr * (length / self.trial.window)
        self.optimizer.param_groups[0]["lr"] = lr
        return lr, 0.0

    @torch.no_grad()
    def after_step(self) -> None:
        """See Rule.after_step."""
        super().after_step()
        if self.average:
            self.averaged += 1
            for mean, weight in zip(self.average, self.weights, strict=True):
                mean.lerp_(weight, 1 / self.averaged)

    @contextmanager
    def evaluation_weights(self) -> Iterator[None]:
        """See Rule.evaluation_weights: the average, where there is one."""
        own = [weight.detach().clone() for weight in self.weights]
        self.finish()
        yield
        self._set(own)

    def after_epoch(self, epoch: Epoch) -> None:
        """See Rule.after_epoch."""
        self.checks.append(epoch.valid_loss)
        if epoch.epoch + 1 == self.trial.epochs - self.trial.finetune < self.trial.epochs:
            self.finish()
            self.lr = self.trial.lr
            self._average("finetune")
        elif not self.average and stalled(self.checks, self.trial.plateau_patience):
            if self.trial.on_plateau == "average":
                self._average("average")
            elif self.trial.on_plateau == "halve":
                self.lr /= 2
                self.checks.clear()
                self._turn("halve")

    def finish(self) -> None:
        """See Rule.finish: the average, where there is one."""
        if self.averaged:
            self._set(self.average)

    def _average(self, why: str) -> None:
        self.average, self.averaged = [weight.detach().clone() for weight in self.weights], 0
        self._turn(why)

    def _turn(self, what: str) -> None:
        self.phase_changes.setdefault(what, []).append(self.steps)

    @torch.no_grad()
    def _set(self, values: Sequence[Tensor]) -> None:
        for weight, value in zip(self.weights, values, strict=True):
            weight.copy_(value)
