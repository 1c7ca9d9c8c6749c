"""Flat settings → the fields of a ChapterTrial, checked: the chapter's `Trainer`.

A setting is a field of ChapterTrial or an option of the model. What is not given comes from the model's entry
in the registry, and then from ChapterTrial: its default < the model's chapter settings < given.
"""

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from unrolled.ablations.study.errors import explain, shown
from unrolled.ablations.study.study_file import MetricTable
from unrolled.ablations.study.trainer import Factor, Settings
from unrolled.bench.chapter.costs import check_length
from unrolled.bench.chapter.models.registry import ZOO, spec_of
from unrolled.bench.chapter.models.spec import PENALTIES, ModelSpec
from unrolled.bench.chapter.text import data_hash
from unrolled.bench.chapter.trial import ChapterTrial, Setting
from unrolled.bench.errors import BadInput, plural, require, suggestion, visible
from unrolled.bench.trial import DERIVED

_FIELDS = {f.name: f for f in fields(ChapterTrial) if "setting" in f.metadata}
DEFAULTS: Settings = {name: f.default for name, f in _FIELDS.items()}

METRICS = (
    "valid_accuracy", "valid_loss", "valid_perplexity", "valid_bits", "train_loss",
    "seconds", "speed_train", "memory_peak",
)  # fmt: skip
"""By which arms can be judged."""

LARGE = 10_000_000
"""Bytes of a text that takes more than a second to read."""

TASK_SETTINGS = ("corpus", *(name for name in ChapterTrial.TASK if name != "data"))
"""As settings: the data are named by their corpus."""

OPTIONS = {  # of the models; type and default stand in the registry, and so do the choices of a string
    "hidden": Setting("units of a layer", low=1),
    "embedding": Setting("size of the embedding", low=1),
    "layers": Setting("recurrent layers", low=1),
    "tying": Setting("one matrix is both embedding and output layer", title="tying"),
    "nonlinearity": Setting("activation of nn.RNN"),
    "form": Setting("published form of the cell"),
    "init": Setting(
        "initial weights: the cell's own draws, or those that nn.LSTM or nn.GRU draws from the same seed",
        names={"own": "initial weights of its own", "built-in": "the built-in's initial weights"},
    ),
    "context": Setting("tokens before the one that is predicted"),
    "dropout": Setting("dropout of the last layer's output", title="dropout", low=0, below=1),
    "embed_p": Setting("share of words whose embedding is zeroed", title="embedding dropout", low=0, below=1),
    "input_p": Setting("dropout of the embeddings", title="input dropout", low=0, below=1),
    "weight_p": Setting("dropout of the hidden-to-hidden weights", title="weight dropout", low=0, below=1),
    "hidden_p": Setting("dropout between layers", title="hidden dropout", low=0, below=1),
    "output_p": Setting("dropout of the last layer's output", title="output dropout", low=0, below=1),
}
SETTINGS: Mapping[str, Setting] = OPTIONS | {name: f.metadata["setting"] for name, f in _FIELDS.items()}


_OFF, _ON = ({**DEFAULTS, **ZOO[name].settings, **ZOO[name].options} for name in ("lm6", "lm7"))
_KEYS = {
    "tying": "tying",
    "dropout": "dropout",
    "ar": "alpha",
    "tar": "beta",
    "weight_decay": "wd",
    "moms": "moms",
}
FACTORS = {name: Factor(key, SETTINGS[key].title, _OFF[key], _ON[key]) for name, key in _KEYS.items()}
"""Off is what LMModel6 has, on what LMModel7 has."""

_MEANT = {**_KEYS, "learning_rate": "lr", "batch_size": "batch"}
"""Settings by other names that people try."""

_ELSEWHERE = {
    **dict.fromkeys(DERIVED, "it is found out where the study is planned; a text is named with corpus"),
    "seed": "the study's own `seeds` name them",
    "seeds": "they stand at the top of the file",
    "options": "write the model's options themselves: hidden = 128",
    "name": "an arm is named beside its `set`",
}


def metrics(given: Sequence[MetricTable]) -> Sequence[MetricTable]:
    """What arms are judged by: by default the accuracy and then the loss. Raises BadInput for others."""
    for index, metric in enumerate(given):
        place = f"metrics.{index}.name = {shown(metric.name)}"
        require(metric.name in METRICS, f"should be one of {', '.join(METRICS)}", key=place)
        rule = "is for the curves of a [program]"
        require(metric.value == "last", rule, key=f"metrics.{index}.value", cure="leave it out")
    return given or [
        MetricTable(name="valid_accuracy", delta=0.02),
        MetricTable(name="valid_loss", delta=0.05),
    ]


def resolve(given: Settings) -> dict[str, Any]:
    """The fields of a trial, the seed and the hashes apart, from flat settings: `trial(fields)`.

    Raises BadInput where a setting is unknown, is not one of the model's, has the wrong type or is out of
    range, and where two of them do not go together.
    """
    spec = _spec(given)
    for key in given:
        check_key(given, key)
    settings = complete(given)
    model = settings.pop("model")
    options = tuple((key, type(value), spec.choices.get(key, ())) for key, value in spec.options.items())
    try:
        checked = _schema(options).model_validate(settings).model_dump()
    except ValidationError as error:
        raise explain(error) from error
    _check_together(checked)
    own = {key: checked.pop(key) for key in spec.options}
    checked["detach_every"] = checked["detach_every"] or checked["window"]
    checked["stride"] = 0 if checked["stride"] == checked["window"] else checked["stride"]
    return {"model": model, "options": own, **checked}


def complete(given: Settings) -> dict[str, Any]:
    """Every setting, flat and unchecked: what is not given comes from the model, and then the defaults."""
    spec = _spec(given)
    settings = {**DEFAULTS, **spec.settings, **spec.options, **given}
    return {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}


