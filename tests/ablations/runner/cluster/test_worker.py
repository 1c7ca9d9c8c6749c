"""What a worker refuses, and what is made of its answer, whatever stands in it; without a cluster."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.stub_trials import WORK, make_trial, serialize_result, steady
from unrolled.ablations.ledger import seal
from unrolled.ablations.runner import worker
from unrolled.ablations.runner.child import ProcessConditions
from unrolled.ablations.runner.cluster import read_worker_answer
from unrolled.ablations.runner.sent_files import store_files
from unrolled.bench.trial import Result


@pytest.mark.parametrize("name", ["Python", "torch", "unrolled"])
def test_a_worker_with_another_version_says_which(name: str) -> None:
    facts = worker.collect_facts()
    version = facts[name]
    facts[name] = "0.0"
    assert f"has {name} {version}, the driver 0.0" in worker.find_difference(facts)


def test_a_trial_has_the_local_bits_and_leaves_no_checkpoint(tmp_path: Path) -> None:
    checkpoint = tmp_path / "unrolled-checkpoints" / "0123" / f"{make_trial().id}.cuda.pt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    answer = worker.run_trial(
        make_trial(), ProcessConditions(run_import=WORK), "0123", tmp_path / "files", lambda: False
    )
    assert not checkpoint.exists(), "the trial has ended"
    assert serialize_result(Result.from_dict(answer["result"])) == serialize_result(steady(make_trial()))


ANSWER: dict[str, dict[str, Any]] = {"result": steady(make_trial()).to_dict()}
WRONG_FIELDS: list[dict[str, Any]] = [
    {"status": "ok"},
    {"reason": ["a"]},
    {"output": None},
    {"attempts": True},
    {"attempt_seconds": "nan"},
    {"attempt_seconds": -1.0},
    {"metrics": [1]},
    {"surprise": 1},
    {"trial": {"model": "stub", "seed": 1}},
]


@pytest.mark.parametrize(
    "answer",
    [
        *(b"", b"{}", b"[" * 100_000, seal({}), seal({"result": 3}), None, 3),
        seal(ANSWER).replace(b"done", b"d0ne"),
        *(seal({"result": {**ANSWER["result"], **fields}}) for fields in WRONG_FIELDS),
    ],
)
def test_a_damaged_or_wrong_answer_is_no_result(
    answer: object,
) -> None:
    assert isinstance(read_worker_answer(make_trial(), answer), str)
    assert isinstance(read_worker_answer(make_trial(), seal(ANSWER)), Result)


def test_a_sent_file_that_is_there_is_not_written_again(tmp_path: Path) -> None:
    """A second driver on a scheduler wrote it anew, and the trials of the first were refused as edited."""
    store_files(tmp_path, {"ab/train.py": b"one"})
    written = (tmp_path / "ab/train.py").stat()
    store_files(tmp_path, {"ab/train.py": b"one", "cd/text.txt": b"two"})
    assert os.path.samestat((tmp_path / "ab/train.py").stat(), written)
    assert (tmp_path / "cd/text.txt").read_bytes() == b"two"
    (tmp_path / "ab/train.py").write_bytes(b"damaged")
    store_files(tmp_path, {"ab/train.py": b"one"})
    assert (tmp_path / "ab/train.py").read_bytes() == b"one"
