"""Every setting is broken on purpose, as fastai 2.2.0 to 2.8.3 ignored alpha and beta; its witness says so.

A broken setting is one that reaches the trial's record and nothing that trains: the model, the data
and the engine are those of another level. Source of the example: fastai issue 3605.
"""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest

from unrolled.bench.chapter.chapter_run import run_trial
from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.chapter.models.registry import ZOO
from unrolled.bench.chapter.models.spec import ModelSpec
from unrolled.bench.chapter.training import train
from unrolled.bench.chapter.witnesses import witness_tables
from unrolled.bench.trial import Result

AWD = {"lr": 0.2, **dict.fromkeys(("embed_p", "input_p", "weight_p", "hidden_p", "output_p"), 0.1)}

LEVELS: dict[str, tuple[str, dict[str, Any], Any, Any]] = {  # model, what else is set, two levels
    "tokens": ("lm6", {}, "word", "char"),
    "vocab": ("lm6", {}, 0, 5),
    "split": ("lm6", {}, "tail", "blocks"),
    "window": ("lm6", {}, 4, 8),
    "stride": ("lm6", {"reset": "batch"}, 0, 2),
    "batch": ("lm6", {}, 16, 8),
    "epochs": ("lm6", {}, 1, 2),
    "order": ("lm6", {}, "sequential", "grouped"),
    "target": ("lm6", {}, "every", "last"),
    "reset": ("lm6", {}, "epoch", "batch"),
    "lr": ("lm6", {}, 3e-2, 2e-2),
    "moms": ("lm6", {}, (0.95, 0.85, 0.95), (0.8, 0.7, 0.8)),
    "wd": ("lm6", {}, 0.01, 0.1),
    "clip": ("lm6", {}, 0.0, 0.01),
    "alpha": ("lm6", {}, 0.0, 2.0),
    "beta": ("lm6", {}, 0.0, 1.0),
    "detach_every": ("lm6", {}, 4, 1),
    "hidden": ("lm6", {}, 8, 12),
    "layers": ("lm6", {}, 2, 1),
    "tying": ("lm6", {}, False, True),
    "dropout": ("lm6", {}, 0.0, 0.4),
    "nonlinearity": ("lm5", {}, "tanh", "relu"),
    "form": ("lstm-chunk", {}, "chunk", "gates"),
    "init": ("lstm-chunk", {}, "own", "built-in"),
    "embedding": ("awd-scratch", AWD, 8, 12),
    "embed_p": ("awd-scratch", AWD, 0.1, 0.0),
    "input_p": ("awd-scratch", AWD, 0.1, 0.0),
    "weight_p": ("awd-scratch", AWD, 0.1, 0.0),
    "hidden_p": ("awd-scratch", AWD, 0.1, 0.0),
    "output_p": ("awd-scratch", AWD, 0.1, 0.0),
    "context": ("ngram-5", {}, 4, 1),
}
MORE: list[tuple[str, str, dict[str, Any], Any, Any]] = [
    *(
        (name, model, {"engine": "learner"}, level, changed_level)
        for name, (model, _, level, changed_level) in LEVELS.items()
        if name in ("alpha", "beta", "clip", "lr", "moms", "reset", "wd")
    ),
    *(
        (name, "lm6", {"engine": engine}, 2.0, 0.0)
        for name in ("alpha", "beta")
        for engine in ("loop", "learner")
    ),
    ("tying", "lm6", {}, True, False),
    ("dropout", "lm6", {}, 0.2, 0.4),
    ("reset", "lm6", {"epochs": 2, "engine": "learner"}, "epoch", "never"),
    ("reset", "lm6", {"epochs": 2}, "epoch", "never"),
    ("reset", "lm6", {"epochs": 2}, "never", "epoch"),
    ("order", "lm6", {}, "grouped", "sequential"),
    ("order", "lm6", {}, "grouped", "shuffled"),
    ("order", "lm6", {}, "shuffled", "grouped"),
    ("target", "lm2", {}, "last", "every"),
    ("split", "lm6", {}, "blocks", "tail"),
    ("detach_every", "lm6", {}, 4, 16),
    ("nonlinearity", "rnn-relu", {"nonlinearity": "relu"}, "relu", "tanh"),
    ("form", "gru-after", {"form": "after"}, "after", "before"),
    ("init", "gru-after", {}, "built-in", "own"),
    *[("init", name, {}, "own", "built-in") for name in ("lstm-gates", "gru-before")],
    *[(name, "awd", AWD, 0.1, 0.4) for name in AWD if name != "lr"],
]
CASES = [*((setting, *case) for setting, case in LEVELS.items()), *MORE]
cases = pytest.mark.parametrize(
    ("setting", "model", "settings", "level", "changed_level"),
    CASES,
    ids=[f"{c[0]}-{c[1]}-{c[3]}-{c[4]}" for c in CASES],
)


