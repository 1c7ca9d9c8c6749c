"""Seeds, the unit of replication: given as a count, a range or a list."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from unrolled.bench.errors import BadInput, require

LAST = 2**32 - 1  # the largest that NumPy takes
MOST = 100_000
_CURE = 'write 10 (for 0 to 9), "0-9", "0,3,5" or [0, 3, 5]'
_TEXT_CURE = "write a range such as 0-9, or a list such as 0,3,5"  # in a string, 10 is the one seed 10


def seeds(given: int | str | Sequence[Any]) -> tuple[int, ...]:
    """The seeds in the order they are given.

    An integer n is the first n seeds. A string always lists seeds: "0-9", "0,3,5", "0-4,7", and "10" is the
    one seed 10. An array holds integers. Raises BadInput for anything else, for a seed below 0 or above
    2³² − 1, and for one that is given twice.
    """
    if type(given) is int:
        require(
            1 <= given <= MOST,
            f"{given!s:.60} is not a number of seeds from 1 to {MOST:,}",
            key="seeds",
            cure=_CURE,
        )
        return tuple(range(given))
    if not isinstance(given, str | list | tuple):
        raise BadInput(f"{given!s:.60} is not a list of seeds", key="seeds", cure=_CURE)
    found, cure = list(given), _CURE
    if isinstance(given, str):
        found, cure = [seed for piece in given.split(",") for seed in _listed(piece.strip())], _TEXT_CURE
    require(found, "none are given", key="seeds", cure=cure)
    for seed in found:
        check(seed, key="seeds", cure=cure)
    seed, count = Counter(found).most_common(1)[0]
    require(
        count == 1,
        f"{seed} is given twice",
        key="seeds",
        cure="keep one of them, as equal seeds are not independent",
    )
    return tuple(found)


def as_text(seeds: Sequence[int]) -> str:
    """Seeds as `seeds` reads them: "0-4,7"."""
    pieces: list[list[int]] = []
    for seed in seeds:
        if pieces and seed == pieces[-1][-1] + 1:
            pieces[-1][1:] = [seed]
        else:
            pieces.append([seed])
    return ",".join("-".join(map(str, ends)) for ends in pieces)


def check(seed: Any, **fields: Any) -> None:
    """Raise BadInput, with the fields given, for what cannot be a seed."""
    can = type(seed) is int and 0 <= seed <= LAST
    require(can, f"{seed!r:.60} is not an integer from 0 to {LAST}", **fields)


def _listed(piece: str) -> range:
    match = re.fullmatch(r"([0-9]{1,10})\s*(?:-\s*([0-9]{1,10}))?", piece)
    if match is None:
        raise BadInput(f"{piece!r:.60} is neither a seed nor a range", key="seeds", cure=_TEXT_CURE)
    first, last = int(match[1]), int(match[2] or match[1])
    require(first <= last, f"{piece!r} counts down", key="seeds", cure=f"write {last}-{first}")
    require(last - first < MOST, f"{piece!r} is more than {MOST:,} seeds", key="seeds", cure="give fewer")
    return range(first, last + 1)
