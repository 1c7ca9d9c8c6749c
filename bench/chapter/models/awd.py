"""AWD-LSTM (Merity, Keskar and Socher, 2018), in two versions: of fastai's parts, and from scratch.

AWD-LSTM is an LSTM with five dropouts: of whole words of the embedding, of the first layer's input, of the
hidden-to-hidden weights of every layer, of the activations between layers, and of the output. It is trained
as the chapter trains it: the paper's own recipe (NT-ASGD, windows of random length) is left out.
"""

from itertools import pairwise
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from fastai.text.models import awdlstm as fastai
from torch import Tensor, nn

from unrolled.bench.chapter.models.recurrent import LanguageModel, Output, State
from unrolled.bench.chapter.regularization import EmbeddingDropout, LockedDropout, WeightDropout

INIT_RANGE = 0.1  # bound of the uniform initial weights of embedding and decoder, in awd-lstm-lm and fastai


class AwdParts(NamedTuple):
    """The modules of an AWD-LSTM before the decoder."""

    embedding: nn.Embedding
    embedding_dropout: nn.Module  # tokens (…) → vectors (…, embedding)
    input_dropout: nn.Module
    rnns: nn.ModuleList  # layers with weight dropout
    hidden_dropout: nn.Module
    output_dropout: nn.Module


class AwdLM(LanguageModel):
    """Embedding → input dropout → LSTMs with hidden dropout between → output dropout → decoder.

    The last LSTM has outputs of size `embedding`, so that the decoder can share the embedding's weight. An
    extra pad token follows the vocabulary and is never predicted: fastai pads with index 1 by default,
    which would freeze the embedding of a real token.

    A dropout mask lasts for one window, as in the paper, even if `detach_every` cuts the window into pieces
    or reaches beyond it: every stretch of a forward pass draws the same numbers as its first stretch.
    """

    def __init__(
        self, vocab: int, embedding: int, hidden: int, layers: int, tying: bool, **dropouts: float
    ) -> None:
        super().__init__()
        self.vocab = vocab
        parts = self.build_parts(vocab, embedding, hidden, layers, **dropouts)
        self.i_h = parts.embedding
        self.embedding_dropout = parts.embedding_dropout
        self.input_dropout = parts.input_dropout
        self.rnns = parts.rnns
        self.hidden_dropout = parts.hidden_dropout
        self.output_dropout = parts.output_dropout
        self.rng_state_of_masks: Tensor | None = None  # state of the generator before the window's masks
        self.h_o = nn.Linear(embedding, vocab + 1)
        nn.init.uniform_(self.h_o.weight, -INIT_RANGE, INIT_RANGE)
        nn.init.zeros_(self.h_o.bias)
        if tying:
            self.h_o.weight = self.i_h.weight

    def build_parts(self, *sizes: Any, **dropouts: Any) -> AwdParts:
        """Return new modules, initialised."""
        raise NotImplementedError

    def forward(self, tokens: Tensor) -> Output:
        """See LanguageModel.forward."""
        self.rng_state_of_masks = None
        return super().forward(tokens)

    def embed(self, tokens: Tensor) -> Tensor:
        """See LanguageModel.embed; in training, embedding dropout zeroes whole words."""
        vectors: Tensor = self.embedding_dropout(tokens)
        return vectors

    def unroll(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """See LanguageModel.unroll; the hidden states are those before output dropout."""
        if self.training:
            self._rewind_generator(tokens.device)
        hidden = self.input_dropout(self.embed(tokens))  # (b, t, embedding)
        next_states: list[State] = []
        for rnn, layer_state in zip(self.rnns, state or [None] * len(self.rnns), strict=True):
            if next_states:
                hidden = self.hidden_dropout(hidden)
            hidden, next_state = rnn(hidden, layer_state)
            next_states.append(next_state)
        return hidden, tuple(next_states)

    def _rewind_generator(self, device: torch.device) -> None:
        """Put the device's generator into the state in which the window's first stretch found it."""
        generator = torch.cuda if device.type == "cuda" else torch
        if self.rng_state_of_masks is None:
            self.rng_state_of_masks = generator.get_rng_state()
        else:
            generator.set_rng_state(self.rng_state_of_masks)

    def compute_output(self, hidden: Tensor) -> Output:
        """See LanguageModel.compute_output; the pad token gets no logit."""
        dropped = self.output_dropout(hidden)
        last = dropped[:, -1] if self.target == "last" else dropped
        return Output(self.h_o(last)[..., : self.vocab], hidden, dropped)


class ScratchAwdLSTM(AwdLM):
    """AWD-LSTM with the dropouts of `bench.chapter.regularization`.

    The random numbers are drawn in fastai's order, so that one seed gives AwdLSTM the same initial weights,
    and on a CPU the same masks. On a GPU, fastai's `dropout` and `bernoulli_` draw other numbers than
    `uniform_` does here: the masks then have the same distribution, as they have under two seeds.
    """

    def build_parts(
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
    ) -> AwdParts:
        """See AwdLM.build_parts."""
        i_h = nn.Embedding(vocab + 1, embedding, padding_idx=vocab)
        sizes = [embedding, *[hidden] * (layers - 1), embedding]
        rnns = [WeightDropout(nn.LSTM(n, m, batch_first=True), weight_p) for n, m in pairwise(sizes)]
        nn.init.uniform_(i_h.weight, -INIT_RANGE, INIT_RANGE)
        return AwdParts(
            embedding=i_h,
            embedding_dropout=EmbeddingDropout(i_h, embed_p),
            input_dropout=LockedDropout(input_p),
            rnns=nn.ModuleList(rnns),
            hidden_dropout=LockedDropout(hidden_p),
            output_dropout=LockedDropout(output_p),
        )


class AwdLSTM(AwdLM):
    """AWD-LSTM of the parts of fastai's AWD_LSTM, without the state that fastai's class keeps itself."""

    def build_parts(
        self, vocab: int, embedding: int, hidden: int, layers: int, *, output_p: float, **dropouts: float
    ) -> AwdParts:
        """See AwdLM.build_parts."""
        core = FastaiCore(vocab + 1, embedding, hidden, layers, pad_token=vocab, **dropouts)
        return AwdParts(
            embedding=core.encoder,
            embedding_dropout=core.encoder_dp,
            input_dropout=core.input_dp,
            rnns=core.rnns,
            hidden_dropout=core.hidden_dps[0],
            output_dropout=fastai.RNNDropout(output_p),
        )


class FastaiWeightDropout(fastai.WeightDropout):  # type: ignore[misc]
    """fastai's WeightDropout, which also works at p = 0.

    At p = 0, F.dropout returns the parameter itself, and nn.LSTM would register it.
    """

    def _setweights(self) -> None:
        for name in self.layer_names:
            raw = getattr(self, f"{name}_raw")
            weight = F.dropout(raw, self.weight_p, self.training)
            setattr(self.module, name, raw.clone() if weight is raw else weight)


class FastaiCore(fastai.AWD_LSTM):  # type: ignore[misc]
    """fastai's AWD_LSTM with FastaiWeightDropout."""

    def _one_rnn(self, inputs: int, hidden: int, bidir: bool, weight_p: float, _: int) -> FastaiWeightDropout:
        rnn = nn.LSTM(inputs, hidden, batch_first=True, bidirectional=bidir)
        return FastaiWeightDropout(rnn, weight_p)
