"""Every number of a result is compared, and what a clock or the memory decides is not."""

from dataclasses import fields, replace

import pytest

from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.differences import list_differences, select_reproducible_values
from unrolled.bench.trial import Result

RESULT = Result(
    trial=ChapterTrial(model="lm4", seed=0),
    status="done",
    curves={"valid_loss": ((1.0, 2.0), (3.0, 0.5)), "speed_train_seconds": ((1.0, 2.0),)},
    metrics={"valid_loss": 1.25, "valid_hits": 12.0, "speed_train": 9.0, "memory_peak": 300.0},
    records={"roles": {"digit": [3.5, 2, 4]}, "passage": [{"token": "one", "guess": "two", "p": 0.25}]},
    witnesses={"tying": {"ok": True, "declared": True, "seen": True}},
    fingerprints={"weights": "w", "metrics": "m"},
    trace={"tensors": ["loss"], "sums": "AAAA"},
)
NOT_COMPARED = {
    "trial",
    "attempts",
    "run_token",
    "cause",
    "started",
    "attempt_seconds",
    "provenance",
    "output",
}
"""What is told of a result and computed by no trial; the trial is the identity under which both are kept."""

CHANGED = {
    "status": ({"status": "failed"}, "status"),
    "reason": ({"reason": "diverged: at step 4"}, "reason"),
    "curves": ({"curves": {"valid_loss": ((1.0, 2.0), (3.0, 0.6))}}, "valid_loss at 3"),
    "metrics": ({"metrics": {**RESULT.metrics, "valid_hits": 13.0}}, "valid_hits"),
    "records": ({"records": {**RESULT.records, "roles": {"digit": [3.5, 3, 4]}}}, "roles"),
    "witnesses": ({"witnesses": {"tying": {"ok": False}}}, "witness tying"),
    "fingerprints": ({"fingerprints": {"weights": "x", "metrics": "m"}}, "fingerprint weights"),
    "trace": ({"trace": {"tensors": ["loss"], "sums": "AAAB"}}, "trace"),
}


def find_differences(
    first: Result, second: Result, leave_out: tuple[str, ...] = ()
) -> list[tuple[str, str, str]]:
    """Return the differences of two results' reproducible values."""
    values = (select_reproducible_values(result.to_dict(), leave_out) for result in (first, second))
    return list(list_differences(*values))


def test_every_field_of_a_result_is_compared_or_named_as_not() -> None:
    assert {f.name for f in fields(Result)} == CHANGED.keys() | NOT_COMPARED


@pytest.mark.parametrize("field", CHANGED)
def test_a_change_of_any_number_is_found_and_named(field: str) -> None:
    change, name = CHANGED[field]
    assert [difference[0] for difference in find_differences(RESULT, replace(RESULT, **change))] == [name]


def test_every_point_of_a_curve_is_compared_to_its_last_digit() -> None:
    nudged = replace(RESULT, curves={"valid_loss": ((1.0, 2.0), (3.0, 0.5 + 1e-15))})
    assert find_differences(RESULT, nudged) == [("valid_loss at 3", repr(0.5), repr(0.5 + 1e-15))]


def test_times_speeds_and_memory_that_unrolled_measures_are_not_compared() -> None:
    slower = replace(
        RESULT,
        curves={**RESULT.curves, "speed_train_seconds": ((1.0, 9.0),)},
        metrics={**RESULT.metrics, "speed_train": 1.0, "seconds": 7.0, "memory_peak": 1.0}
        | {"gpu_memory_peak": 5.0},
        **{"attempt_seconds": 99.0, "started": 1e9, "attempts": 2},
    )
    assert find_differences(RESULT, slower) == []


def test_a_programs_metric_is_compared_whatever_its_name() -> None:
    names = ("time_series_mae", "memory_recall", "system_prompt_score", "ms_per_step")
    forged = replace(RESULT, metrics={**RESULT.metrics, **dict.fromkeys(names, 5.0)})
    result = replace(RESULT, metrics={**RESULT.metrics, **dict.fromkeys(names, 0.0)})
    assert [name for name, *_ in find_differences(result, forged)] == list(names)
    assert find_differences(result, forged, names) == []


def test_a_value_that_one_side_lacks_is_a_difference() -> None:
    nan = replace(RESULT, metrics={"valid_loss": float("nan")})
    assert find_differences(nan, replace(nan)) == []
    assert ("valid_loss at 3", "0.5", "none") in find_differences(RESULT, replace(RESULT, curves={}))
