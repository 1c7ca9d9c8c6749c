"""fastai's AWD_LSTM part by part: what the chapter calls each part, and what the part is seen to do."""

from typing import Any

import torch
from fastai.text.models.awdlstm import AWD_LSTM, EmbeddingDropout, RNNDropout, WeightDropout
from fastai.text.models.core import LinearDecoder
from torch import Tensor, nn

from bench.regularization import activation, temporal_activation

VOCAB, SIZE, P = 400, 64, 0.5
ROWS, STEPS = 8, 16

COLUMNS = ("line", "concept", "seen", "ok")
"""As fastai writes it, as the chapter calls it, what was seen, and whether that is as it should be."""
Row = tuple[str, str, str, bool]


def anatomy() -> dict[str, Any]:
    """A row for every part, in the order in which a token passes through them."""
    torch.manual_seed(0)
    words = torch.randint(2, VOCAB, (ROWS, STEPS))
    core = AWD_LSTM(VOCAB, SIZE, SIZE, 2, hidden_p=P, input_p=P, embed_p=P, weight_p=P)
    decoder = LinearDecoder(VOCAB, SIZE, output_p=P, tie_encoder=core.encoder)
    rows = [*_words(core), *_layers(core), *_state(core, words), *_output(core, decoder, words)]
    return {"rows": [dict(zip(COLUMNS, row, strict=True)) for row in [*rows, *_shapes(core, words)]]}


def _words(core: AWD_LSTM) -> list[Row]:
    core.train()
    kept = core.encoder_dp(torch.arange(2, VOCAB)).detach().ne(0)  # (words, numbers)
    whole = bool((kept.all(1) | ~kept.any(1)).all())
    share = 1 - float(kept.any(1).float().mean())
    core.encoder.zero_grad()
    core.encoder(torch.tensor([[1, 2]])).sum().backward()
    grad = core.encoder.weight.grad
    frozen = grad is not None and bool((grad[1] == 0).all()) and bool((grad[2] != 0).all())
    return [
        (
            "encoder = nn.Embedding(…, padding_idx=1)",
            "the embedding i_h; the padding index gets no gradient, whichever token it is",
            "token 1 gets no gradient, token 2 does",
            frozen,
        ),
        (
            "encoder_dp = EmbeddingDropout(encoder, embed_p)",
            "dropout, of whole words of the embedding",
            f"{share:.3f} of the words gone at p = {P}, each with all its numbers",
            whole and _near(share) and isinstance(core.encoder_dp, EmbeddingDropout),
        ),
    ]


def _layers(core: AWD_LSTM) -> list[Row]:
    core.train()
    ones = torch.ones(ROWS, STEPS, SIZE)
    first, between = core.input_dp(ones), core.hidden_dps[0](ones)
    rnn = core.rnns[0]
    rnn(ones)
    gone = float((rnn.module.weight_hh_l0 == 0).float().mean())
    untouched = bool((rnn.module.weight_ih_l0 != 0).all())
    return [
        (
            "input_dp = RNNDropout(input_p)",
            "dropout with one mask for all the steps of a row",
            f"{_gone(first):.3f} of the numbers gone at p = {P}, the same ones at each of {STEPS} steps",
            _locked(first) and isinstance(core.input_dp, RNNDropout),
        ),
        (
            "rnns = [nn.LSTM(…) for l in range(n_layers)]",
            "the stacked LSTM of LMModel6: layer 2 reads what layer 1 puts out",
            f"{len(core.rnns)} layers of nn.LSTM, input matrix {tuple(rnn.module.weight_ih_l0.shape)}",
            len(core.rnns) == 2 and all(isinstance(r.module, nn.LSTM) for r in core.rnns),
        ),
        (
            "WeightDropout(rnn, weight_p)",
            "dropout of weights: of the hidden-to-hidden matrix h_h, before the layer runs",
            f"{gone:.3f} of h_h gone at p = {P}, none of the input matrix",
            _near(gone) and untouched and isinstance(rnn, WeightDropout),
        ),
        (
            "hidden_dps = [RNNDropout(hidden_p) …]",
            "dropout between the layers, again one mask a row",
            f"{_gone(between):.3f} of the numbers gone at p = {P}, the same ones at each step",
            _locked(between),
        ),
    ]


def _state(core: AWD_LSTM, words: Tensor) -> list[Row]:
    core.eval().reset()
    with torch.no_grad():
        first, second = core(words), core(words)
        core.reset()
        again = core(words)
    core.train()
    core(words)
    held = [tensor for layer in core.hidden for tensor in layer]
    return [
        (
            "self.hidden = to_detach(new_hidden)",
            "truncated backpropagation through time: the state goes on, its history does not",
            f"{len(held)} tensors carried, none with a gradient; a second window starts from them",
            not any(t.requires_grad for t in held) and not torch.equal(first, second),
        ),
        (
            "reset()",
            "what ModelResetter calls: the state is zero again",
            "after it the first window gives the same numbers to the bit",
            torch.equal(first, again),
        ),
    ]


