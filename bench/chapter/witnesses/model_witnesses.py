"""Witnesses of the options of the zoo's models, from their modules and what these compute."""

import math
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from unrolled.bench.chapter.models.recurrent import ScratchLM, StackedCells, flatten_state
from unrolled.bench.chapter.models.registry import find_model
from unrolled.bench.chapter.witnesses.witness import (
    Witness,
    WitnessInput,
    witness_all_equal,
    witness_equal,
    witness_level,
)

SHARED_OPTIONS = ("hidden", "layers", "dropout", "tying")
"""Options that a model from scratch has in common with its twin around torch's module."""

FEWEST_DRAWS = 2**14
"""The fewest numbers from which a dropout's share is estimated."""


@torch.no_grad()
def witness_hidden(evidence: WitnessInput) -> Witness:
    """Check the widths of state and output; AWD-LSTM's last layer is as wide as its embedding."""
    model = evidence.untrained_model
    model.eval().reset()
    output = model(evidence.train.all_inputs[evidence.train.window_order[:1]])
    widths = {tensor.shape[-1] for tensor in [output.raw, *flatten_state(model.state)]}
    declared = int(evidence.trial.options["hidden"])
    return witness_equal(declared, declared if declared in widths else sorted(widths))


@torch.no_grad()
def witness_nonlinearity(evidence: WitnessInput) -> Witness:
    """Check outputs for large inputs: those of tanh lie between −1 and 1, those of ReLU are at least 0."""
    rnn = evidence.untrained_model.get_submodule("rnn")
    outputs, _ = rnn(100 * torch.randn(8, 2, int(evidence.trial.options["hidden"])))
    fits = {"tanh": bool(outputs.abs().max() <= 1), "relu": bool(outputs.min() >= 0)}
    return witness_level(str(evidence.trial.options["nonlinearity"]), fits)


def witness_layers(evidence: WitnessInput) -> Witness:
    """Check the number of layers of torch's modules, and of cells from scratch."""
    modules = evidence.untrained_model.modules()
    builtin_layers = sum(module.num_layers for module in modules if isinstance(module, nn.RNNBase))
    return witness_equal(
        evidence.trial.options["layers"], builtin_layers + len(find_cells(evidence.untrained_model))
    )


def witness_form(evidence: WitnessInput) -> Witness:
    """Check the classes of the cells from scratch, by their names in `forms`."""
    assert isinstance(evidence.untrained_model, ScratchLM)
    classes = {type(cell) for cell in find_cells(evidence.untrained_model)}
    forms = {form for form, cell_class in evidence.untrained_model.forms.items() if cell_class in classes}
    return witness_all_equal(evidence.trial.options["form"], forms)


def witness_init(evidence: WitnessInput) -> Witness:
    """Check whether the initial weights are those that the twin around torch's module draws from the seed."""
    options: dict[str, Any] = {**find_model(evidence.trial.model).options, **evidence.trial.options}
    model = evidence.untrained_model
    assert isinstance(model, ScratchLM) and isinstance(model.rnn, StackedCells)
    twin_cells = deepcopy(model.rnn)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(evidence.trial.derive_seed("init"))
        twin = model.twin(len(evidence.corpus.vocab), **{name: options[name] for name in SHARED_OPTIONS})
    assert isinstance(twin.rnn, nn.RNNBase)
    twin_cells.copy_weights(twin.rnn)
    cells_equal = _parameters_equal(model.rnn, twin_cells)
    others_equal = _parameters_equal(model.i_h, twin.i_h) and _parameters_equal(model.h_o, twin.h_o)
    fits = {"built-in": cells_equal and others_equal, "own": not cells_equal}
    return witness_level(str(options["init"]), fits)


def _parameters_equal(module: nn.Module, other_module: nn.Module) -> bool:
    pairs = zip(module.parameters(), other_module.parameters(), strict=True)
    return all(torch.equal(weight, other_weight) for weight, other_weight in pairs)


def witness_dropout(option: str, part: str, evidence: WitnessInput) -> Witness:
    """Check the share of numbers that a part of the model drops."""
    dropout = evidence.untrained_model.get_submodule(part)
    ones = torch.ones(FEWEST_DRAWS // 64, 1, 64)
    return _check_dropped_share(evidence, option, part, lambda: dropout(ones) == 0)


def witness_embed_p(evidence: WitnessInput) -> Witness:
    """Check the share of words that lose their whole embedding."""
    words = torch.arange(len(evidence.corpus.vocab))

    def draw_mask() -> Tensor:
        return (evidence.untrained_model.embed(words) == 0).all(-1)

    return _check_dropped_share(evidence, "embed_p", "embedding_dropout", draw_mask)


def witness_weight_p(evidence: WitnessInput) -> Witness:
    """Check the share of hidden-to-hidden weights dropped, in the layer furthest from the declared share."""
    layers = evidence.untrained_model.get_submodule("rnns").children()
    witnesses = [
        _check_dropped_share(evidence, "weight_p", f"rnns.{number}", partial(_find_dropped_weights, layer))
        for number, layer in enumerate(layers)
    ]
    return max(witnesses, key=lambda witness: (not witness["ok"], abs(witness["seen"] - witness["declared"])))


def _find_dropped_weights(layer: nn.Module) -> Tensor:
    """Return which hidden-to-hidden weights are zero while the nn.LSTM inside a layer runs."""
    lstm = next(module for module in layer.modules() if isinstance(module, nn.RNNBase))
    masks: list[Tensor] = []
    hook = lstm.register_forward_pre_hook(lambda module, _: masks.append(module.weight_hh_l0 == 0))
    layer(torch.zeros(1, 1, lstm.input_size))
    hook.remove()
    return masks[0]


@torch.no_grad()
def _check_dropped_share(
    evidence: WitnessInput, option: str, part: str, draw_mask: Callable[[], Tensor]
) -> Witness:
    """Check the share that a part of the model drops in training, to five standard errors.

    `draw_mask()` returns which numbers are dropped. In evaluation no number may be dropped, and a batch must
    pass through the part.
    """
    p = float(evidence.trial.options[option])
    dropout = evidence.untrained_model.get_submodule(part)
    dropout.train()
    dropped = 0
    total = 0
    while total < FEWEST_DRAWS:
        mask = draw_mask()
        dropped += int(mask.sum())
        total += mask.numel()
    dropout.eval()
    is_off_in_evaluation = not draw_mask().any()
    share = dropped / total if part in _find_used_parts(evidence) else 0.0
    is_near = abs(share - p) <= 5 * math.sqrt(p * (1 - p) / total)
    return {"ok": is_near and is_off_in_evaluation, "declared": p, "seen": round(share, 4)}


@torch.no_grad()
def _find_used_parts(evidence: WitnessInput) -> set[str]:
    """Return the names of the modules that a training batch runs through."""
    parts: set[str] = set()
    hooks = [
        module.register_forward_hook(lambda *_, name=name: parts.add(name))
        for name, module in evidence.untrained_model.named_modules()
    ]
    evidence.untrained_model.train().reset()
    evidence.untrained_model(evidence.train.all_inputs[evidence.train.window_order[:1]])
    for hook in hooks:
        hook.remove()
    return parts


def find_cells(model: nn.Module) -> list[nn.Module]:
    """Return the cells from scratch of a model."""
    return [cell for part in model.modules() if isinstance(part, StackedCells) for cell in part.cells]
