"""What is made of a worker's answer, whatever stands in it."""

from dataclasses import replace

import pytest
from stub_trials import steady, trial

from ablations.ledger import seal
from ablations.trials.answers import Worker, answered, described
from bench.trial import Result

NO_RESULT = "its worker answered with something that is not its result"


def test_a_result_comes_with_the_drivers_trial() -> None:
    mine = replace(trial(), corpus="elsewhere.txt")  # the text's path does not count
    answer = answered(seal({"result": steady(trial()).to_dict()}), mine)
    assert isinstance(answer, Result)
    assert answer.trial is mine


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"status": "ok"}, NO_RESULT),
        ({"reason": ["a"]}, NO_RESULT),
        ({"output": None}, NO_RESULT),
        ({"attempts": "1"}, NO_RESULT),
        ({"attempts": True}, NO_RESULT),
        ({"seconds": "nan"}, NO_RESULT),
        ({"seconds": -1.0}, NO_RESULT),
        ({"metrics": [1]}, NO_RESULT),
        ({"surprise": 1}, NO_RESULT),
        ({"trial": {"model": "stub", "seed": 1}}, NO_RESULT),
    ],
)
def test_a_result_whose_fields_are_not_what_they_should_be_is_a_fault(changed: dict, told: str) -> None:
    answer = answered(seal({"result": {**steady(trial()).to_dict(), **changed}}), trial())
    assert isinstance(answer, dict)
    assert answer["fault"].startswith(told)


@pytest.mark.parametrize("sent", [b"", b"{}", b"[" * 100_000, seal({}), seal({"result": 3}), b"\xff"])
def test_bytes_that_hold_no_answer_are_a_fault(sent: bytes) -> None:
    answer = answered(sent, trial())
    assert isinstance(answer, dict)
    assert answer["fault"].startswith(NO_RESULT)


def test_a_worker_describes_itself_or_is_refused() -> None:
    entry = {"refused": "", "slots": 2, "gpu": True, "idle": ""}
    assert described(seal(entry)) == Worker("", 2, {"GPU": 1})
    assert described(seal({**entry, "refused": "has other code"})).refused == "has other code"
    assert "0 to 4096 are possible" in described(seal({**entry, "slots": 10**9})).refused
    for other in (b"", b"{}", {"refused": "", "slots": 1}, None, seal({**entry, "slots": "many"})):
        assert described(other).refused.startswith("cannot load unrolled")
