"""AWD-LSTM, as fastai has it (Merity, Keskar and Socher, 2018)."""

from fastai.text.models.awdlstm import AWD_LSTM, RNNDropout
from torch import Tensor, nn

from bench.models.recurrent import LanguageModel, Output, State

INIT = 0.1  # awd-lstm-lm's and fastai's uniform range of the embedding and the decoder


class AwdLSTM(LanguageModel):
    """fastai's AWD_LSTM and its tied decoder, with the state in our hands.

    fastai pads with index 1 by default, which freezes the embedding of a real token; here a pad token of
    its own stands behind the vocabulary and is never predicted.
    """

    def __init__(
        self,
        vocab: int,
        embedding: int = 64,
        hidden: int = 64,
        layers: int = 2,
        tying: bool = True,
        embed_p: float = 0.02,
        input_p: float = 0.1,
        weight_p: float = 0.1,
        hidden_p: float = 0.1,
        output_p: float = 0.2,
    ) -> None:
        super().__init__()
        self.vocab = vocab
        self.core = AWD_LSTM(
            vocab + 1,
            embedding,
            hidden,
            layers,
            pad_token=vocab,
            hidden_p=hidden_p,
            input_p=input_p,
            embed_p=embed_p,
            weight_p=weight_p,
        )
        self.i_h: nn.Embedding = self.core.encoder
        self.drop = RNNDropout(output_p)
        self.h_o = nn.Linear(embedding, vocab + 1)
        nn.init.uniform_(self.h_o.weight, -INIT, INIT)
        nn.init.zeros_(self.h_o.bias)
        if tying:
            self.h_o.weight = self.i_h.weight

    def embed(self, tokens: Tensor) -> Tensor:
        """See LanguageModel.embed: with embedding dropout, whole words at a time."""
        vectors: Tensor = self.core.encoder_dp(tokens)
        return vectors

    def unroll(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """See LanguageModel.unroll. AWD_LSTM.forward detaches the state, so its layers are called here."""
        states = state or (None,) * self.core.n_layers
        hidden = self.core.input_dp(self.embed(tokens))
        after = []
        for layer, (rnn, dropout) in enumerate(zip(self.core.rnns, self.core.hidden_dps, strict=True)):
            hidden, new = rnn(hidden, states[layer])
            after.append(new)
            if layer != self.core.n_layers - 1:
                hidden = dropout(hidden)
        return hidden, tuple(after)

    def read(self, hidden: Tensor) -> Output:
        """See LanguageModel.read; the pad token gets no logit."""
        dropped = self.drop(hidden)
        last = dropped[:, -1] if self.target == "last" else dropped
        return Output(self.h_o(last)[..., : self.vocab], hidden, dropped)
