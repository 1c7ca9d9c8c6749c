"""Dropout in four forms, activation regularisation (AR) and temporal activation regularisation (TAR).

From scratch. Source: fastbook chapter 12, "Regularizing an LSTM"; Merity, McCann and Socher, 2017 (AR, TAR);
for AWD-LSTM's dropouts Merity, Keskar and Socher, 2018, section 4, and what they build on: Gal and
Ghahramani, 2016 (one mask for all time steps, whole words), Wan et al., 2013 (DropConnect).
"""

import warnings
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from bench.models.registry import PENALTIES, strengths
from bench.trial import Trial


class Dropout(nn.Module):
    """In training, zeroes each activation with probability p and divides the rest by 1−p."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        if not self.training or not self.p:
            return x
        return x * _mask(torch.empty_like(x), self.p)


class LockedDropout(nn.Module):
    """Dropout with one mask for all time steps: an activation that goes is gone for the whole stretch.

    Gal and Ghahramani, 2016. Each row of the batch has a mask of its own.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """(b, t, n) → (b, t, n)."""
        if not self.training or not self.p:
            return x
        return x * _mask(x.new_empty(x.shape[0], 1, x.shape[2]), self.p)


class EmbeddingDropout(nn.Module):
    """An embedding that loses whole words: one that goes is zero wherever it stands in the batch.

    Gal and Ghahramani, 2016, section 4.2: a mask over the rows of the embedding matrix.
    """

    def __init__(self, embedding: nn.Embedding, p: float) -> None:
        super().__init__()
        self.embedding = embedding
        self.p = p

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (…) → vectors (…, n)."""
        weight = self.embedding.weight  # (vocab, n)
        if self.training and self.p:
            weight = weight * _mask(weight.new_empty(len(weight), 1), self.p)
        return F.embedding(tokens, weight, self.embedding.padding_idx)


class WeightDropout(nn.Module):
    """A recurrent layer that runs with dropout on its hidden-to-hidden weights: DropConnect.

    Wan et al., 2013; Merity, Keskar and Socher, 2018, section 2. A connection that goes is gone for every
    step and every row. The layer keeps its parameters: the weights that lost connections stand in for one
    call, so that optimizers, copies and saved states see nothing but an ordinary nn.LSTM.

    On a GPU the layer would move its weights into one block of memory whenever they are other ones: at each
    call, in place, also between two stretches of one window, whose gradients are still to come. So it does
    not, as fastai's does not, and cuDNN copies them at each call.
    """

    def __init__(self, rnn: nn.RNNBase, p: float) -> None:
        super().__init__()
        self.rnn = rnn
        self.rnn.flatten_parameters = _nothing  # type: ignore[method-assign]
        self.drop = Dropout(p)

    def forward(self, x: Tensor, state: Any = None) -> Any:
        """As the layer: (b, t, n) and a state → (b, t, m) and the next state."""
        weights = {n: self.drop(w) for n, w in self.rnn.named_parameters() if n.startswith("weight_hh")}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "RNN module weights are not part of single contiguous chunk")
            return functional_call(self.rnn, weights, (x, state))


def activation(dropped: Tensor, alpha: float) -> Tensor:
    """AR: α times the mean square of the activations after dropout, (b, t, hidden) → ()."""
    return alpha * dropped.float().pow(2).mean()


def temporal_activation(raw: Tensor, beta: float) -> Tensor:
    """TAR: β times the mean square of the change from step to step before dropout; 0 for a window of one."""
    if raw.shape[1] < 2:
        return raw.new_zeros(())
    return beta * (raw[:, 1:] - raw[:, :-1]).float().pow(2).mean()


def penalties(trial: Trial, output: Any) -> dict[str, Tensor]:
    """A user's own penalties, each at its strength, (), by name; `output` is the model's Output."""
    return {
        name: strength * PENALTIES[name].function(output)
        for name, strength in strengths(trial.options).items()
    }


def _nothing() -> None:
    pass


def _mask(place: Tensor, p: float) -> Tensor:
    """Zeros, of probability p, and 1/(1−p) in the shape of `place`: on average 1.

    The draws of `bernoulli_`, to the bit and to the generator's state, in half of its time on a CPU.
    """
    drawn = torch.empty_like(place, dtype=torch.float64).uniform_()
    return (drawn < 1 - p).to(place.dtype).div_(1 - p)
