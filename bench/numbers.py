"""Arithmetic of metrics that trials and pages share.

A file of its own since it counts in the identity of the chapter's trials, and the names of metrics do not.
"""

import math


def safe_exp(power: float) -> float:
    """Return e to a power, or infinity where that would overflow."""
    return math.exp(power) if power < 709 else math.inf
