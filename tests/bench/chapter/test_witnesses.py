"""Each setting's witness: content with a trial that does what it declares, and with no other."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.helpers.zoo import NEURAL, engines
from unrolled.bench.chapter import chapter_run
from unrolled.bench.chapter.chapter_run import run_trial
from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.chapter.diagnostics import fingerprint_tensors
from unrolled.bench.chapter.models.recurrent import LanguageModel
from unrolled.bench.chapter.models.registry import ZOO
from unrolled.bench.chapter.regularization import Dropout
from unrolled.bench.chapter.training import train
from unrolled.bench.chapter.witnesses.witness import WitnessInput
from unrolled.bench.chapter.witnesses.witness_tables import collect_witnesses


def make_lm7_trial(make_small_trial: Callable[..., ChapterTrial]) -> ChapterTrial:
    """Return a small trial of LMModel7."""
    options = {"hidden": 8, "dropout": 0.4, "tying": True}
    return make_small_trial("lm7", options=options, alpha=2.0, beta=1.0, wd=0.1, moms=(0.8, 0.7, 0.8))


@engines
@pytest.mark.parametrize("name", NEURAL)
def test_a_good_trial_has_witnesses_for_its_factors_and_all_say_yes(
    make_small_trial: Callable[..., ChapterTrial], name: str, engine: str
) -> None:
    spec = ZOO[name]
    options = {**spec.options, "hidden": 8}
    keys = ("target", "order", "reset", "lr", "alpha", "beta", "wd", "moms")
    settings = {key: spec.settings[key] for key in keys if key in spec.settings}
    size = {"batch": 16, "window": 3 if name == "lm1" else 4}
    result = run_trial(make_small_trial(name, options=options, engine=engine, **settings, **size))
    assert result.status == "done" or result.diverged, result.reason
    assert {k: w for k, w in result.witnesses.items() if not w["ok"]} == {}
    assert {"lr", "alpha", "detach_every", *options} <= set(result.witnesses)


@engines
@pytest.mark.parametrize("batch", [47, 39, 26, 23, 18])
def test_few_updates_are_no_reason_to_doubt(
    make_small_trial: Callable[..., ChapterTrial], engine: str, batch: int
) -> None:
    """With 5, 6, 9, 10 or 13 of them, none falls on the peak of the learning rate."""
    trial = make_small_trial(engine=engine, batch=batch, lr=0.1)
    result = run_trial(trial)
    assert result.metrics["train_updates"] == 239 // batch
    assert all(w["ok"] for w in result.witnesses.values()), result.witnesses


@engines
def test_tar_is_a_dead_toggle_only_on_windows_of_one_word(
    make_small_trial: Callable[..., ChapterTrial], engine: str
) -> None:
    """fastai's own guard tests the rows of a batch, and leaves TAR out where there is one."""
    assert run_trial(make_small_trial(engine=engine, batch=1, window=8, beta=1.0)).witnesses["beta"]["ok"]
    result = run_trial(make_small_trial(engine=engine, batch=64, window=1, beta=1.0))
    assert result.metrics["train_tar"] == 0.0
    assert result.witnesses["beta"] == {"ok": False, "declared": 1.0, "seen": 0.0, "penalty": "TAR"}


class DropoutInEvaluation(Dropout):
    """Continues to drop in evaluation."""

    def eval(self) -> "DropoutInEvaluation":
        return self.train()


def test_a_dropout_that_does_not_rest_in_evaluation_is_found_out(
    make_small_trial: Callable[..., ChapterTrial], monkeypatch: pytest.MonkeyPatch
) -> None:
    build_model = train.build_model

    def build_broken_model(trial: ChapterTrial, vocab: int) -> LanguageModel:
        model = build_model(trial, vocab)
        model.drop = DropoutInEvaluation(0.4)
        return model

    monkeypatch.setattr(train, "build_model", build_broken_model)
    witnesses = run_trial(make_lm7_trial(make_small_trial)).witnesses
    assert {setting for setting, witness in witnesses.items() if not witness["ok"]} == {"dropout"}


def test_witnesses_leave_the_random_numbers_alone(
    make_small_trial: Callable[..., ChapterTrial], monkeypatch: pytest.MonkeyPatch
) -> None:
    states = []

    def collect_and_record(evidence: WitnessInput) -> dict[str, Any]:
        states.append(torch.random.get_rng_state())
        witnesses = collect_witnesses(evidence)
        states.append(torch.random.get_rng_state())
        return witnesses

    monkeypatch.setattr(chapter_run, "collect_witnesses", collect_and_record)
    assert run_trial(make_lm7_trial(make_small_trial)).witnesses["dropout"]["seen"] > 0
    assert torch.equal(*states)


def test_a_fingerprint_changes_with_name_type_shape_and_bit() -> None:
    weights = {"b": torch.zeros(2, 3), "a": torch.ones(2)}
    reordered = dict(reversed(weights.items()))
    changed_weights: list[dict[str, torch.Tensor]] = [
        {"c": torch.zeros(2, 3), "a": torch.ones(2)},
        {"b": torch.zeros(3, 2), "a": torch.ones(2)},
        {"b": torch.zeros(2, 3, dtype=torch.int32), "a": torch.ones(2)},
        {"b": -torch.zeros(2, 3), "a": torch.ones(2)},  # −0.0 is another bit
    ]
    assert fingerprint_tensors(reordered) == fingerprint_tensors(weights)
    assert len({fingerprint_tensors(w) for w in [weights, *changed_weights]}) == 5