def _output(core: AWD_LSTM, decoder: LinearDecoder, words: Tensor) -> list[Row]:
    core.train().reset()
    decoder.train()
    _, raw, dropped = decoder(core(words))
    raw, dropped = raw.detach(), dropped.detach()
    ar, tar = float(activation(dropped, 2.0)), float(temporal_activation(raw, 1.0))
    mask = dropped / raw
    shared = decoder.decoder.weight is core.encoder.weight
    alone = sum(p.numel() for p in core.parameters())
    together = sum(p.numel() for p in nn.ModuleList([core, decoder]).parameters())
    return [
        (
            "output_dp = RNNDropout(output_p)",
            "LMModel7's dropout before the output layer, here with one mask for all steps",
            f"{_gone(mask):.3f} of the numbers gone at p = {P}, the same ones at each step",
            _locked(mask),
        ),
        (
            "decoder.weight = tie_encoder.weight",
            "weight tying: the output layer h_o writes words with the matrix that reads them",
            f"one matrix; the output layer adds {together - alone} parameters, its bias",
            shared and together - alone == VOCAB,
        ),
        (
            "return decoder(dropped), raw, dropped",
            "the three things that LMModel7 returns: logits, activations before and after dropout",
            f"{tuple(raw.shape)} twice, equal where nothing was dropped, up to 1/(1−p)",
            bool(torch.allclose(dropped[dropped != 0], raw[dropped != 0] / (1 - P))),
        ),
        (
            "RNNRegularizer: α · out.pow(2).mean()",
            "activation regularisation: a term of the loss, of activations after dropout",
            f"{ar:.5f} at α = 2",
            abs(ar - 2 * float(dropped.pow(2).mean())) < 1e-6 and ar > 0,
        ),
        (
            "RNNRegularizer: β · (h[:, 1:] − h[:, :−1]).pow(2).mean()",
            "temporal activation regularisation, before dropout; it needs steps that follow each other",
            f"{tar:.5f} at β = 1",
            abs(tar - float((raw[:, 1:] - raw[:, :-1]).pow(2).mean())) < 1e-6 and tar > 0,
        ),
    ]


def _shapes(core: AWD_LSTM, words: Tensor) -> list[Row]:
    """Lines of fastai's that the chapter has no word for."""
    wide = AWD_LSTM(VOCAB, SIZE, 2 * SIZE, 2)
    first, last = (wide.rnns[i].module.hidden_size for i in (0, -1))
    reach = float(wide.encoder.weight.detach().abs().max())
    both = AWD_LSTM(VOCAB, SIZE, SIZE, 2, bidir=True)
    halves = both.rnns[0].module.hidden_size
    core.eval().reset()
    with torch.no_grad():
        core(words)
        core(words[:3])
        rows = {tensor.shape[1] for layer in core.hidden for tensor in layer}
        core.reset()
        by_words = core(words)
        core.reset()
        by_vectors = core(core.encoder(words), from_embeds=True)
    return [
        (
            "encoder.weight.data.uniform_(−initrange, initrange)",
            "no word of the chapter's: the embedding begins within ±.1",
            f"no number larger than {reach:.3f}",
            0.09 < reach <= 0.1,
        ),
        (
            "n_hid if l != n_layers − 1 else emb_sz",
            "what tying needs: the last layer is as wide as the embedding",
            f"layers of {first} and {last} over an embedding of {SIZE}",
            (first, last) == (2 * SIZE, SIZE),
        ),
        (
            "if bs != self.bs: self._change_hidden(bs)",
            "no word of the chapter's: the state takes the number of rows of the batch",
            f"after {ROWS} rows and then 3 the state has {', '.join(map(str, rows))}",
            rows == {3},
        ),
        (
            "inp if from_embeds else encoder_dp(inp)",
            "no word of the chapter's: vectors may be read instead of tokens",
            "the same outputs from tokens and from their embeddings",
            torch.equal(by_words, by_vectors),
        ),
        (
            "bidirectional=bidir",
            "no word of the chapter's: a second direction, which a language model must not have",
            f"each direction has {halves} of {SIZE} numbers",
            both.n_dir == 2 and halves == SIZE // 2,
        ),
    ]


def _gone(masked: Tensor) -> float:
    return float((masked == 0).float().mean())


def _near(share: float) -> bool:
    return abs(share - P) < 0.1


def _locked(masked: Tensor) -> bool:
    """Whether about P is zero, the same at every step of a row, and not the same in every row."""
    zero = masked == 0  # (b, t, n)
    return _near(_gone(masked)) and bool((zero == zero[:, :1]).all()) and not bool((zero == zero[:1]).all())
