"""What is made of a worker's answer, whatever stands in it."""

from dataclasses import replace

import pytest
from stub_trials import steady, trial

from ablations.ledger import seal
from ablations.runner.cluster import read_worker_answer
from bench.errors import BadInput
from bench.trial import Result


def test_a_result_comes_with_the_drivers_trial() -> None:
    mine = replace(trial(), corpus="elsewhere.txt")  # the text's path does not count
    answer = read_worker_answer(mine, seal({"result": steady(trial()).to_dict()}))
    assert isinstance(answer, Result)
    assert answer.trial is mine


@pytest.mark.parametrize(
    "changed",
    [
        {"status": "ok"},
        {"reason": ["a"]},
        {"output": None},
        {"attempts": True},
        {"seconds": "nan"},
        {"seconds": -1.0},
        {"metrics": [1]},
        {"surprise": 1},
        {"trial": {"model": "stub", "seed": 1}},
    ],
)
def test_a_result_whose_fields_are_not_what_they_should_be_is_none(changed: dict) -> None:
    answer = read_worker_answer(trial(), seal({"result": {**steady(trial()).to_dict(), **changed}}))
    assert isinstance(answer, str)


@pytest.mark.parametrize("sent", [b"", b"{}", b"[" * 100_000, seal({}), seal({"result": 3}), None, 3])
def test_what_is_no_answer_or_was_damaged_is_none(sent: object) -> None:
    assert isinstance(read_worker_answer(trial(), sent), str)
    whole = seal({"result": steady(trial()).to_dict()})
    assert isinstance(read_worker_answer(trial(), whole.replace(b"done", b"d0ne")), str)


def test_a_refusal_names_the_worker() -> None:
    with pytest.raises(BadInput, match=r"^worker tcp://one has other code$"):
        read_worker_answer(trial(), seal({"refused": "has other code", "worker": "tcp://one"}))
