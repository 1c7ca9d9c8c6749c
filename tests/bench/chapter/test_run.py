"""One trial from end to end: the same bits each time, and numbers that a plain computation confirms."""

import math
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.helpers.bad_input import raises_bad_input
from tests.helpers.zoo import engines
from unrolled.bench.chapter.chapter_run import run_trial
from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.chapter.corpus import Batches, load_corpus, make_batches
from unrolled.bench.chapter.models.recurrent import LanguageModel
from unrolled.bench.chapter.training import loop, train
from unrolled.bench.chapter.training.record import TrainingRecord
from unrolled.bench.chapter.training.train import build_model
from unrolled.bench.trial import Result

TrainedTrial = tuple[Result, LanguageModel, Batches, TrainingRecord]


@pytest.fixture
def run_and_record(monkeypatch: pytest.MonkeyPatch) -> Callable[[ChapterTrial], TrainedTrial]:
    """Return a function to a trial's result, its model, validation batches and record."""
    train_model = train.train_model
    details: list[Any] = []

    def train_and_record(
        trial: ChapterTrial, model: LanguageModel, batches: Batches, valid: Batches
    ) -> TrainingRecord:
        record = train_model(trial, model, batches, valid)
        details[:] = [model, valid, record]
        return record

    monkeypatch.setattr(train, "train_model", train_and_record)
    return lambda trial: (run_trial(trial), *details)


def change_global_state() -> None:
    """Change what a careless model may leave behind for the next trial of the process."""
    random.seed(1)
    np.random.seed(2)
    torch.manual_seed(3)
    torch.rand(17)
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    torch.set_num_threads(2)
    torch.set_deterministic_debug_mode("default")


@engines
@pytest.mark.parametrize("model", ["lm4", "lm7", "awd"])
def test_a_trial_gives_the_same_bits_after_any_other(
    make_small_trial: Callable[..., ChapterTrial], model: str, engine: str
) -> None:
    changes: dict[str, Any] = {"engine": engine, "order": "shuffled", "epochs": 2, "batch": 16}
    if model == "lm7":
        changes |= {"options": {"hidden": 8, "dropout": 0.4, "tying": True}, "alpha": 2.0, "beta": 1.0}
    first = run_trial(make_small_trial(model, **changes))
    change_global_state()
    second = run_trial(make_small_trial(model, **changes))
    assert first.is_done, first.reason
    assert second.fingerprints == first.fingerprints
    assert second.trace == first.trace
    assert second.records == first.records
    next_seed = run_trial(make_small_trial(model, **changes, seed=1))
    assert next_seed.fingerprints["weights"] != first.fingerprints["weights"]
    assert next_seed.fingerprints["metrics"] != first.fingerprints["metrics"]


def test_arms_of_a_seed_start_from_the_same_weights(make_small_trial: Callable[..., ChapterTrial]) -> None:
    arms = [
        make_small_trial(),
        make_small_trial(lr=1e-3),
        make_small_trial(alpha=2.0, wd=0.1),
        make_small_trial(detach_every=1),
        make_small_trial("lm7"),
    ]
    arms[-1] = replace(arms[-1], options={"hidden": 8, "dropout": 0.4, "tying": False})
    models = []
    for arm in arms:
        models.append(build_model(arm, 9).state_dict())
        torch.rand(5)  # the global generator is not what decides
    assert all(torch.equal(models[0][key], weights[key]) for weights in models for key in models[0])
    assert not torch.equal(
        models[0]["i_h.weight"], build_model(make_small_trial(seed=1), 9).state_dict()["i_h.weight"]
    )


