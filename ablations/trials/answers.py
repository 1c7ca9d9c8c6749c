"""Checks of the answers that trials' processes and workers send, which may be damaged or hostile. No Dask."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

from ablations.ledger import unseal
from bench.trial import STATUSES, Result, Trial

MISREAD = (ValueError, TypeError, KeyError, AttributeError, RecursionError)
"""The errors of reading a malformed answer."""

MOST_SLOTS = 4096  # of one worker


@dataclass(frozen=True)
class Worker:
    """A worker's description of itself."""

    refused: str  # why it cannot be used, or ""
    slots: int = 0  # how many trials it runs at a time
    resources: Mapping[str, int] = field(default_factory=dict)  # Dask's resources that one trial takes
    idle: str = ""  # which of its GPUs have no slot


def described(outcome: object) -> Worker:
    """The description that a worker sent."""
    try:
        body = unseal(outcome if isinstance(outcome, bytes) else b"")
        refused, slots, gpu = str(body["refused"]), int(body["slots"]), bool(body["gpu"])
        idle = str(body["idle"])
    except MISREAD:
        return Worker("cannot load unrolled, as its log says: install the same there")
    if not 0 <= slots <= MOST_SLOTS:
        refused = f"claims {slots} slots; 0 to {MOST_SLOTS} are possible"
    return Worker(refused, slots, {"GPU": 1} if gpu else {}, idle)


def answered(outcome: object, trial: Trial) -> Result | dict[str, str]:
    """The result that a worker sent, {"refused": why} or {"fault": why}."""
    if not isinstance(outcome, bytes):
        pickled = isinstance(outcome, Exception) and any(isinstance(word, bytes) for word in outcome.args)
        return {"fault": f"its worker sent no answer: {'see its log' if pickled else repr(outcome)}"}
    try:
        answer = unseal(outcome)
        for word in ("refused", "fault"):
            if word in answer:
                return {word: str(answer[word])}
        return checked(answer["result"], trial)
    except MISREAD as error:
        return {"fault": f"its worker answered with something that is not its result: {error!r}"}


def checked(data: Mapping[str, Any], trial: Trial) -> Result:
    """The trial's result in plain data. Raises one of `MISREAD` where a field is invalid."""
    result = Result.from_dict(data)
    kinds = {"status": str, "reason": str, "output": str, "attempts": int}
    wrong = [name for name, kind in kinds.items() if type(getattr(result, name)) is not kind]
    if wrong or result.status not in STATUSES:
        raise ValueError(*wrong or ["status"])
    if type(result.seconds) not in (int, float) or not 0 <= result.seconds < inf:
        raise ValueError("seconds")
    if result.trial.id != trial.id:
        raise ValueError("it is of another trial")
    return replace(result, trial=trial)
