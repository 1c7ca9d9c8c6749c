"""The record of a training: what `train_model(trial, model, train, valid, device)` of an engine returns."""

import base64
import math
import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import torch
from torch import Tensor, nn

from unrolled.bench.chapter.metrics import Evaluation
from unrolled.bench.chapter.torch_device import Clock

PLAIN_FIELDS = ("losses", "lrs", "moms", "penalties")
"""Fields of TrainingRecord that a checkpoint holds unchanged."""


class Diverged(ArithmeticError):
    """The training loss is no longer a number."""

    def __init__(self, loss: float, step: int) -> None:
        super().__init__(loss, step)
        self.message = f"diverged: the training loss is {loss} at step {step}"

    def __str__(self) -> str:
        return self.message  # fastai overwrites `args` while the exception passes through it


class Trace:
    """A checksum of every weight after every step, so that the first bit that differs can be named.

    Each step adds a CRC-32 of four bytes for each tensor: about 40 KB for a trial of LMModel7, and 2 % of its
    time. Weights on a GPU are not traced, since each step would have to fetch them.
    """

    def __init__(self) -> None:
        self.tensors: list[str] = []
        self.sums = bytearray()

    def add_step(self, loss: float, weights: Iterable[tuple[str, Tensor]]) -> None:
        """Add the checksums of a step's loss and of the weights after it."""
        cpu_weights = [(name, tensor) for name, tensor in weights if tensor.device.type == "cpu"]
        self.tensors = self.tensors or ["loss", *(name for name, _ in cpu_weights)]
        sums = [zlib.crc32(tensor.detach().contiguous().numpy().data) for _, tensor in cpu_weights]
        self.sums += struct.pack(f"<{1 + len(sums)}I", zlib.crc32(struct.pack("<d", loss)), *sums)

    def to_dict(self) -> dict[str, Any]:
        """Return the trace as plain data, for a Result."""
        return {"tensors": self.tensors, "sums": base64.b64encode(self.sums).decode()}


def find_first_difference(trace: Mapping[str, Any], other_trace: Mapping[str, Any]) -> str:
    """Return where two traces, as plain data, first differ: "step 3, tensor h_h.weight"; "" if nowhere."""
    if trace.get("tensors") != other_trace.get("tensors"):
        return "step 1: the models have different tensors"
    sums = base64.b64decode(trace.get("sums", ""))
    other_sums = base64.b64decode(other_trace.get("sums", ""))
    step_size = 4 * len(trace.get("tensors", ()))  # bytes that a step takes
    for start in range(0, max(len(sums), len(other_sums)), 4):
        if sums[start : start + 4] != other_sums[start : start + 4]:
            return f"step {start // step_size + 1}, tensor {trace['tensors'][start % step_size // 4]}"
    return ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Epoch:
    """One point of each learning curve, by the metric's name. Losses are nats a token, without penalties."""

    epoch: int
    train_loss: float  # debiased moving average (.98), as fastai prints it
    train_ar: float  # mean penalty per step
    train_tar: float
    valid_loss: float
    valid_accuracy: float
    speed_train_seconds: float
    speed_valid_seconds: float


@dataclass
class TrainingRecord:
    """The record of one training: its epochs, and the loss, learning rate and momentum of each step."""

    epochs: list[Epoch] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    lrs: list[float] = field(default_factory=list)
    moms: list[float] = field(default_factory=list)
    wd: float = math.nan  # weight decay, as the optimizer had it
    validation: Evaluation = field(default_factory=Evaluation)  # evaluation after the last epoch
    penalties: dict[str, float] = field(default_factory=dict)  # sums over all steps, by penalty
    epoch_penalties: dict[str, float] = field(default_factory=dict)  # the same sums over the present epoch
    resumed_seconds: float = 0.0  # seconds of the epochs that an earlier attempt trained
    max_grad_norm: Tensor = field(default_factory=lambda: torch.zeros(()))  # largest norm of any update
    trace: Trace = field(default_factory=Trace)

    def add_step(self, loss: float, lr: float, mom: float, weights: Iterable[tuple[str, Tensor]]) -> None:
        """Add a step, with the weights after it. Raises Diverged if the loss is not finite."""
        self.losses.append(loss)
        self.lrs.append(float(lr))  # fastai passes numpy floats
        self.moms.append(float(mom))
        self.trace.add_step(loss, weights)
        if not math.isfinite(loss):
            raise Diverged(loss, len(self.losses))

    def add_penalties(self, penalties: Mapping[str, float]) -> None:
        """Add the penalties of one step, by name."""
        for sums in (self.penalties, self.epoch_penalties):
            sums.update({name: sums.get(name, 0.0) + value for name, value in penalties.items()})

    def update_max_grad_norm(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        """Include the norm of the present gradient in the maximum, without waiting for a GPU."""
        grads = [weight.grad for _, weight in weights if weight.grad is not None]
        norm = nn.utils.get_total_norm(grads)
        self.max_grad_norm = torch.maximum(self.max_grad_norm.to(norm.device, non_blocking=True), norm)

    def end_epoch(self, train_loss: float, steps: int, train_seconds: float, clock: Clock) -> None:
        """Add an epoch of `steps` steps. `validation` is its evaluation, and took the clock's present lap."""
        penalties = self.epoch_penalties
        self.epoch_penalties = {}
        self.epochs.append(
            Epoch(
                epoch=len(self.epochs),
                train_loss=train_loss,
                train_ar=penalties.get("alpha", 0.0) / steps,
                train_tar=penalties.get("beta", 0.0) / steps,
                valid_loss=self.validation.loss,
                valid_accuracy=self.validation.accuracy,
                speed_train_seconds=train_seconds,
                speed_valid_seconds=clock.lap(),
            )
        )

    @property
    def curves(self) -> dict[str, tuple[tuple[float, float], ...]]:
        """The learning curves: points (epoch, value) by metric."""
        return {
            metric.name: tuple((float(epoch.epoch), getattr(epoch, metric.name)) for epoch in self.epochs)
            for metric in fields(Epoch)
            if metric.name != "epoch"
        }

    def state_dict(self) -> dict[str, Any]:
        """Return the record as plain data and tensors, for a checkpoint."""
        return {
            **{name: getattr(self, name) for name in PLAIN_FIELDS},
            "epochs": [asdict(epoch) for epoch in self.epochs],
            "max_grad_norm": self.max_grad_norm.cpu(),
            "trace": (self.trace.tensors, torch.frombuffer(self.trace.sums, dtype=torch.uint8).clone()),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a record that `state_dict` returned."""
        for name in PLAIN_FIELDS:
            setattr(self, name, state[name])
        self.epochs = [Epoch(**epoch) for epoch in state["epochs"]]
        self.resumed_seconds = sum(e.speed_train_seconds + e.speed_valid_seconds for e in self.epochs)
        self.max_grad_norm = state["max_grad_norm"]
        self.trace.tensors, sums = state["trace"]
        self.trace.sums = bytearray(sums.numpy().tobytes())
