"""Dropout in four forms, activation regularisation (AR) and temporal activation regularisation (TAR).

Everything here is from scratch. Sources: fastbook chapter 12, "Regularizing an LSTM"; Merity, McCann and
Socher, 2017 (AR, TAR); Merity, Keskar and Socher, 2018, section 4 (AWD-LSTM's dropouts), which builds on Gal
and Ghahramani, 2016 (one mask for all time steps, whole words), and Wan et al., 2013 (DropConnect).
"""

import warnings
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.chapter.models.spec import PLUGIN_PENALTIES, find_active_penalties


class Dropout(nn.Module):
    """In training, zeroes each activation with probability p and divides the rest by 1−p."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Return `x`, of any shape, after dropout."""
        if not self.training or not self.p:
            return x
        return x * _draw_mask(self.mask_template(x), self.p)

    def mask_template(self, x: Tensor) -> Tensor:
        """Return a tensor with an entry for each draw, in the memory layout in which they are drawn."""
        return torch.empty_like(x)


class LockedDropout(Dropout):
    """Dropout of (b, t, n) with one mask for all time steps, and another for each row of the batch.

    Source: Gal and Ghahramani, 2016.
    """

    def mask_template(self, x: Tensor) -> Tensor:
        """See Dropout.mask_template; the shape is (b, 1, n)."""
        return x.new_empty(len(x), 1, *x.shape[2:])


class EmbeddingDropout(LockedDropout):
    """An embedding (…) → (…, n) with dropout of whole words: a dropped word is zero wherever it occurs.

    The mask is drawn over the rows of the embedding matrix: Gal and Ghahramani, 2016, section 4.2.
    """

    def __init__(self, embedding: nn.Embedding, p: float) -> None:
        super().__init__(p)
        self.embedding = embedding

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the vectors (…, n) of tokens (…)."""
        weight = super().forward(self.embedding.weight)  # (vocab, n)
        return F.embedding(tokens, weight, self.embedding.padding_idx)


class WeightDropout(nn.Module):
    """A recurrent layer that runs with dropout on its hidden-to-hidden weights: DropConnect.

    Sources: Wan et al., 2013; Merity, Keskar and Socher, 2018, section 2. A dropped connection is missing at
    every step and in every row. The layer keeps its parameters: the weights with dropout replace them for one
    call, so that optimizers, copies and saved states see an ordinary nn.LSTM.

    nn.LSTM on a GPU moves replaced weights into one block of memory, in place and at each call, which would
    invalidate the gradients of an earlier stretch of the same window. Therefore `flatten_parameters` does
    nothing, as in fastai's version, and cuDNN copies the weights at each call.
    """

    def __init__(self, rnn: nn.RNNBase, p: float) -> None:
        super().__init__()
        self.rnn = rnn
        self.rnn.flatten_parameters = _do_nothing  # type: ignore[method-assign]
        self.drop = Dropout(p)

    def forward(self, x: Tensor, state: Any = None) -> Any:
        """Return the layer's output (b, t, m) for `x` (b, t, n), and the next state."""
        parameters = self.rnn.named_parameters()
        weights = {name: self.drop(weight) for name, weight in parameters if name.startswith("weight_hh")}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "RNN module weights are not part of single contiguous chunk")
            return functional_call(self.rnn, weights, (x, state))


def activation_penalty(dropped: Tensor, alpha: float) -> Tensor:
    """Return AR (): α times the mean square of the activations after dropout (b, t, hidden)."""
    return alpha * dropped.float().pow(2).mean()


def temporal_activation_penalty(raw: Tensor, beta: float) -> Tensor:
    """Return TAR (): β times the mean square of the change from step to step, in `raw` (b, t, hidden).

    `raw` has the activations before dropout. If the window has one step, nothing changes and the penalty is
    0.
    """
    if raw.shape[1] < 2:
        return raw.new_zeros(())
    return beta * (raw[:, 1:] - raw[:, :-1]).float().pow(2).mean()


def compute_penalties(trial: ChapterTrial, output: Any) -> dict[str, Tensor]:
    """Return AR, TAR and the plugged-in penalties, each (), by the setting that is their strength.

    Penalties of strength 0 are left out. `output` is the model's Output.
    """
    penalties = {}
    if trial.alpha:
        penalties["alpha"] = activation_penalty(output.dropped, trial.alpha)
    if trial.beta:
        penalties["beta"] = temporal_activation_penalty(output.raw, trial.beta)
    return penalties | {
        name: strength * PLUGIN_PENALTIES[name].function(output)
        for name, strength in find_active_penalties(trial.options).items()
    }


def _do_nothing() -> None:
    """A named function, since a lambda cannot be pickled."""


def _draw_mask(template: Tensor, p: float) -> Tensor:
    """Return a mask of the shape of `template`: each entry is 0 with probability p, and else 1/(1−p).

    Entries and the generator's state are those of `bernoulli_`, bit for bit, in half of its time on a CPU.
    """
    draws = torch.empty_like(template, dtype=torch.float64).uniform_()
    return (draws < 1 - p).to(template.dtype).div_(1 - p)
