"""The zoo: every model's name, class, options and the chapter's settings for it. Imports no torch."""

from dataclasses import replace
from typing import Any

from unrolled.bench.chapter.models.spec import PENALTIES, ModelSpec
from unrolled.bench.errors import BadInput, find_nearest, suggestion
from unrolled.bench.trial import Scalar

_FAST = {"window": 16, "lr": 1e-2, "epochs": 15}
_SLOW = {**_FAST, "lr": 3e-3}
_LAST_WORD = {"window": 3, "target": "last"}
_STATELESS = {**_LAST_WORD, "order": "sequential", "reset": "batch", "lr": 1e-3, "epochs": 4}
_STATEFUL = {**_LAST_WORD, "lr": 3e-3, "epochs": 10}
_REGULARIZED = {**_FAST, "alpha": 2.0, "beta": 1.0, "wd": 0.1, "moms": (0.8, 0.7, 0.8)}

_WIDTH: dict[str, Scalar] = {"hidden": 64}
_DEEP: dict[str, Scalar] = {**_WIDTH, "dropout": 0.0, "tying": False, "layers": 2}
_SCRATCH: dict[str, Scalar] = {**_DEEP, "init": "own"}
_DROPOUTS = {"embed_p": 0.02, "input_p": 0.1, "weight_p": 0.1, "hidden_p": 0.1, "output_p": 0.2}
_AWD: dict[str, Scalar] = {"embedding": 64, **_WIDTH, "layers": 2, "tying": True, **_DROPOUTS}

_INIT = {"init": ("built-in", "own")}
_CHOICES = {
    "BuiltinRNN": {"nonlinearity": ("relu", "tanh")},
    "ScratchLSTM": {"form": ("chunk", "gates"), **_INIT},
    "ScratchGRU": {"form": ("after", "before"), **_INIT},
}


def _build_zoo(*rows: tuple[Any, ...]) -> dict[str, ModelSpec]:
    """Return the entries by name. A row has the fields of a ModelSpec in order, "module.class" for two."""
    zoo = {}
    for name, title, description, path, *more_fields in rows:
        file, builder = path.split(".")
        module = f"unrolled.bench.chapter.models.{file}"
        spec = ModelSpec(name, title, description, module, builder, *more_fields)
        zoo[name] = replace(spec, choices=_CHOICES.get(builder, {}))
    return zoo


# fmt: off
ZOO = _build_zoo(
    ("lm1", "LMModel1", "three words in, the recurrence written out three times",
        "elman.LMModel1", _WIDTH, _STATELESS, 0.6),
    ("lm2", "LMModel2", "the same as a loop",
        "elman.LMModel2", _WIDTH, _STATELESS, 0.6),
    ("lm3", "LMModel3", "keeps its state between batches",
        "elman.LMModel2", _WIDTH, _STATEFUL, 1.3),
    ("lm4", "LMModel4", "predicts after every word",
        "elman.LMModel2", _WIDTH, _SLOW, 1.3),
    ("lm5", "LMModel5", "nn.RNN of two layers, tanh",
        "elman.BuiltinRNN", {**_DEEP, "nonlinearity": "tanh"}, _SLOW, 2.5),
    ("rnn-relu", "nn.RNN, ReLU", "LMModel5 with ReLU",
        "elman.BuiltinRNN", {**_DEEP, "nonlinearity": "relu"}, _SLOW, 2.2),
    ("lm6", "LMModel6", "nn.LSTM of two layers",
        "lstm.BuiltinLSTM", _DEEP, _FAST, 3.2),
    ("lm7", "LMModel7", "LMModel6 with dropout, tying, AR and TAR",
        "lstm.BuiltinLSTM", {**_DEEP, "dropout": 0.4, "tying": True}, _REGULARIZED, 3.8),
    ("lstm-gates", "LSTM, four gates", "from scratch: four Linears over cat([h, x])",
        "lstm.ScratchLSTM", {**_SCRATCH, "form": "gates"}, _FAST, 9.2),
    ("lstm-chunk", "LSTM, chunked", "from scratch: one Linear for x, one for h, chunk(4)",
        "lstm.ScratchLSTM", {**_SCRATCH, "form": "chunk"}, _FAST, 8.3),
    ("gru", "nn.GRU", "nn.GRU of two layers",
        "gru.BuiltinGRU", _DEEP, _FAST, 6.3),
    ("gru-after", "GRU, reset after", "from scratch, reset after the matmul (cuDNN, nn.GRU)",
        "gru.ScratchGRU", {**_SCRATCH, "form": "after"}, _FAST, 7.2),
    ("gru-before", "GRU, reset before", "from scratch, reset before the matmul (Cho et al.)",
        "gru.ScratchGRU", {**_SCRATCH, "form": "before"}, _FAST, 7.6),
    ("awd", "AWD-LSTM", "fastai's AWD_LSTM, with a pad token of its own",
        "awd.AwdLSTM", _AWD, _REGULARIZED, 4.0, False, ("fastai",)),
    ("awd-scratch", "AWD-LSTM, from scratch", "the same with the five dropouts from scratch",
        "awd.ScratchAwdLSTM", _AWD, _REGULARIZED, 4.1),
    ("most-common", "most common token", "always the most common validation target",
        "counts.MostCommonToken", {}, _FAST, 0.1, True),
    ("ngram-1", "unigram counts", "the share of each token",
        "counts.NGram", {"context": 0}, _FAST, 0.1, True),
    ("ngram-2", "bigram counts", "the token before",
        "counts.NGram", {"context": 1}, _FAST, 0.1, True),
    ("ngram-5", "5-gram counts", "the four tokens before",
        "counts.NGram", {"context": 4}, _FAST, 0.2, True),
)
# fmt: on


def spec_of(name: str) -> ModelSpec:
    """Return the entry called `name`. A trained model has the plugged-in penalties among its options, as 0.

    Raises BadInput with a suggestion for an unknown name.
    """
    if name in ZOO:
        spec = ZOO[name]
        if spec.is_counting_model or not PENALTIES:
            return spec
        return replace(spec, options={**spec.options, **dict.fromkeys(PENALTIES, 0.0)})
    plug_in = "your own: --plugin FILE.py"
    known_names = suggestion(name, ZOO)
    cure = f"{known_names} ({plug_in})" if find_nearest(name, ZOO) else f"{plug_in}; {known_names}"
    raise BadInput("is not in the zoo", place=f"model {name!r}", cure=cure)
