"""Access to a stored run of pytest-benchmark: the benchmarks and their `extra_info`."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

Stored = Mapping[str, Any]
"""The file: `benchmarks`, each with its `group`, its `stats` and our own `extra_info`."""


def benchmarks(stored: Stored, group: str) -> Iterator[Mapping[str, Any]]:
    """The benchmarks of one group that have `extra_info`."""
    for one in stored.get("benchmarks", ()):
        if one.get("group") == group and one.get("extra_info"):
            yield one


def notes(stored: Stored, group: str) -> Iterator[Mapping[str, Any]]:
    """The `extra_info` of the benchmarks of one group."""
    return (one["extra_info"] for one in benchmarks(stored, group))


def value(one: Mapping[str, Any]) -> float:
    """The value that a limit applies to: `value` of the `extra_info`, else the median seconds."""
    return float(one["extra_info"].get("value", one["stats"]["median"]))


def medians(measured: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median of each number that all rounds have."""
    shared = [key for key in measured[0] if all(key in one for one in measured)]
    return {key: median(one[key] for one in measured) for key in shared}


def title(stored: Stored, model: str) -> str:
    """The title of a model, or its name if the run has no title for it."""
    return next((str(i["title"]) for i in notes(stored, "trials") if i["model"] == model), model)
