"""Every number of a result is compared, and what a clock or the memory decides is not."""

from dataclasses import asdict, fields, replace

import pytest

from bench.chapter.trial import ChapterTrial
from bench.differences import differences, measured, numbers
from bench.trial import Epoch, Result

EPOCH = Epoch(**{**dict.fromkeys((f.name for f in fields(Epoch)), 0.5), "epoch": 3})
RESULT = Result(
    trial=ChapterTrial(model="lm4", seed=0),
    status="done",
    epochs=(EPOCH,),
    curves={"loss": ((1.0, 2.0),)},
    metrics={"valid_loss": 1.25, "valid_hits": 12.0, "speed_train": 9.0, "memory_peak": 300.0},
    roles={"digit": (3.5, 2, 4)},
    witnesses={"tying": {"ok": True, "declared": True, "seen": True}},
    passage=({"token": "one", "guess": "two", "p": 0.25},),
    fingerprints={"weights": "w", "metrics": "m"},
    trace={"tensors": ["loss"], "sums": "AAAA"},
)
NOT_COMPARED = {"trial", "attempts", "started", "seconds", "environment", "usage", "output"}
"""What is told of a result and computed by no trial; the trial is the identity under which both are kept."""

CHANGED = {
    "status": ({"status": "failed"}, "status"),
    "reason": ({"reason": "diverged: at step 4"}, "reason"),
    "epochs": ({"epochs": (replace(EPOCH, valid_loss=1.26),)}, "epoch 3 valid_loss"),
    "curves": ({"curves": {"loss": ((1.0, 2.5),)}}, "curve loss"),
    "metrics": ({"metrics": {**RESULT.metrics, "valid_hits": 13.0}}, "valid_hits"),
    "roles": ({"roles": {"digit": (3.5, 3, 4)}}, "role digit hits"),
    "witnesses": ({"witnesses": {"tying": {"ok": False}}}, "witness tying"),
    "passage": ({"passage": ({"token": "one", "guess": "two", "p": 0.75},)}, "passage"),
    "fingerprints": ({"fingerprints": {"weights": "x", "metrics": "m"}}, "fingerprint weights"),
    "trace": ({"trace": {"tensors": ["loss"], "sums": "AAAB"}}, "trace"),
}


def between(one: Result, two: Result) -> list[tuple[str, str, str]]:
    return list(differences(numbers(one.to_dict()), numbers(two.to_dict())))


def test_every_field_of_a_result_is_compared_or_named_as_not() -> None:
    assert {f.name for f in fields(Result)} == CHANGED.keys() | NOT_COMPARED


@pytest.mark.parametrize("field", CHANGED)
def test_a_change_of_any_number_is_found_and_named(field: str) -> None:
    change, name = CHANGED[field]
    assert [found[0] for found in between(RESULT, replace(RESULT, **change))] == [name]


@pytest.mark.parametrize("field", ["train_loss", "ar", "tar", "valid_loss", "accuracy"])
def test_every_number_of_an_epoch_is_compared_to_its_last_digit(field: str) -> None:
    value = getattr(EPOCH, field)
    nudged = replace(RESULT, epochs=(replace(EPOCH, **{field: value + 1e-15}),))
    assert between(RESULT, nudged) == [(f"epoch 3 {field}", repr(value), repr(value + 1e-15))]


def test_clocks_and_memory_are_not_compared() -> None:
    slower = replace(
        RESULT,
        epochs=(replace(EPOCH, train_seconds=9.0, valid_seconds=9.0),),
        metrics={**RESULT.metrics, "speed_train": 1.0, "seconds": 7.0, "memory_peak": 1.0}
        | {"gpu_memory_peak": 5.0},
        **{"seconds": 99.0, "started": 1e9, "attempts": 2, "usage": {"cpu": (1.0,)}},
    )
    assert between(RESULT, slower) == []


def test_what_one_side_lacks_is_named_and_nan_is_itself() -> None:
    nan = replace(RESULT, metrics={"valid_loss": float("nan")})
    assert between(nan, replace(nan)) == []
    assert ("epoch 3 ar", "0.5", "none") in between(RESULT, replace(RESULT, epochs=()))


def test_a_result_that_was_kept_and_read_has_the_numbers_that_it_had() -> None:
    again = Result.from_dict({**asdict(RESULT), "roles": {"digit": [3.5, 2, 4]}})
    assert measured(again.to_dict()) == measured(RESULT.to_dict())
