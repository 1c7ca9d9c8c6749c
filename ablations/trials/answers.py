"""Answers of workers, read with care, as whoever sends them may be hostile. Knows nothing of Dask."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf

from ablations.ledger import unseal
from bench.trial import STATUSES, Result, Trial

_MISREAD = (ValueError, TypeError, KeyError, AttributeError, RecursionError)
"""What reading an answer raises that is not as it should be."""

_MOST_PLACES = 4096  # of one worker


@dataclass(frozen=True)
class Worker:
    """What a worker said of itself."""

    places: int  # how many trials it runs at a time
    resources: Mapping[str, int]  # what each place takes of what Dask counts
    idle: str = ""  # which of its GPUs have no place


def presented(outcome: object) -> tuple[str, Worker]:
    """Why a worker cannot be used, or "", and what it said of itself."""
    try:
        told = unseal(outcome if isinstance(outcome, bytes) else b"")
        refused, places, gpu = str(told["refused"]), int(told["places"]), bool(told["gpu"])
        idle = str(told.get("idle", ""))
    except _MISREAD:
        return "cannot load unrolled, as its log says: install the same there", Worker(0, {})
    if not 0 <= places <= _MOST_PLACES:
        refused = f"says that it has {places} places; 0 to {_MOST_PLACES} are possible"
    return refused, Worker(places, {"GPU": 1} if gpu else {}, idle)


def answered(outcome: object, trial: Trial) -> Result | dict[str, str]:
    """The result that a worker sent; or why it was refused; or the worker's fault."""
    if not isinstance(outcome, bytes):
        return {"fault": f"its worker sent no answer: {_named(outcome)}"}
    try:
        answer = unseal(outcome)
        for word in ("refused", "fault"):
            if word in answer:
                return {word: str(answer[word])}
        result = Result.from_dict(answer["result"])
        _check(result)
    except _MISREAD as error:
        return {"fault": f"its worker answered with something that is not a result: {error!r}"}
    if result.trial.id != trial.id:
        return {"fault": "its worker answered with the result of another trial"}
    return replace(result, trial=trial)


def _named(outcome: object) -> str:
    """An error of Dask's; one that it has pickled says nothing here, but stands in the worker's log."""
    pickled = isinstance(outcome, Exception) and any(isinstance(word, bytes) for word in outcome.args)
    return "see its log" if pickled else repr(outcome)


def _check(result: Result) -> None:
    """Raises ValueError where a plain field of a result does not hold what it should."""
    for name, kind in {**dict.fromkeys(("status", "reason", "output"), str), "attempts": int}.items():
        if type(getattr(result, name)) is not kind:
            raise ValueError(name)
    seconds = result.seconds
    if result.status not in STATUSES or type(seconds) not in (int, float) or not 0 <= seconds < inf:
        raise ValueError("status or seconds")
