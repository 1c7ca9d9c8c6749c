"""Canonical JSON: the bytes that are hashed, stored and compared."""

import json
import math
from collections.abc import Mapping
from typing import Any


def canonical_json(data: Any) -> bytes:
    """Return ASCII JSON with sorted keys and no spaces: equal data gives equal bytes.

    Python writes floats so that they read back to the same bits; JSON has no NaN and no infinity, so
    these become the strings "nan", "inf" and "-inf", which `float()` reads.
    """
    return json.dumps(
        _replace_non_finite(data), sort_keys=True, separators=(",", ":"), allow_nan=False
    ).encode()


def _replace_non_finite(data: Any) -> Any:
    if isinstance(data, float) and not math.isfinite(data):
        return str(data)
    if isinstance(data, Mapping):
        return {str(key): _replace_non_finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_replace_non_finite(value) for value in data]
    return data
