"""The reference engine: fastai's Learner with `fit_one_cycle`, everything that it decides made explicit."""

from typing import Any

import torch
import torch.nn.functional as F
from fastai.callback.progress import ProgressCallback
from fastai.callback.rnn import ModelResetter, rnn_cbs
from fastai.callback.schedule import Learner  # patched with fit_one_cycle
from fastai.callback.training import GradientClip
from fastai.data.core import DataLoaders
from fastai.learner import Callback
from fastai.optimizer import Adam
from torch import Tensor

from bench.corpus import Batches
from bench.metrics import Tally
from bench.models.recurrent import LanguageModel
from bench.regularization import activation
from bench.throughput import Clock
from bench.training.engine import Training
from bench.trial import Epoch, Trial


class Watch(Callback):  # type: ignore[misc]
    """Fills a Training. Runs after fastai's Recorder (order 50), whose smoothed loss it reads."""

    order = 60

    def __init__(self, record: Training, trial: Trial, device: torch.device) -> None:
        self.record, self.trial, self.clock = record, trial, Clock(device)

    def before_fit(self) -> None:
        """Know the weights by name."""
        self.weights = list(self.model.named_parameters())

    def before_train(self) -> None:
        """Start the sums of an epoch."""
        self.ar = self.tar = 0.0
        self.clock.lap()

    def after_pred(self) -> None:
        """Count a validation batch."""
        if not self.training:
            self.record.valid.add(self.pred, self.yb[0])

    def after_loss(self) -> None:
        """Note the penalties: what RNNRegularizer added to the loss that is optimised."""
        if self.training and (self.trial.alpha or self.trial.beta):
            ar = float(activation(self.rnn.out.detach(), self.trial.alpha)) if self.trial.alpha else 0.0
            self.ar += ar
            self.tar += float((self.loss_grad - self.loss).detach()) - ar if self.trial.beta else 0.0

    def after_batch(self) -> None:
        """Note a step."""
        if self.training:
            now = self.opt.hypers[-1]
            self.record.step(float(self.loss.detach()), now["lr"], now["mom"], self.weights)
            self.record.wd = now["wd"]

    def after_train(self) -> None:
        """Close the training half of an epoch."""
        self.train_seconds = self.clock.lap()

    def before_validate(self) -> None:
        """Start a validation pass."""
        self.record.valid = Tally()

    def after_validate(self) -> None:
        """Write the epoch down."""
        valid, steps = self.record.valid, len(self.dls.train)
        self.record.epochs.append(
            Epoch(
                epoch=self.epoch,
                train_loss=float(self.recorder.smooth_loss.value),
                ar=self.ar / steps,
                tar=self.tar / steps,
                valid_loss=valid.loss(),
                accuracy=valid.accuracy(),
                train_seconds=self.train_seconds,
                valid_seconds=self.clock.lap(),
            )
        )


class ResetEveryBatch(Callback):  # type: ignore[misc]
    """A stateless model: forget the hidden state before each batch."""

    def before_batch(self) -> None:
        """Forget."""
        self.model.reset()


def train(
    trial: Trial, model: LanguageModel, train: Batches, valid: Batches, device: torch.device
) -> Training:
    """Train as the chapter does. Raises Diverged."""
    record = Training()
    learner(trial, model, train, valid, device, [Watch(record, trial, device)]).fit_one_cycle(
        trial.epochs, trial.lr, div=25.0, div_final=1e5, pct_start=0.25, wd=trial.wd, moms=trial.moms
    )
    return record


def learner(
    trial: Trial,
    model: LanguageModel,
    train: Batches,
    valid: Batches,
    device: torch.device,
    cbs: list[Callback],
) -> Learner:
    """A fastai Learner for this trial, silent, with the callbacks that the trial asks for.

    `rnn_cbs` is the form of ModelResetter and RNNRegularizer that works today: the chapter's own list
    leaves the model's tuple for the loss, which crashes since fastai 2.2.
    """
    train.device = valid.device = device
    resetter, *others = rnn_cbs(trial.alpha, trial.beta)
    assert isinstance(resetter, ModelResetter)
    chosen = [*others, *cbs]
    if trial.reset != "never":
        chosen.append(resetter if trial.reset == "epoch" else ResetEveryBatch())
    if trial.clip:
        chosen.append(GradientClip(trial.clip))
    made = Learner(
        DataLoaders(train, valid),
        model.to(device),
        loss_func=_cross_entropy,
        opt_func=_adam,
        cbs=chosen,
        moms=trial.moms,
    )
    made.remove_cbs(made._grab_cbs(ProgressCallback))
    made.logger = _silent
    return made


def _adam(params: Any, lr: float) -> Any:
    return Adam(params, lr=lr, mom=0.9, sqr_mom=0.99, eps=1e-5, wd=0.01, decouple_wd=True)


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, -2), targets.flatten())


def _silent(*_: Any) -> None:
    return None
