"""What the settings of a training do: reset, clip, the cycle of rates, weight decay."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from fastai.learner import Callback

from bench.chapter.models.recurrent import LanguageModel
from bench.chapter.run import run_trial
from bench.chapter.training import learner, train
from bench.chapter.training.engine import Diverged, Trace, Training, first_difference
from bench.chapter.training.train import build, fit
from bench.chapter.trial import ChapterTrial

# The small trial has 299 windows: 239 // 8 = 29 batches to train on and 60 // 8 = 7 to validate.
engines = pytest.mark.parametrize("engine", ["learner", "loop"])
CPU = torch.device("cpu")


@pytest.fixture
def fresh_starts() -> Callable[[ChapterTrial], tuple[list[bool], list[bool]]]:
    """For each batch that a trial's model reads, whether it started from nothing: training, validation."""
    seen: dict[bool, list[bool]] = {}

    def note(model: LanguageModel, _inputs: Any) -> None:
        seen[model.training].append(model.state is None)

    def look(trial: ChapterTrial) -> tuple[list[bool], list[bool]]:
        seen.update({True: [], False: []})
        data, *splits = train.load(trial)
        model = build(trial, len(data.vocab))
        model.register_forward_pre_hook(note)
        fit(trial, model, *splits)
        return seen[True], seen[False]

    return look


@engines
@pytest.mark.parametrize(
    ("reset", "train", "valid"),
    [
        ("epoch", ([True] + [False] * 28) * 2, ([True] + [False] * 6) * 2),
        ("batch", [True] * 58, [True] * 14),
        ("never", [True] + [False] * 57, [False] * 14),
    ],
)
def test_reset_epoch_forgets_before_each_pass(
    small: Callable[..., ChapterTrial],
    fresh_starts: Callable[[ChapterTrial], tuple[list[bool], list[bool]]],
    engine: str,
    reset: str,
    train: list[bool],
    valid: list[bool],
) -> None:
    """Reset batch forgets before each batch, and reset never not at all."""
    assert fresh_starts(small(engine=engine, reset=reset, epochs=2)) == (train, valid)


class Norms(Callback):
    """The gradient norm of each step, as the optimizer is about to see it."""

    order = 1000

    def __init__(self) -> None:
        self.seen: list[float] = []

    def before_step(self) -> None:
        grads = [p.grad.norm() for p in self.model.parameters()]
        self.seen.append(float(torch.stack(grads).norm()))


def gradient_norms(trial: ChapterTrial) -> list[float]:
    norms, (data, *splits) = Norms(), train.load(trial)
    made = learner.learner(trial, build(trial, len(data.vocab)), *splits, CPU, [norms])
    made.fit_one_cycle(1, trial.lr)
    return norms.seen


def test_clip_bounds_the_norm_of_the_whole_gradient(small: Callable[..., ChapterTrial]) -> None:
    free, clipped = gradient_norms(small()), gradient_norms(small(clip=0.05))
    assert max(free) > 0.1
    assert max(clipped) == pytest.approx(0.05, rel=1e-3)
    assert clipped[0] == pytest.approx(min(free[0], 0.05), rel=1e-3)


@engines
def test_a_clip_that_nothing_exceeds_leaves_every_bit(
    small: Callable[..., ChapterTrial], engine: str
) -> None:
    free, clipped, tight = (run_trial(small(engine=engine, clip=clip)) for clip in (0.0, 1e9, 0.05))
    assert clipped.fingerprints == free.fingerprints
    assert tight.fingerprints["weights"] != free.fingerprints["weights"]


def test_first_difference_names_the_step_and_the_tensor() -> None:
    def trace(*values: tuple[float, float, float]) -> dict[str, Any]:
        made = Trace()
        for loss, w, b in values:
            made.add(loss, [("w", torch.tensor([w])), ("b", torch.tensor([b]))])
        return made.packed()

    one = trace((1.0, 2.0, 3.0), (1.0, 2.0, 3.0))
    assert first_difference(one, one) == ""
    assert first_difference(one, trace((1.0, 2.0, 3.0), (1.0, 2.0, 4.0))) == "step 2, tensor b"
    assert first_difference(one, trace((1.5, 2.0, 3.0), (1.0, 2.0, 4.0))) == "step 1, tensor loss"
    assert first_difference(one, trace((1.0, 2.0, 3.0))) == "step 2, tensor loss"  # one has stopped
    assert "different tensors" in first_difference(one, {"tensors": ["loss"], "sums": ""})


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_record_refuses_a_loss_that_is_no_number_after_noting_it(loss: float) -> None:
    record = Training()
    record.step(1.0, 0.1, 0.9, [])
    with pytest.raises(Diverged, match=f"^diverged: the training loss is {loss} at step 2$"):
        record.step(loss, 0.1, 0.9, [])
    assert len(record.losses) == len(record.lrs) == 2
