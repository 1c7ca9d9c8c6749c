"""Seconds a trial of each model: both engines, the chapter's own way and a plain script, in turn."""

from statistics import median

import pytest
import torch

from unrolled.bench.chapter.models.registry import find_model

CHAPTER = ("lm1", "lm2", "lm3", "lm4", "lm5", "lm6", "lm7", "gru")
SCRATCH = ("lstm-gates", "lstm-chunk", "gru-after", "gru-before")


@pytest.mark.slow
@pytest.mark.benchmark(group="trials")
@pytest.mark.parametrize("model", [*CHAPTER, *SCRATCH])
def test_seconds_a_trial(benchmark, profile, unrolled_process, plain_process, model):
    """A few epochs are timed. A whole trial is its start and as many of them as the chapter trains."""
    if benchmark.disabled and model != "lm4":
        pytest.skip("not measured: one will do")
    peers = ("notebook", "script") if model in CHAPTER else ()
    spec = find_model(model)
    seconds: dict[str, list[float]] = {arm: [] for arm in ("loop", "learner", *peers)}
    epochs = spec.settings["epochs"]

    def measure(arm: str) -> None:
        process = plain_process if arm in peers else unrolled_process
        cost = process.ask("trial", arm=arm, model=model, epochs=profile.epochs)
        seconds[arm].append(cost["start"] + epochs * cost["epoch"])

    def train_others() -> None:
        for arm in ("learner", *peers):
            measure(arm)

    benchmark.pedantic(measure, args=("loop",), setup=train_others, rounds=profile.rounds)
    assert all(len(rounds) == profile.rounds for rounds in seconds.values())
    benchmark.extra_info.update(
        model=model,
        title=spec.title,
        measured_epochs=profile.epochs,
        epochs=epochs,
        seconds={arm: median(rounds) for arm, rounds in seconds.items()},
    )


@pytest.mark.usefixtures("use_one_thread")
def test_the_notebook_trains_on_the_cpu_also_where_there_is_a_gpu(monkeypatch):
    from tests.helpers import peers

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: "cuda:0")
    assert peers.notebook("lm4", epochs=1, workers=0).loss < 3.4  # ln 30; on no GPU it would raise


@pytest.fixture
def use_one_thread():
    """Use one thread: two collapse on a busy machine."""
    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(usual)


@pytest.mark.usefixtures("use_one_thread")
def test_the_plain_script_trains_what_the_chapter_trains():
    """LMModel1's printed row, 1.650849 (fastbook chapter 12), from the notebook's one seed."""
    from tests.helpers import peers

    torch.manual_seed(42)
    assert peers.script("lm1").loss == pytest.approx(1.65, abs=0.1), (
        "torch's cycle, another one than fastai's"
    )
