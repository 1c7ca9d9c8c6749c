"""The fast engine: fastai's arithmetic step for step, in plain torch and without the Learner's overhead.

It agrees with `bench.chapter.training.learner` on the first steps to rounding, and later as a distribution:
the fused optimizer rounds differently, and these models amplify a last bit.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from unrolled.bench.chapter.corpus import Batches
from unrolled.bench.chapter.metrics import Evaluation
from unrolled.bench.chapter.models.recurrent import LanguageModel
from unrolled.bench.chapter.regularization import penalties
from unrolled.bench.chapter.throughput import Clock
from unrolled.bench.chapter.training.checkpoint import Checkpoint
from unrolled.bench.chapter.training.engine import Training
from unrolled.bench.chapter.training.optimizer import SQR_MOM, adam, one_cycle
from unrolled.bench.chapter.trial import ChapterTrial

SMOOTH = 0.98  # of fastai's AvgSmoothLoss

Cycle = Sequence[tuple[float, float]]
"""Learning rate and momentum of each step."""


class Step(NamedTuple):
    """The terms and settings of one update."""

    loss: Tensor
    penalties: dict[str, Tensor]
    lr: float
    mom: float


def train(
    trial: ChapterTrial, model: LanguageModel, train: Batches, valid: Batches, device: torch.device
) -> Training:
    """Train as the chapter does. Raises Diverged."""
    model.to(device).reset()
    train, valid = train.to(device), valid.to(device)
    optimizer = adam(model, trial.wd)
    cycle = list(one_cycle(trial.epochs * len(train), trial.lr, trial.moms))
    weights = list(model.named_parameters())
    record, clock = Training(wd=optimizer.param_groups[0]["weight_decay"]), Clock(device)
    if trial.clip:
        optimizer.register_step_pre_hook(lambda *_: record.stepping(weights))
    checkpoint = Checkpoint(trial.id, device)
    if kept := checkpoint.load():
        _restore(kept, model, optimizer, train, record)
    for epoch in range(len(record.epochs), trial.epochs):
        clock.lap()
        part = cycle[epoch * len(train) : (epoch + 1) * len(train)]
        steps = _steps(trial, model, train, optimizer, part)
        for step, (loss, *added) in _read(steps, device):
            record.penalized(dict(zip(step.penalties, added, strict=True)))
            record.step(loss, step.lr, step.mom, weights)
        train_seconds = clock.lap()
        record.valid = validate(trial, model, valid)
        record.end_epoch(smoothed(record.losses), len(train), train_seconds, clock)
        if epoch + 1 < trial.epochs and checkpoint.due():
            checkpoint.save(_state(model, optimizer, train, record))
    if trial.reset == "epoch":
        model.reset()
    return record


def smoothed(losses: list[float]) -> float:
    """The debiased moving average that fastai prints as train_loss; it runs on from epoch to epoch."""
    average = 0.0
    for loss in losses:
        average += (1 - SMOOTH) * (loss - average)
    return average / (1 - SMOOTH ** len(losses))


def _state(model: LanguageModel, optimizer: Optimizer, train: Batches, record: Training) -> dict[str, Any]:
    """Everything that the next epoch depends on, and the record so far."""
    return {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "carried": (model.state, model.batch_size, list(model.earlier_windows)),
        "random": torch.get_rng_state(),
        "random_cuda": torch.cuda.get_rng_state(train.device) if train.device.type == "cuda" else None,
        "random_data": train.random.get_state() if train.random else None,
        "record": record.plain(),
    }


def _restore(
    kept: dict[str, Any], model: LanguageModel, optimizer: Optimizer, train: Batches, record: Training
) -> None:
    model.load_state_dict(kept["model"])
    optimizer.load_state_dict(kept["optimizer"])
    model.state, model.batch_size, past = kept["carried"]
    model.earlier_windows.extend(past)
    torch.set_rng_state(kept["random"])
    if kept["random_cuda"] is not None:
        torch.cuda.set_rng_state(kept["random_cuda"], train.device)
    if train.random:
        train.random.set_state(kept["random_data"])
    record.resume(kept["record"])


def _steps(
    trial: ChapterTrial, model: LanguageModel, batches: Batches, optimizer: Optimizer, cycle: Cycle
) -> Iterator[Step]:
    """One epoch of updates, each made when it is asked for. `cycle` has those of the epoch alone."""
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    model.train()
    if trial.reset == "epoch":
        model.reset()
    for (tokens, targets), (lr, mom) in zip(batches, cycle, strict=True):
        if trial.reset == "batch":
            model.reset()
        for group in optimizer.param_groups:
            group["lr"], group["betas"] = lr, (mom, SQR_MOM)
        output = model(tokens)
        loss = F.cross_entropy(output.logits.flatten(0, -2), targets.flatten())
        added = penalties(trial, output)
        sum(added.values(), loss).backward()  # type: ignore[no-untyped-call]
        if trial.clip:
            nn.utils.clip_grad_norm_(trained, trial.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)  # as fastai: without a gradient there is still momentum
        added = {name: value.detach() for name, value in added.items()}
        yield Step(loss.detach(), added, lr, mom)


def _read(steps: Iterator[Step], device: torch.device) -> Iterator[tuple[Step, list[float]]]:
    """Each step, with the numbers in its tensors.

    Reading a number makes a GPU wait, so there all the steps are made first, and one copy is read.
    """
    for made in ([step] for step in steps) if device.type == "cpu" else [list(steps)]:
        numbers = torch.stack([x for step in made for x in (step.loss, *step.penalties.values())])
        yield from zip(made, numbers.view(len(made), -1).tolist(), strict=True)


@torch.no_grad()  # inference_mode would leave a state behind that training cannot use
def validate(trial: ChapterTrial, model: LanguageModel, batches: Batches) -> Evaluation:
    """Evaluate a model on one pass over its validation batches."""
    evaluation = Evaluation()
    model.eval()
    if trial.reset == "epoch":
        model.reset()
    for tokens, targets in batches:
        if trial.reset == "batch":
            model.reset()
        evaluation.add(model(tokens).logits, targets)
    return evaluation
