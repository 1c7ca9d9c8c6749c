"""Intervals, which pages show without computing any: this module imports no numpy."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """From low to high, at a level such as .95."""

    low: float
    high: float
    level: float

    def shifted(self, by: float) -> "Interval":
        """Both ends moved up by `by`."""
        return Interval(self.low + by, self.high + by, self.level)

    def exp(self) -> "Interval":
        """Of an interval of logarithms: the interval of what they are of."""
        return Interval(exp(self.low), exp(self.high), self.level)


def exp(x: float) -> float:
    """Infinite where it would overflow."""
    return math.exp(x) if x < 709 else math.inf
