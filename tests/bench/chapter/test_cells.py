"""Cells from scratch against torch's own, weights mapped, in double precision: outputs and gradients."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from unrolled.bench.chapter.models.gru import ResetAfterCell, ResetBeforeCell
from unrolled.bench.chapter.models.lstm import ChunkCell, GatesCell
from unrolled.bench.chapter.models.recurrent import StackedCells
from unrolled.bench.chapter.training.train import build_model
from unrolled.bench.chapter.trial import ChapterTrial

IN, HIDDEN, ROWS, STEPS = 5, 7, 3, 6
FORMS = {
    "LSTM, gates": (GatesCell, nn.LSTM),
    "LSTM, chunk": (ChunkCell, nn.LSTM),
    "GRU, reset after": (ResetAfterCell, nn.GRU),
}


def layer(module: nn.Module, number: int, *, grad: bool = False) -> dict[str, Tensor]:
    """Weights or gradients of a layer of torch's module."""
    names = [f"{kind}_{part}" for kind in ("weight", "bias") for part in ("ih", "hh")]
    found = {name: getattr(module, f"{name}_l{number}") for name in names}
    return {name: p.grad if grad else p.detach() for name, p in found.items()}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)], ids=str)
def test_two_layers_unrolled_are_torchs_module_in_outputs_and_gradients(
    form: str, dtype: torch.dtype, tolerance: float
) -> None:
    make, builtin = FORMS[form]
    torch.manual_seed(1)
    theirs = builtin(IN, HIDDEN, 2, batch_first=True).to(dtype)
    ours = StackedCells([make(IN, HIDDEN), make(HIDDEN, HIDDEN)]).to(dtype)
    ours.copy_weights(theirs)
    x = torch.randn(ROWS, STEPS, IN, dtype=dtype)
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    outputs = [module(mine)[0] for module, mine in zip((ours, theirs), inputs, strict=True)]
    for out in outputs:
        out.pow(2).mean().backward()
    torch.testing.assert_close(*outputs, rtol=0, atol=tolerance)
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad, rtol=0, atol=tolerance)
    for number, cell in enumerate(ours.cells):
        grads = layer(theirs, number, grad=True)
        if make is GatesCell:  # whose one bias stands for torch's two, and has the gradient of either
            grads["bias_hh"] = torch.zeros_like(grads["bias_hh"])
        expected = make(HIDDEN if number else IN, HIDDEN).to(dtype)
        with torch.no_grad():
            expected.copy_weights(grads)
        for (name, p), grad in zip(cell.named_parameters(), expected.parameters(), strict=True):
            assert p.grad is not None and p.grad.any(), name
            torch.testing.assert_close(p.grad, grad.detach(), rtol=0, atol=tolerance)


def test_the_reset_before_cell_is_the_formula_of_cho_et_al() -> None:
    """arXiv 1406.1078, equations 5 to 8: h̃ = tanh(W x + U (r ⊙ h)), h ← z h + (1 − z) h̃."""
    torch.manual_seed(2)
    cell = ResetBeforeCell(IN, HIDDEN).double()
    x, h = torch.randn(ROWS, IN).double(), torch.randn(ROWS, HIDDEN).double()
    weights = {name: p.detach().numpy() for name, p in cell.named_parameters()}
    of_x = np.split(x.numpy() @ weights["ih.weight"].T + weights["ih.bias"], 3, axis=1)
    of_h = np.split(h.numpy() @ weights["hh.weight"].T + weights["hh.bias"], 2, axis=1)
    r, z = (1 / (1 + np.exp(-(a + b))) for a, b in zip(of_x, of_h, strict=False))
    candidate = np.tanh(of_x[2] + (r * h.numpy()) @ weights["hn.weight"].T + weights["hn.bias"])
    out, new = cell(x, h)
    assert out is new
    np.testing.assert_allclose(out.detach().numpy(), z * h.numpy() + (1 - z) * candidate, atol=1e-14)


TWINS = {"lstm-gates": "lm6", "lstm-chunk": "lm6", "gru-after": "gru", "gru-before": "gru"}
SMALL = {"hidden": 8, "layers": 2}


def built(name: str, **options: Any) -> Any:
    return build_model(ChapterTrial(model=name, seed=3, options=options), 30)


@pytest.mark.parametrize("tying", [False, True])
@pytest.mark.parametrize("name", TWINS)
def test_a_cell_with_the_built_in_s_weights_begins_as_torchs_module_does(name: str, tying: bool) -> None:
    ours = built(name, init="built-in", tying=tying, **SMALL)
    theirs = built(TWINS[name], tying=tying, **SMALL)
    assert torch.equal(ours.i_h.weight, theirs.i_h.weight) and torch.equal(ours.h_o.weight, theirs.h_o.weight)
    assert torch.equal(ours.h_o.bias, theirs.h_o.bias)
    for number, cell in enumerate(ours.rnn.cells):
        of_cell = torch.cat([p.flatten() for p in cell.parameters() if p.dim() == 2])
        weights = layer(theirs.rnn, number)
        of_torch = torch.cat([weights[name].flatten() for name in ("weight_ih", "weight_hh")])
        assert torch.equal(of_cell.sort().values, of_torch.sort().values)  # the same numbers, in other places
