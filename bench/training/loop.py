"""The fast engine: fastai's arithmetic step for step, in plain torch and without the Learner's overhead.

It agrees with `bench.training.learner` on the first steps to rounding, and later as a distribution: the
fused optimizer rounds differently, and these models amplify a last bit.
"""

import math
from collections.abc import Iterator
from itertools import islice
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.corpus import Batches
from bench.metrics import Tally
from bench.models.recurrent import LanguageModel
from bench.regularization import activation, penalties, temporal_activation
from bench.throughput import Clock
from bench.training.checkpoint import Checkpoint
from bench.training.engine import Training
from bench.trial import Epoch, Trial

DIV, DIV_FINAL, WARM_UP = 25.0, 1e5, 0.25  # of fastai's fit_one_cycle
SQR_MOM, EPS = 0.99, 1e-5  # of fastai's Adam; torch's own are .999 and 1e-8
SMOOTH = 0.98  # of fastai's AvgSmoothLoss

NORMS = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
    nn.LayerNorm,
)  # fastai's norm_types

Step = tuple[Tensor, Tensor, Tensor, dict[str, Tensor], float, float]
"""Loss, AR, TAR, the user's own penalties, learning rate and momentum of an update that was made."""


def train(
    trial: Trial, model: LanguageModel, train: Batches, valid: Batches, device: torch.device
) -> Training:
    """Train as the chapter does. Raises Diverged."""
    train.device = valid.device = device
    model.to(device).reset()
    optimizer = adam(model, trial.wd)
    cycle = one_cycle(trial.epochs * len(train), trial.lr, trial.moms)
    weights = list(model.named_parameters())
    record, clock = Training(wd=optimizer.param_groups[0]["weight_decay"]), Clock(device)
    checkpoint = Checkpoint(trial.id)
    if kept := checkpoint.load():
        _restore(kept, model, optimizer, train, record)
    begun = len(record.epochs)
    cycle = islice(cycle, begun * len(train), None)
    for epoch in range(begun, trial.epochs):
        clock.lap()
        total_ar = total_tar = 0.0
        steps: Iterator[Step] | list[Step] = _steps(trial, model, train, optimizer, cycle)
        if device.type != "cpu":
            steps = list(steps)  # reading a value back makes a GPU wait: take all the steps first
        for loss, ar, tar, own, lr, mom in steps:
            total_ar, total_tar = total_ar + ar.item(), total_tar + tar.item()
            record.penalized(own)
            record.step(loss.item(), lr, mom, weights)
        train_seconds = clock.lap()
        record.valid = _validate(trial, model, valid)
        record.epochs.append(
            Epoch(
                epoch=epoch,
                train_loss=smoothed(record.losses),
                ar=total_ar / len(train),
                tar=total_tar / len(train),
                valid_loss=record.valid.loss(),
                accuracy=record.valid.accuracy(),
                train_seconds=train_seconds,
                valid_seconds=clock.lap(),
            )
        )
        if epoch + 1 < trial.epochs and checkpoint.due():
            checkpoint.save(_state(model, optimizer, train, record))
    if trial.reset == "epoch":
        model.reset()
    return record


def _state(
    model: LanguageModel, optimizer: torch.optim.Optimizer, train: Batches, record: Training
) -> dict[str, Any]:
    """Everything that the next epoch depends on, and the record so far."""
    return {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "carried": (model.state, model.rows, list(model.past)),
        "random": torch.get_rng_state(),
        "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "shuffle": train.shuffle.get_state() if train.shuffle else None,
        "record": record.plain(),
    }


def _restore(
    kept: dict[str, Any],
    model: LanguageModel,
    optimizer: torch.optim.Optimizer,
    train: Batches,
    record: Training,
) -> None:
    model.load_state_dict(kept["model"])
    optimizer.load_state_dict(kept["optimizer"])
    model.state, model.rows, past = kept["carried"]
    model.past.extend(past)
    torch.set_rng_state(kept["random"])
    torch.cuda.set_rng_state_all(kept["random_cuda"])
    if train.shuffle:
        train.shuffle.set_state(kept["shuffle"])
    record.resume(kept["record"])


