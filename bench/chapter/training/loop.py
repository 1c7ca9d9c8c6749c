"""The fast engine: fastai's arithmetic step for step, in plain torch and without the Learner's overhead.

Its first steps agree with `bench.chapter.training.learner` up to rounding, and its later steps in
distribution: the fused optimizer rounds differently, and these models amplify a difference in the last bit.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.chapter.corpus import Batches
from unrolled.bench.chapter.metrics import Evaluation
from unrolled.bench.chapter.models.recurrent import LanguageModel
from unrolled.bench.chapter.regularization import compute_penalties
from unrolled.bench.chapter.torch_device import Clock
from unrolled.bench.chapter.training.checkpoint import Checkpoint
from unrolled.bench.chapter.training.optimizer import SQR_MOM, build_adam, one_cycle
from unrolled.bench.chapter.training.record import TrainingRecord

SMOOTH = 0.98  # smoothing of fastai's AvgSmoothLoss

Cycle = Sequence[tuple[float, float]]
"""Learning rate and momentum of each step."""


class Step(NamedTuple):
    """The loss, the penalties and the settings of one update."""

    loss: Tensor
    penalties: dict[str, Tensor]
    lr: float
    mom: float


def train_model(
    trial: ChapterTrial, model: LanguageModel, train: Batches, valid: Batches, device: torch.device
) -> TrainingRecord:
    """Train a model as the chapter does. Raises Diverged."""
    model.to(device).reset()
    train = train.to(device)
    valid = valid.to(device)
    optimizer = build_adam(model, trial.wd)
    cycle = list(one_cycle(trial.epochs * len(train), trial.lr, trial.moms))
    weights = list(model.named_parameters())
    record = TrainingRecord(wd=optimizer.param_groups[0]["weight_decay"])
    clock = Clock(device)
    if trial.clip:
        optimizer.register_step_pre_hook(lambda *_: record.update_max_grad_norm(weights))
    checkpoint = Checkpoint(trial.id, device)
    if state := checkpoint.load():
        _restore_state(state, model, optimizer, train, record)
    for epoch in range(len(record.epochs), trial.epochs):
        clock.lap()
        epoch_cycle = cycle[epoch * len(train) : (epoch + 1) * len(train)]
        steps = _take_steps(trial, model, train, optimizer, epoch_cycle)
        for step, (loss, *penalty_values) in _fetch_numbers(steps, device):
            record.add_penalties(dict(zip(step.penalties, penalty_values, strict=True)))
            record.add_step(loss, step.lr, step.mom, weights)
        train_seconds = clock.lap()
        record.validation = validate_model(trial, model, valid)
        record.end_epoch(compute_moving_average(record.losses), len(train), train_seconds, clock)
        if epoch + 1 < trial.epochs and checkpoint.is_due():
            checkpoint.save(_collect_state(model, optimizer, train, record))
    if trial.reset == "epoch":
        model.reset()
    return record


def compute_moving_average(losses: list[float]) -> float:
    """Return what fastai prints as train_loss: a debiased moving average over the losses of all epochs.

    Of n losses, that is Σ .98^(n−i) · loss_i / Σ .98^(n−i).
    """
    average = 0.0
    for loss in losses:
        average += (1 - SMOOTH) * (loss - average)
    return average / (1 - SMOOTH ** len(losses))


def _collect_state(
    model: LanguageModel, optimizer: Optimizer, train: Batches, record: TrainingRecord
) -> dict[str, Any]:
    """Return everything that the next epoch depends on, and the record so far."""
    return {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "carried": (model.state, model.batch_size, list(model.earlier_windows)),
        "random": torch.get_rng_state(),
        "random_cuda": torch.cuda.get_rng_state(train.device) if train.device.type == "cuda" else None,
        "random_data": train.generator.get_state() if train.generator else None,
        "record": record.state_dict(),
    }


def _restore_state(
    state: dict[str, Any],
    model: LanguageModel,
    optimizer: Optimizer,
    train: Batches,
    record: TrainingRecord,
) -> None:
    """Restore what `_collect_state` returned."""
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    model.state, model.batch_size, earlier_windows = state["carried"]
    model.earlier_windows.extend(earlier_windows)
    torch.set_rng_state(state["random"])
    if state["random_cuda"] is not None:
        torch.cuda.set_rng_state(state["random_cuda"], train.device)
    if train.generator:
        train.generator.set_state(state["random_data"])
    record.load_state_dict(state["record"])


def _take_steps(
    trial: ChapterTrial, model: LanguageModel, batches: Batches, optimizer: Optimizer, cycle: Cycle
) -> Iterator[Step]:
    """Take the steps of one epoch, and yield each after it was taken. `cycle` is this epoch's part."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    model.train()
    if trial.reset == "epoch":
        model.reset()
    for (tokens, targets), (lr, mom) in zip(batches, cycle, strict=True):
        if trial.reset == "batch":
            model.reset()
        for group in optimizer.param_groups:
            group["lr"] = lr
            group["betas"] = (mom, SQR_MOM)
        output = model(tokens)
        loss = F.cross_entropy(output.logits.flatten(0, -2), targets.flatten())
        penalties = compute_penalties(trial, output)
        sum(penalties.values(), loss).backward()  # type: ignore[no-untyped-call]
        if trial.clip:
            nn.utils.clip_grad_norm_(parameters, trial.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)  # as fastai: momentum needs a gradient of 0, not None
        penalties = {name: value.detach() for name, value in penalties.items()}
        yield Step(loss.detach(), penalties, lr, mom)


def _fetch_numbers(steps: Iterator[Step], device: torch.device) -> Iterator[tuple[Step, list[float]]]:
    """Yield each step, with its loss and its penalties as numbers.

    To read a number, the CPU waits for the GPU. On a GPU, all steps are therefore taken first, and their
    numbers copied at once.
    """
    groups: Iterable[list[Step]]
    groups = ([step] for step in steps) if device.type == "cpu" else [list(steps)]
    for group in groups:
        numbers = torch.stack([value for step in group for value in (step.loss, *step.penalties.values())])
        yield from zip(group, numbers.view(len(group), -1).tolist(), strict=True)


@torch.no_grad()  # a state made under inference_mode could not be used in training
def validate_model(trial: ChapterTrial, model: LanguageModel, batches: Batches) -> Evaluation:
    """Evaluate a model on one pass over its validation batches."""
    evaluation = Evaluation()
    model.eval()
    if trial.reset == "epoch":
        model.reset()
    for tokens, targets in batches:
        if trial.reset == "batch":
            model.reset()
        evaluation.add_batch(model(tokens).logits, targets)
    return evaluation
