"""Intervals, which pages show without computing any: this module imports no numpy."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """An interval from low to high, at a level such as .95."""

    low: float
    high: float
    level: float

    @property
    def percent(self) -> str:
        """The level in per cent: 95 %, 99.7 %."""
        digits = 3 if self.level < 0.9995 else 5
        return f"{100 * self.level:.{digits}g} %"
