"""Dropout, activation regularisation (AR) and temporal activation regularisation (TAR), from scratch.

Source: fastbook chapter 12, "Regularizing an LSTM"; Merity, McCann and Socher, 2017 (AR, TAR).
"""

import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """In training, zeroes each activation with probability p and divides the rest by 1−p."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        if not self.training or not self.p:
            return x
        keep = torch.empty_like(x).bernoulli_(1 - self.p)
        return x * keep.div_(1 - self.p)


def activation(dropped: Tensor, alpha: float) -> Tensor:
    """AR: α times the mean square of the activations after dropout, (b, t, hidden) → ()."""
    return alpha * dropped.float().pow(2).mean()


def temporal_activation(raw: Tensor, beta: float) -> Tensor:
    """TAR: β times the mean square of the change from step to step before dropout; 0 for a window of one."""
    if raw.shape[1] < 2:
        return raw.new_zeros(())
    return beta * (raw[:, 1:] - raw[:, :-1]).float().pow(2).mean()
