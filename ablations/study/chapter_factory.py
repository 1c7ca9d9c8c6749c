"""The chapter's `TrialFactory`, which is this module itself: flat settings → the fields of a ChapterTrial.

A setting is a field of ChapterTrial or an option of the model. Its value comes from the study, else
from the model's entry in the registry, else from the default of ChapterTrial.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from unrolled.ablations.study.study_errors import explain_validation, format_value
from unrolled.ablations.study.study_file import MetricTable
from unrolled.ablations.study.trial_factory import ArmFields, Factor, Settings
from unrolled.bench.chapter.chapter_trial import ChapterTrial, SettingSpec
from unrolled.bench.chapter.metric_table import CHAPTER_METRICS
from unrolled.bench.chapter.models.registry import ZOO, find_model
from unrolled.bench.chapter.models.spec import PLUGIN_PENALTIES, ModelSpec
from unrolled.bench.chapter.text import hash_corpus
from unrolled.bench.chapter.time_estimates import check_length
from unrolled.bench.errors import BadInput, require, suggestion
from unrolled.bench.phrases import plural
from unrolled.bench.trial import PLANNED_FIELDS

_FIELDS = {f.name: f for f in fields(ChapterTrial) if "setting" in f.metadata}
DEFAULTS: Settings = {name: f.default for name, f in _FIELDS.items()}

METRICS = {metric.name: metric for metric in CHAPTER_METRICS if metric.can_be_judged}
"""The metrics by which arms can be judged."""


OPTIONS = {  # options of the models; the registry has their types, defaults and choices
    "hidden": SettingSpec("units of a layer", low=1),
    "embedding": SettingSpec("size of the embedding", low=1),
    "layers": SettingSpec("recurrent layers", low=1),
    "tying": SettingSpec("one matrix is both embedding and output layer", title="tying"),
    "nonlinearity": SettingSpec("activation of nn.RNN"),
    "form": SettingSpec("published form of the cell"),
    "init": SettingSpec(
        "initial weights: the cell's own draws, or those that nn.LSTM or nn.GRU draws from the same seed",
        names={"own": "initial weights of its own", "built-in": "the built-in's initial weights"},
    ),
    "context": SettingSpec("tokens before the one that is predicted"),
    "dropout": SettingSpec(
        "dropout of the last layer's output", title="dropout", off_when_zero=True, low=0, below=1
    ),
    "embed_p": SettingSpec(
        "share of words whose embedding is zeroed",
        title="embedding dropout",
        off_when_zero=True,
        low=0,
        below=1,
    ),
    "input_p": SettingSpec(
        "dropout of the embeddings", title="input dropout", off_when_zero=True, low=0, below=1
    ),
    "weight_p": SettingSpec(
        "dropout of the hidden-to-hidden weights", title="weight dropout", off_when_zero=True, low=0, below=1
    ),
    "hidden_p": SettingSpec(
        "dropout between layers", title="hidden dropout", off_when_zero=True, low=0, below=1
    ),
    "output_p": SettingSpec(
        "dropout of the last layer's output", title="output dropout", off_when_zero=True, low=0, below=1
    ),
}
SETTINGS: Mapping[str, SettingSpec] = OPTIONS | {name: f.metadata["setting"] for name, f in _FIELDS.items()}

_FACTOR_KEYS = {
    "tying": "tying",
    "dropout": "dropout",
    "ar": "alpha",
    "tar": "beta",
    "weight_decay": "wd",
    "moms": "moms",
}
_OFF_LEVELS: Settings = {**DEFAULTS, **ZOO["lm6"].settings, **ZOO["lm6"].options}
_ON_LEVELS: Settings = {**DEFAULTS, **ZOO["lm7"].settings, **ZOO["lm7"].options}
FACTORS = {
    name: Factor(
        name,
        key,
        SETTINGS[key].title,
        off=_OFF_LEVELS.get(key, type(_ON_LEVELS[key])()),
        on=_ON_LEVELS[key],
    )
    for name, key in _FACTOR_KEYS.items()
}
"""A factor that is on has the level of LMModel7; one that is off that of LMModel6, or 0 if that lacks it."""

_ALIASES = {**_FACTOR_KEYS, "learning_rate": "lr", "batch_size": "batch"}
"""Settings by other names that people try."""

_CURES = {  # cures for keys that are no settings
    **dict.fromkeys(PLANNED_FIELDS, "planning determines it; `corpus` names a text, and --device a device"),
    "seed": "the study's own `seeds` name them",
    "seeds": "they stand at the top of the file",
    "options": "write the model's options themselves: hidden = 128",
    "name": "an arm is named beside its `set`",
}


def choose_metrics(tables: Sequence[MetricTable]) -> Sequence[MetricTable]:
    """Return the metrics that judge arms: by default the accuracy, then the loss.

    Raises BadInput for a metric that the chapter's models do not have.
    """
    for index, metric in enumerate(tables):
        key = f"metrics.{index}.name = {format_value(metric.name)}"
        require(metric.name in METRICS, f"should be one of {', '.join(METRICS)}", key=key)
        require(
            metric.value == "last",
            "is for the curves of a [program]",
            key=f"metrics.{index}.value",
            cure="leave it out",
        )
    if not tables:
        return [MetricTable(name="valid_accuracy", delta=0.02), MetricTable(name="valid_loss", delta=0.05)]
    return [_complete_metric(table) for table in tables]


def _complete_metric(table: MetricTable) -> MetricTable:
    """Return a metric with the kind and the direction of the chapter's table. Raises BadInput for others."""
    metric = METRICS[table.name]
    rule = f"it is a {metric.kind}, which Unrolled measures itself"
    key = f"kind of {table.name} = {table.kind}"
    require(table.kind in (None, metric.kind), rule, key=key, cure="leave the kind out")
    known_table = table.model_copy(update={"kind": metric.kind, "better": metric.better})
    require(
        table.better in (None, known_table.metric.better),
        f"{known_table.metric.better} values of it are better",
        key=f"better of {table.name} = {table.better}",
        cure="leave better out",
    )
    return known_table


