"""What the zoo holds: every model's name, origin, keywords and the chapter's settings. Imports no torch."""

import difflib
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bench.trial import BadInput, Scalar


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What the numbers of a plug-in's trials depend on, beside the files that every trial runs through."""

    files: tuple[str, ...] = ()  # its own, the user's modules that it imports, the data that it declares
    families: tuple[str, ...] = ()  # of the zoo, which it builds on
    packages: tuple[str, ...] = ()  # installed ones that it imports, torch apart


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """One entry of the zoo.

    `options` are the keywords that the class takes, with their defaults; no others can be set. `choices` are
    the values that one of them may have, where its default is a string.
    `settings` are the Trial's fields in the chapter's set-up. `seconds` is the measured cost of one
    such trial (engine loop, one core), from which plans are estimated. `gpu_seconds` is the estimated cost on
    a GPU without the start of a process: kernels an update × updates × 6 µs a launch.
    """

    name: str
    title: str
    about: str
    module: str
    builder: str
    options: Mapping[str, Scalar] = field(default_factory=dict)
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 10.0
    gpu_seconds: float = 6.0
    counted: bool = False  # fitted by counting: no seed, no gradient, no learning rate
    packages: tuple[str, ...] = ()  # that provide the model, torch apart
    file: str = ""  # a plug-in's own
    sources: Sources = Sources()

    def build(self, vocab: int, **options: Scalar) -> Any:
        """The model for a vocabulary of `vocab` tokens. Imports its family (and torch)."""
        own = {key: value for key, value in options.items() if key not in PENALTIES}
        return getattr(importlib.import_module(self.module), self.builder)(vocab, **own)


@dataclass(frozen=True, kw_only=True)
class Penalty:
    """A user's own regulariser: an option of every trained model, by whose value `function` is multiplied."""

    name: str
    title: str
    about: str
    function: Callable[[Any], Any]  # an Output → a tensor ()
    file: str  # where it is defined
    sources: Sources = Sources()


PENALTIES: dict[str, Penalty] = {}
"""Those that plug-ins have registered."""


_THREE_WORDS = {
    "window": 3,
    "target": "last",
    "order": "sequential",
    "reset": "batch",
    "lr": 1e-3,
    "epochs": 4,
}
_EVERY_WORD = {"window": 16, "lr": 1e-2, "epochs": 15}
_ELMAN, _LSTM, _GRU, _COUNTS = (f"bench.models.{m}" for m in ("elman", "lstm", "gru", "counts"))
_PLAIN = {"hidden": 64, "dropout": 0.0, "tying": False}
_DEEP = {**_PLAIN, "layers": 2}
_FIVE_DROPOUTS = {
    "embedding": 64,
    "hidden": 64,
    "layers": 2,
    "tying": True,
    "embed_p": 0.02,
    "input_p": 0.1,
    "weight_p": 0.1,
    "hidden_p": 0.1,
    "output_p": 0.2,
}
_LM7 = {"alpha": 2.0, "beta": 1.0, "wd": 0.1, "moms": (0.8, 0.7, 0.8)}


def _spec(name: str, title: str, about: str, module: str, builder: str, **rest: Any) -> tuple[str, ModelSpec]:
    spec = ModelSpec(name=name, title=title, about=about, module=module, builder=builder, **rest)
    return name, spec


