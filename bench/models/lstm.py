"""LSTMs: nn.LSTM (LMModel6 and LMModel7), and the cell from scratch in the chapter's two forms.

Source: fastbook chapter 12, "LSTM"; Hochreiter and Schmidhuber, 1997.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from bench.models.recurrent import BuiltinLM, ScratchLM

LSTMState = tuple[Tensor, Tensor] | None
"""(h, c), each (b, hidden); None for zeros."""


class GatesCell(nn.Module):
    """The chapter's first form: a Linear for each gate, over the state and the input side by side."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.forget_gate = nn.Linear(inputs + hidden, hidden)
        self.input_gate = nn.Linear(inputs + hidden, hidden)
        self.cell_gate = nn.Linear(inputs + hidden, hidden)
        self.output_gate = nn.Linear(inputs + hidden, hidden)

    def forward(self, x: Tensor, state: LSTMState = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """One step: x (b, inputs) → h (b, hidden) and (h, c)."""
        h, c = state or _zeros(x, self.hidden)
        both = torch.cat([h, x], dim=1)  # (b, hidden + inputs)
        c = c * self.forget_gate(both).sigmoid()
        c = c + self.input_gate(both).sigmoid() * self.cell_gate(both).tanh()
        h = self.output_gate(both).sigmoid() * c.tanh()
        return h, (h, c)


class ChunkCell(nn.Module):
    """The chapter's second form: one Linear for the input, one for the state, cut into four.

    Gate order input, forget, output, cell, as in the book; torch has input, forget, cell, output.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.ih = nn.Linear(inputs, 4 * hidden)
        self.hh = nn.Linear(hidden, 4 * hidden)

    def forward(self, x: Tensor, state: LSTMState = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """One step: x (b, inputs) → h (b, hidden) and (h, c)."""
        h, c = state or _zeros(x, self.hidden)
        i, f, o, g = (self.ih(x) + self.hh(h)).chunk(4, dim=1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        return h, (h, c)


class BuiltinLSTM(BuiltinLM):
    """LMModel6 with nn.LSTM; with dropout and tying it is LMModel7."""

    core = nn.LSTM


class ScratchLSTM(ScratchLM):
    """LMModel6 with cells from scratch."""

    forms: ClassVar = {"gates": GatesCell, "chunk": ChunkCell}


def _zeros(x: Tensor, hidden: int) -> tuple[Tensor, Tensor]:
    zeros = x.new_zeros(len(x), hidden)
    return zeros, zeros