def make_arm_fields(settings: Settings) -> ArmFields:
    """Return the fields of a trial with these settings, and defaults for all others.

    Raises BadInput for a setting that is unknown, is none of the model's, has a wrong type or is out of
    range, and for two settings that exclude each other.
    """
    spec = _find_spec(settings)
    for key in settings:
        check_key(settings, key)
    flat = complete_settings(settings)
    model = flat.pop("model")
    options = tuple((key, type(value), spec.choices.get(key, ())) for key, value in spec.options.items())
    try:
        arm_fields = _make_schema(options).model_validate(flat).model_dump()
    except ValidationError as error:
        raise explain_validation(error) from error
    _check_windows(arm_fields)
    model_options = {key: arm_fields.pop(key) for key in spec.options}
    trial = ChapterTrial(seed=0, model=model, options=model_options, **arm_fields)
    arm_fields = {name: getattr(trial, name) for name in arm_fields}  # as a trial stores them
    return {"model": model, "options": model_options, **arm_fields}


def complete_settings(settings: Settings) -> dict[str, Any]:
    """Return every setting, flat and unchecked, with the model's value or the default for missing ones."""
    spec = _find_spec(settings)
    flat = {**DEFAULTS, **spec.settings, **spec.options, **settings}
    return {key: tuple(value) if isinstance(value, list) else value for key, value in flat.items()}


def inherit_settings(baseline: Settings, changes: Settings) -> dict[str, Any]:
    """Return the settings of an arm: those of the baseline that its model has, and its own changes."""
    settings = {**baseline, **changes}
    keys = {*changes, *_list_keys(_find_spec(settings))}
    return {key: value for key, value in settings.items() if key in keys}


def make_trial(arm_fields: ArmFields, seed: int = 0, device: str = "cpu") -> ChapterTrial:
    """Return the trial of these fields, without the hashes of code and text."""
    return ChapterTrial(seed=seed, device=device, **arm_fields)


def check_data(arm_fields: ArmFields) -> None:
    """Raise BadInput for a text that is too short for the batches."""
    check_length(make_trial(arm_fields))


def find_task_settings(arm_fields: ArmFields) -> dict[str, Any]:
    """Return the settings that decide which tokens are predicted, with the text's hash as `corpus`."""
    settings = {key: arm_fields[key] for key in ChapterTrial.task_settings}
    return settings | {"corpus": hash_corpus(arm_fields["corpus"])}


def find_factor(name: str, settings: Settings) -> Factor:
    """Return the factor of this name. Raises BadInput if there is none or the model has no such setting."""
    require(name in FACTORS, f"unknown factor {name!r}", cure=suggestion(name, FACTORS))
    check_key(settings, FACTORS[name].key)
    return FACTORS[name]


