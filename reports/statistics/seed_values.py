"""Values by seed, of which contrasts are made. Imports no numpy."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

Value = TypeVar("Value")

SeedValues = Mapping[Any, float]
"""The values of one arm by seed, or by what else pairs rows; infinite for a seed that diverged."""

SidePair = tuple[SeedValues, SeedValues]
"""The values of an arm and of its baseline."""


def select_seeds(by_seed: Mapping[Any, Value], seeds: Iterable[Any]) -> dict[Any, Value]:
    """Return the values of these seeds, without those that have none."""
    return {seed: by_seed[seed] for seed in seeds if seed in by_seed}


def select_side_seeds(sides: SidePair, seeds: Iterable[Any]) -> SidePair:
    """Return the values of both sides at these seeds."""
    arm, baseline = sides
    seeds = tuple(seeds)
    return select_seeds(arm, seeds), select_seeds(baseline, seeds)
