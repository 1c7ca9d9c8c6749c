"""GRUs: nn.GRU, and the cell from scratch in both published forms."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from unrolled.bench.chapter.models.recurrent import BuiltinLM, Cell, ScratchLM


class ResetAfterCell(Cell):
    """The reset gate scales the state after its matmul: cuDNN's and nn.GRU's form (Cho et al. 2014, v1).

    The order of the gates is reset, update, new, as in torch.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.ih = nn.Linear(inputs, 3 * hidden)
        self.hh = nn.Linear(hidden, 3 * hidden)

    def forward(self, x: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return h (b, hidden), for x (b, inputs), and h again as the next state."""
        if h is None:
            h = x.new_zeros(len(x), self.hidden)
        x_r, x_z, x_n = self.ih(x).chunk(3, dim=1)
        h_r, h_z, h_n = self.hh(h).chunk(3, dim=1)
        r = (x_r + h_r).sigmoid()
        z = (x_z + h_z).sigmoid()
        n = (x_n + r * h_n).tanh()
        h = (1 - z) * n + z * h
        return h, h

    def copy_weights(self, weights: Mapping[str, Tensor]) -> None:
        """See Cell.copy_weights."""
        for name, weight in weights.items():
            parameter, part = name.split("_")
            self.get_parameter(f"{part}.{parameter}").copy_(weight)


class ResetBeforeCell(Cell):
    """The reset gate scales the state before its matmul (Cho et al. 2014, arXiv 1406.1078, equation 8).

    As in torch, z is the share of the old state that is kept.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.ih = nn.Linear(inputs, 3 * hidden)
        self.hh = nn.Linear(hidden, 2 * hidden)
        self.hn = nn.Linear(hidden, hidden)

    def forward(self, x: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return h (b, hidden), for x (b, inputs), and h again as the next state."""
        if h is None:
            h = x.new_zeros(len(x), self.hidden)
        x_r, x_z, x_n = self.ih(x).chunk(3, dim=1)
        h_r, h_z = self.hh(h).chunk(2, dim=1)
        r = (x_r + h_r).sigmoid()
        z = (x_z + h_z).sigmoid()
        n = (x_n + self.hn(r * h)).tanh()
        h = (1 - z) * n + z * h
        return h, h

    def copy_weights(self, weights: Mapping[str, Tensor]) -> None:
        """See Cell.copy_weights. The function differs from nn.GRU's, in what the reset gate scales."""
        for parameter in ("weight", "bias"):
            self.ih.get_parameter(parameter).copy_(weights[f"{parameter}_ih"])
            gates, candidate = torch.split(weights[f"{parameter}_hh"], [2 * self.hidden, self.hidden])
            self.hh.get_parameter(parameter).copy_(gates)
            self.hn.get_parameter(parameter).copy_(candidate)


class BuiltinGRU(BuiltinLM):
    """LMModel6 with nn.GRU in the LSTM's place."""

    rnn_class = nn.GRU


class ScratchGRU(ScratchLM):
    """LMModel6 with GRU cells from scratch in the LSTM's place."""

    forms: ClassVar = {"after": ResetAfterCell, "before": ResetBeforeCell}
    twin = BuiltinGRU
