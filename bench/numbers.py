"""Arithmetic of metrics that trials and pages share.

It is not in `bench.metric` because its source is part of the identity of the chapter's trials, and that of
`bench.metric` is not.
"""

import math


def safe_exp(power: float) -> float:
    """Return e to a power, or infinity where that would overflow."""
    return math.exp(power) if power < 709 else math.inf
