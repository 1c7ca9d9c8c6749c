"""Seeds: the unit of replication. Written as a number of them, as a range, or one by one."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from bench.trial import BadInput

LAST = 2**32 - 1  # the largest that NumPy takes
MOST = 100_000
_CURE = 'write 10 (for 0 to 9), "0-9", "0,3,5" or [0, 3, 5]'
_TEXT_CURE = "write a range such as 0-9, or a list such as 0,3,5"  # as text, 10 is the one seed 10


def seeds(written: int | str | Sequence[Any]) -> tuple[int, ...]:
    """The seeds in the order they are written.

    A whole number n is the first n seeds. Text always lists seeds: "0-9", "0,3,5", "0-4,7", and "10" is
    the one seed 10. A list holds whole numbers. Raises BadInput for anything else, for a seed below 0 or
    above 2³² − 1, and for one that is given twice.
    """
    if isinstance(written, bool) or not isinstance(written, int | str | list | tuple):
        raise BadInput(f"seeds: {written!s:.60} is not a list of seeds; {_CURE}")
    if isinstance(written, int):
        if not 1 <= written <= MOST:
            raise BadInput(f"seeds: {written!s:.60} is not a number of seeds from 1 to {MOST:,}; {_CURE}")
        return tuple(range(written))
    found, cure = (_listed(written), _TEXT_CURE) if isinstance(written, str) else (list(written), _CURE)
    if not found:
        raise BadInput(f"seeds: none are given; {cure}")
    for seed in found:
        if type(seed) is not int or not 0 <= seed <= LAST:
            raise BadInput(f"seeds: {seed!r:.60} is not a whole number from 0 to {LAST}; {cure}")
    seed, count = Counter(found).most_common(1)[0]
    if count > 1:
        raise BadInput(f"seeds: {seed} is given twice; seeds are independent only if they differ")
    return tuple(found)


def _listed(text: str) -> list[int]:
    found: list[int] = []
    for piece in text.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,10})\s*(?:-\s*([0-9]{1,10})\s*)?", piece)
        if match is None:
            raise BadInput(f"seeds: {piece.strip()!r:.60} is neither a seed nor a range; {_TEXT_CURE}")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise BadInput(f"seeds: {piece.strip()!r} counts down; write {last}-{first}")
        if last - first >= MOST:
            raise BadInput(f"seeds: {piece.strip()!r} is more than {MOST:,} seeds; give fewer")
        found.extend(range(first, last + 1))
    return found
