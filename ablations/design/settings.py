"""Flat settings → the fields of a Trial, checked: the one place that knows what can be set, and to what.

A setting is a field of Trial or an option of the model. What is not written comes from the model's entry
in the zoo, and then from Trial: Trial's default < the model's chapter settings < written.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ablations.design.errors import explain, shown
from bench.models.registry import PENALTIES, ZOO, ModelSpec, spec_of, suggestion
from bench.trial import BadInput, Scalar, Trial

Settings = Mapping[str, Any]

Count = Annotated[int, Field(ge=1, le=10**9)]
CountOrZero = Annotated[int, Field(ge=0, le=10**9)]
Rate = Annotated[float, Field(ge=0, lt=1)]
Weight = Annotated[float, Field(ge=0)]
Engine = Literal["learner", "loop", "sgd"]
ENGINES: tuple[str, ...] = get_args(Engine)


class TrialFields(BaseModel):
    """Type and range of every field of Trial that a study may set."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    corpus: Annotated[str, Field(min_length=1)]
    tokens: Literal["word", "char"]
    vocab: CountOrZero
    split: Literal["tail", "blocks"]
    window: Count
    variable_bptt: bool
    batch: Count
    order: Literal["grouped", "sequential", "shuffled"]
    target: Literal["every", "last"]
    reset: Literal["epoch", "batch", "never"]
    detach_every: CountOrZero
    lr: Annotated[float, Field(gt=0)]
    epochs: Count
    wd: Weight
    moms: Annotated[tuple[Rate, Rate, Rate], Field(strict=False)]  # an array in TOML
    clip: Weight
    alpha: Weight
    beta: Weight
    engine: Engine
    on_plateau: Literal["ignore", "average", "halve"]
    plateau_patience: CountOrZero
    finetune: CountOrZero


@dataclass(frozen=True)
class Factor:
    """A change that designs know by name: the setting it moves, and its two levels."""

    title: str
    key: str
    off: Any
    on: Any


CHAPTER_FACTORS = {
    "tying": Factor("tying", "tying", False, True),
    "dropout": Factor("dropout", "dropout", 0.0, 0.4),
    "ar": Factor("AR", "alpha", 0.0, 2.0),
    "tar": Factor("TAR", "beta", 0.0, 1.0),
    "weight_decay": Factor("weight decay", "wd", 0.01, 0.1),
    "moms": Factor("moms", "moms", (0.95, 0.85, 0.95), (0.8, 0.7, 0.8)),
}
"""On is what LMModel7 does, off is what LMModel6 does. Source: fastbook chapter 12, fastai's TextLearner."""

AWD_FACTORS = {
    "nt_asgd": Factor("NT-ASGD", "on_plateau", "ignore", "average"),
    "variable_bptt": Factor("variable windows", "variable_bptt", False, True),
    "embedding_dropout": Factor("embedding dropout", "embed_p", 0.0, 0.1),
    "input_dropout": Factor("input dropout", "input_p", 0.0, 0.4),
    "weight_dropout": Factor("weight dropout", "weight_p", 0.0, 0.5),
    "hidden_dropout": Factor("hidden dropout", "hidden_p", 0.0, 0.3),
    "output_dropout": Factor("output dropout", "output_p", 0.0, 0.4),
}
"""On is what AWD-LSTM does on the Penn Treebank. Source: Merity, Keskar and Socher, 2018, section 5."""

FACTORS = CHAPTER_FACTORS | AWD_FACTORS

LEAST_DRAWN = 5  # tokens of a window whose length is drawn: bench.corpus.LEAST, without its torch
DEFAULTS: Settings = {f.name: f.default for f in fields(Trial) if f.name in TrialFields.model_fields}

_ONE_OR_MORE = {"hidden", "embedding", "layers"}
_TITLES = {f.key: f.title for f in FACTORS.values()}
_MOMS = {FACTORS["moms"].off: "moms of LMModel6", FACTORS["moms"].on: "moms of LMModel7"}
_STALLS = {"ignore": "plain SGD", "average": "NT-ASGD", "halve": "SGD, rate halved when it stalls"}
_ELSEWHERE = {
    "seed": "the study's own `seeds` name them",
    "seeds": "they stand at the top of the file",
    "options": "write the model's options themselves: hidden = 128",
    "source": "it is a hash of the code, filled in by the project",
    "data": "it is a hash of the text; name the text with corpus",
    "versions": "they are those of the installed packages",
    "device": "it is chosen where the study is run",
    "name": "an arm is named beside its `set`",
    "batch_size": "it is called batch",
    "learning_rate": "it is called lr",
    "detach": "it is called detach_every",
    "horizon": "it is called detach_every",
    "varied": "it is called variable_bptt",
    "stall": "it is called on_plateau",
    "nonmono": "it is called plateau_patience",
}


