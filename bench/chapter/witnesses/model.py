"""Witnesses of the options of the zoo's models, from their modules and what these compute."""

import math
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from unrolled.bench import environment
from unrolled.bench.chapter.models.recurrent import Output, ScratchLM, StackedCells, flatten_state
from unrolled.bench.chapter.models.registry import spec_of
from unrolled.bench.chapter.witnesses.context import Witness, WitnessInput, all_are, equal, fitting

SHARED = ("hidden", "layers", "dropout", "tying")
"""Options that a model from scratch has in common with its twin around torch's module."""

DRAWS = 2**14  # numbers, at least, from which the share of a dropout is told


def hidden(case: WitnessInput) -> Witness:
    """The widths of the state and of the output; AWD-LSTM's last layer is as wide as its embedding."""
    raw, parts = _read(case)
    widths = {part.shape[-1] for part in [raw, *parts]}
    declared = int(case.trial.options["hidden"])
    return equal(declared, declared if declared in widths else sorted(widths))


@torch.no_grad()
def nonlinearity(case: WitnessInput) -> Witness:
    """The activation, from outputs for large inputs: tanh's lie between −1 and 1, ReLU's are at least 0."""
    states = case.fresh.get_submodule("rnn")(100 * torch.randn(8, 2, int(case.trial.options["hidden"])))[0]
    bounded, positive = bool(states.abs().max() <= 1), bool(states.min() >= 0)
    return fitting(str(case.trial.options["nonlinearity"]), {"tanh": bounded, "relu": positive})


def layers(case: WitnessInput) -> Witness:
    """The layers of torch's modules, and the cells from scratch."""
    built_in = sum(m.num_layers for m in case.fresh.modules() if isinstance(m, nn.RNNBase))
    return equal(case.trial.options["layers"], built_in + len(cells(case.fresh)))


def form(case: WitnessInput) -> Witness:
    """The kinds of cells from scratch, by the names that their family gives them."""
    assert isinstance(case.fresh, ScratchLM)
    found, forms = {type(cell) for cell in cells(case.fresh)}, case.fresh.forms
    return all_are(case.trial.options["form"], {name for name, cls in forms.items() if cls in found})


def init(case: WitnessInput) -> Witness:
    """Whether the untrained model has the weights that its twin around torch's module draws from the seed."""
    options: dict[str, Any] = {**spec_of(case.trial.model).options, **case.trial.options}
    fresh = case.fresh
    assert isinstance(fresh, ScratchLM) and isinstance(fresh.rnn, StackedCells)
    mapped = deepcopy(fresh.rnn)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(environment.stream(case.trial.seed, "init"))
        twin = fresh.twin(len(case.data.vocab), **{name: options[name] for name in SHARED})
    assert isinstance(twin.rnn, nn.RNNBase)
    mapped.copy_weights(twin.rnn)
    cells = _equal(fresh.rnn, mapped)
    rest = _equal(fresh.i_h, twin.i_h) and _equal(fresh.h_o, twin.h_o)
    return fitting(str(options["init"]), {"built-in": cells and rest, "own": not cells})


def _equal(one: nn.Module, two: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def dropout(option: str, part: str, case: WitnessInput) -> Witness:
    """The share of numbers that a part of the model drops."""
    drop, ones = case.fresh.get_submodule(part), torch.ones(DRAWS // 64, 1, 64)
    return _dropped(case, option, part, lambda: drop(ones) == 0)


def embed_p(case: WitnessInput) -> Witness:
    """The share of words that lose their whole embedding."""
    words = torch.arange(len(case.data.vocab))
    return _dropped(case, "embed_p", "embedding_dropout", lambda: (case.fresh.embed(words) == 0).all(-1))


def weight_p(case: WitnessInput) -> Witness:
    """The share of hidden-to-hidden weights dropped, in the layer furthest from the declared share."""
    layers = list(case.fresh.get_submodule("rnns").children())
    found = [
        _dropped(case, "weight_p", f"rnns.{i}", partial(_weights_gone, layer))
        for i, layer in enumerate(layers)
    ]
    return max(found, key=lambda w: (not w["ok"], abs(w["seen"] - w["declared"])))


def _weights_gone(layer: nn.Module) -> Tensor:
    """Which weights are zero while the nn.LSTM inside runs."""
    core = next(part for part in layer.modules() if isinstance(part, nn.RNNBase))
    gone: list[Tensor] = []
    hook = core.register_forward_pre_hook(lambda part, _: gone.append(part.weight_hh_l0 == 0))
    layer(torch.zeros(1, 1, core.input_size))
    hook.remove()
    return gone[0]


@torch.no_grad()
def _dropped(case: WitnessInput, option: str, part: str, draw: Callable[[], Tensor]) -> Witness:
    """The share that a part of the model drops in training, within five standard errors of the declared one.

    `draw` tells which of some numbers are dropped. In evaluation none may be, and a batch must pass the part.
    """
    p, drop = float(case.trial.options[option]), case.fresh.get_submodule(part)
    drop.train()
    gone = total = 0
    while total < DRAWS:
        mask = draw()
        gone, total = gone + int(mask.sum()), total + mask.numel()
    drop.eval()
    rests = not draw().any()
    share = gone / total if part in _met(case) else 0.0
    near = abs(share - p) <= 5 * math.sqrt(p * (1 - p) / total)
    return {"ok": near and rests, "declared": p, "seen": round(share, 4)}


@torch.no_grad()
def _met(case: WitnessInput) -> set[str]:
    """The parts of the model that a training batch runs through."""
    met: set[str] = set()
    hooks = [
        part.register_forward_hook(lambda *_, name=name: met.add(name))
        for name, part in case.fresh.named_modules()
    ]
    case.fresh.train().reset()
    case.fresh(case.train.inputs[case.train.order[:1]])
    for hook in hooks:
        hook.remove()
    return met


@torch.no_grad()
def _read(case: WitnessInput) -> tuple[Tensor, list[Tensor]]:
    """The hidden states of one window, and the parts of the state after it."""
    case.fresh.eval().reset()
    output: Output = case.fresh(case.train.inputs[case.train.order[:1]])
    return output.raw, flatten_state(case.fresh.state)


def cells(model: nn.Module) -> list[nn.Module]:
    """The cells from scratch of a model."""
    return [cell for part in model.modules() if isinstance(part, StackedCells) for cell in part.cells]
