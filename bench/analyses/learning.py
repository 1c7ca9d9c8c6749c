"""Small trainings: the instability of LMModel4, the cost of predicting one word in three, bfloat16."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from bench import corpus
from bench.corpus import Batches
from bench.metrics import Evaluation
from bench.models.recurrent import LanguageModel, Output
from bench.models.registry import spec_of
from bench.training import train as training
from bench.training.engine import Training
from bench.trial import Scalar, Trial

SEEDS = range(10)


@dataclass
class Monitor:
    """Records activations, gradients and the spectral radius of a training by epoch; changes no number."""

    model: LanguageModel
    recurrent: str  # the name of the hidden-to-hidden weight
    activation: list[float] = field(default_factory=list)  # the largest |h| of an epoch
    gradient: list[float] = field(default_factory=list)  # the largest norm of an epoch
    radius: list[float] = field(default_factory=list)  # spectral radius at the end of an epoch
    squares: dict[int, float] = field(default_factory=dict)
    training: bool = False

    def __post_init__(self) -> None:
        self.model.register_forward_hook(self._forward)
        for index, weight in enumerate(self.model.parameters()):
            hook = partial(self._gradient, index)
            weight.register_post_accumulate_grad_hook(hook)  # type: ignore[no-untyped-call]

    def _forward(self, model: nn.Module, _: Any, out: Output) -> None:
        if model.training:
            if not self.training:
                self.activation.append(0.0)
                self.gradient.append(0.0)
            self.activation[-1] = max(self.activation[-1], float(out.raw.detach().abs().max()))
        elif self.training:
            self.radius.append(spectral_radius(model.get_parameter(self.recurrent)))
        self.training = model.training

    def _gradient(self, index: int, weight: Tensor) -> None:
        self.squares[index] = float(weight.grad.pow(2).sum()) if weight.grad is not None else 0.0
        if len(self.squares) == len(list(self.model.parameters())):
            self.gradient[-1] = max(self.gradient[-1], sum(self.squares.values()) ** 0.5)
            self.squares.clear()


def chapter(model: str, seed: int, changes: dict[str, Any], **options: Scalar) -> Trial:
    """A trial in the chapter's settings for a model, with changes of settings and of options."""
    spec = spec_of(model)
    return Trial(model=model, seed=seed, options={**spec.options, **options}, **{**spec.settings, **changes})


def build(trial: Trial) -> LanguageModel:
    """The trial's model with its initial weights."""
    return training.build(trial, len(corpus.load(trial).vocab))


def valid_batches(trial: Trial) -> Batches:
    """The trial's validation batches."""
    return corpus.batches(trial, corpus.load(trial))[1]


def fit(trial: Trial, model: LanguageModel) -> Training:
    """Train by the loop engine, on the CPU. Raises Diverged."""
    return training.fit(trial, model, *corpus.batches(trial, corpus.load(trial)))


@torch.no_grad()
def evaluate(model: LanguageModel, batches: Batches) -> Evaluation:
    """One pass over a split, from an empty state."""
    evaluation = Evaluation()
    model.eval().reset()
    for tokens, targets in batches:
        evaluation.add(model(tokens).logits, targets)
    return evaluation


def spectral_radius(weight: Tensor) -> float:
    """The largest |eigenvalue|: above 1, repeated products can grow without end."""
    return float(torch.linalg.eigvals(weight.detach()).abs().max())


def stability(seeds: Sequence[int] = SEEDS, **changes: Any) -> dict[str, Any]:
    """Whole trainings of LMModel4 (ReLU) and of nn.RNN with one layer (tanh).

    Each by seed: accuracy and validation loss, the largest activation, the largest norm of the gradient, and
    the spectral radius of the hidden-to-hidden weight, epoch by epoch.
    """
    return {
        "LMModel4": [_watched(chapter("lm4", seed, changes), "h_h.weight") for seed in seeds],
        "tanh": [_watched(chapter("lm5", seed, changes, layers=1), "rnn.weight_hh_l0") for seed in seeds],
    }


def _watched(trial: Trial, recurrent: str) -> dict[str, Any]:
    model = build(trial)
    before = spectral_radius(model.get_parameter(recurrent))
    monitor = Monitor(model, recurrent)
    record = fit(trial, model)
    return {
        "seed": trial.seed,
        "accuracy": [e.accuracy for e in record.epochs],
        "valid_loss": [e.valid_loss for e in record.epochs],
        "activation": monitor.activation,
        "gradient": monitor.gradient,
        "radius": [before, *monitor.radius],
    }


def targets(seeds: Sequence[int] = SEEDS, **changes: Any) -> dict[str, Any]:
    """LMModel3's network trained on one word in three, and on every word: same windows, same updates.

    Both are evaluated on every word of the validation set, so that the two losses (nats a token, by seed)
    have the same targets.
    """
    losses: dict[str, dict[int, float]] = {"last": {}, "every": {}}
    for target, by_seed in losses.items():
        for seed in seeds:
            trial = chapter("lm3", seed, {**changes, "target": target})
            model = build(trial)
            fit(trial, model)
            model.target = "every"
            by_seed[seed] = evaluate(model, valid_batches(replace(trial, target="every"))).loss()
    train = corpus.batches(trial, corpus.load(trial))[0]
    return {
        "losses": losses,
        "tokens": train.tokens * trial.epochs,
        "updates": len(train) * trial.epochs,
        "window": trial.window,
    }


def halved(seeds: Sequence[int] = SEEDS, **changes: Any) -> dict[str, dict[int, float]]:
    """LMModel4 trained in float32, and with its matrix products in bfloat16: validation loss by seed.

    As mixed precision has it: weights, sums and the update stay in float32. Evaluated as it was trained.
    """
    losses: dict[str, dict[int, float]] = {"float32": {}, "bfloat16": {}}
    for name, by_seed in losses.items():
        for seed in seeds:
            trial = chapter("lm4", seed, changes)
            model = build(trial)
            # A cached copy of a weight would outlive its update.
            with torch.autocast("cpu", torch.bfloat16, enabled=name == "bfloat16", cache_enabled=False):
                by_seed[seed] = fit(trial, model).epochs[-1].valid_loss
    return losses
