"""LSTMs: nn.LSTM (LMModel6 and LMModel7), and the cell from scratch in the chapter's two forms.

Source: fastbook chapter 12, "LSTM"; Hochreiter and Schmidhuber, 1997.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from unrolled.bench.chapter.models.recurrent import BuiltinLM, Cell, ScratchLM

LSTMState = tuple[Tensor, Tensor] | None
"""(h, c), each (b, hidden); None for zeros."""


class GatesCell(Cell):
    """The chapter's first form: a Linear for each gate, over the state and the input side by side.

    Each gate has one bias, and nn.LSTM has two. The sum of two biases moves twice as far in a step of Adam.
    With nn.LSTM's weights the cell therefore computes the same numbers, but trains slightly differently from
    the second update on.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.forget_gate = nn.Linear(inputs + hidden, hidden)
        self.input_gate = nn.Linear(inputs + hidden, hidden)
        self.cell_gate = nn.Linear(inputs + hidden, hidden)
        self.output_gate = nn.Linear(inputs + hidden, hidden)

    def forward(self, x: Tensor, state: LSTMState = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return h (b, hidden) and the next state (h, c), for x (b, inputs)."""
        h, c = state or _zero_state(x, self.hidden)
        h_x = torch.cat([h, x], dim=1)  # (b, hidden + inputs)
        c = c * self.forget_gate(h_x).sigmoid()
        c = c + self.input_gate(h_x).sigmoid() * self.cell_gate(h_x).tanh()
        h = self.output_gate(h_x).sigmoid() * c.tanh()
        return h, (h, c)

    def copy_weights(self, weights: Mapping[str, Tensor]) -> None:
        """See Cell.copy_weights. A Linear here reads h, then x."""
        gates = (self.input_gate, self.forget_gate, self.cell_gate, self.output_gate)  # torch's order
        gate_weights = torch.cat([weights["weight_hh"], weights["weight_ih"]], dim=1).chunk(4)
        gate_biases = (weights["bias_ih"] + weights["bias_hh"]).chunk(4)
        for gate, weight, bias in zip(gates, gate_weights, gate_biases, strict=True):
            gate.weight.copy_(weight)
            gate.bias.copy_(bias)


class ChunkCell(Cell):
    """The chapter's second form: one Linear for the input, one for the state, cut into four.

    The order of the gates is input, forget, output, cell, as in the book. torch has input, forget, cell,
    output.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.ih = nn.Linear(inputs, 4 * hidden)
        self.hh = nn.Linear(hidden, 4 * hidden)

    def forward(self, x: Tensor, state: LSTMState = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return h (b, hidden) and the next state (h, c), for x (b, inputs)."""
        h, c = state or _zero_state(x, self.hidden)
        i, f, o, g = (self.ih(x) + self.hh(h)).chunk(4, dim=1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        return h, (h, c)

    def copy_weights(self, weights: Mapping[str, Tensor]) -> None:
        """See Cell.copy_weights."""
        for name, weight in weights.items():
            parameter, part = name.split("_")
            i, f, g, o = weight.chunk(4)
            self.get_parameter(f"{part}.{parameter}").copy_(torch.cat([i, f, o, g]))


class BuiltinLSTM(BuiltinLM):
    """LMModel6 with nn.LSTM; with dropout and tying it is LMModel7."""

    rnn_class = nn.LSTM


class ScratchLSTM(ScratchLM):
    """LMModel6 with cells from scratch."""

    forms: ClassVar = {"gates": GatesCell, "chunk": ChunkCell}
    twin = BuiltinLSTM


def _zero_state(x: Tensor, hidden: int) -> tuple[Tensor, Tensor]:
    zeros = x.new_zeros(len(x), hidden)
    return zeros, zeros
