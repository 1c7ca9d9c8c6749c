"""Every number of a result by name, so that two results of one trial can be compared. Imports no torch.

Costs that Unrolled measures (times, speeds, memory) are left out, since they differ from run to run, and so
are the metrics that a caller names. A result is a dict that `Result.to_dict` wrote.
"""

import hashlib
from collections.abc import Container, Iterator, Mapping
from typing import Any

from unrolled.bench.files.canonical_json import canonical_json
from unrolled.bench.metric import COST_KINDS, find_kind
from unrolled.bench.trainer import TRAINERS

_MOST_CHARACTERS = 64  # characters of a value that is shown; a longer value is compared by its hash


def list_measurements_by_metric(result: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return by metric the points of its curve and its final value: {"loss": {"loss at 3": "0.5", …}, …}.

    The values are JSON. Raises TypeError, KeyError, ValueError or AttributeError for anything but a result.
    """
    is_result = "trainer" in result
    kinds = TRAINERS[result["trainer"]].trial_type.load().find_cost_kinds() if is_result else COST_KINDS
    by_metric = {
        name: {f"{name} at {step:g}": _shorten_value(value) for step, value in points}
        for name, points in result.get("curves", {}).items()
    }
    for name, value in result.get("metrics", {}).items():
        by_metric.setdefault(name, {})[name] = _shorten_value(value)
    return {name: values for name, values in by_metric.items() if find_kind(name, kinds) == "quality"}


def list_measurements(result: Mapping[str, Any], leave_out: Container[str] = ()) -> dict[str, str]:
    """Return the curves and final values of a result, without those of the metrics in `leave_out`.

    Raises as `list_measurements_by_metric` does.
    """
    by_metric = list_measurements_by_metric(result).items()
    return {
        name: value
        for metric, values in by_metric
        if metric not in leave_out
        for name, value in values.items()
    }


def fingerprint_result(result: Mapping[str, Any]) -> str:
    """Return the sha256 of the curves and final values of the metrics of a result."""
    return hashlib.sha256(canonical_json(list_measurements(result))).hexdigest()


def select_reproducible_values(result: Mapping[str, Any], leave_out: Container[str] = ()) -> dict[str, str]:
    """Return what a second training must reproduce: status, measurements, witnesses, records.

    A program's fingerprint `numbers` is left out: it is a hash of measurements, which are compared one by
    one.
    """
    values = {name: _shorten_value(result.get(name, "")) for name in ("status", "reason")}
    values |= list_measurements(result, leave_out)
    more_values = {
        **{f"witness {setting}": witness for setting, witness in result.get("witnesses", {}).items()},
        **result.get("records", {}),
        **{
            f"fingerprint {name}": fingerprint
            for name, fingerprint in result.get("fingerprints", {}).items()
            if name != "numbers"
        },
        "trace": result.get("trace", {}),
    }
    return values | {name: _shorten_value(value) for name, value in more_values.items()}


def list_differences(left: Mapping[str, str], right: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield each name whose values differ, with both values; "none" stands for a missing one."""
    for name in dict.fromkeys((*left, *right)):
        values = left.get(name, "none"), right.get(name, "none")
        if values[0] != values[1]:
            yield name, *values


def _shorten_value(value: Any) -> str:
    text = canonical_json(value).decode()
    return (
        text if len(text) <= _MOST_CHARACTERS else f"sha256 {hashlib.sha256(text.encode()).hexdigest()[:16]}"
    )
