"""AWD-LSTM (Merity, Keskar and Socher, 2018), twice: of fastai's parts, and from scratch.

An LSTM with five dropouts: whole words of the embedding, the input of the first layer, the hidden-to-hidden
weights of every layer, the activations between layers, the output. It is trained as the chapter trains: the
paper's own recipe (NT-ASGD, windows of random length) is left out.
"""

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from fastai.text.models import awdlstm as fastai
from torch import Tensor, nn

from unrolled.bench.chapter.models.recurrent import LanguageModel, Output, State
from unrolled.bench.chapter.regularization import EmbeddingDropout, LockedDropout, WeightDropout

Parts = tuple[nn.Embedding, nn.Module, nn.Module, nn.ModuleList, nn.Module, nn.Module]
"""Embedding, embedding dropout, input dropout, LSTMs, dropout between them, output dropout."""

INIT = 0.1  # awd-lstm-lm's and fastai's uniform range of the embedding and the decoder


class AwdLM(LanguageModel):
    """Embedding → input dropout → LSTMs with hidden dropout between → output dropout → decoder.

    The last LSTM gives `embedding` numbers a token, so that the decoder's weight can be the embedding's.
    A pad token of its own stands behind the vocabulary and is never predicted: fastai pads with index 1 by
    default, which would freeze the embedding of a real token.

    A dropout mask lasts for one window, as in the paper, also where `detach_every` cuts it into pieces
    or goes beyond it: every stretch of a forward pass draws the numbers that its first one drew.
    """

    def __init__(
        self, vocab: int, embedding: int, hidden: int, layers: int, tying: bool, **dropouts: float
    ) -> None:
        super().__init__()
        self.vocab = vocab
        parts = self.parts(vocab, embedding, hidden, layers, **dropouts)
        self.i_h, self.words, self.inputs, self.rnns, self.between, self.drop = parts
        self.before_masks: Tensor | None = None  # the generator's state when the window's masks were drawn
        self.h_o = nn.Linear(embedding, vocab + 1)
        nn.init.uniform_(self.h_o.weight, -INIT, INIT)
        nn.init.zeros_(self.h_o.bias)
        if tying:
            self.h_o.weight = self.i_h.weight

    def parts(self, *sizes: Any, **dropouts: Any) -> Parts:
        """Build all parts but the decoder."""
        raise NotImplementedError

    def forward(self, tokens: Tensor) -> Output:
        """See LanguageModel.forward."""
        self.before_masks = None
        return super().forward(tokens)

    def embed(self, tokens: Tensor) -> Tensor:
        """See LanguageModel.embed: with embedding dropout, whole words at a time."""
        vectors: Tensor = self.words(tokens)
        return vectors

    def unroll(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """See LanguageModel.unroll; the hidden states are those before output dropout."""
        if self.training:
            self._draw_as_before(tokens.device)
        hidden = self.inputs(self.embed(tokens))  # (b, t, embedding)
        after: list[State] = []
        for rnn, before in zip(self.rnns, state or [None] * len(self.rnns), strict=True):
            if after:
                hidden = self.between(hidden)
            hidden, last = rnn(hidden, before)
            after.append(last)
        return hidden, tuple(after)

    def _draw_as_before(self, device: torch.device) -> None:
        random = torch.cuda if device.type == "cuda" else torch
        if self.before_masks is None:
            self.before_masks = random.get_rng_state()
        else:
            random.set_rng_state(self.before_masks)

    def read(self, hidden: Tensor) -> Output:
        """See LanguageModel.read; the pad token gets no logit."""
        dropped = self.drop(hidden)
        last = dropped[:, -1] if self.target == "last" else dropped
        return Output(self.h_o(last)[..., : self.vocab], hidden, dropped)


class ScratchAwdLSTM(AwdLM):
    """AWD-LSTM with the dropouts of `bench.chapter.regularization`.

    Draws its random numbers in fastai's order, so that one seed gives AwdLSTM the same initial weights, and
    on a CPU the same masks. A GPU's `dropout` and `bernoulli_`, which fastai calls, draw other numbers than
    its `uniform_`: there the two have masks of the same distribution, as under two seeds.
    """

    def parts(
        self,
        vocab: int,
        embedding: int,
        hidden: int,
        layers: int,
        *,
        embed_p: float,
        input_p: float,
        weight_p: float,
        hidden_p: float,
        output_p: float,
    ) -> Parts:
        """The parts, from scratch."""
        i_h = nn.Embedding(vocab + 1, embedding, padding_idx=vocab)
        sizes = [embedding, *[hidden] * (layers - 1), embedding]
        rnns = [WeightDropout(nn.LSTM(n, m, batch_first=True), weight_p) for n, m in pairwise(sizes)]
        nn.init.uniform_(i_h.weight, -INIT, INIT)
        words, between = EmbeddingDropout(i_h, embed_p), LockedDropout(hidden_p)
        return i_h, words, LockedDropout(input_p), nn.ModuleList(rnns), between, LockedDropout(output_p)


class AwdLSTM(AwdLM):
    """AWD-LSTM of the parts of fastai's AWD_LSTM, without the state that fastai's class keeps itself."""

    def parts(
        self, vocab: int, embedding: int, hidden: int, layers: int, *, output_p: float, **dropouts: float
    ) -> Parts:
        """The parts, of fastai's classes."""
        core = FastaiCore(vocab + 1, embedding, hidden, layers, pad_token=vocab, **dropouts)
        output = fastai.RNNDropout(output_p)
        return core.encoder, core.encoder_dp, core.input_dp, core.rnns, core.hidden_dps[0], output


class WeightDrop(fastai.WeightDropout):  # type: ignore[misc]
    """fastai's, made to work at p = 0: F.dropout then gives back the parameter, which nn.LSTM would adopt."""

    def _setweights(self) -> None:
        for name in self.layer_names:
            raw = getattr(self, f"{name}_raw")
            weight = F.dropout(raw, self.weight_p, self.training)
            setattr(self.module, name, raw.clone() if weight is raw else weight)


class FastaiCore(fastai.AWD_LSTM):  # type: ignore[misc]
    """fastai's AWD_LSTM with that WeightDrop."""

    def _one_rnn(self, inputs: int, hidden: int, bidir: bool, weight_p: float, _layer: int) -> WeightDrop:
        return WeightDrop(nn.LSTM(inputs, hidden, batch_first=True, bidirectional=bidir), weight_p)
