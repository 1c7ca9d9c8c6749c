"""A small transformer: the words of a window attend to those before them, and no state is carried."""

import torch
from torch import nn

from unrolled import model
from unrolled.bench.chapter.models.recurrent import LanguageModel, Output


@model("transformer", "transformer")
class Transformer(LanguageModel):
    """Embeddings of words and positions, layers of causal attention, linear."""

    def __init__(self, vocab, hidden=64, layers=2, heads=4, longest=512):
        super().__init__()
        self.i_h, self.position = nn.Embedding(vocab, hidden), nn.Embedding(longest, hidden)
        layer = nn.TransformerEncoderLayer(hidden, heads, 4 * hidden, 0.0, batch_first=True, norm_first=True)
        self.core = nn.TransformerEncoder(layer, layers, nn.LayerNorm(hidden), enable_nested_tensor=False)
        self.h_o = nn.Linear(hidden, vocab)

    def unroll(self, tokens, state):  # tokens (b, t) → hidden states (b, t, hidden), next state
        t, device = tokens.shape[1], tokens.device
        ahead = torch.ones(t, t, dtype=torch.bool, device=device).triu(1)
        x = self.embed(tokens) + self.position(torch.arange(t, device=device))
        return self.core(x, mask=ahead), None

    def compute_output(self, hidden):  # (b, t, hidden) → logits (b, t, vocab), and what penalties read
        last = hidden[:, -1] if self.target == "last" else hidden
        return Output(self.h_o(last), hidden, hidden)
