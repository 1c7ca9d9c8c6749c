"""Values by seed, and intervals. This module does not import numpy, as others need it without numpy."""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

Value = TypeVar("Value")

SeedValues = Mapping[Any, float]
"""The values of one arm by seed, or by another thing that pairs rows; infinite for a seed that diverged."""

SidePair = tuple[SeedValues, SeedValues]
"""The values of an arm and of its base."""


@dataclass(frozen=True)
class Interval:
    """An interval from low to high, with a confidence level such as .95."""

    low: float
    high: float
    confidence: float

    @property
    def is_whole_line(self) -> bool:
        """Whether it excludes no difference at all, as of pairs most of which diverged."""
        return self.low == -math.inf and self.high == math.inf

    @property
    def percent(self) -> str:
        """The level in per cent: 95 %, 99.7 %."""
        digits = 3 if self.confidence < 0.9995 else 5
        return f"{100 * self.confidence:.{digits}g} %"


def select_seeds(by_seed: Mapping[Any, Value], seeds: Iterable[Any]) -> dict[Any, Value]:
    """Return the values of these seeds; a seed without a value is left out."""
    return {seed: by_seed[seed] for seed in seeds if seed in by_seed}


def select_side_seeds(sides: SidePair, seeds: Collection[Any]) -> SidePair:
    """Return the values of both sides at these seeds."""
    arm, base = sides
    return select_seeds(arm, seeds), select_seeds(base, seeds)
