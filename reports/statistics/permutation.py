"""The permutation test of two samples by Welch's t.

The test is exact if both samples have one law, however skewed, and right in large samples even if their
variances differ: A. Janssen, "Studentized permutation tests for non-i.i.d. hypotheses and the generalized
Behrens–Fisher problem", Statistics & Probability Letters 36 (1997). If the smaller sample has more than
`MOST` values, blocks of values change sides: the test stays exact and takes no longer.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from unrolled.reports.statistics.estimators import Floats

DRAWS = 9_999  # permutations that are drawn if there are more than these
MOST = 200  # most values, or blocks of values, of the smaller sample that change sides
_ROUNDING = 1e-9  # largest relative difference of two equal statistics
_HALVINGS = 40  # halvings of the range in which an end of an interval is sought
_FARTHEST = 1e6  # distance, in half widths of Welch's interval, of an end that counts as infinite


class Permutations:
    """Two samples whose values change sides, two values or more each; differences are first minus second.

    A group is a set of values that stands for the smaller sample. The first group is that sample itself.
    Values that are too few to fill a block never change sides.
    """

    def __init__(self, first: Floats, second: Floats) -> None:
        self._sign = 1 if first.size <= second.size else -1
        small, large = (first, second) if self._sign > 0 else (second, first)
        values = np.concatenate([small, large])
        center = values.mean()  # is subtracted so that sums of squares keep their digits
        size = math.ceil(small.size / MOST)  # of a block
        (blocks, rest), (others, _) = (_cut_blocks(x - center, size) for x in (small, large))
        sums, squares = np.concatenate([blocks, others], axis=1)
        groups = _draw_groups(blocks.shape[1], sums.size)
        is_small = groups < blocks.shape[1]
        drawn = sums[groups]
        self._sizes = (small.size, large.size)
        self._sums = np.array(
            [
                drawn.sum(1) + rest.sum(),
                (drawn * is_small).sum(1) + rest.sum(),
                squares[groups].sum(1) + (rest**2).sum(),
                size * is_small.sum(1) + rest.size,
            ]
        )
        self._totals = ((values - center).sum(), ((values - center) ** 2).sum())

    def compute_tails(self, mu: float) -> tuple[float, float]:
        """Return the one-sided p of the nulls that the difference of means is at most, and at least, mu."""
        t = self._compute_statistics(self._sign * mu)
        near = _ROUNDING * max(1.0, abs(float(t[0])))
        above = float((t >= t[0] - near).mean())
        below = float((t <= t[0] + near).mean())
        if self._sign > 0:
            return above, below
        return below, above

    def interval(self, alpha: float, mean: float, half: float) -> tuple[float, float]:
        """Return the differences that neither tail rejects at alpha/2; `half` is Welch's half width."""
        low = _find_end(lambda by: self.compute_tails(mean - by)[0] <= alpha / 2, half)
        return mean - low, mean + _find_end(lambda by: self.compute_tails(mean + by)[1] <= alpha / 2, half)

    def _compute_statistics(self, shift: float) -> Floats:
        """Return Welch's t of every group, with the smaller sample's values moved down by `shift`."""
        n, m = self._sizes
        total, squares = self._totals
        drawn, shifted_sum, drawn_squares, shifted = self._sums
        group = drawn - shift * shifted
        group_squares = drawn_squares - 2 * shift * shifted_sum + shift**2 * shifted
        complement = total - shift * n - group
        complement_squares = squares - 2 * shift * shifted_sum[0] + shift**2 * n - group_squares
        variances = (group_squares - group**2 / n) / (n - 1) / n
        variances += (complement_squares - complement**2 / m) / (m - 1) / m
        error = np.sqrt(np.maximum(variances, np.finfo(float).tiny))
        return np.asarray((group / n - complement / m) / error)


def _cut_blocks(values: Floats, size: int) -> tuple[Floats, Floats]:
    """Return the sums and the sums of squares of blocks of so many values, and the values that are left over.

    Blocks of more than one value are drawn at random, because rows may be sorted.
    """
    if size > 1:
        values = np.random.default_rng(0).permutation(values)
    whole = values.size - values.size % size
    blocks = values[:whole].reshape(-1, size)
    return np.array([blocks.sum(1), (blocks**2).sum(1)]), values[whole:]


def _find_end(rejects: Callable[[float], bool], half: float) -> float:
    """Return the distance from which on differences are rejected; infinite if none is."""
    low = 0.0
    high = half
    while not rejects(high):
        low = high
        high = 2 * high
        if high > _FARTHEST * half:
            return math.inf
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if rejects(middle):
            high = middle
        else:
            low = middle
    return high


@lru_cache(maxsize=16)
def _draw_groups(size: int, total: int) -> NDArray[np.intp]:
    """Return all groups of `size` numbers below `total`, or `DRAWS` at random; the first is 0, 1, …."""
    if math.comb(total, size) <= DRAWS:
        return np.array([*combinations(range(total), size)], dtype=np.intp)
    rng = np.random.default_rng(0)
    groups = np.empty((DRAWS, size), dtype=np.intp)
    for k, last in enumerate(range(total - size, total)):  # R. Floyd: Bentley, CACM 30 (1987), page 754
        drawn = rng.integers(last + 1, size=DRAWS)
        duplicate = (groups[:, :k] == drawn[:, None]).any(1)
        groups[:, k] = np.where(duplicate, last, drawn)
    return np.vstack([np.arange(size), groups])
