"""What a stored run of pytest-benchmark holds: its benchmarks, and what ours noted beside their times."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

Stored = Mapping[str, Any]
"""The file: `benchmarks`, each with its `group`, its `stats` and our own `extra_info`."""


def benchmarks(stored: Stored, group: str) -> Iterator[Mapping[str, Any]]:
    """The benchmarks of one group that noted something."""
    for one in stored.get("benchmarks", ()):
        if one.get("group") == group and one.get("extra_info"):
            yield one


def notes(stored: Stored, group: str) -> Iterator[Mapping[str, Any]]:
    """What the benchmarks of one group noted."""
    return (one["extra_info"] for one in benchmarks(stored, group))


def value(one: Mapping[str, Any]) -> float:
    """What a limit is held against: seconds, unless the benchmark noted another value."""
    return float(one["extra_info"].get("value", one["stats"]["median"]))


def medians(measured: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median of each number that all rounds have."""
    shared = [key for key in measured[0] if all(key in one for one in measured)]
    return {key: median(one[key] for one in measured) for key in shared}


def title(stored: Stored, model: str) -> str:
    """What to call a model."""
    return next((str(i["title"]) for i in notes(stored, "trials") if i["model"] == model), model)
