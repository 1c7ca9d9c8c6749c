"""Elman networks: LMModel1 to LMModel4 by hand, and LMModel5 with nn.RNN.

Source: fastbook chapter 12, "Our First Language Model from Scratch" to "Multilayer RNNs".
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unrolled.bench.chapter.models.recurrent import BuiltinLM, LanguageModel, Output, State
from unrolled.bench.errors import require


class LMModel2(LanguageModel):
    """h ← ReLU(W·(h + embedding) + b), as a loop: LMModel2, LMModel3 and LMModel4.

    LMModel2 resets its state at every batch and predicts the word after the last one; LMModel3 keeps the
    state; LMModel4 predicts after every word. These differences are settings of the trial, not of the
    network.
    """

    def __init__(self, vocab: int, hidden: int) -> None:
        super().__init__()
        self.i_h = nn.Embedding(vocab, hidden)
        self.h_h = nn.Linear(hidden, hidden)
        self.h_o = nn.Linear(hidden, vocab)

    def unroll(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """See LanguageModel.unroll."""
        h = 0.0 if state is None else state  # (b, hidden)
        hidden = []
        for t in range(tokens.shape[1]):
            h = h + self.embed(tokens[:, t])
            h = F.relu(self.h_h(h))
            hidden.append(h)
        return torch.stack(hidden, dim=1), h

    def compute_output(self, hidden: Tensor) -> Output:
        """See LanguageModel.compute_output."""
        last = hidden[:, -1] if self.target == "last" else hidden
        return Output(self.h_o(last), hidden, hidden)


class LMModel1(LMModel2):
    """The same network written out for three words. Every batch starts from zeros."""

    def unroll(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """See LanguageModel.unroll; it keeps no state. Raises BadInput unless `tokens` is (b, 3)."""
        rule = f"reads three tokens at a time and got {tokens.shape[1]}"
        cure = "set window = 3 and leave detach_every out, or take lm2"
        require(tokens.shape[1] == 3, rule, place="model 'lm1'", cure=cure)
        first, second, third = tokens.unbind(1)
        h1 = F.relu(self.h_h(self.embed(first)))
        h2 = F.relu(self.h_h(h1 + self.embed(second)))
        h3 = F.relu(self.h_h(h2 + self.embed(third)))
        return torch.stack([h1, h2, h3], dim=1), None


class BuiltinRNN(BuiltinLM):
    """LMModel5: nn.RNN. Not "exactly what we created earlier": tanh, an input matrix, two biases."""

    rnn_class = nn.RNN

    def __init__(
        self, vocab: int, hidden: int, layers: int, dropout: float, tying: bool, nonlinearity: str
    ) -> None:
        super().__init__(vocab, hidden, layers, dropout, tying, {"nonlinearity": nonlinearity})
