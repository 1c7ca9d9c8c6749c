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

from unrolled.bench.chapter.models.spec import PENALTIES, active_penalties
from unrolled.bench.chapter.trial import ChapterTrial


class Dropout(nn.Module):
    """In training, zeroes each activation with probability p and divides the rest by 1−p."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        if not self.training or not self.p:
            return x
        return x * _mask(self.place(x), self.p)

    def place(self, x: Tensor) -> Tensor:
        """A tensor with an entry for each draw, in the memory layout in which they are drawn."""
        return torch.empty_like(x)


class LockedDropout(Dropout):
    """Dropout of (b, t, n) with one mask for all time steps, and another for each row of the batch.

    Gal and Ghahramani, 2016.
    """

    def place(self, x: Tensor) -> Tensor:
        """(b, 1, n)."""
        return x.new_empty(len(x), 1, *x.shape[2:])


class EmbeddingDropout(LockedDropout):
    """An embedding (…) → (…, n) that loses whole words: a dropped one is zero wherever it occurs.

    Gal and Ghahramani, 2016, section 4.2: a mask over the rows of the embedding matrix.
    """

    def __init__(self, embedding: nn.Embedding, p: float) -> None:
        super().__init__(p)
        self.embedding = embedding

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (…) → vectors (…, n)."""
        weight = super().forward(self.embedding.weight)  # (vocab, n)
        return F.embedding(tokens, weight, self.embedding.padding_idx)


class WeightDropout(nn.Module):
    """A recurrent layer that runs with dropout on its hidden-to-hidden weights: DropConnect.

    Wan et al., 2013; Merity, Keskar and Socher, 2018, section 2. A dropped connection is missing at every
    step and in every row. The layer keeps its parameters: the weights with dropout replace them for one
    call, so that optimizers, copies and saved states see an ordinary nn.LSTM.

    nn.LSTM on a GPU moves replaced weights into one block of memory, in place and at each call, which would
    invalidate the gradients of an earlier stretch of the same window. So `flatten_parameters` does nothing,
    as in fastai's, and cuDNN copies the weights at each call.
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


def penalties(trial: ChapterTrial, output: Any) -> dict[str, Tensor]:
    """AR, TAR and a user's own penalties, (), by the setting that is their strength, if it is not 0.

    `output` is the model's Output.
    """
    found = {"alpha": activation(output.dropped, trial.alpha)} if trial.alpha else {}
    if trial.beta:
        found["beta"] = temporal_activation(output.raw, trial.beta)
    own = active_penalties(trial.options)
    return found | {name: strength * PENALTIES[name].function(output) for name, strength in own.items()}


def _nothing() -> None:
    """A named function, as a lambda cannot be pickled."""


def _mask(place: Tensor, p: float) -> Tensor:
    """Zeros, of probability p, and 1/(1−p) in the shape of `place`: on average 1.

    The draws of `bernoulli_`, to the bit and to the generator's state, in half of its time on a CPU.
    """
    drawn = torch.empty_like(place, dtype=torch.float64).uniform_()
    return (drawn < 1 - p).to(place.dtype).div_(1 - p)
