"""minGRU (Feng et al., 2024, "Were RNNs All We Needed?"): a GRU whose gate does not read the state."""

import torch
from torch import nn

from unrolled import cell


@cell("min-gru", "minGRU")
class MinGRU(nn.Module):
    """A gate between the state and a candidate, both read from the input alone."""

    def __init__(self, inputs, hidden):
        super().__init__()
        self.gate, self.new = nn.Linear(inputs, hidden), nn.Linear(inputs, hidden)

    def forward(self, x, h=None):  # x (b, inputs), h (b, hidden) or None → output (b, hidden), next state
        gate, new = torch.sigmoid(self.gate(x)), self.new(x)
        h = gate * new if h is None else (1 - gate) * h + gate * new
        return h, h
