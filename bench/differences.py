"""Every number of a result by name, so that two results of one trial can be compared. Imports no torch.

Times, speeds and memory that Unrolled measures are left out, as they differ from run to run; so are the
metrics that a caller names. A result is what `Result.to_dict` writes.
"""

import hashlib
from collections.abc import Container, Iterator, Mapping
from typing import Any

from unrolled.bench.metric import kind_of
from unrolled.bench.trial import canonical

_LONGEST = 64  # characters of a value; a longer one is compared by its hash


def measured_by_metric(result: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """The curve and the final value of each metric of a result, as JSON by name ("valid_loss at 3").

    Raises TypeError, KeyError, ValueError or AttributeError on anything but a result.
    """
    by_metric: dict[str, dict[str, str]] = {}
    for name, points in result.get("curves", {}).items():
        by_metric[name] = {f"{name} at {step:g}": _text(value) for step, value in points}
    for name, value in result.get("metrics", {}).items():
        by_metric.setdefault(name, {})[name] = _text(value)
    return {name: values for name, values in by_metric.items() if kind_of(name) == "quality"}


def measured(result: Mapping[str, Any], leave_out: Container[str] = ()) -> dict[str, str]:
    """The curves and final values of the metrics of a result, but for those of `leave_out`.

    Raises as `measured_by_metric` does.
    """
    values: dict[str, str] = {}
    for metric, of_metric in measured_by_metric(result).items():
        if metric not in leave_out:
            values |= of_metric
    return values


def fingerprint(result: Mapping[str, Any]) -> str:
    """sha256 of the curves and final values of the metrics of a result."""
    return hashlib.sha256(canonical(measured(result))).hexdigest()


def numbers(result: Mapping[str, Any], leave_out: Container[str] = ()) -> dict[str, str]:
    """The values that a second training must reproduce: status, measurements, proofs, records.

    A program's fingerprint `numbers` is a hash of measurements that are compared one by one.
    """
    ended = {name: result.get(name, "") for name in ("status", "reason")}
    proofs = {f"witness {factor}": seen for factor, seen in result.get("witnesses", {}).items()}
    proofs |= result.get("records", {})
    marks = result.get("fingerprints", {}).items()
    proofs |= {f"fingerprint {name}": mark for name, mark in marks if name != "numbers"}
    proofs |= {"trace": result.get("trace", {})}
    return {
        **{name: _text(value) for name, value in ended.items()},
        **measured(result, leave_out),
        **{name: _text(value) for name, value in proofs.items()},
    }


def differences(one: Mapping[str, str], two: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Each name whose values differ, with both values; "none" where a side lacks it."""
    for name in dict.fromkeys((*one, *two)):
        a, b = one.get(name, "none"), two.get(name, "none")
        if a != b:
            yield name, a, b


def _text(value: Any) -> str:
    text = canonical(value).decode()
    return text if len(text) <= _LONGEST else f"sha256 {hashlib.sha256(text.encode()).hexdigest()[:16]}"
