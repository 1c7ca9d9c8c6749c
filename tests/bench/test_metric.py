"""The direction of a metric is declared, or known by its whole name, or asked for."""

import math

import pytest

from tests.helpers.bad_input import raises_bad_input
from unrolled.bench.metric import (
    COST_KINDS,
    KNOWN_DIRECTIONS,
    SHARES,
    Metric,
    find_direction,
    is_known_cost,
)

HIGHER = """accuracy valid_accuracy val_acc test/F1 eval-auc BLEU reward dev_r2 top1 neg_log_loss
    training_accuracy_score win_rate accuracy/val"""
LOWER = "loss valid_loss val/loss Loss/test brier_score perplexity test_mae RMSE seconds memory_peak"


@pytest.mark.parametrize(
    ("name", "better"),
    [*((name, "higher") for name in HIGHER.split()), *((name, "lower") for name in LOWER.split())],
)
def test_a_common_name_has_a_direction(name: str, better: str) -> None:
    assert find_direction(name) == better
    assert Metric(name, 0.02).lower_is_better == (better == "lower")


@pytest.mark.parametrize(
    "name",
    ["extra", "loss_score", "my_accuracy", "accuracy_loss", "val_", "train_val_acc", "val", "train/loss/val"],
)
def test_a_name_that_only_holds_a_known_word_is_refused(name: str) -> None:
    with raises_bad_input("better = ", key=name) as excinfo:
        Metric(name, 0.02)
    assert "--" not in excinfo.value.cure, "flags are of a command, which names its own"


def test_a_near_name_keeps_that_of_the_split() -> None:
    with raises_bad_input("'valid_accuracy'", key="valid_acuracy"):
        Metric("valid_acuracy", 0.02)


def test_a_declared_direction_comes_before_a_known_one() -> None:
    assert not Metric("loss", 0.1, "higher").lower_is_better
    assert Metric("extra", 0.1, "lower").lower_is_better
    with raises_bad_input(key="better of extra = up"):
        Metric("extra", 0.1, "up")


def test_only_a_known_share_ends_at_one():
    assert Metric("val/F1", 0.02).highest == Metric("valid_accuracy", 0.02).highest == 1
    for metric in (
        Metric("loss", 0.02),
        Metric("my_accuracy", 0.02, "higher"),
        Metric("accuracy", 5, ratio=True),
    ):
        assert metric.highest == math.inf
    assert KNOWN_DIRECTIONS.keys() >= SHARES


def test_a_known_direction_that_is_written_out_is_the_same_metric() -> None:
    assert Metric("loss", 0.1) == Metric("loss", 0.1, "lower")
    assert len(KNOWN_DIRECTIONS) == len({name.lower() for name in KNOWN_DIRECTIONS})


@pytest.mark.parametrize("name", ["time_series_mae", "memory_recall", "system_prompt_score"])
def test_a_kind_is_declared_and_never_guessed(name: str) -> None:
    assert Metric(name, 0.1, "higher").is_quality
    assert [Metric(name, 0.1, kind=kind).better for kind in ("time", "speed", "memory")] == [
        "lower",
        "higher",
        "lower",
    ]
    assert not any(Metric(measured, 0.1).is_quality for measured in COST_KINDS)
    speed = Metric("speed/train", 0.1)  # its name in MLflow
    assert (speed.kind, speed.better) == ("speed", "higher")


@pytest.mark.parametrize(("name", "kind"), [("loss", "clock"), ("seconds", "quality"), ("seconds", "memory")])
def test_an_unknown_kind_and_another_one_of_what_is_measured_are_refused(name: str, kind: str) -> None:
    with raises_bad_input(key=f"kind of {name} = {kind}"):
        Metric(name, 0.1, kind=kind)


@pytest.mark.parametrize(
    "name", ["gpu_memory", "peak_memory", "latency", "epoch_time", "it_per_sec", "timestamp"]
)
def test_a_known_cost_is_nothing_that_equal_trials_repeat(name: str) -> None:
    assert is_known_cost(name)
    assert not is_known_cost(f"my_{name}"), "a name is known as a whole"


def test_a_name_of_a_cost_needs_a_kind_which_may_be_quality() -> None:
    for name in ("latency", "val/latency", "it_per_sec"):
        with raises_bad_input(key=f"kind of {name}"):
            Metric(name, 0.1, "higher")
    assert Metric("latency", 0.1, kind="quality").is_quality
    assert not Metric("latency", 0.1, kind="time").is_quality
