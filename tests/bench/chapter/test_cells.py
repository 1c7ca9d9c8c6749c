"""Cells from scratch against torch's own, weights mapped, in double precision: outputs and gradients."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.chapter.models.gru import ResetAfterCell, ResetBeforeCell
from unrolled.bench.chapter.models.lstm import ChunkCell, GatesCell
from unrolled.bench.chapter.models.recurrent import StackedCells
from unrolled.bench.chapter.training.train import build_model

INPUTS = 5
HIDDEN = 7
ROWS = 3
STEPS = 6
FORMS = {
    "LSTM, gates": (GatesCell, nn.LSTM),
    "LSTM, chunk": (ChunkCell, nn.LSTM),
    "GRU, reset after": (ResetAfterCell, nn.GRU),
}


def layer_weights(module: nn.Module, number: int, *, grad: bool = False) -> dict[str, Tensor]:
    """Return weights or gradients of a layer of torch's module."""
    names = [f"{kind}_{part}" for kind in ("weight", "bias") for part in ("ih", "hh")]
    parameters = {name: getattr(module, f"{name}_l{number}") for name in names}
    return {name: p.grad if grad else p.detach() for name, p in parameters.items()}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)], ids=str)
def test_two_layers_unrolled_are_torchs_module_in_outputs_and_gradients(
    form: str, dtype: torch.dtype, tolerance: float
) -> None:
    cell_class, builtin_class = FORMS[form]
    torch.manual_seed(1)
    builtin = builtin_class(INPUTS, HIDDEN, 2, batch_first=True).to(dtype)
    scratch = StackedCells([cell_class(INPUTS, HIDDEN), cell_class(HIDDEN, HIDDEN)]).to(dtype)
    scratch.copy_weights(builtin)
    x = torch.randn(ROWS, STEPS, INPUTS, dtype=dtype)
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    outputs = [module(copied)[0] for module, copied in zip((scratch, builtin), inputs, strict=True)]
    for output in outputs:
        output.pow(2).mean().backward()
    torch.testing.assert_close(*outputs, rtol=0, atol=tolerance)
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad, rtol=0, atol=tolerance)
    for number, cell in enumerate(scratch.cells):
        grads = layer_weights(builtin, number, grad=True)
        if cell_class is GatesCell:  # whose one bias stands for torch's two, and has the gradient of either
            grads["bias_hh"] = torch.zeros_like(grads["bias_hh"])
        expected = cell_class(HIDDEN if number else INPUTS, HIDDEN).to(dtype)
        with torch.no_grad():
            expected.copy_weights(grads)
        for (name, p), grad in zip(cell.named_parameters(), expected.parameters(), strict=True):
            assert p.grad is not None and p.grad.any(), name
            torch.testing.assert_close(p.grad, grad.detach(), rtol=0, atol=tolerance)


def test_the_reset_before_cell_is_the_formula_of_cho_et_al() -> None:
    """arXiv 1406.1078, equations 5 to 8: h̃ = tanh(W x + U (r ⊙ h)), h ← z h + (1 − z) h̃."""
    torch.manual_seed(2)
    cell = ResetBeforeCell(INPUTS, HIDDEN).double()
    x = torch.randn(ROWS, INPUTS).double()
    h = torch.randn(ROWS, HIDDEN).double()
    weights = {name: p.detach().numpy() for name, p in cell.named_parameters()}
    x_parts = np.split(x.numpy() @ weights["ih.weight"].T + weights["ih.bias"], 3, axis=1)
    h_parts = np.split(h.numpy() @ weights["hh.weight"].T + weights["hh.bias"], 2, axis=1)
    r, z = (1 / (1 + np.exp(-(a + b))) for a, b in zip(x_parts, h_parts, strict=False))
    candidate = np.tanh(x_parts[2] + (r * h.numpy()) @ weights["hn.weight"].T + weights["hn.bias"])
    output, state = cell(x, h)
    assert output is state
    np.testing.assert_allclose(output.detach().numpy(), z * h.numpy() + (1 - z) * candidate, atol=1e-14)


TWINS = {"lstm-gates": "lm6", "lstm-chunk": "lm6", "gru-after": "gru", "gru-before": "gru"}
SMALL = {"hidden": 8, "layers": 2}


def build_small(name: str, **options: Any) -> Any:
    """Return a small model of the zoo."""
    return build_model(ChapterTrial(model=name, seed=3, options=options), 30)


@pytest.mark.parametrize("tying", [False, True])
@pytest.mark.parametrize("name", TWINS)
def test_a_cell_with_built_in_weights_begins_as_torchs_module(name: str, tying: bool) -> None:
    scratch = build_small(name, init="built-in", tying=tying, **SMALL)
    builtin = build_small(TWINS[name], tying=tying, **SMALL)
    for part in ("i_h.weight", "h_o.weight", "h_o.bias"):
        assert torch.equal(scratch.get_parameter(part), builtin.get_parameter(part))
    for number, cell in enumerate(scratch.rnn.cells):
        cell_numbers = torch.cat([p.flatten() for p in cell.parameters() if p.dim() == 2])
        weights = layer_weights(builtin.rnn, number)
        layer_numbers = torch.cat([weights[name].flatten() for name in ("weight_ih", "weight_hh")])
        assert torch.equal(cell_numbers.sort().values, layer_numbers.sort().values)  # in other places