def check_key(settings: Settings, key: str) -> None:
    """Raise BadInput with a suggestion if the model of these settings has no such setting."""
    spec = _find_spec(settings)
    keys = _list_keys(spec)
    if key in keys:
        return
    if _ALIASES.get(key) in keys:
        raise BadInput("unknown setting", key=repr(key), cure=f"did you mean {_ALIASES[key]!r}?")
    require(
        not any(key in model.options for model in ZOO.values()),
        f"has no option {key!r}",
        place=f"model {spec.name!r}",
        cure=f"it has: {', '.join(spec.options) or 'none'}",
    )
    if key in _CURES:
        raise BadInput("is not a setting", key=repr(key), cure=_CURES[key])
    raise BadInput("unknown setting", key=repr(key), cure=suggestion(key, keys))


def title_setting(key: str) -> str:
    """Return what reports call a setting: alpha is AR, detach_every 'detach every'."""
    return SETTINGS.get(key, SettingSpec("")).title or key.replace("_", " ")


def describe_setting(key: str, value: Any) -> str:
    """Return a setting as reports name it: 'lr 0.001', 'no dropout', 'detach every 4', 'LMModel6'."""
    setting = SETTINGS.get(key, SettingSpec(""))
    title = title_setting(key)
    if isinstance(value, list):
        value = tuple(value)
    if key == "model":
        return find_model(value).title
    if key in ("layers", "epochs"):
        return plural(value, key.removesuffix("s"))
    if value in setting.names:
        return setting.names[value]
    if value is True:
        return title
    if value is False or (setting.off_when_zero and value == 0):
        return f"no {title}"
    if isinstance(value, tuple):
        value = ",".join(map(str, value))
    return f"{title} {value}"


def _find_spec(settings: Settings) -> ModelSpec:
    model = settings.get("model")
    require(model is not None, "is missing", key="model", cure='name one: model = "lm6"')
    key = f"model = {format_value(model)}"
    require(isinstance(model, str), "not a name", key=key, cure='write model = "lm6"')
    return find_model(str(model))


def _list_keys(spec: ModelSpec) -> list[str]:
    return ["model", *DEFAULTS, *spec.options]


@cache
def _make_schema(options: tuple[tuple[str, type, tuple[str, ...]], ...]) -> type[BaseModel]:
    """Return the types and ranges of a model's settings. `options` are its names, types and choices."""
    types: dict[str, Any] = {
        **{key: (_make_rule(key, value_type, choices), ...) for key, value_type, choices in options},
        **{
            key: (_make_rule(key, type(default), SETTINGS[key].choices), ...)
            for key, default in DEFAULTS.items()
        },
    }
    config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
    return create_model("Settings", __config__=config, **types)


def _make_rule(key: str, value_type: type, choices: tuple[str, ...]) -> Any:
    """Return the type by which pydantic checks one setting."""
    setting = SETTINGS.get(key, SettingSpec("", low=0 if key in PLUGIN_PENALTIES else None))
    if choices:
        return Literal[choices]
    if value_type is bool:
        return bool
    if value_type is str:
        return Annotated[str, Field(min_length=int(setting.low or 0))]
    if value_type is int:
        return Annotated[int, Field(ge=setting.low or 0, le=10**9)]
    number = Annotated[float, Field(ge=setting.low, gt=setting.above, lt=setting.below)]
    if value_type is float:
        return number
    return Annotated[tuple[number, number, number], Field(strict=False)]


def _check_windows(settings: Settings) -> None:
    """Raise BadInput for a stride or a `detach_every` that does not fit the window."""
    window = settings["window"]
    stride = settings["stride"]
    detach_every = settings["detach_every"]
    key = f"stride = {stride}"
    require(stride <= window, f"should be at most the window ({window})", key=key)
    require(
        stride in (0, window) or settings["reset"] == "batch",
        'needs reset = "batch", since no window goes on where another ends',
        key=key,
    )
    key = f"detach_every = {detach_every}"
    require(
        not detach_every or window % detach_every == 0 or detach_every % window == 0,
        f"should be 0, or divide the window ({window}) or be its multiple",
        key=key,
    )
    require(
        detach_every <= window or (settings["order"] == "grouped" and settings["reset"] != "batch"),
        f"goes beyond the window ({window}), where no state is kept",
        key=key,
        cure='it needs order = "grouped", and reset = "epoch" or "never"',
    )
