"""What a worker refuses, and what is made of its answer, whatever stands in it; without a cluster."""

from pathlib import Path

import pytest
from stub_trials import WORK, bits, steady, trial

from unrolled.ablations.ledger import seal
from unrolled.ablations.runner import worker
from unrolled.ablations.runner.child import TaskSpec
from unrolled.ablations.runner.cluster import read_worker_answer
from unrolled.bench.trial import Result


@pytest.mark.parametrize("name", ["Python", "torch", "unrolled"])
def test_a_worker_with_another_version_says_which(name: str) -> None:
    theirs = worker.collect_facts()
    own, theirs[name] = theirs[name], "0.0"
    assert worker.find_difference(theirs) == f"has {name} {own}, the driver 0.0: install the same there"


def test_a_trial_has_the_local_bits_and_leaves_no_checkpoint(tmp_path: Path) -> None:
    kept = tmp_path / "unrolled-checkpoints" / "0123" / f"{trial().id}.cuda.pt"
    kept.parent.mkdir(parents=True)
    kept.touch()
    answer = worker.run_trial(trial(), TaskSpec(run_function=WORK), "0123", tmp_path / "files", lambda: False)
    assert not kept.exists(), "the trial has ended"
    assert bits(Result.from_dict(answer["result"])) == bits(steady(trial()))


ANSWER = {"result": steady(trial()).to_dict()}
WRONG_FIELDS = [
    {"status": "ok"},
    {"reason": ["a"]},
    {"output": None},
    {"attempts": True},
    {"seconds": "nan"},
    {"seconds": -1.0},
    {"metrics": [1]},
    {"surprise": 1},
    {"trial": {"model": "stub", "seed": 1}},
]


@pytest.mark.parametrize(
    "sent",
    [
        *(b"", b"{}", b"[" * 100_000, seal({}), seal({"result": 3}), None, 3),
        seal(ANSWER).replace(b"done", b"d0ne"),
        *(seal({"result": {**ANSWER["result"], **changed}}) for changed in WRONG_FIELDS),
    ],
)
def test_what_is_no_answer_was_damaged_or_has_a_field_that_is_not_what_it_should_be_is_none(
    sent: object,
) -> None:
    assert isinstance(read_worker_answer(trial(), sent), str)
    assert isinstance(read_worker_answer(trial(), seal(ANSWER)), Result)