ZOO: dict[str, ModelSpec] = dict(
    [
        _spec(
            "lm1",
            "LMModel1",
            "three words in, the recurrence written out three times",
            _ELMAN,
            "LMModel1",
            options={"hidden": 64},
            settings=_THREE_WORDS,
            seconds=0.6,
            gpu_seconds=0.4,
        ),
        _spec(
            "lm2",
            "LMModel2",
            "the same as a loop",
            _ELMAN,
            "LMModel2",
            options={"hidden": 64},
            settings=_THREE_WORDS,
            seconds=0.6,
            gpu_seconds=0.4,
        ),
        _spec(
            "lm3",
            "LMModel3",
            "keeps its state between batches",
            _ELMAN,
            "LMModel2",
            options={"hidden": 64},
            settings={"window": 3, "target": "last", "lr": 3e-3, "epochs": 10},
            seconds=1.3,
            gpu_seconds=1.1,
        ),
        _spec(
            "lm4",
            "LMModel4",
            "predicts after every word",
            _ELMAN,
            "LMModel2",
            options={"hidden": 64},
            settings={**_EVERY_WORD, "lr": 3e-3},
            seconds=1.3,
            gpu_seconds=1.1,
        ),
        _spec(
            "lm5",
            "LMModel5",
            "nn.RNN of two layers, tanh",
            _ELMAN,
            "BuiltinRNN",
            options={**_DEEP, "nonlinearity": "tanh"},
            choices={"nonlinearity": ("relu", "tanh")},
            settings={**_EVERY_WORD, "lr": 3e-3},
            seconds=2.5,
            gpu_seconds=0.7,
        ),
        _spec(
            "rnn-relu",
            "nn.RNN, ReLU",
            "LMModel5 with ReLU",
            _ELMAN,
            "BuiltinRNN",
            options={**_DEEP, "nonlinearity": "relu"},
            choices={"nonlinearity": ("relu", "tanh")},
            settings={**_EVERY_WORD, "lr": 3e-3},
            seconds=2.2,
            gpu_seconds=0.7,
        ),
        _spec(
            "lm6",
            "LMModel6",
            "nn.LSTM of two layers",
            _LSTM,
            "BuiltinLSTM",
            options=_DEEP,
            settings=_EVERY_WORD,
            seconds=3.2,
            gpu_seconds=0.6,
        ),
        _spec(
            "lm7",
            "LMModel7",
            "LMModel6 with dropout, tying, AR and TAR",
            _LSTM,
            "BuiltinLSTM",
            options={**_DEEP, "dropout": 0.4, "tying": True},
            settings={**_EVERY_WORD, **_LM7},
            seconds=3.8,
            gpu_seconds=0.7,
        ),
        _spec(
            "lstm-gates",
            "LSTM, four gates",
            "from scratch: four Linears over cat([h, x])",
            _LSTM,
            "ScratchLSTM",
            options={**_DEEP, "form": "gates"},
            choices={"form": ("chunk", "gates")},
            settings=_EVERY_WORD,
            seconds=9.2,
            gpu_seconds=7.7,
        ),
        _spec(
            "lstm-chunk",
            "LSTM, chunked",
            "from scratch: one Linear for x, one for h, chunk(4)",
            _LSTM,
            "ScratchLSTM",
            options={**_DEEP, "form": "chunk"},
            choices={"form": ("chunk", "gates")},
            settings=_EVERY_WORD,
            seconds=8.3,
            gpu_seconds=5.7,
        ),
        _spec(
            "gru",
            "nn.GRU",
            "nn.GRU of two layers",
            _GRU,
            "BuiltinGRU",
            options=_DEEP,
            settings=_EVERY_WORD,
            seconds=6.3,
            gpu_seconds=0.7,
        ),
        _spec(
            "gru-after",
            "GRU, reset after",
            "from scratch, reset after the matmul (cuDNN, nn.GRU)",
            _GRU,
            "ScratchGRU",
            options={**_DEEP, "form": "after"},
            choices={"form": ("after", "before")},
            settings=_EVERY_WORD,
            seconds=7.2,
            gpu_seconds=6.0,
        ),
        _spec(
            "gru-before",
            "GRU, reset before",
            "from scratch, reset before the matmul (Cho et al.)",
            _GRU,
            "ScratchGRU",
            options={**_DEEP, "form": "before"},
            choices={"form": ("after", "before")},
            settings=_EVERY_WORD,
            seconds=7.6,
            gpu_seconds=7.0,
        ),
        _spec(
            "awd",
            "AWD-LSTM",
            "fastai's AWD_LSTM, with a pad token of its own",
            "bench.models.awd",
            "AwdLSTM",
            packages=("fastai",),
            options=_FIVE_DROPOUTS,
            settings={**_EVERY_WORD, **_LM7},
            seconds=4.0,
            gpu_seconds=0.8,
        ),
        _spec(
            "awd-scratch",
            "AWD-LSTM, from scratch",
            "the same with the five dropouts from scratch",
            "bench.models.awd",
            "ScratchAwdLSTM",
            options=_FIVE_DROPOUTS,
            settings={**_EVERY_WORD, **_LM7},
            seconds=4.1,
            gpu_seconds=0.8,
        ),
        _spec(
            "most-common",
            "most common token",
            "always the most common validation target",
            _COUNTS,
            "Constant",
            settings=_EVERY_WORD,
            seconds=0.1,
            gpu_seconds=0.1,
            counted=True,
        ),
        _spec(
            "ngram-1",
            "unigram counts",
            "the share of each token",
            _COUNTS,
            "NGram",
            options={"context": 0},
            settings=_EVERY_WORD,
            seconds=0.1,
            gpu_seconds=0.1,
            counted=True,
        ),
        _spec(
            "ngram-2",
            "bigram counts",
            "the token before",
            _COUNTS,
            "NGram",
            options={"context": 1},
            settings=_EVERY_WORD,
            seconds=0.1,
            gpu_seconds=0.1,
            counted=True,
        ),
        _spec(
            "ngram-5",
            "5-gram counts",
            "the four tokens before",
            _COUNTS,
            "NGram",
            options={"context": 4},
            settings=_EVERY_WORD,
            seconds=0.2,
            gpu_seconds=0.1,
            counted=True,
        ),
    ]
)


def spec_of(name: str) -> ModelSpec:
    """The entry called `name`, with the plugged-in penalties, off. Raises BadInput with a suggestion."""
    if name in ZOO:
        spec = ZOO[name]
        off = {} if spec.counted else dict.fromkeys(PENALTIES, 0.0)
        return replace(spec, options={**spec.options, **off}) if off else spec
    raise BadInput(f"model {name!r} is not in the zoo{suggestion(name, ZOO)} (your own: --plugin FILE.py)")


def strengths(options: Mapping[str, Scalar]) -> dict[str, float]:
    """The plugged-in penalties that are on among a trial's options, by name."""
    return {name: float(options[name]) for name in sorted(PENALTIES) if options.get(name)}


def suggestion(word: str, known: Mapping[str, Any] | list[str]) -> str:
    """'; did you mean …?' for a misspelt word, or the list of what there is."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"
