"""The loop of the plain engines: epochs, updates, validation, checkpoints. An engine adds its Rule."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.corpus import Batches
from bench.metrics import Evaluation
from bench.models.recurrent import LanguageModel
from bench.regularization import penalties
from bench.throughput import Clock
from bench.training.checkpoint import Checkpoint
from bench.training.engine import Training
from bench.trial import Epoch, Trial

SMOOTH = 0.98  # of fastai's AvgSmoothLoss


class Rule:
    """How an engine updates the weights: an optimizer and its schedule. `steps` counts the updates so far.

    `phase_changes` maps a phase ("average", "halve", "finetune") to the steps after which it began. `kept`
    names the attributes that a checkpoint has beside the optimizer's state.
    """

    kept: tuple[str, ...] = ("steps", "phase_changes")

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer
        self.steps = 0
        self.phase_changes: dict[str, list[int]] = {}

    def before_step(self, length: int) -> tuple[float, float]:
        """Prepare the optimizer for a window of `length` tokens. Returns learning rate and momentum."""
        raise NotImplementedError

    def after_step(self) -> None:
        """Called after each update."""
        self.steps += 1

    def evaluation_weights(self) -> AbstractContextManager[None]:
        """A context in which the model has the weights that are evaluated."""
        return nullcontext()

    def after_epoch(self, epoch: Epoch) -> None:
        """Called after each epoch and its validation."""

    def finish(self) -> None:
        """Set the model's final weights."""

    def state(self) -> dict[str, Any]:
        """The rule's state as plain data and tensors, for a checkpoint."""
        return {"optimizer": self.optimizer.state_dict(), **{name: getattr(self, name) for name in self.kept}}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore a state that `state` returned."""
        self.optimizer.load_state_dict(state["optimizer"])
        for name in self.kept:
            setattr(self, name, state[name])


class Step(NamedTuple):
    """The terms and settings of one update."""

    loss: Tensor
    penalties: dict[str, Tensor]
    lr: float
    mom: float
    length: int  # tokens read from each row


def train(
    trial: Trial, model: LanguageModel, train: Batches, valid: Batches, device: torch.device, rule: Rule
) -> Training:
    """Train a model by a rule. The model must be on its device, with an empty state. Raises Diverged."""
    train, valid = train.to(device), valid.to(device)
    weights = list(model.named_parameters())
    record, clock = Training(wd=rule.optimizer.param_groups[0]["weight_decay"]), Clock(device)
    if trial.clip:
        rule.optimizer.register_step_pre_hook(lambda *_: record.stepping(weights))
    checkpoint = Checkpoint(trial.id, device)
    if kept := checkpoint.load():
        _restore(kept, model, rule, train, record)
    record.phase_changes = rule.phase_changes
    for epoch in range(len(record.epochs), trial.epochs):
        clock.lap()
        before = len(record.losses)
        for step, (loss, *added) in _read(_steps(trial, model, train, rule), device):
            record.penalized(dict(zip(step.penalties, added, strict=True)))
            record.step(loss, step.lr, step.mom, step.length, weights)
        train_seconds = clock.lap()
        with rule.evaluation_weights():
            record.valid = validate(trial, model, valid)
        record.end_epoch(smoothed(record.losses), len(record.losses) - before, train_seconds, clock)
        rule.after_epoch(record.epochs[-1])
        if epoch + 1 < trial.epochs and checkpoint.due():
            checkpoint.save(_state(model, rule, train, record))
    rule.finish()
    if trial.reset == "epoch":
        model.reset()
    return record


def smoothed(losses: list[float]) -> float:
    """The debiased moving average that fastai prints as train_loss; it runs on from epoch to epoch."""
    average = 0.0
    for loss in losses:
        average += (1 - SMOOTH) * (loss - average)
    return average / (1 - SMOOTH ** len(losses))


def _state(model: LanguageModel, rule: Rule, train: Batches, record: Training) -> dict[str, Any]:
    """Everything that the next epoch depends on, and the record so far."""
    return {
        "model": model.state_dict(),
        "rule": rule.state(),
        "carried": (model.state, model.rows, list(model.past)),
        "random": torch.get_rng_state(),
        "random_cuda": torch.cuda.get_rng_state(train.device) if train.device.type == "cuda" else None,
        "random_data": train.random.get_state() if train.random else None,
        "record": record.plain(),
    }


def _restore(
    kept: dict[str, Any], model: LanguageModel, rule: Rule, train: Batches, record: Training
) -> None:
    model.load_state_dict(kept["model"])
    rule.restore(kept["rule"])
    model.state, model.rows, past = kept["carried"]
    model.past.extend(past)
    torch.set_rng_state(kept["random"])
    if kept["random_cuda"] is not None:
        torch.cuda.set_rng_state(kept["random_cuda"], train.device)
    if train.random:
        train.random.set_state(kept["random_data"])
    record.resume(kept["record"])


def _steps(trial: Trial, model: LanguageModel, batches: Batches, rule: Rule) -> Iterator[Step]:
    """One epoch of updates, each made when it is asked for."""
    trained = [p for group in rule.optimizer.param_groups for p in group["params"]]
    model.train()
    if trial.reset == "epoch":
        model.reset()
    for tokens, targets in batches:
        if trial.reset == "batch":
            model.reset()
        lr, mom = rule.before_step(tokens.shape[1])
        output = model(tokens)
        loss = F.cross_entropy(output.logits.flatten(0, -2), targets.flatten())
        added = penalties(trial, output)
        sum(added.values(), loss).backward()  # type: ignore[no-untyped-call]
        if trial.clip:
            nn.utils.clip_grad_norm_(trained, trial.clip)
        rule.optimizer.step()
        rule.optimizer.zero_grad(set_to_none=False)  # as fastai: without a gradient there is still momentum
        rule.after_step()
        added = {name: value.detach() for name, value in added.items()}
        yield Step(loss.detach(), added, lr, mom, tokens.shape[1])


def _read(steps: Iterator[Step], device: torch.device) -> Iterator[tuple[Step, list[float]]]:
    """Each step, with the numbers in its tensors.

    Reading a number makes a GPU wait, so there all the steps are made first, and one copy is read.
    """
    for made in ([step] for step in steps) if device.type == "cpu" else [list(steps)]:
        numbers = torch.stack([x for step in made for x in (step.loss, *step.penalties.values())])
        yield from zip(made, numbers.view(len(made), -1).tolist(), strict=True)


@torch.no_grad()  # inference_mode would leave a state behind that training cannot use
def validate(trial: Trial, model: LanguageModel, batches: Batches) -> Evaluation:
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
