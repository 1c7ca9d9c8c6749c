"""Small trainings: the instability of LMModel4, the cost of asking for one word in three, bfloat16."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from bench import corpus
from bench.corpus import Batches
from bench.models.elman import LMModel2
from bench.models.recurrent import LanguageModel, Output, State
from bench.models.registry import spec_of
from bench.training import train as training
from bench.training.engine import Training
from bench.trial import Trial

SEEDS = range(10)
MANY = range(30)  # for a spread, whose error is 13 % then
MARKS = ("accuracy", "loss")
NOT_ASKED = -100  # a target that the cross-entropy leaves out


@dataclass
class Monitor:
    """Records activations and gradients of a training by epoch; changes no number."""

    model: LanguageModel
    activation: list[float] = field(default_factory=list)  # the largest |h| of an epoch
    gradient: list[float] = field(default_factory=list)  # the largest norm of an epoch
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
        self.training = model.training

    def _gradient(self, index: int, weight: Tensor) -> None:
        self.squares[index] = float(weight.grad.pow(2).sum()) if weight.grad is not None else 0.0
        if len(self.squares) == len(list(self.model.parameters())):
            self.gradient[-1] = max(self.gradient[-1], sum(self.squares.values()) ** 0.5)
            self.squares.clear()


def build(trial: Trial) -> LanguageModel:
    """The trial's model with its initial weights."""
    return training.build(trial, len(corpus.load(trial).vocab))


def valid_batches(trial: Trial) -> Batches:
    """The trial's validation batches."""
    return corpus.batches(trial, corpus.load(trial))[1]


def fit(trial: Trial, model: LanguageModel, train: Batches | None = None) -> Training:
    """Train by the loop engine, on the CPU, on the trial's batches or on `train`. Raises Diverged."""
    _, own, valid = training.load(trial)
    return training.fit(trial, model, train or own, valid)


class Tanh(LMModel2):
    """LMModel4 with tanh in the place of ReLU, and nothing else changed."""

    def unroll(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """See LanguageModel.unroll."""
        h = 0.0 if state is None else state  # (b, hidden)
        hidden = []
        for t in range(tokens.shape[1]):
            h = self.h_h(h + self.embed(tokens[:, t])).tanh()
            hidden.append(h)
        return torch.stack(hidden, dim=1), h


def stability(seeds: Sequence[int] = MANY, **changes: Any) -> dict[str, Any]:
    """Whole trainings of LMModel4 with ReLU and with tanh, from the same initial weights.

    Each by seed: accuracy, the largest activation and the largest norm of the gradient, epoch by epoch.
    """
    found: dict[str, list[dict[str, Any]]] = {"ReLU": [], "tanh": []}
    for seed in seeds:
        trial = spec_of("lm4").trial(seed, **changes)
        relu = build(trial)
        tanh = Tanh(relu.i_h.num_embeddings, int(trial.options["hidden"]))  # type: ignore[arg-type]
        tanh.load_state_dict(relu.state_dict())
        for name, model in (("ReLU", relu), ("tanh", tanh)):
            monitor = Monitor(model)
            accuracy = [epoch.accuracy for epoch in fit(trial, model).epochs]
            largest = {"activation": monitor.activation, "gradient": monitor.gradient}
            found[name].append({"seed": seed, "accuracy": accuracy, **largest})
    return found


def targets(seeds: Sequence[int] = SEEDS, **changes: Any) -> dict[str, Any]:
    """LMModel4 trained on the answers after every third word, and on those after every word.

    Both read the same windows of 15 words, make the same updates and are asked for every word of the
    validation set; only the positions that the training loss reads differ. `accuracy` and `loss` by seed.
    """
    found: dict[str, dict[str, dict[int, float]]] = {key: {"third": {}, "every": {}} for key in MARKS}
    for seed in seeds:
        trial = spec_of("lm4").trial(seed, **{"window": 15, **changes})
        whole = corpus.batches(trial, corpus.load(trial))[0]
        asked = torch.full_like(whole.targets, NOT_ASKED)
        asked[:, 2::3] = whole.targets[:, 2::3]
        for way, train in (("third", replace(whole, targets=asked)), ("every", whole)):
            valid = fit(trial, build(trial), train).valid
            found["accuracy"][way][seed], found["loss"][way][seed] = valid.accuracy(), valid.loss()
    updates = len(whole) * trial.epochs
    return {**found, "tokens": whole.tokens * trial.epochs, "updates": updates, "window": trial.window}


def halved(seeds: Sequence[int] = SEEDS, **changes: Any) -> dict[str, dict[int, float]]:
    """LMModel4 trained in float32, and with its matrix products in bfloat16: accuracy by seed.

    As mixed precision has it: weights, sums and the update stay in float32. Evaluated as it was trained.
    """
    found: dict[str, dict[int, float]] = {"float32": {}, "bfloat16": {}}
    for name, by_seed in found.items():
        for seed in seeds:
            trial = spec_of("lm4").trial(seed, **changes)
            model = build(trial)
            # A cached copy of a weight would outlive its update.
            with torch.autocast("cpu", torch.bfloat16, enabled=name == "bfloat16", cache_enabled=False):
                by_seed[seed] = fit(trial, model).epochs[-1].accuracy
    return found