def one_cycle(steps: int, lr: float, moms: tuple[float, float, float]) -> Iterator[tuple[float, float]]:
    """(learning rate, momentum) of each step: by cosines from lr/25 up to lr, then down to lr/1e5."""
    lrs = (lr / DIV, lr, lr / DIV_FINAL)
    for step in range(steps):
        done = step / steps
        rising = done < WARM_UP
        at = done / WARM_UP if rising else (done - WARM_UP) / (1 - WARM_UP)
        share = (1 - math.cos(math.pi * at)) / 2
        (lr_from, lr_to), (mom_from, mom_to) = (p[:2] if rising else p[1:] for p in (lrs, moms))
        yield lr_from + share * (lr_to - lr_from), mom_from + share * (mom_to - mom_from)


def adam(model: nn.Module, wd: float) -> torch.optim.AdamW:
    """fastai's Adam for the trainable parameters: decoupled decay, which leaves out what `spared` names.

    One fused call updates a whole group. A flat tensor that the parameters are views of gives the same
    bits and was no faster.
    """
    without = spared(model)
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p not in without], "weight_decay": wd},
        {"params": [p for p in trained if p in without], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, eps=EPS, fused=True)


def spared(model: nn.Module) -> set[nn.Parameter]:
    """Parameters without weight decay: of normalisation layers, and every `bias` (nn.LSTM has none)."""
    found: set[nn.Parameter] = set()
    for module in model.modules():
        if isinstance(module, NORMS):
            found.update(module.parameters())
        elif isinstance(bias := getattr(module, "bias", None), nn.Parameter):  # a bool in nn.LSTM
            found.add(bias)
    return found


def smoothed(losses: list[float]) -> float:
    """The debiased moving average that fastai prints as train_loss; it runs on from epoch to epoch."""
    average = 0.0
    for loss in losses:
        average += (1 - SMOOTH) * (loss - average)
    return average / (1 - SMOOTH ** len(losses))


def _steps(
    trial: Trial,
    model: LanguageModel,
    batches: Batches,
    optimizer: torch.optim.Optimizer,
    cycle: Iterator[tuple[float, float]],
) -> Iterator[Step]:
    """One epoch of updates, each made when it is asked for."""
    groups = optimizer.param_groups
    trained = [p for group in groups for p in group["params"]]
    nothing = trained[0].new_zeros(())
    model.train()
    if trial.reset == "epoch":
        model.reset()
    for tokens, targets in batches:
        if trial.reset == "batch":
            model.reset()
        lr, mom = next(cycle)
        for group in groups:
            group["lr"], group["betas"] = lr, (mom, SQR_MOM)
        output = model(tokens)
        logits, raw, dropped = output
        loss = F.cross_entropy(logits.flatten(0, -2), targets.flatten())
        ar = activation(dropped, trial.alpha) if trial.alpha else nothing
        tar = temporal_activation(raw, trial.beta) if trial.beta else nothing
        own = penalties(trial, output)
        sum(own.values(), loss + ar + tar).backward()  # type: ignore[no-untyped-call]
        if trial.clip:
            nn.utils.clip_grad_norm_(trained, trial.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)  # as fastai: a weight without a gradient still has momentum
        yield loss.detach(), ar.detach(), tar.detach(), {k: v.detach() for k, v in own.items()}, lr, mom


@torch.no_grad()  # inference_mode would leave a state behind that training cannot use
def _validate(trial: Trial, model: LanguageModel, batches: Batches) -> Tally:
    tally = Tally()
    model.eval()
    if trial.reset == "epoch":
        model.reset()
    for tokens, targets in batches:
        if trial.reset == "batch":
            model.reset()
        tally.add(model(tokens).logits, targets)
    return tally
