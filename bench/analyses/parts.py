"""Cells from scratch compared with torch's, the scale of dropout, and the source of what a reader writes."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from bench.analyses.validation_text import batches
from bench.models.elman import LMModel1, LMModel2
from bench.models.gru import ResetAfterCell, ResetBeforeCell
from bench.models.lstm import ChunkCell, GatesCell
from bench.models.recurrent import Unrolled
from bench.regularization import Dropout, activation, temporal_activation

ASKED = (LMModel1, LMModel2, GatesCell, ChunkCell, ResetAfterCell, ResetBeforeCell)
"""Classes that the questionnaire asks a reader to write, beside dropout, AR, TAR and batches."""


def same(size: int = 64, rows: int = 8, steps: int = 16) -> dict[str, Any]:
    """Each cell from scratch against torch's with the same weights, in double precision.

    The largest difference of the outputs, and of the gradient that reaches the input.
    """
    torch.manual_seed(0)
    x = torch.randn(rows, steps, size, dtype=torch.float64)
    found = {}
    for name, cell, torchs in (
        ("LSTM, four gates", GatesCell, nn.LSTM),
        ("LSTM, chunked", ChunkCell, nn.LSTM),
        ("GRU, reset after", ResetAfterCell, nn.GRU),
    ):
        theirs = torchs(size, size, batch_first=True).double()
        ours = Unrolled([cell(size, size).double()])
        ours.copy(theirs)
        (out, grad), (other, other_grad) = _read(ours, x), _read(theirs, x)
        found[name] = {
            "outputs": float((out - other).abs().max()),
            "gradients": float((grad - other_grad).abs().max()),
        }
    return found


def dropout(draws: int = 2**18, seed: int = 0) -> dict[str, Any]:
    """The mean of ones after dropout of p, by p: with the factor 1/(1−p), and without it."""
    torch.manual_seed(seed)
    ones, means = torch.ones(draws), []
    for p in (0.1, 0.25, 0.4, 0.5, 0.75, 0.9):
        dropped = Dropout(p).train()(ones)
        kept = float((dropped != 0).float().mean())
        means.append({"p": p, "scaled": float(dropped.mean()), "unscaled": kept})
    still = torch.equal(Dropout(0.5).eval()(ones), ones)
    return {"means": means, "nothing in evaluation": still}


def sources() -> dict[str, str]:
    """Python source by name, as it stands in this project."""
    asked = (*ASKED, Dropout, activation, temporal_activation, batches)
    return {each.__name__: inspect.getsource(each).rstrip() for each in asked}


def _read(module: Callable[[Tensor], tuple[Tensor, Any]], x: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs, and the gradient of their sum of squares at the input."""
    x = x.clone().requires_grad_()
    out = module(x)[0]
    (grad,) = torch.autograd.grad(out.pow(2).sum(), x)
    return out.detach(), grad