def resolve(written: Settings) -> dict[str, Any]:
    """The fields of a Trial, the seed and the hashes apart, from flat settings: `Trial(seed=0, **fields)`.

    Raises BadInput where a setting is unknown, is not one of the model's, has the wrong type or is out of
    range, and where `detach_every` does not fit the window.
    """
    spec = _spec(written)
    for key in written:
        check_key(spec, key)
    settings = complete(written)
    options = {key: _option(spec, key, settings.pop(key)) for key in spec.options}
    model = settings.pop("model")
    try:
        checked = TrialFields.model_validate(settings).model_dump()
    except ValidationError as error:
        raise BadInput(explain(error)) from error
    _check_engine(checked, written)
    return {"model": model, "options": options, **checked, "detach_every": _detach_every(checked)}


def complete(written: Settings) -> dict[str, Any]:
    """Every setting, flat and unchecked: what is not written comes from the model, and then from Trial."""
    spec = _spec(written)
    settings = {**DEFAULTS, **spec.settings, **spec.options, **written}
    return {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}


def inherit(baseline: Settings, changes: Settings) -> dict[str, Any]:
    """What an arm has written: the baseline's keys as far as the arm's model has them, then its own."""
    arm = {**baseline, **changes}
    spec = _spec(arm)
    return {key: value for key, value in arm.items() if key in changes or key in _settable(spec)}


def flat(trial_fields: Settings) -> dict[str, Scalar]:
    """Settings by their flat names, as `Trial.factors` shows them."""
    return Trial(seed=0, **trial_fields).factors()


def check_key(spec: ModelSpec, key: str) -> None:
    """Raises BadInput, with what was probably meant, where the model has no such setting."""
    if key in _settable(spec):
        return
    if key in FACTORS and FACTORS[key].key in _settable(spec):
        raise BadInput(f"unknown setting {key!r}; did you mean {FACTORS[key].key!r}?")
    if any(key in other.options for other in ZOO.values()):
        raise BadInput(
            f"model {spec.name!r} has no option {key!r}; it has: {', '.join(spec.options) or 'none'}"
        )
    if key in _ELSEWHERE:
        raise BadInput(f"{key!r} is not a setting: {_ELSEWHERE[key]}")
    raise BadInput(f"unknown setting {key!r}{suggestion(key, _settable(spec))}")


def label(key: str, value: Any) -> str:
    """A setting in a learner's words: 'lr 0.001', 'no dropout', 'detach every 4', 'LMModel6'."""
    title = _TITLES.get(key, key.replace("_", " "))
    match key, value:
        case "model", _:
            return spec_of(value).title
        case "on_plateau", _:
            return _STALLS[value]
        case "detach_every", _:
            return f"detach every {value or 'window'}"
        case "moms", _:
            return _MOMS.get(tuple(value), "moms " + ",".join(str(m) for m in value))
        case (("layers" | "epochs"), _):
            return f"{value} {key.removesuffix('s') if value == 1 else key}"
        case _, True:
            return title
        case _, False:
            return f"no {title}"
    return f"no {title}" if key in _TITLES and value == 0 else f"{title} {value}"


def parse_set(text: str) -> tuple[str, list[Any]]:
    """`--set` as the command line has it: 'lr=1e-3,1e-2' → ('lr', [0.001, 0.01]).

    A value that is itself a list stands in brackets: 'moms=[0.8,0.7,0.8]'. Raises BadInput.
    """
    key, equals, values = text.partition("=")
    if not equals or not key.strip() or not values.strip():
        raise BadInput(f"--set {text!r}: write a setting, = and its values: --set lr=1e-3,1e-2")
    return key.strip(), [_parse(piece.strip()) for piece in _split(values)]