def inherit(baseline: Settings, changes: Settings) -> dict[str, Any]:
    """The settings that an arm gives: the baseline's as far as the arm's model has them, then its own."""
    arm = {**baseline, **changes}
    spec = _spec(arm)
    return {key: value for key, value in arm.items() if key in changes or key in _settable(spec)}


def trial(trial_fields: Settings, seed: int = 0, device: str = "cpu") -> ChapterTrial:
    """The trial of these fields, without the hashes of code and text."""
    return ChapterTrial(seed=seed, device=device, **trial_fields)


def check_data(trial_fields: Settings) -> None:
    """Tell of a large text, and raise BadInput for one that is too short for the batches."""
    _tell_of_large_text(trial_fields["corpus"])
    check_length(trial(trial_fields))


@cache
def _tell_of_large_text(corpus: str) -> None:
    with suppress(OSError, ValueError):  # no file: a corpus of the project's, or refused once it is read
        if (size := Path(corpus).stat().st_size) > LARGE:
            print(f"reading {visible(corpus)}: {size / 1e6:.0f} MB", file=sys.stderr)


def task(trial_fields: Settings) -> dict[str, Any]:
    """The settings that decide which words are predicted, with the text's hash for its name."""
    named = {key: trial_fields[key] for key in TASK_SETTINGS}
    return named | {"corpus": data_hash(trial_fields["corpus"])}


def factor(name: str, given: Settings) -> Factor:
    """The factor of that name. Raises BadInput where there is none, or the model has no such setting."""
    require(name in FACTORS, f"unknown factor {name!r}", cure=suggestion(name, FACTORS))
    check_key(given, FACTORS[name].key)
    return FACTORS[name]


def check_key(given: Settings, key: str) -> None:
    """Raise BadInput with a suggestion if the model that is given has no such setting."""
    spec = _spec(given)
    if key in _settable(spec):
        return
    if _MEANT.get(key) in _settable(spec):
        raise BadInput("unknown setting", key=repr(key), cure=f"did you mean {_MEANT[key]!r}?")
    if any(key in other.options for other in ZOO.values()):
        cure = f"it has: {', '.join(spec.options) or 'none'}"
        raise BadInput(f"has no option {key!r}", place=f"model {spec.name!r}", cure=cure)
    require(key not in _ELSEWHERE, "is not a setting", key=repr(key), cure=_ELSEWHERE.get(key, ""))
    raise BadInput("unknown setting", key=repr(key), cure=suggestion(key, _settable(spec)))


def label(key: str, value: Any) -> str:
    """A setting as reports name it: 'lr 0.001', 'no dropout', 'detach every 4', 'LMModel6'."""
    setting = SETTINGS.get(key, Setting(""))
    title = setting.title or key.replace("_", " ")
    value = tuple(value) if isinstance(value, list) else value
    if key == "model":
        return spec_of(value).title
    if key in ("layers", "epochs"):
        return plural(value, key.removesuffix("s"))
    if value in setting.names:
        return setting.names[value]
    if value is True:
        return title
    if value is False or (setting.title and value == 0):
        return f"no {title}"
    return f"{title} {','.join(map(str, value)) if isinstance(value, tuple) else value}"


def _spec(given: Settings) -> ModelSpec:
    model = given.get("model")
    require(model is not None, "is missing", key="model", cure='name one: model = "lm6"')
    text = isinstance(model, str)
    require(text, "not a name", key=f"model = {shown(model)}", cure='write model = "lm6"')
    return spec_of(str(model))


def _settable(spec: ModelSpec) -> list[str]:
    return ["model", *DEFAULTS, *spec.options]


@cache
def _schema(options: tuple[tuple[str, type, tuple[str, ...]], ...]) -> type[BaseModel]:
    """Type and range of every setting of a model that has these options: their names, types and choices."""
    types: dict[str, Any] = {key: (_rule(key, kind, choices), ...) for key, kind, choices in options}
    for key, default in DEFAULTS.items():
        types[key] = _rule(key, type(default), SETTINGS[key].choices), ...
    config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
    return create_model("Settings", __config__=config, **types)


def _rule(key: str, kind: type, choices: tuple[str, ...]) -> Any:
    """What pydantic checks of one setting."""
    setting = SETTINGS.get(key, Setting("", low=0 if key in PENALTIES else None))
    if choices:
        return Literal[choices]
    if kind is bool:
        return bool
    if kind is str:
        return Annotated[str, Field(min_length=int(setting.low or 0))]
    if kind is int:
        return Annotated[int, Field(ge=setting.low or 0, le=10**9)]
    number = Annotated[float, Field(ge=setting.low, gt=setting.above, lt=setting.below)]
    return number if kind is float else Annotated[tuple[number, number, number], Field(strict=False)]


def _check_together(s: Settings) -> None:
    """Raise BadInput for settings that exclude each other."""
    window, every = s["window"], s["detach_every"]
    stride, detach_every = (f"{key} = {shown(s[key])}" for key in ("stride", "detach_every"))
    require(s["stride"] <= window, f"should be at most the window ({window})", key=stride)
    goes_on = s["stride"] in (0, window) or s["reset"] == "batch"
    rule = 'needs reset = "batch", since no window goes on where another ends'
    require(goes_on, rule, key=stride)
    fits = not every or window % every == 0 or every % window == 0
    rule = f"should be 0, or divide the window ({window}) or be its multiple"
    require(fits, rule, key=detach_every)
    kept = s["order"] == "grouped" and s["reset"] != "batch"
    rule = f"goes beyond the window ({window}), where no state is kept"
    cure = 'it needs order = "grouped", and reset = "epoch" or "never"'
    require(every <= window or kept, rule, key=detach_every, cure=cure)
