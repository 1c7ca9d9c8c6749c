"""Trial and Result: identity is content, and every result reads back equal."""

import json
import math
from dataclasses import asdict, fields, replace

import pytest

from unrolled.bench import trial as module
from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.files.canonical_json import canonical_json
from unrolled.bench.trial import Result, make_failed_result

TRIAL = ChapterTrial(model="lm6", seed=0, options={"hidden": 64, "layers": 2}, source="s", data="d")


def change_value(value: object) -> object:
    """Return another value of the same type."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return f"{value}, changed"
        case tuple():
            return (*value[:-1], 0.5)
        case dict():
            return {**value, "hidden": 65}
    raise TypeError(type(value))


def make_result(**changes: object) -> Result:
    """Return a finished result of TRIAL with these changes."""
    facts = {
        "status": "done",
        "started": 1.5,
        "attempt_seconds": 0.25,
        "curves": {"train_loss": ((0.0, math.inf), (1.0, -math.inf)), "valid_loss": ((0.0, 0.1),)},
        "metrics": {"valid_loss": 1.5, "valid_perplexity": math.inf, "tiny": 5e-324, "third": 1 / 3},
        "records": {
            "roles": {"digit": [1.25, 3, 4]},
            "passage": [{"token": "<unk>", "guess": "é", "p": 0.5}],
        },
        "witnesses": {"moms": {"ok": True, "declared": [0.8, 0.7], "seen": [0.8, 0.7]}},
        "fingerprints": {"weights": "ab"},
        "trace": {"tensors": ["loss"], "sums": "AAAA"},
        "provenance": {"cpus": 2, "commit": ""},
    }
    return Result(**{"trial": TRIAL, **facts, **changes})


def test_all_but_the_corpus_path_is_part_of_the_identity() -> None:
    names = [f.name for f in fields(ChapterTrial) if f.name != "corpus"]
    ids = {replace(TRIAL, **{name: change_value(getattr(TRIAL, name))}).id for name in names}
    assert len(ids) == len(names)
    assert TRIAL.id not in ids
    assert replace(TRIAL, corpus="/elsewhere/text.txt").id == TRIAL.id


@pytest.mark.parametrize(
    "same", [{"options": {"layers": 2, "hidden": 64}}, {"detach_every": 16}, {"moms": [0.95, 0.85, 0.95]}]
)
def test_settings_that_mean_the_same_are_one_trial(same: dict[str, object]) -> None:
    """The order of options does not count, a detach_every of 0 is the window, momenta may be a list."""
    trial = replace(TRIAL, **same)
    assert trial == replace(TRIAL, detach_every=0) == TRIAL
    assert trial.id == TRIAL.id
    assert canonical_json(asdict(trial)) == canonical_json(asdict(TRIAL))


def test_an_identity_is_the_same_in_every_process_and_release(monkeypatch: pytest.MonkeyPatch) -> None:
    """Written down on purpose: a change makes every ledger start again, and needs another RESULT_FORMAT."""
    assert TRIAL.id == "80ddfb0856acddcc"
    monkeypatch.setattr(module, "RESULT_FORMAT", module.RESULT_FORMAT + 1)
    assert TRIAL.id != "80ddfb0856acddcc"


def test_settings_are_flat_and_leave_out_the_seed_and_the_hashes() -> None:
    flat = TRIAL.flat_settings()
    assert flat["moms"] == "0.95,0.85,0.95"
    assert flat["hidden"] == 64
    assert flat["model"] == "lm6"
    assert not {"seed", "options", "source", "data"} & set(flat)
    assert all(isinstance(value, bool | int | float | str) for value in flat.values())
    assert replace(TRIAL, seed=5).flat_settings() == flat


@pytest.mark.parametrize("kind", ["done", "failed"])
def test_a_result_reads_back_equal(kind: str) -> None:
    first = (
        make_result()
        if kind == "done"
        else make_failed_result(TRIAL, "killed by signal 9", output="…", attempts=3)
    )
    copy = Result.from_dict(json.loads(canonical_json(first.to_dict())))
    assert copy == first == Result.from_dict(first.to_dict())
    assert canonical_json(copy.to_dict()) == canonical_json(first.to_dict())


def test_not_a_number_survives_the_file() -> None:
    first = make_result(metrics={"valid_loss": math.nan}, curves={"loss": ((0.0, math.nan),)})
    copy = Result.from_dict(json.loads(canonical_json(first.to_dict())))
    assert math.isnan(copy.metrics["valid_loss"])
    assert math.isnan(copy.curves["loss"][0][1])


def test_canonical_json_is_sorted_ascii_and_strict() -> None:
    assert canonical_json({"b": [1, (2,)], "a": "é", 3: True}) == b'{"3":true,"a":"\\u00e9","b":[1,[2]]}'
    assert canonical_json([math.nan, math.inf, -math.inf]) == b'["nan","inf","-inf"]'
    assert json.loads(canonical_json([0.1, 1e-320, 1 / 3])) == [0.1, 1e-320, 1 / 3]


def test_a_failure_has_a_reason_of_one_line() -> None:
    failed = make_failed_result(TRIAL, "ValueError:\n  too\tmany\n")
    assert failed.reason == "ValueError: too many"
    assert not failed.is_done
    assert not failed.diverged
    assert make_failed_result(TRIAL, "diverged: nan", status="diverged").diverged
    assert make_result().is_done
