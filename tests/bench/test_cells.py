"""Cells from scratch against torch's own, weights mapped, in double precision: outputs and gradients."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.models.gru import ResetAfterCell, ResetBeforeCell, ScratchGRU
from bench.models.lstm import ChunkCell, GatesCell, ScratchLSTM
from bench.models.recurrent import Unrolled

IN, HIDDEN, ROWS, STEPS = 5, 7, 3, 6
EXACT = {"rtol": 0.0, "atol": 1e-12}
CLOSE = {"rtol": 0.0, "atol": 1e-6}  # what single precision must reach


def book_order(torch_order: Tensor) -> Tensor:
    """Rows of gates input, forget, cell, output (torch) as input, forget, output, cell (the book)."""
    i, f, g, o = torch_order.chunk(4)
    return torch.cat([i, f, o, g])


def copy(into: Tensor, value: Tensor) -> None:
    with torch.no_grad():
        into.copy_(value)


def to_chunk(cell: ChunkCell, weights: dict[str, Tensor]) -> None:
    copy(cell.ih.weight, book_order(weights["weight_ih"]))
    copy(cell.hh.weight, book_order(weights["weight_hh"]))
    copy(cell.ih.bias, book_order(weights["bias_ih"]))
    copy(cell.hh.bias, book_order(weights["bias_hh"]))


def to_gates(cell: GatesCell, weights: dict[str, Tensor]) -> None:
    both = torch.cat([weights["weight_hh"], weights["weight_ih"]], dim=1)  # the state, then the input
    bias = weights["bias_ih"] + weights["bias_hh"]
    gates = (cell.input_gate, cell.forget_gate, cell.cell_gate, cell.output_gate)
    for gate, weight, b in zip(gates, both.chunk(4), bias.chunk(4), strict=True):
        copy(gate.weight, weight)
        copy(gate.bias, b)


def to_reset_after(cell: ResetAfterCell, weights: dict[str, Tensor]) -> None:
    for ours, theirs in ((cell.ih, "ih"), (cell.hh, "hh")):
        copy(ours.weight, weights[f"weight_{theirs}"])
        copy(ours.bias, weights[f"bias_{theirs}"])


def chunk_grads(cell: ChunkCell) -> dict[str, Tensor]:
    back = {"weight_ih": cell.ih.weight, "weight_hh": cell.hh.weight}
    back |= {"bias_ih": cell.ih.bias, "bias_hh": cell.hh.bias}
    return {name: book_order(p.grad) for name, p in back.items() if p.grad is not None}  # its own inverse


def gates_grads(cell: GatesCell) -> dict[str, Tensor]:
    gates = (cell.input_gate, cell.forget_gate, cell.cell_gate, cell.output_gate)
    weight = torch.cat([g.weight.grad for g in gates if g.weight.grad is not None])
    bias = torch.cat([g.bias.grad for g in gates if g.bias.grad is not None])
    hidden = cell.hidden
    return {
        "weight_hh": weight[:, :hidden],
        "weight_ih": weight[:, hidden:],
        "bias_ih": bias,
        "bias_hh": bias,
    }


def reset_after_grads(cell: ResetAfterCell) -> dict[str, Tensor]:
    found = {"weight_ih": cell.ih.weight, "weight_hh": cell.hh.weight}
    found |= {"bias_ih": cell.ih.bias, "bias_hh": cell.hh.bias}
    return {name: p.grad for name, p in found.items() if p.grad is not None}


FORMS = {
    "LSTM, gates": (GatesCell, to_gates, gates_grads, nn.LSTM, nn.LSTMCell),
    "LSTM, chunk": (ChunkCell, to_chunk, chunk_grads, nn.LSTM, nn.LSTMCell),
    "GRU, reset after": (ResetAfterCell, to_reset_after, reset_after_grads, nn.GRU, nn.GRUCell),
}
forms = pytest.mark.parametrize("form", FORMS)
precisions = pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, EXACT), (torch.float32, CLOSE)], ids=["double", "single"]
)


def layer_of(module: nn.Module, suffix: str) -> dict[str, Tensor]:
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    return {name: getattr(module, name + suffix).detach() for name in names}


@forms
@precisions
def test_a_cell_is_torchs_cell(form: str, dtype: torch.dtype, tolerance: dict[str, float]) -> None:
    make, fill, _, _, builtin = FORMS[form]
    torch.manual_seed(0)
    ours, theirs = make(IN, HIDDEN).to(dtype), builtin(IN, HIDDEN).to(dtype)
    fill(ours, layer_of(theirs, ""))
    x, h, c = (torch.randn(ROWS, n, dtype=dtype) for n in (IN, HIDDEN, HIDDEN))
    state = (h, c) if builtin is nn.LSTMCell else h
    for before in (state, None):
        out, new = ours(x, before)
        expected = theirs(x, before)
        torch.testing.assert_close(new, expected, **tolerance)
        torch.testing.assert_close(out, expected[0] if builtin is nn.LSTMCell else expected, **tolerance)


@forms
@precisions
def test_two_layers_unrolled_are_torchs_module_in_outputs_and_gradients(
    form: str, dtype: torch.dtype, tolerance: dict[str, float]
) -> None:
    make, fill, grads, builtin, _ = FORMS[form]
    torch.manual_seed(1)
    theirs = builtin(IN, HIDDEN, 2, batch_first=True).to(dtype)
    ours = Unrolled([make(IN, HIDDEN), make(HIDDEN, HIDDEN)]).to(dtype)
    for layer, cell in enumerate(ours.cells):
        fill(cell, layer_of(theirs, f"_l{layer}"))
    x = torch.randn(ROWS, STEPS, IN, dtype=dtype)
    mine, his = x.clone().requires_grad_(), x.clone().requires_grad_()
    out, _ = ours(mine)
    expected, _ = theirs(his)
    torch.testing.assert_close(out, expected, **tolerance)
    out.pow(2).mean().backward()
    expected.pow(2).mean().backward()
    torch.testing.assert_close(mine.grad, his.grad, **tolerance)
    for layer, cell in enumerate(ours.cells):
        for name, grad in grads(cell).items():
            assert grad.any()
            torch.testing.assert_close(grad, getattr(theirs, f"{name}_l{layer}").grad, **tolerance)


def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-x))


def test_the_reset_before_cell_is_the_formula_of_cho_et_al() -> None:
    """arXiv 1406.1078, equations 5 to 8: h̃ = tanh(W x + U (r ⊙ h)), h ← z h + (1 − z) h̃."""
    torch.manual_seed(2)
    cell = ResetBeforeCell(IN, HIDDEN).double()
    x, h = torch.randn(ROWS, IN).double(), torch.randn(ROWS, HIDDEN).double()
    w, u = cell.ih.weight.detach().numpy(), cell.hh.weight.detach().numpy()
    b, c = cell.ih.bias.detach().numpy(), cell.hh.bias.detach().numpy()
    n, X, H = HIDDEN, x.numpy(), h.numpy()
    r = sigmoid(X @ w[:n].T + b[:n] + H @ u[:n].T + c[:n])
    z = sigmoid(X @ w[n : 2 * n].T + b[n : 2 * n] + H @ u[n:].T + c[n:])
    inner = (r * H) @ cell.hn.weight.detach().numpy().T + cell.hn.bias.detach().numpy()
    candidate = np.tanh(X @ w[2 * n :].T + b[2 * n :] + inner)
    expected = z * H + (1 - z) * candidate
    out, new = cell(x, h)
    assert out is new
    np.testing.assert_allclose(out.detach().numpy(), expected, atol=1e-14)


def test_the_two_published_grus_differ() -> None:
    torch.manual_seed(3)
    after, before = ResetAfterCell(IN, HIDDEN), ResetBeforeCell(IN, HIDDEN)
    copy(before.ih.weight, after.ih.weight)
    copy(before.ih.bias, after.ih.bias)
    copy(before.hh.weight, after.hh.weight[: 2 * HIDDEN])
    copy(before.hh.bias, after.hh.bias[: 2 * HIDDEN])
    copy(before.hn.weight, after.hh.weight[2 * HIDDEN :])
    copy(before.hn.bias, after.hh.bias[2 * HIDDEN :])
    x, h = torch.randn(ROWS, IN), torch.randn(ROWS, HIDDEN)
    assert (after(x, h)[0] - before(x, h)[0]).abs().max() > 1e-3
    copy(after.hh.weight[2 * HIDDEN :], torch.zeros(HIDDEN, HIDDEN))
    copy(after.hh.bias, torch.zeros(3 * HIDDEN))
    copy(before.hn.weight, torch.zeros(HIDDEN, HIDDEN))
    copy(before.hn.bias, torch.zeros(HIDDEN))
    copy(before.hh.bias, torch.zeros(2 * HIDDEN))
    torch.testing.assert_close(after(x, h)[0], before(x, h)[0])  # without a recurrent candidate they agree


def test_the_form_chooses_the_cell() -> None:
    assert isinstance(ScratchLSTM(9, 4, form="gates").rnn.cells[0], GatesCell)
    assert isinstance(ScratchLSTM(9, 4, form="chunk").rnn.cells[1], ChunkCell)
    assert isinstance(ScratchGRU(9, 4, form="after").rnn.cells[0], ResetAfterCell)
    assert isinstance(ScratchGRU(9, 4, form="before").rnn.cells[1], ResetBeforeCell)