def test_arms_of_a_seed_drop_by_the_same_random_numbers(
    make_small_trial: Callable[..., ChapterTrial], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many numbers the initial weights of an arm took."""
    draws = []
    monkeypatch.setattr(loop, "train_model", lambda *_: draws.append(torch.rand(4).tolist()))
    for trial in (
        make_small_trial(),
        make_small_trial(options={"hidden": 16, "layers": 1}),
        make_small_trial("gru"),
        make_small_trial(seed=1),
    ):
        data, *splits = train.load_data(trial)
        train.train_model(trial, build_model(trial, len(data.vocab)), *splits)
    assert draws[0] == draws[1] == draws[2] != draws[3]


def test_the_streams_of_a_seed_are_apart_and_fit_a_generator() -> None:
    trials = [ChapterTrial(model="lm4", seed=seed) for seed in (0, 1, 2**32 - 1)]
    seeds = {trial.derive_seed(use) for trial in trials for use in ("init", "data", "dropout")}
    assert len(seeds) == 9
    assert all(0 <= seed < 2**63 for seed in seeds)


@engines
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"target": "last"},
        {"order": "sequential"},
        {"reset": "batch"},
        {"options": {"hidden": 8, "dropout": 0.5}},
    ],
    ids=["every word", "last word", "partial batch", "stateless", "dropout"],
)
def test_roles_add_up_to_the_mean_cross_entropy(
    make_small_trial: Callable[..., ChapterTrial],
    run_and_record: Callable[[ChapterTrial], TrainedTrial],
    engine: str,
    changes: dict[str, Any],
) -> None:
    trial = make_small_trial(engine=engine, batch=16, **changes)
    result, model, valid, _ = run_and_record(trial)
    model.eval().reset()
    batches = []
    with torch.no_grad():
        for x, y in valid:
            if trial.reset == "batch":
                model.reset()
            batches.append((model(x).logits.reshape(-1, 9), y.reshape(-1)))
    logits, targets = (torch.cat(part) for part in zip(*batches, strict=True))
    loss = F.cross_entropy(logits.double(), targets).item()
    hits = int((logits.argmax(1) == targets).sum())
    count = len(targets)
    metrics = result.metrics
    assert (metrics["valid_hits"], metrics["valid_targets"]) == (hits, count)
    expected = {"valid_loss": loss, "valid_accuracy": hits / count, "valid_bits": loss / math.log(2)}
    assert {name: metrics[name] for name in expected} == pytest.approx(expected, rel=1e-6)
    assert metrics["valid_perplexity"] == pytest.approx(math.exp(loss), rel=1e-5)
    nats, *counts = (sum(column) for column in zip(*result.records["roles"].values(), strict=True))
    assert nats / count == pytest.approx(metrics["valid_loss"], rel=1e-9)
    assert counts == [hits, count]
    for name in ("valid_accuracy", "valid_loss"):
        assert result.curves[name][-1][1] == metrics[name]


@engines
@pytest.mark.parametrize("order", ["grouped", "sequential"])
@pytest.mark.parametrize("target", ["every", "last"])
def test_the_passage_is_one_stretch_of_the_text(
    make_small_trial: Callable[..., ChapterTrial], engine: str, order: str, target: str
) -> None:
    trial = make_small_trial(engine=engine, order=order, target=target)
    result = run_trial(trial)
    data = load_corpus(trial)
    _, valid = make_batches(trial, data)
    first = int(valid.positions[valid.window_order[0]].flatten()[0])
    step = 1 if target == "every" else trial.window
    passage = result.records["passage"]
    assert [row["token"] for row in passage] == data.decode(data.ids[first::step][: len(passage)])
    assert len(passage) >= 7  # 60 windows // 8 rows, one target each at the least
    assert all(0 <= row["p"] <= 1 and row["guess"] in data.vocab for row in passage)


@engines
@pytest.mark.parametrize("target", ["every", "last"])
def test_the_continuation_has_the_likeliest_words_and_changes_no_fingerprint(
    make_small_trial: Callable[..., ChapterTrial],
    run_and_record: Callable[[ChapterTrial], TrainedTrial],
    monkeypatch: pytest.MonkeyPatch,
    engine: str,
    target: str,
) -> None:
    trial = make_small_trial(engine=engine, target=target, options={"hidden": 8, "dropout": 0.5})
    result, model, valid, _ = run_and_record(trial)
    data = load_corpus(trial)
    first = int(valid.positions[valid.window_order[0]].flatten()[0])
    step = 1 if target == "every" else trial.window
    end_of_passage = first + step * (len(result.records["passage"]) - 1) + 1
    text = data.ids[:end_of_passage].tolist()
    model.eval()
    for word in result.records["continuation"]:
        model.reset()
        with torch.no_grad():
            logits = model(torch.tensor([text[-trial.window :]])).logits
        text.append(int(logits.reshape(-1, 9)[-1].argmax()))
        assert data.vocab[text[-1]] == word
    assert len(text) == end_of_passage + 30
    random = torch.get_rng_state()
    monkeypatch.setattr("unrolled.bench.chapter.chapter_run._continue_passage", lambda *_: [])
    plain_result = run_trial(trial)
    assert torch.equal(torch.get_rng_state(), random)
    assert (plain_result.fingerprints, plain_result.trace) == (result.fingerprints, result.trace)


@engines
def test_penalties_stand_apart_and_the_training_loss_is_without_them(
    make_small_trial: Callable[..., ChapterTrial],
    run_and_record: Callable[[ChapterTrial], TrainedTrial],
    engine: str,
) -> None:
    settings = {"engine": engine, "epochs": 2, "batch": 16, "lr": 1e-12}  # the weights hardly change
    plain = make_small_trial(**settings)
    punished = make_small_trial(**settings, alpha=50.0, beta=20.0)
    free, _, _, free_record = run_and_record(plain)
    result, _, _, record = run_and_record(punished)
    assert record.losses == pytest.approx(free_record.losses, rel=1e-6)
    assert record.epochs[0].train_loss == pytest.approx(free_record.epochs[0].train_loss, rel=1e-6)
    assert free.metrics["train_ar"] == free.metrics["train_tar"] == 0
    model = build_model(punished, 9).train()
    train, _ = make_batches(punished, load_corpus(punished))
    ar = []
    tar = []
    losses = []
    for x, y in train:
        logits, raw, dropped = model(x)
        losses.append(F.cross_entropy(logits.reshape(-1, 9), y.reshape(-1)).item())
        ar.append(50 * dropped.pow(2).mean().item())
        tar.append(20 * (raw[:, 1:] - raw[:, :-1]).pow(2).mean().item())
    assert record.losses == pytest.approx(losses * 2, rel=1e-5)
    for epoch in record.epochs:
        assert (epoch.train_ar, epoch.train_tar) == pytest.approx((np.mean(ar), np.mean(tar)), rel=1e-4)
    assert (result.metrics["train_ar"], result.metrics["train_tar"]) == (epoch.train_ar, epoch.train_tar)


@pytest.mark.parametrize("model", ["lm6", "most-common"])
def test_a_gpu_that_torch_does_not_find_is_refused(
    make_small_trial: Callable[..., ChapterTrial], monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with raises_bad_input("--device cpu", place="device cuda"):
        run_trial(make_small_trial(model, device="cuda"))


@engines
def test_the_facts_of_a_training_are_counted(
    make_small_trial: Callable[..., ChapterTrial], engine: str
) -> None:
    result = run_trial(make_small_trial(engine=engine, epochs=2))
    metrics = result.metrics
    assert metrics["train_updates"] == 2 * 29  # 299 windows: int(299 × .8) = 239 // 8
    assert metrics["train_tokens"] == 2 * 29 * 8 * 4
    embedding = 9 * 8
    layer = 4 * 8 * (8 + 8) + 2 * 4 * 8
    output = 8 * 9 + 9
    assert metrics["model_parameters"] == embedding + 2 * layer + output
    first, later = (seconds for _, seconds in result.curves["speed_train_seconds"])
    assert metrics["speed_train"] == pytest.approx(metrics["train_tokens"] / (first + later))
    assert metrics["speed_steady"] == pytest.approx(metrics["train_tokens"] / 2 / later)
    assert "speed_steady" not in run_trial(make_small_trial(engine=engine)).metrics, (
        "one epoch has no later ones"
    )
    assert metrics["seconds"] >= first + later
    assert metrics["memory_peak"] > 50
    assert [epoch for epoch, _ in result.curves["valid_loss"]] == [0, 1]


@engines
@pytest.mark.parametrize(("model", "lr"), [("lm4", 1e38), ("lm6", 1e30)])
def test_a_diverged_training_is_a_result_that_names_why(
    make_small_trial: Callable[..., ChapterTrial], model: str, lr: float, engine: str
) -> None:
    """Whatever fastai writes into an exception on its way up."""
    result = run_trial(make_small_trial(model, engine=engine, epochs=3, lr=lr))
    assert result.diverged
    assert not result.is_done
    assert result.reason.startswith("diverged: the training loss ")
    assert model == "lm6" or " at step " in result.reason
    assert result.provenance["python"]
    assert Result.from_dict(result.to_dict()) == result


@engines
def test_a_training_that_ends_no_better_than_a_uniform_guess_diverged(
    make_small_trial: Callable[..., ChapterTrial], engine: str
) -> None:
    result = run_trial(make_small_trial("lm4", engine=engine, lr=30.0))
    assert result.diverged
    assert result.metrics["train_loss"] >= math.log(9)
    assert "is not below ln V = 2.197" in result.reason


def test_a_model_that_errs_on_another_text_did_not_diverge(tmp_path: Path) -> None:
    """As the models of the chapter do on the tail of Human Numbers: a high loss at a good accuracy."""
    text = tmp_path / "turn.txt"
    text.write_text("one two " * 500 + "one one two two " * 60)
    result = run_trial(
        ChapterTrial(
            model="lm4", seed=0, corpus=str(text), window=4, batch=8, epochs=4, options={"hidden": 8}
        )
    )
    assert result.is_done, result.reason
    assert result.metrics["train_loss"] < math.log(2) < result.metrics["valid_loss"]


def test_a_users_mistake_is_raised_and_not_recorded(make_small_trial: Callable[..., ChapterTrial]) -> None:
    with raises_bad_input("batch = 5000"):
        run_trial(make_small_trial(batch=5000))


def test_only_a_trained_model_that_predicts_one_token_everywhere_has_a_warning(
    load_plugin: Callable[..., Path], make_small_trial: Callable[..., ChapterTrial]
) -> None:
    load_plugin("model", "self.h_o(hidden)", "self.h_o(hidden * 0)")
    dead = run_trial(make_small_trial("mine", epochs=3, lr=0.1))
    constant = run_trial(make_small_trial("most-common"))
    assert dead.warning.startswith("always predicts “")
    assert dead.metrics["valid_accuracy"] <= constant.metrics["valid_accuracy"]
    assert constant.warning == run_trial(make_small_trial("lm4", epochs=3)).warning == ""
