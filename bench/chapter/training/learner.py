"""The reference engine: fastai's Learner with `fit_one_cycle`, its defaults written out."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from fastai.callback.progress import ProgressCallback
from fastai.callback.rnn import ModelResetter, RNNCallback, RNNRegularizer
from fastai.callback.schedule import Learner  # patched with fit_one_cycle
from fastai.callback.training import GradientClip
from fastai.data.core import DataLoaders
from fastai.learner import Callback
from fastai.optimizer import Adam
from torch import Tensor

from unrolled.bench.chapter.corpus import Batches
from unrolled.bench.chapter.metrics import Evaluation
from unrolled.bench.chapter.models.recurrent import LanguageModel, Output
from unrolled.bench.chapter.models.spec import active_penalties
from unrolled.bench.chapter.regularization import penalties
from unrolled.bench.chapter.throughput import Clock
from unrolled.bench.chapter.training.engine import Training
from unrolled.bench.chapter.trial import ChapterTrial


class RecordCallback(Callback):  # type: ignore[misc]
    """Fills a Training. Runs after fastai's Recorder (order 50), whose smoothed loss it reads."""

    order = 60

    def __init__(self, record: Training, trial: ChapterTrial, device: torch.device) -> None:
        self.record, self.trial, self.clock = record, trial, Clock(device)

    def before_fit(self) -> None:
        """Collect the weights by name."""
        self.weights = list(self.model.named_parameters())

    def before_train(self) -> None:
        """Start the sums of an epoch."""
        self.clock.lap()

    def after_pred(self) -> None:
        """Add a validation batch."""
        if not self.training:
            self.record.valid.add(self.pred, self.yb[0])

    def after_loss(self) -> None:
        """Note the penalties if the optimised loss exceeds the raw loss by their sum."""
        if self.training and _regularized(self.trial):
            noted = {name: float(value.detach()) for name, value in self.regularizer.penalties.items()}
            added = float((self.loss_grad - self.loss).detach())
            if math.isclose(added, sum(noted.values()), rel_tol=1e-3, abs_tol=1e-5):  # single precision
                self.record.penalized(noted)

    def before_step(self) -> None:
        """Note the gradient's norm, after fastai's GradientClip (order 11)."""
        if self.trial.clip:
            self.record.stepping(self.weights)

    def after_batch(self) -> None:
        """Note a step."""
        if self.training:
            now = self.opt.hypers[-1]
            self.record.step(float(self.loss.detach()), now["lr"], now["mom"], self.weights)
            self.record.wd = now["wd"]

    def after_train(self) -> None:
        """Stop the clock of an epoch's training."""
        self.train_seconds = self.clock.lap()

    def before_validate(self) -> None:
        """Start a validation pass."""
        self.record.valid = Evaluation()

    def after_validate(self) -> None:
        """Note the epoch."""
        steps, train_loss = len(self.dls.train), float(self.recorder.smooth_loss.value)
        self.record.end_epoch(train_loss, steps, self.train_seconds, self.clock)


class Regularizer(RNNRegularizer):  # type: ignore[misc]
    """fastai's AR and TAR, with TAR for one row too, and the user's own penalties.

    fastai skips TAR for a batch of one row; it means to skip it for a window of one step.
    """

    def __init__(self, trial: ChapterTrial) -> None:
        super().__init__(trial.alpha, trial.beta)
        self.trial = trial
        self.penalties: dict[str, Tensor] = {}

    def after_loss(self) -> None:
        """Add all penalties to the loss that is optimised. fastai calls it in training only."""
        self.penalties = penalties(self.trial, Output(self.pred, self.rnn.raw_out, self.rnn.out))
        self.learn.loss_grad = sum(self.penalties.values(), self.loss_grad)


class ResetEveryBatch(Callback):  # type: ignore[misc]
    """A stateless model: forget the hidden state before each batch."""

    def before_batch(self) -> None:
        """Reset the model."""
        self.model.reset()


def train(
    trial: ChapterTrial, model: LanguageModel, train: Batches, valid: Batches, device: torch.device
) -> Training:
    """Train as the chapter does. Raises Diverged."""
    record = Training()
    fit(learner(trial, model, train, valid, device, [RecordCallback(record, trial, device)]), trial)
    return record


def fit(made: Learner, trial: ChapterTrial) -> None:
    """Run `fit_one_cycle` with the trial's settings, and with fastai's defaults written out."""
    made.fit_one_cycle(
        trial.epochs, trial.lr, div=25.0, div_final=1e5, pct_start=0.25, wd=trial.wd, moms=trial.moms
    )


def learner(
    trial: ChapterTrial,
    model: LanguageModel,
    train: Batches,
    valid: Batches,
    device: torch.device,
    cbs: list[Callback],
) -> Learner:
    """A fastai Learner for this trial, without output, with the callbacks of the trial's settings.

    RNNCallback unpacks the model's output tuple, as in fastai's `rnn_cbs`. The chapter's list lacks it, so
    that the loss receives the tuple, which fails since fastai 2.2.
    """
    chosen = [RNNCallback(), *cbs]
    if _regularized(trial):
        chosen.append(Regularizer(trial))
    if trial.reset != "never":
        chosen.append(ModelResetter() if trial.reset == "epoch" else ResetEveryBatch())
    if trial.clip:
        chosen.append(GradientClip(trial.clip))
    made = Learner(
        DataLoaders(train.to(device), valid.to(device)),
        model.to(device),
        loss_func=_cross_entropy,
        opt_func=_adam,
        cbs=chosen,
        moms=trial.moms,
    )
    made.remove_cbs(made._grab_cbs(ProgressCallback))
    made.logger = _silent
    return made


def _regularized(trial: ChapterTrial) -> bool:
    return bool(trial.alpha or trial.beta or active_penalties(trial.options))


def _adam(params: Any, lr: float) -> Any:
    return Adam(params, lr=lr, mom=0.9, sqr_mom=0.99, eps=1e-5, wd=0.01, decouple_wd=True)


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, -2), targets.flatten())


def _silent(*_: Any) -> None:
    return None
