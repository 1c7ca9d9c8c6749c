"""The reference engine: fastai's Learner with `fit_one_cycle`, its defaults written out."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from fastai.callback.progress import ProgressCallback
from fastai.callback.rnn import ModelResetter, RNNCallback, RNNRegularizer
from fastai.callback.schedule import Learner  # this import adds fit_one_cycle to Learner
from fastai.callback.training import GradientClip
from fastai.data.core import DataLoaders
from fastai.learner import Callback
from fastai.optimizer import Adam
from torch import Tensor

from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.chapter.corpus import Batches
from unrolled.bench.chapter.metrics import Evaluation
from unrolled.bench.chapter.models.recurrent import LanguageModel, Output
from unrolled.bench.chapter.models.spec import find_active_penalties
from unrolled.bench.chapter.regularization import compute_penalties
from unrolled.bench.chapter.torch_device import Clock
from unrolled.bench.chapter.training.record import TrainingRecord


class RecordCallback(Callback):  # type: ignore[misc]
    """Fills a TrainingRecord. Runs after fastai's Recorder (order 50), whose smoothed loss it reads."""

    order = 60

    def __init__(self, record: TrainingRecord, trial: ChapterTrial, device: torch.device) -> None:
        self.record = record
        self.trial = trial
        self.clock = Clock(device)

    def before_fit(self) -> None:
        """Collect the weights by name."""
        self.weights = list(self.model.named_parameters())

    def before_train(self) -> None:
        """Start the clock of an epoch's training."""
        self.clock.lap()

    def after_pred(self) -> None:
        """Add a validation batch to the evaluation."""
        if not self.training:
            self.record.validation.add_batch(self.pred, self.yb[0])

    def after_loss(self) -> None:
        """Record the penalties, if the optimised loss exceeds the raw loss by their sum."""
        if self.training and _has_penalties(self.trial):
            values = {name: float(value.detach()) for name, value in self.regularizer.penalties.items()}
            excess = float((self.loss_grad - self.loss).detach())
            # penalties are summed in single precision
            if math.isclose(excess, sum(values.values()), rel_tol=1e-3, abs_tol=1e-5):
                self.record.add_penalties(values)

    def before_step(self) -> None:
        """Record the gradient's norm, after fastai's GradientClip (order 11)."""
        if self.trial.clip:
            self.record.update_max_grad_norm(self.weights)

    def after_batch(self) -> None:
        """Record a training step."""
        if self.training:
            hypers = self.opt.hypers[-1]
            self.record.add_step(float(self.loss.detach()), hypers["lr"], hypers["mom"], self.weights)
            self.record.wd = hypers["wd"]

    def after_train(self) -> None:
        """Stop the clock of an epoch's training."""
        self.train_seconds = self.clock.lap()

    def before_validate(self) -> None:
        """Start the evaluation of an epoch."""
        self.record.validation = Evaluation()

    def after_validate(self) -> None:
        """Record the epoch."""
        train_loss = float(self.recorder.smooth_loss.value)
        self.record.end_epoch(train_loss, len(self.dls.train), self.train_seconds, self.clock)


class Regularizer(RNNRegularizer):  # type: ignore[misc]
    """fastai's AR and TAR, with TAR for one row too, and the user's own penalties.

    fastai, which means to skip TAR for a window of one step, skips it for a batch of one row.
    """

    def __init__(self, trial: ChapterTrial) -> None:
        super().__init__(trial.alpha, trial.beta)
        self.trial = trial
        self.penalties: dict[str, Tensor] = {}

    def after_loss(self) -> None:
        """Add all penalties to the loss that is optimised. fastai calls it in training only."""
        self.penalties = compute_penalties(self.trial, Output(self.pred, self.rnn.raw_out, self.rnn.out))
        self.learn.loss_grad = sum(self.penalties.values(), self.loss_grad)


class ResetEveryBatch(Callback):  # type: ignore[misc]
    """Resets the hidden state before each batch, for a stateless model."""

    def before_batch(self) -> None:
        """Reset the hidden state."""
        self.model.reset()


def train_model(
    trial: ChapterTrial, model: LanguageModel, train: Batches, valid: Batches, device: torch.device
) -> TrainingRecord:
    """Train a model as the chapter does. Raises Diverged."""
    record = TrainingRecord()
    record_callback = RecordCallback(record, trial, device)
    fit_learner(build_learner(trial, model, train, valid, device, [record_callback]), trial)
    return record


def fit_learner(learn: Learner, trial: ChapterTrial) -> None:
    """Run `fit_one_cycle` with the trial's settings, and with fastai's defaults written out."""
    learn.fit_one_cycle(
        trial.epochs, trial.lr, div=25.0, div_final=1e5, pct_start=0.25, wd=trial.wd, moms=trial.moms
    )


def build_learner(
    trial: ChapterTrial,
    model: LanguageModel,
    train: Batches,
    valid: Batches,
    device: torch.device,
    cbs: list[Callback],
) -> Learner:
    """Return a fastai Learner for this trial, without output, with the callbacks of the trial's settings.

    RNNCallback unpacks the model's output tuple, as in fastai's `rnn_cbs`. The chapter's list lacks this
    callback, so that the loss receives the tuple, which raises an error since fastai 2.2.
    """
    all_cbs = [RNNCallback(), *cbs]
    if _has_penalties(trial):
        all_cbs.append(Regularizer(trial))
    if trial.reset == "epoch":
        all_cbs.append(ModelResetter())
    elif trial.reset == "batch":
        all_cbs.append(ResetEveryBatch())
    if trial.clip:
        all_cbs.append(GradientClip(trial.clip))
    learn = Learner(
        DataLoaders(train.to(device), valid.to(device)),
        model.to(device),
        loss_func=_cross_entropy,
        opt_func=_build_adam,
        cbs=all_cbs,
        moms=trial.moms,
    )
    learn.remove_cbs(learn._grab_cbs(ProgressCallback))
    learn.logger = _log_nothing
    return learn


def _has_penalties(trial: ChapterTrial) -> bool:
    return bool(trial.alpha or trial.beta or find_active_penalties(trial.options))


def _build_adam(params: Any, lr: float) -> Any:
    return Adam(params, lr=lr, mom=0.9, sqr_mom=0.99, eps=1e-5, wd=0.01, decouple_wd=True)


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, -2), targets.flatten())


def _log_nothing(*_: Any) -> None:
    return None