def _spec(written: Settings) -> ModelSpec:
    model = written.get("model")
    if model is None:
        raise BadInput('no model; name one: model = "lm6"')
    if not isinstance(model, str):
        raise BadInput(f'model = {shown(model)}: not a name; write model = "lm6"')
    return spec_of(model)


def _settable(spec: ModelSpec) -> list[str]:
    return ["model", *DEFAULTS, *spec.options]


def _option(spec: ModelSpec, key: str, value: Any) -> Scalar:
    """An option of the type of its default: a bool is never a number, nor a number a bool."""
    default = spec.options[key]
    probability = key == "dropout" or key.endswith("_p")
    match default:
        case bool():
            good, rule = isinstance(value, bool), "true or false"
        case int():
            least = 1 if key in _ONE_OR_MORE else 0
            good = type(value) is int and least <= value <= 10**9
            rule = f"a whole number from {least} to 1,000,000,000"
        case float():
            good = type(value) in (int, float) and abs(value) < 1e300 and math.isfinite(value)
            rule = "a finite number"
            if probability:
                good, rule = good and 0 <= value < 1, "a number of at least 0 and below 1"
            elif key in PENALTIES:
                good, rule = good and value >= 0, "a number of at least 0"
            value = float(value) if good else value
        case str():
            # The same class under another name shows what the option may be.
            same = [s for s in ZOO.values() if (s.module, s.builder) == (spec.module, spec.builder)]
            choices = sorted({str(s.options[key]) for s in same if key in s.options})
            good = isinstance(value, str) and (value in choices or len(choices) == 1)
            rule = " or ".join(repr(c) for c in choices)
    if not good:
        raise BadInput(f"{key} = {shown(value)}: should be {rule}")
    return value  # type: ignore[no-any-return]


def _check_engine(checked: Mapping[str, Any], written: Settings) -> None:
    """Raises BadInput for what the engine would ignore, and for windows that cannot be drawn."""
    if checked["engine"] != "sgd":
        for key in ("variable_bptt", "on_plateau", "finetune"):
            if checked[key] != DEFAULTS[key]:
                raise BadInput(f'{key} = {shown(checked[key])}: needs engine = "sgd"')
    elif "moms" in written:
        raise BadInput('moms: engine = "sgd" has no momentum; take it out')
    if checked["variable_bptt"] and (checked["order"], checked["target"]) != ("grouped", "every"):
        raise BadInput('variable_bptt = true: needs order = "grouped" and target = "every"')
    if checked["variable_bptt"] and checked["window"] < 2 * LEAST_DRAWN:
        raise BadInput(
            f"variable_bptt = true: needs a window of at least {2 * LEAST_DRAWN}: half of it may be drawn"
        )
    if checked["variable_bptt"] and checked["detach_every"] not in (0, checked["window"]):
        raise BadInput("variable_bptt = true: needs detach_every = 0, the length of each window")
    if checked["finetune"] >= checked["epochs"]:
        raise BadInput(f"finetune = {checked['finetune']}: should be less than epochs ({checked['epochs']})")


def _detach_every(checked: Mapping[str, Any]) -> int:
    """`detach_every`, where 0 is the window. Gradients are cut inside a window or at its edge."""
    window, every = int(checked["window"]), int(checked["detach_every"])
    if every and window % every and every % window:
        raise BadInput(
            f"detach_every = {every}: should be 0, or divide the window ({window}) or be its multiple"
        )
    if every > window and (checked["order"] != "grouped" or checked["reset"] == "batch"):
        raise BadInput(
            f"detach_every = {every}: goes beyond the window ({window}), where no state is kept; "
            'it needs order = "grouped", and reset = "epoch" or "never"'
        )
    return every or window


def _parse(piece: str) -> Any:
    if piece.startswith("["):
        return [_parse(inner.strip()) for inner in piece.strip("[]").split(",")]
    if piece in ("true", "false"):
        return piece == "true"
    for read in (int, float):
        try:
            return read(piece)
        except ValueError:
            continue
    return piece.strip("\"'")


def _split(values: str) -> list[str]:
    """Split at the commas that stand outside of brackets."""
    pieces, depth = [""], 0
    for character in values:
        depth += (character == "[") - (character == "]")
        if character == "," and depth == 0:
            pieces.append("")
        else:
            pieces[-1] += character
    return pieces
