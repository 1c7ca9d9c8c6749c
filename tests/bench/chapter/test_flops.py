"""The count from the weights' shapes, against torch's own count of the products that are really made."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.helpers.zoo import NEURAL
from unrolled.bench.chapter.chapter_run import run_trial
from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.chapter.metrics import count_forward_flops, count_training_flops
from unrolled.bench.chapter.models.recurrent import LanguageModel
from unrolled.bench.chapter.models.registry import ZOO
from unrolled.bench.chapter.training.train import build_model

VOCAB = 9
ROWS = 8
WINDOW = 4
HIDDEN = 8


@pytest.fixture(autouse=True)
def disable_mkldnn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disable oneDNN's fused nn.LSTM, which the counter cannot see into."""
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)


def make_trial(model: str, **changes: object) -> ChapterTrial:
    """Return a trial of the model; LMModel1 can read only three words, and only from zeros."""
    options = {"hidden": HIDDEN}
    if "embedding" in ZOO[model].options:
        options["embedding"] = 6
    settings: dict[str, object] = {"window": WINDOW, "epochs": 1, "options": options}
    if model == "lm1":
        settings |= {"window": 3, "target": "last", "reset": "batch"}
    return ChapterTrial(model=model, seed=0, batch=ROWS, **{**settings, **changes})


def count_by_torch(trial: ChapterTrial, model: LanguageModel, windows: int = 1) -> tuple[int, int]:
    """Return torch's count of operations of forward passes, and of the last one's backward pass."""
    tokens = torch.randint(VOCAB, (windows, ROWS, trial.window), generator=torch.Generator().manual_seed(0))
    model.train()
    with FlopCounterMode(display=False) as forward:
        for window in tokens:
            output = model(window)
    with FlopCounterMode(display=False) as backward:
        output.logits.sum().backward()
    return forward.get_total_flops(), backward.get_total_flops()


@pytest.mark.parametrize("tying", [False, True])
@pytest.mark.parametrize("target", ["every", "last"])
@pytest.mark.parametrize("name", NEURAL)
def test_the_forward_count_of_every_model_is_torchs_to_the_last_operation(
    name: str, target: str, tying: bool
) -> None:
    trial = make_trial(name, target=target)
    if "tying" in ZOO[name].options:
        trial = make_trial(name, target=target, options={**trial.options, "tying": tying})
    model = build_model(trial, VOCAB)
    targets = ROWS * (trial.window if target == "every" else 1)
    assert count_forward_flops(model, ROWS * trial.window, targets) == count_by_torch(trial, model)[0]


@pytest.mark.parametrize("name", NEURAL)
def test_an_update_costs_about_three_forward_passes(name: str) -> None:
    trial = make_trial(name)
    model = build_model(trial, VOCAB)
    hidden_weights = [w for name, w in model.named_parameters() if "hh" in name and w.dim() == 2]
    unneeded = 2 * ROWS * sum(w.numel() for w in hidden_weights)
    assert count_training_flops(trial, model, 1) - sum(count_by_torch(trial, model)) == unneeded
    assert unneeded < 0.2 * count_training_flops(trial, model, 1)


@pytest.mark.parametrize("windows", [1, 2, 3, 7])
@pytest.mark.parametrize("detach_every", [1, WINDOW, 2 * WINDOW, 4 * WINDOW])
def test_reaching_beyond_the_window_pays_for_what_is_read_again(detach_every: int, windows: int) -> None:
    trial = make_trial("lm6", detach_every=detach_every)
    model = build_model(trial, VOCAB)
    forward, _ = count_by_torch(trial, model, windows)
    assert count_training_flops(trial, model, windows) == 3 * forward


def test_no_window_is_read_again_after_an_epoch_or_a_reset() -> None:
    model = build_model(make_trial("lm6"), VOCAB)
    longer = make_trial("lm6", detach_every=4 * WINDOW)
    flops = count_training_flops(longer, model, 5)
    assert count_training_flops(replace(longer, epochs=2), model, 10) == 2 * flops
    stateless = replace(longer, reset="batch")
    assert (
        count_training_flops(stateless, model, 5) == count_training_flops(make_trial("lm6"), model, 5) < flops
    )


def test_a_trial_records_its_count_and_counts_and_plugins_have_none(
    make_small_trial: Callable[..., ChapterTrial], monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = 2 * 4 * 8 * (8 + 8) + 8 * 9  # two layers of four gates that read x and h; a decoder of 9 words
    flops = run_trial(make_small_trial(epochs=2)).metrics["train_flops"]
    assert flops == 3 * 2 * weights * (2 * 29 * 8 * 4)  # × the tokens of two epochs
    monkeypatch.setitem(ZOO, "mine", replace(ZOO["lm6"], name="mine", file="mine.py"))
    assert "train_flops" not in run_trial(make_small_trial("mine")).metrics
    assert "train_flops" not in run_trial(make_small_trial("ngram-2")).metrics
