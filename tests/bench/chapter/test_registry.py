"""The zoo's list: true to the classes, to the chapter, and light."""

import subprocess
import sys
from dataclasses import replace

import pytest

from tests.helpers.bad_input import raises_bad_input
from unrolled.ablations.study.chapter_factory import OPTIONS
from unrolled.bench.chapter.chapter_trial import make_chapter_trial
from unrolled.bench.chapter.models.registry import ZOO, find_model

# Source: fastbook chapter 12: learning rate, epochs, window.
CHAPTER = dict.fromkeys(("lm1", "lm2"), (1e-3, 4, 3)) | {"lm3": (3e-3, 10, 3)}
CHAPTER |= dict.fromkeys(("lm4", "lm5"), (3e-3, 15, 16)) | dict.fromkeys(("lm6", "lm7"), (1e-2, 15, 16))


@pytest.mark.parametrize("name", ZOO)
def test_an_entry_builds_its_class_with_exactly_its_options(name: str) -> None:
    spec = ZOO[name]
    assert spec.name == make_chapter_trial(spec.name).model == name
    assert spec.chapter_seconds > 0
    assert spec.title
    assert spec.description
    model = spec.build_model(30)
    if not spec.is_counting_model:  # no parameters without a use
        assert sum(p.numel() for p in model.parameters()) > 2 * 30 * 64 * 0.9
    with pytest.raises(TypeError):
        spec.build_model(30, depth=2)


@pytest.mark.parametrize("name", CHAPTER)
def test_the_chapters_models_have_the_chapters_settings(name: str) -> None:
    trial = make_chapter_trial(name)
    assert (trial.lr, trial.epochs, trial.window) == CHAPTER[name]
    assert ZOO[name].options["hidden"] == trial.batch == 64
    assert trial.reset == ("batch" if name in ("lm1", "lm2") else "epoch")
    assert trial.target == ("last" if name in ("lm1", "lm2", "lm3") else "every")


def test_an_option_at_its_default_is_no_change(monkeypatch) -> None:
    options = {**ZOO["lm7"].options, "bias": True}
    monkeypatch.setitem(ZOO, "lm7", replace(ZOO["lm7"], options=options))
    trials = [make_chapter_trial("lm7", options={"bias": bias}) for bias in (True, False)]
    lm6, gru = (make_chapter_trial(name) for name in ("lm6", "gru"))
    assert [trial.find_changes(lm6).get("bias") for trial in trials] == [None, False]
    assert [trial.find_changes(gru).get("bias") for trial in trials] == [True, False]


LIGHT = """
import sys
from unrolled.bench.hardware import devices
from unrolled.bench.sources import identity
from unrolled.bench import trial
from unrolled.bench.chapter import text
from unrolled.bench.chapter.chapter_trial import make_chapter_trial
from unrolled.bench.chapter.models import registry
text.read_corpus_text("human-numbers")
print({"torch", "fastai"} & {*sys.modules})
"""


def test_the_registry_and_the_text_are_read_without_torch() -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["set()"]


def test_a_name_like_no_other_is_refused_with_the_list() -> None:
    with raises_bad_input("lm1, lm2, ", place="model 'transformer'"):
        find_model("transformer")


def test_every_option_of_a_model_has_its_meaning_and_range() -> None:
    options = {option for spec in ZOO.values() for option in spec.options}
    assert options <= OPTIONS.keys(), "an option without a row would take any value"
