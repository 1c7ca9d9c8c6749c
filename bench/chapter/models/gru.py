"""GRUs: nn.GRU, and the cell from scratch in both published forms."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from unrolled.bench.chapter.models.recurrent import BuiltinLM, Cell, ScratchLM


class ResetAfterCell(Cell):
    """The reset gate scales the state after its matmul: cuDNN's and nn.GRU's form (Cho et al. 2014, v1)."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.ih = nn.Linear(inputs, 3 * hidden)
        self.hh = nn.Linear(hidden, 3 * hidden)

    def forward(self, x: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """One step: x (b, inputs) → h (b, hidden), twice. Gate order reset, update, new, as in torch."""
        h = x.new_zeros(len(x), self.hidden) if h is None else h
        x_r, x_z, x_n = self.ih(x).chunk(3, dim=1)
        h_r, h_z, h_n = self.hh(h).chunk(3, dim=1)
        r, z = (x_r + h_r).sigmoid(), (x_z + h_z).sigmoid()
        n = (x_n + r * h_n).tanh()
        h = (1 - z) * n + z * h
        return h, h

    def copy(self, weights: Mapping[str, Tensor]) -> None:
        """See Cell.copy."""
        for name, weight in weights.items():
            kind, part = name.split("_")
            self.get_parameter(f"{part}.{kind}").copy_(weight)


class ResetBeforeCell(Cell):
    """The reset gate scales the state before its matmul (Cho et al. 2014, arXiv 1406.1078, equation 8)."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.ih = nn.Linear(inputs, 3 * hidden)
        self.hh = nn.Linear(hidden, 2 * hidden)
        self.hn = nn.Linear(hidden, hidden)

    def forward(self, x: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """One step: x (b, inputs) → h (b, hidden), twice. Update gate as in torch: z keeps the old state."""
        h = x.new_zeros(len(x), self.hidden) if h is None else h
        x_r, x_z, x_n = self.ih(x).chunk(3, dim=1)
        h_r, h_z = self.hh(h).chunk(2, dim=1)
        r, z = (x_r + h_r).sigmoid(), (x_z + h_z).sigmoid()
        n = (x_n + self.hn(r * h)).tanh()
        h = (1 - z) * n + z * h
        return h, h

    def copy(self, weights: Mapping[str, Tensor]) -> None:
        """See Cell.copy. The function differs from nn.GRU's, in what the reset gate scales."""
        for kind in ("weight", "bias"):
            self.ih.get_parameter(kind).copy_(weights[f"{kind}_ih"])
            gates, candidate = torch.split(weights[f"{kind}_hh"], [2 * self.hidden, self.hidden])
            self.hh.get_parameter(kind).copy_(gates)
            self.hn.get_parameter(kind).copy_(candidate)


class BuiltinGRU(BuiltinLM):
    """LMModel6 with nn.GRU in the LSTM's place."""

    core = nn.GRU


class ScratchGRU(ScratchLM):
    """The same with cells from scratch."""

    forms: ClassVar = {"after": ResetAfterCell, "before": ResetBeforeCell}
    twin = BuiltinGRU
