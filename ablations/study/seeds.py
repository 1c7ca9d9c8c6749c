"""Seeds, the unit of replication: given as a count, a range or a list."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from unrolled.bench.errors import BadInput, require

LARGEST_SEED = 2**32 - 1  # the largest seed that NumPy takes
MOST_SEEDS = 100_000
_CURE = 'write 10 (for 0 to 9), "0-9", "0,3,5" or [0, 3, 5]'
_TEXT_CURE = "write a range such as 0-9, or a list such as 0,3,5"  # in a string, 10 is the single seed 10


def parse_seeds(value: int | str | Sequence[Any]) -> tuple[int, ...]:
    """Return the seeds in the order in which they are written.

    An integer n stands for the first n seeds. A string always lists seeds: "0-9", "0,3,5", "0-4,7"; "10" is
    the single seed 10. An array holds integers. Raises BadInput for any other value, for a seed below 0 or
    above 2³² − 1, and for a repeated seed.
    """
    if type(value) is int:
        require(
            1 <= value <= MOST_SEEDS,
            f"{value!s:.60} is not a number of seeds from 1 to {MOST_SEEDS:,}",
            key="seeds",
            cure=_CURE,
        )
        return tuple(range(value))
    if isinstance(value, str):
        cure = _TEXT_CURE
        seeds = [seed for piece in value.split(",") for seed in _parse_range(piece.strip())]
    elif isinstance(value, list | tuple):
        cure = _CURE
        seeds = list(value)
    else:
        raise BadInput(f"{value!s:.60} is not a list of seeds", key="seeds", cure=_CURE)
    require(seeds, "none are given", key="seeds", cure=cure)
    for seed in seeds:
        check_seed(seed, key="seeds", cure=cure)
    seed, count = Counter(seeds).most_common(1)[0]
    require(
        count == 1,
        f"{seed} is given twice",
        key="seeds",
        cure="keep one of them, as equal seeds are not independent",
    )
    return tuple(seeds)


def format_seeds(seeds: Sequence[int]) -> str:
    """Return seeds as text that `parse_seeds` reads: "0-4,7"."""
    ranges: list[list[int]] = []
    for seed in seeds:
        if ranges and seed == ranges[-1][-1] + 1:
            ranges[-1][1:] = [seed]
        else:
            ranges.append([seed])
    return ",".join("-".join(map(str, ends)) for ends in ranges)


def check_seed(seed: Any, **fields: Any) -> None:
    """Raise BadInput with these fields for a value that cannot be a seed."""
    is_valid = type(seed) is int and 0 <= seed <= LARGEST_SEED
    require(is_valid, f"{seed!r:.60} is not an integer from 0 to {LARGEST_SEED}", **fields)


def _parse_range(text: str) -> range:
    match = re.fullmatch(r"([0-9]{1,10})\s*(?:-\s*([0-9]{1,10}))?", text)
    if match is None:
        raise BadInput(f"{text!r:.60} is neither a seed nor a range", key="seeds", cure=_TEXT_CURE)
    first = int(match[1])
    last = int(match[2] or match[1])
    require(first <= last, f"{text!r} counts down", key="seeds", cure=f"write {last}-{first}")
    require(
        last - first < MOST_SEEDS,
        f"{text!r} is more than {MOST_SEEDS:,} seeds",
        key="seeds",
        cure="give fewer",
    )
    return range(first, last + 1)
