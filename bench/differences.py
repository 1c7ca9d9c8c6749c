"""Every number of a result by name, so that two results of one trial can be compared. Imports no torch.

Clocks and memory are left out, as they differ from run to run. A result is what `Result.to_dict` writes.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from unrolled.bench.trial import canonical

_CLOCKS = re.compile(
    r"\b(clock|duration|elapsed|fps|gpu|hours|latency|memory|milliseconds?|minutes|rss|runtime|sec|seconds?"
    r"|speed|system|throughput|times?|vram)\b"
    r"|\bms\b(?! ssim)|\bs per\b|\bper s\b"
)
"""Words in the names of times, speeds and memory, which differ from run to run."""
_LONGEST = 64  # characters of a value; a longer one is compared by its hash


def measured(result: Mapping[str, Any]) -> dict[str, str]:
    """Curves and metrics of a result, as JSON by name ("valid_loss at 3").

    Raises TypeError, KeyError, ValueError or AttributeError on anything but a result.
    """
    curves = result.get("curves", {}).items()
    found = {f"{name} at {step:g}": value for name, points in curves for step, value in points}
    found |= result.get("metrics", {})
    return {name: _text(value) for name, value in found.items() if not is_clock(name)}


def numbers(result: Mapping[str, Any]) -> dict[str, str]:
    """The values that a second training must reproduce: status, measurements, proofs, records."""
    ended = {name: result.get(name, "") for name in ("status", "reason")}
    proofs = {f"witness {factor}": seen for factor, seen in result.get("witnesses", {}).items()}
    proofs |= result.get("records", {})
    proofs |= {f"fingerprint {name}": mark for name, mark in result.get("fingerprints", {}).items()}
    proofs |= {"trace": result.get("trace", {})}
    return {
        **{name: _text(value) for name, value in ended.items()},
        **measured(result),
        **{name: _text(value) for name, value in proofs.items()},
    }


def differences(one: Mapping[str, str], two: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Each name whose values differ, with both values; "none" where a side lacks it."""
    for name in dict.fromkeys((*one, *two)):
        a, b = one.get(name, "none"), two.get(name, "none")
        if a != b:
            yield name, a, b


def is_clock(name: str) -> bool:
    """Whether a metric is a time, a speed or memory, by words and units in its name, also in MLflow."""
    per_second = re.sub(r"/s\b|\(s\)|\[s\]", " per s ", name.lower())
    return bool(_CLOCKS.search(re.sub(r"[\W_]+", " ", per_second)))


def _text(value: Any) -> str:
    text = canonical(value).decode()
    return text if len(text) <= _LONGEST else f"sha256 {hashlib.sha256(text.encode()).hexdigest()[:16]}"
