"""The record that an engine returns. An engine is `train(trial, model, train, valid, device) -> Training`."""

import base64
import math
import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from unrolled.bench.chapter.metrics import Evaluation
from unrolled.bench.chapter.throughput import Clock

KEPT = ("losses", "lrs", "moms", "penalties")
"""Fields of Training that a checkpoint has as they are."""


class Diverged(ArithmeticError):
    """The training loss is no longer a number."""

    def __init__(self, loss: float, step: int) -> None:
        super().__init__(loss, step)
        self.said = f"diverged: the training loss is {loss} at step {step}"

    def __str__(self) -> str:
        return self.said  # fastai overwrites `args` on the way up


class Trace:
    """A checksum of every weight after every step, so that the first bit that differs can be named.

    CRC-32, four bytes a tensor: about 40 KB for a trial of LMModel7, and 2 % of its time. Weights on a GPU
    would have to be fetched at each step and are not traced.
    """

    def __init__(self) -> None:
        self.tensors: list[str] = []
        self.sums = bytearray()

    def add(self, loss: float, weights: Iterable[tuple[str, Tensor]]) -> None:
        """Note one step: its loss and the weights after it."""
        named = [(name, tensor) for name, tensor in weights if tensor.device.type == "cpu"]
        self.tensors = self.tensors or ["loss", *(name for name, _ in named)]
        sums = [zlib.crc32(tensor.detach().contiguous().numpy().data) for _, tensor in named]
        self.sums += struct.pack(f"<{1 + len(sums)}I", zlib.crc32(struct.pack("<d", loss)), *sums)

    def packed(self) -> dict[str, Any]:
        """The trace as a Result keeps it."""
        return {"tensors": self.tensors, "sums": base64.b64encode(self.sums).decode()}


def first_difference(one: Mapping[str, Any], two: Mapping[str, Any]) -> str:
    """The first difference of two packed traces, as 'step 3, tensor h_h.weight'; "" if there is none."""
    if one.get("tensors") != two.get("tensors"):
        return "step 1: the models have different tensors"
    width = 4 * len(one.get("tensors", ()))
    a, b = (base64.b64decode(trace.get("sums", "")) for trace in (one, two))
    for at in range(0, max(len(a), len(b)), 4):
        if a[at : at + 4] != b[at : at + 4]:
            return f"step {at // width + 1}, tensor {one['tensors'][at % width // 4]}"
    return ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Epoch:
    """One line of a learning curve. Losses are nats a token, without penalties."""

    epoch: int
    train_loss: float  # debiased moving average (.98), as fastai prints it
    ar: float  # mean penalty a step
    tar: float
    valid_loss: float
    accuracy: float
    train_seconds: float
    valid_seconds: float


CURVES = {
    "train_loss": "train_loss",
    "train_ar": "ar",
    "train_tar": "tar",
    "valid_loss": "valid_loss",
    "valid_accuracy": "accuracy",
    "speed_train_seconds": "train_seconds",
    "speed_valid_seconds": "valid_seconds",
}
"""The fields of Epoch by the metrics of whose curves they are points."""


@dataclass
class Training:
    """The record of one training: its epochs, and the loss, learning rate and momentum of each step."""

    epochs: list[Epoch] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    lrs: list[float] = field(default_factory=list)
    moms: list[float] = field(default_factory=list)
    wd: float = math.nan  # as the optimizer had it
    valid: Evaluation = field(default_factory=Evaluation)  # of the last epoch
    penalties: dict[str, float] = field(default_factory=dict)  # by name, summed over the steps
    epoch_penalties: dict[str, float] = field(default_factory=dict)  # the same of the present epoch
    resumed_seconds: float = 0.0  # seconds of the epochs that an earlier attempt trained
    max_grad_norm: Tensor = field(default_factory=lambda: torch.zeros(()))  # of an update; see clip
    trace: Trace = field(default_factory=Trace)

    def step(self, loss: float, lr: float, mom: float, weights: Iterable[tuple[str, Tensor]]) -> None:
        """Note one update, after it was made. Raises Diverged where the loss is not finite."""
        self.losses.append(loss)
        self.lrs.append(float(lr))  # fastai hands out numpy floats
        self.moms.append(float(mom))
        self.trace.add(loss, weights)
        if not math.isfinite(loss):
            raise Diverged(loss, len(self.losses))

    def end_epoch(self, train_loss: float, steps: int, train_seconds: float, clock: Clock) -> None:
        """Note an epoch of so many steps, with `valid` as its validation and their mean penalties."""
        penalties, self.epoch_penalties = self.epoch_penalties, {}
        self.epochs.append(
            Epoch(
                epoch=len(self.epochs),
                train_loss=train_loss,
                ar=penalties.get("alpha", 0.0) / steps,
                tar=penalties.get("beta", 0.0) / steps,
                valid_loss=self.valid.loss(),
                accuracy=self.valid.accuracy(),
                train_seconds=train_seconds,
                valid_seconds=clock.lap(),
            )
        )

    def curves(self) -> dict[str, tuple[tuple[float, float], ...]]:
        """The learning curves of a Result."""
        return {
            name: tuple((float(e.epoch), getattr(e, field)) for e in self.epochs)
            for name, field in CURVES.items()
        }

    def penalized(self, values: Mapping[str, float]) -> None:
        """Note the penalties that were added to what one step optimises."""
        for sums in (self.penalties, self.epoch_penalties):
            sums.update({name: sums.get(name, 0.0) + value for name, value in values.items()})

    def stepping(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        """Record the norm of the gradient before the optimizer's step, without waiting for a GPU."""
        grads = [weight.grad for _, weight in weights if weight.grad is not None]
        norm = nn.utils.get_total_norm(grads)
        self.max_grad_norm = torch.maximum(self.max_grad_norm.to(norm.device, non_blocking=True), norm)

    def plain(self) -> dict[str, Any]:
        """The record so far as plain data and tensors, for a checkpoint."""
        return {
            **{key: getattr(self, key) for key in KEPT},
            "epochs": [asdict(epoch) for epoch in self.epochs],
            "max_grad_norm": self.max_grad_norm.cpu(),
            "trace": (self.trace.tensors, torch.frombuffer(self.trace.sums, dtype=torch.uint8).clone()),
        }

    def resume(self, kept: Mapping[str, Any]) -> None:
        """Restore a record that `plain` returned."""
        for key in KEPT:
            setattr(self, key, kept[key])
        self.epochs = [Epoch(**epoch) for epoch in kept["epochs"]]
        self.resumed_seconds = sum(epoch.train_seconds + epoch.valid_seconds for epoch in self.epochs)
        self.max_grad_norm = kept["max_grad_norm"]
        self.trace.tensors, sums = kept["trace"]
        self.trace.sums = bytearray(sums.numpy().tobytes())
