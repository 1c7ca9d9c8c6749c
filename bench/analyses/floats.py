"""What floating-point numbers do to a network: how dense they are, how errors add up, tanh from sigmoid."""

from typing import Any

import torch
from torch import Tensor

FORMATS = {
    "float32": (torch.float32, torch.int32),
    "float16": (torch.float16, torch.int16),
    "bfloat16": (torch.bfloat16, torch.int16),
}
"""Each format, and the whole numbers of its size: the next float has the next bits."""


def spacing(low: int = -12, high: int = 15) -> dict[str, Any]:
    """The distance from 2^e to the next number of each format, for every e from `low` to `high`.

    Also the share of all positive finite float32 that are below 1, and the first whole number that each
    format cannot hold. Source of the formats: IEEE 754; bfloat16 is the upper half of a float32.
    """
    exponents = range(low, high + 1)
    at = torch.tensor([2.0**e for e in exponents], dtype=torch.float64)
    one, infinity = torch.tensor([1.0, torch.inf]).view(torch.int32).tolist()
    return {
        "exponents": list(exponents),
        "gaps": {name: (_next(at, name) - at).tolist() for name in FORMATS},
        "share_below_one": one / infinity,
        "first_gap": {name: _first_gap(name) for name in FORMATS},
    }


def precision(steps: int = 256, size: int = 64, rows: int = 64, seed: int = 0) -> dict[str, Any]:
    """The relative error of x ← Q·x, Q orthogonal, after 1, 2, 4, … products, against double precision.

    Q keeps every length, so that the error is rounding and nothing else.
    """
    torch.manual_seed(seed)
    rotation = torch.linalg.qr(torch.randn(size, size, dtype=torch.float64)).Q
    x = torch.randn(rows, size, dtype=torch.float64)
    at = [2**k for k in range(steps.bit_length())]
    exact = _products(rotation, x, at, torch.float64)
    errors = {}
    for name in ("float32", "bfloat16"):
        found = _products(rotation, x, at, FORMATS[name][0])
        errors[name] = [float((f - e).norm() / e.norm()) for f, e in zip(found, exact, strict=True)]
    return {"steps": at, "errors": errors, "size": size}


def tanh(reach: float = 6.0, points: int = 97) -> dict[str, Any]:
    """tanh(x) and σ(x) on a grid, both slopes at their steepest, and how far 2σ(2x)−1 is from tanh(x)."""
    x = torch.linspace(-reach, reach, points, dtype=torch.float64, requires_grad=True)
    curves = {"tanh": x.tanh(), "sigmoid": x.sigmoid()}
    slopes = {name: torch.autograd.grad(y.sum(), x)[0] for name, y in curves.items()}
    return {
        "x": x.tolist(),
        "curves": {name: y.tolist() for name, y in curves.items()},
        "steepest": {name: float(slope.max()) for name, slope in slopes.items()},
        "gap": float((2 * (2 * x).sigmoid() - 1 - curves["tanh"]).detach().abs().max()),
    }


def _next(at: Tensor, name: str) -> Tensor:
    """The next larger number of a format, in double precision."""
    dtype, whole = FORMATS[name]
    return (at.to(dtype).view(whole) + 1).view(dtype).double()


def _first_gap(name: str) -> int:
    """The first whole number that a format cannot hold: one more than a power of two."""
    n = 2
    while float(torch.tensor(n + 1).to(FORMATS[name][0])) == n + 1:
        n *= 2
    return n + 1


def _products(rotation: Tensor, x: Tensor, at: list[int], dtype: torch.dtype) -> list[Tensor]:
    found, rotation, x = [], rotation.to(dtype), x.to(dtype)
    for step in range(1, at[-1] + 1):
        x = x @ rotation
        if step in at:
            found.append(x.double())
    return found