def make_trial(
    make_small_trial: Callable[..., ChapterTrial], model: str, changes: dict[str, Any]
) -> ChapterTrial:
    """Return a small trial of the model with these changes."""
    options = {**ZOO[model].options}
    options |= {name: 8 for name in ("hidden", "embedding") if name in options}
    options |= {key: value for key, value in changes.items() if key in options}
    settings = {key: value for key, value in changes.items() if key not in options}
    return make_small_trial(model, options=options, **{"batch": 16, "lr": 3e-2, **settings})


@pytest.fixture(scope="module")
def run_once() -> Callable[[ChapterTrial], Result]:
    """Return a function to a trial's result that trains it once: many settings start from the same one."""
    results: dict[str, Result] = {}

    def run(trial: ChapterTrial) -> Result:
        if trial.id not in results:
            results[trial.id] = run_trial(trial)
        return results[trial.id]

    return run


def ignore_setting(monkeypatch: pytest.MonkeyPatch, setting: str, value: Any) -> None:
    """Give this setting one value in model, data and training, whatever a trial says of it."""

    def break_trial(trial: ChapterTrial) -> ChapterTrial:
        is_setting = setting in {f.name for f in fields(ChapterTrial)}
        return replace(trial, **{setting: value}) if is_setting else trial

    for name in ("load_data", "build_model", "train_model"):
        stage = getattr(train, name)
        monkeypatch.setattr(train, name, lambda trial, *data, stage=stage: stage(break_trial(trial), *data))
    build_model = ModelSpec.build_model

    def build_broken_model(spec: ModelSpec, vocab: int, **options: Any) -> Any:
        if setting in options:
            options[setting] = value
        return build_model(spec, vocab, **options)

    monkeypatch.setattr(ModelSpec, "build_model", build_broken_model)


@cases
def test_a_setting_is_witnessed_only_if_it_acts(
    make_small_trial: Callable[..., ChapterTrial],
    run_once: Callable[[ChapterTrial], Result],
    monkeypatch: pytest.MonkeyPatch,
    setting: str,
    model: str,
    settings: dict[str, Any],
    level: Any,
    changed_level: Any,
) -> None:
    base = run_once(make_trial(make_small_trial, model, {**settings, setting: level}))
    changed_trial = make_trial(make_small_trial, model, {**settings, setting: changed_level})
    changed = run_once(changed_trial)
    assert base.is_done and changed.is_done, (base.reason, changed.reason)
    assert changed.witnesses[setting]["ok"], changed.witnesses[setting]
    assert setting == "split" or base.fingerprints["weights"] != changed.fingerprints["weights"]
    ignore_setting(monkeypatch, setting, level)
    assert not run_trial(changed_trial).witnesses.get(setting, {}).get("ok")


UNWITNESSED = {
    "model": "names what is built: tests hold each name to its network, and fingerprints tell them apart",
    "seed": "not ablated: an arm is a distribution over seeds",
    "options": "each option has a witness of its own",
    "corpus": "its text is hashed into the trial's identity",
    "data": "the hash of the text, a part of the identity",
    "source": "the hash of the code, a part of the identity",
    "engine": "names the module that is imported: tests hold the engines to each other",
    "device": "torch trains on the device that it is told, or refuses; the environment records it",
    "versions": "compared with the loaded packages before the trial begins",
    "occasion": "names the training of a study whose times are judged, and changes no number",
}
"""The settings that need no witness, and why."""


def test_every_setting_and_option_has_a_witness_or_a_reason() -> None:
    settings = {f.name for f in fields(ChapterTrial)}
    options = {key for spec in ZOO.values() for key in spec.options}
    of_counts = {"context"}
    tables = {
        **witness_tables.DATA_WITNESSES,
        **witness_tables.TRAINING_WITNESSES,
        **witness_tables.MODEL_WITNESSES,
    }
    assert set(tables) | of_counts == (settings | options) - set(UNWITNESSED)
    assert set(UNWITNESSED) <= settings
    assert set(LEVELS) == set(tables) | of_counts, "a setting that no test breaks on purpose"
