"""The zoo: every model's name, class, options and the chapter's settings for it. Imports no torch."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from unrolled.bench.chapter.models.spec import PLUGIN_PENALTIES, ModelSpec
from unrolled.bench.errors import BadInput, find_nearest, suggestion
from unrolled.bench.trial import Scalar

_HIGH_LR = {"window": 16, "lr": 1e-2, "epochs": 15}
_LOW_LR = {**_HIGH_LR, "lr": 3e-3}
_LAST_WORD = {"window": 3, "target": "last"}
_STATELESS = {**_LAST_WORD, "order": "sequential", "reset": "batch", "lr": 1e-3, "epochs": 4}
_STATEFUL = {**_LAST_WORD, "lr": 3e-3, "epochs": 10}
_REGULARIZED = {**_HIGH_LR, "alpha": 2.0, "beta": 1.0, "wd": 0.1, "moms": (0.8, 0.7, 0.8)}

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


def _make_spec(
    name: str,
    title: str,
    path: str,
    *,
    description: str,
    options: Mapping[str, Scalar],
    settings: Mapping[str, Any],
    seconds: float,
    **fields: Any,
) -> ModelSpec:
    """Return a model's entry. `path` is its class, as "module.class"; `seconds` is its `chapter_seconds`."""
    module, builder = path.split(".")
    return ModelSpec(
        name=name,
        title=title,
        description=description,
        module=f"unrolled.bench.chapter.models.{module}",
        builder=builder,
        options=options,
        settings=settings,
        chapter_seconds=seconds,
        choices=_CHOICES.get(builder, {}),
        **fields,
    )


# fmt: off
_SPECS = (
    _make_spec(
        "lm1", "LMModel1", "elman.LMModel1",
        description="three words in, the recurrence written out three times",
        options=_WIDTH, settings=_STATELESS, seconds=0.6,
    ),
    _make_spec(
        "lm2", "LMModel2", "elman.LMModel2",
        description="the same as a loop",
        options=_WIDTH, settings=_STATELESS, seconds=0.6,
    ),
    _make_spec(
        "lm3", "LMModel3", "elman.LMModel2",
        description="keeps its state between batches",
        options=_WIDTH, settings=_STATEFUL, seconds=1.3,
    ),
    _make_spec(
        "lm4", "LMModel4", "elman.LMModel2",
        description="predicts after every word",
        options=_WIDTH, settings=_LOW_LR, seconds=1.3,
    ),
    _make_spec(
        "lm5", "LMModel5", "elman.BuiltinRNN",
        description="nn.RNN of two layers, tanh",
        options={**_DEEP, "nonlinearity": "tanh"}, settings=_LOW_LR, seconds=2.5,
    ),
    _make_spec(
        "rnn-relu", "nn.RNN, ReLU", "elman.BuiltinRNN",
        description="LMModel5 with ReLU",
        options={**_DEEP, "nonlinearity": "relu"}, settings=_LOW_LR, seconds=2.2,
    ),
    _make_spec(
        "lm6", "LMModel6", "lstm.BuiltinLSTM",
        description="nn.LSTM of two layers",
        options=_DEEP, settings=_HIGH_LR, seconds=3.2,
    ),
    _make_spec(
        "lm7", "LMModel7", "lstm.BuiltinLSTM",
        description="LMModel6 with dropout, tying, AR and TAR",
        options={**_DEEP, "dropout": 0.4, "tying": True}, settings=_REGULARIZED, seconds=3.8,
    ),
    _make_spec(
        "lstm-gates", "LSTM, four gates", "lstm.ScratchLSTM",
        description="from scratch: four Linears over cat([h, x])",
        options={**_SCRATCH, "form": "gates"}, settings=_HIGH_LR, seconds=9.2,
    ),
    _make_spec(
        "lstm-chunk", "LSTM, chunked", "lstm.ScratchLSTM",
        description="from scratch: one Linear for x, one for h, chunk(4)",
        options={**_SCRATCH, "form": "chunk"}, settings=_HIGH_LR, seconds=8.3,
    ),
    _make_spec(
        "gru", "nn.GRU", "gru.BuiltinGRU",
        description="nn.GRU of two layers",
        options=_DEEP, settings=_HIGH_LR, seconds=6.3,
    ),
    _make_spec(
        "gru-after", "GRU, reset after", "gru.ScratchGRU",
        description="from scratch, reset after the matmul (cuDNN, nn.GRU)",
        options={**_SCRATCH, "form": "after"}, settings=_HIGH_LR, seconds=7.2,
    ),
    _make_spec(
        "gru-before", "GRU, reset before", "gru.ScratchGRU",
        description="from scratch, reset before the matmul (Cho et al.)",
        options={**_SCRATCH, "form": "before"}, settings=_HIGH_LR, seconds=7.6,
    ),
    _make_spec(
        "awd", "AWD-LSTM", "awd.AwdLSTM",
        description="fastai's AWD_LSTM, with a pad token of its own",
        options=_AWD, settings=_REGULARIZED, seconds=4.0, packages=("fastai",),
    ),
    _make_spec(
        "awd-scratch", "AWD-LSTM, from scratch", "awd.ScratchAwdLSTM",
        description="the same with the five dropouts from scratch",
        options=_AWD, settings=_REGULARIZED, seconds=4.1,
    ),
    _make_spec(
        "most-common", "most common token", "counts.MostCommonToken",
        description="always the most common validation target",
        options={}, settings=_HIGH_LR, seconds=0.1, is_counting_model=True,
    ),
    _make_spec(
        "ngram-1", "unigram counts", "counts.NGram",
        description="the share of each token",
        options={"context": 0}, settings=_HIGH_LR, seconds=0.1, is_counting_model=True,
    ),
    _make_spec(
        "ngram-2", "bigram counts", "counts.NGram",
        description="the token before",
        options={"context": 1}, settings=_HIGH_LR, seconds=0.1, is_counting_model=True,
    ),
    _make_spec(
        "ngram-5", "5-gram counts", "counts.NGram",
        description="the four tokens before",
        options={"context": 4}, settings=_HIGH_LR, seconds=0.2, is_counting_model=True,
    ),
)
# fmt: on

ZOO = {spec.name: spec for spec in _SPECS}
"""Every model by its name."""


def find_model(name: str) -> ModelSpec:
    """Return the entry called `name`. A trained model has the plugged-in penalties among its options, as 0.

    Raises BadInput with a suggestion for an unknown name.
    """
    if name in ZOO:
        spec = ZOO[name]
        if spec.is_counting_model or not PLUGIN_PENALTIES:
            return spec
        return replace(spec, options={**spec.options, **dict.fromkeys(PLUGIN_PENALTIES, 0.0)})
    plugin = "your own: --plugin FILE.py"
    known_names = suggestion(name, ZOO)
    cure = f"{known_names} ({plugin})" if find_nearest(name, ZOO) else f"{plugin}; {known_names}"
    raise BadInput("is not in the zoo", place=f"model {name!r}", cure=cure)
