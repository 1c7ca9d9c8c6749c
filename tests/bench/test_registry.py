"""The zoo's list: true to the classes, to the chapter, and light."""

import importlib
import inspect
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from bench.models.registry import ZOO, ModelSpec, spec_of, suggestion
from bench.trial import BadInput, Trial

# Source: fastbook chapter 12: learning rate, epochs, window.
CHAPTER = {
    "lm1": (1e-3, 4, 3),
    "lm2": (1e-3, 4, 3),
    "lm3": (3e-3, 10, 3),
    "lm4": (3e-3, 15, 16),
    "lm5": (3e-3, 15, 16),
    "lm6": (1e-2, 15, 16),
    "lm7": (1e-2, 15, 16),
}


def keywords(spec: ModelSpec) -> dict[str, Any]:
    signature = inspect.signature(getattr(importlib.import_module(spec.module), spec.builder))
    assert next(iter(signature.parameters)) == "vocab"
    return {name: p.default for name, p in signature.parameters.items() if name != "vocab"}


@pytest.mark.parametrize("name", ZOO)
def test_a_models_options_are_exactly_its_classs_keywords(name: str) -> None:
    spec = ZOO[name]
    assert spec.name == name
    assert set(spec.options) == set(keywords(spec))
    types = {key: type(value) for key, value in spec.options.items()}
    assert types == {key: type(value) for key, value in keywords(spec).items()}


@pytest.mark.parametrize("builder", sorted({spec.builder for spec in ZOO.values()}))
def test_the_defaults_of_a_class_are_those_of_one_of_its_entries(builder: str) -> None:
    entries = [spec for spec in ZOO.values() if spec.builder == builder]
    assert any(dict(spec.options) == keywords(spec) for spec in entries)


@pytest.mark.parametrize("name", ZOO)
def test_the_settings_of_a_model_are_fields_of_a_trial(name: str) -> None:
    spec = ZOO[name]
    Trial(model=name, seed=0, options=spec.options, **spec.settings)
    assert spec.seconds > 0 and spec.title and spec.about


@pytest.mark.parametrize("name", [name for name, spec in ZOO.items() if not spec.counted])
def test_no_entry_has_parameters_without_a_use(name: str) -> None:
    model = ZOO[name].build(30, **ZOO[name].options)
    assert sum(p.numel() for p in model.parameters()) > 2 * 30 * 64 * 0.9


@pytest.mark.parametrize("name", CHAPTER)
def test_the_chapters_models_have_the_chapters_settings(name: str) -> None:
    trial = Trial(model=name, seed=0, **ZOO[name].settings)
    assert (trial.lr, trial.epochs, trial.window) == CHAPTER[name]
    assert ZOO[name].options["hidden"] == trial.batch == 64
    assert trial.reset == ("batch" if name in ("lm1", "lm2") else "epoch")
    assert trial.target == ("last" if name in ("lm1", "lm2", "lm3") else "every")


def test_lmmodel7_differs_from_lmmodel6_in_six_things() -> None:
    six, seven = (
        replace(Trial(model="lm", seed=0, **ZOO[name].settings), options=ZOO[name].options).factors()
        for name in ("lm6", "lm7")
    )
    assert {key: seven[key] for key in seven if seven[key] != six[key]} == {
        "dropout": 0.4,
        "tying": True,
        "alpha": 2.0,
        "beta": 1.0,
        "wd": 0.1,
        "moms": "0.8,0.7,0.8",
    }


def test_the_registry_and_the_trial_import_no_torch() -> None:
    modules = "bench.models.registry, bench.trial, bench.identity"
    code = f"import sys, {modules}; print({{'torch', 'fastai'}} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_misspelt_name_gets_a_suggestion() -> None:
    with pytest.raises(BadInput, match=r"model 'lstm-chunks' is not in the zoo; did you mean 'lstm-chunk'\?"):
        spec_of("lstm-chunks")


def test_a_name_like_no_other_gets_the_list() -> None:
    with pytest.raises(BadInput, match="model 'transformer' is not in the zoo; known: lm1, lm2, "):
        spec_of("transformer")
    assert suggestion("zzz", ["one", "two"]) == "; known: one, two"
