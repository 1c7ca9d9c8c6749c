"""What the settings of a training do: reset, clip, the cycle of rates, weight decay."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.helpers.zoo import engines
from unrolled.bench.chapter.chapter_run import run_trial
from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.chapter.training.record import Trace, find_first_difference
from unrolled.bench.chapter.training.train import build_model, load_data, train_model

# The small trial has 299 windows: 239 // 8 = 29 batches to train on and 60 // 8 = 7 to validate.
CPU = torch.device("cpu")


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
    make_small_trial: Callable[..., ChapterTrial],
    engine: str,
    reset: str,
    train: list[bool],
    valid: list[bool],
) -> None:
    """Reset batch forgets before each batch, and reset never not at all."""
    fresh: dict[bool, list[bool]] = {True: [], False: []}
    trial = make_small_trial(engine=engine, reset=reset, epochs=2)
    data, *splits = load_data(trial)
    model = build_model(trial, len(data.vocab))
    model.register_forward_pre_hook(lambda model, _: fresh[model.training].append(model.state is None))
    train_model(trial, model, *splits)
    assert (fresh[True], fresh[False]) == (train, valid)


@engines
def test_a_clip_that_nothing_exceeds_leaves_every_bit(
    make_small_trial: Callable[..., ChapterTrial], engine: str
) -> None:
    free, clipped, tight = (
        run_trial(make_small_trial(engine=engine, clip=clip)) for clip in (0.0, 1e9, 0.05)
    )
    assert clipped.fingerprints == free.fingerprints
    assert tight.fingerprints["weights"] != free.fingerprints["weights"]


def test_first_difference_names_the_step_and_the_tensor() -> None:
    def make_trace(*steps: tuple[float, float, float]) -> dict[str, Any]:
        trace = Trace()
        for loss, w, b in steps:
            trace.add_step(loss, [("w", torch.tensor([w])), ("b", torch.tensor([b]))])
        return trace.to_dict()

    trace = make_trace((1.0, 2.0, 3.0), (1.0, 2.0, 3.0))
    assert find_first_difference(trace, trace) == ""
    assert find_first_difference(trace, make_trace((1.0, 2.0, 3.0), (1.0, 2.0, 4.0))) == "step 2, tensor b"
    assert find_first_difference(trace, make_trace((1.5, 2.0, 3.0), (1.0, 2.0, 4.0))) == "step 1, tensor loss"
    assert find_first_difference(trace, make_trace((1.0, 2.0, 3.0))) == "step 2, tensor loss", "it stopped"
    assert "different tensors" in find_first_difference(trace, {"tensors": ["loss"], "sums": ""})
