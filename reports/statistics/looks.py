"""Tests at several looks: how small p must get when results are looked at while they come in.

Look k sees the first n_k of N pairs, whose p has the weight w_k = √(n_k/N). The judged statistic is the
minimum Q of p_k/w_k over the looks so far: p = .02 at 10 of 40 pairs gives .02/.5 = .04. Without a
difference, and with normal pairs, the distribution of the minimum over all looks depends on the looks alone,
since a t statistic has no nuisance parameter. It is simulated once, and a p taken from it is valid wherever a
study stops, for whatever reason.

`unrolled plan` imports this module, which therefore imports only numpy and scipy.special.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from unrolled.bench.metric import FEWEST_SEEDS
from unrolled.reports.statistics.estimators import Floats
from unrolled.reports.statistics.power import CLAIM_SEEDS

DRAWS = 1_000_000  # simulated studies behind the p values of looks that have no stored table
_CHUNK = 100_000  # studies simulated at a time: under 10 MB
_EXACT = 500  # number of smallest draws that are all kept; larger draws are kept 1 % of their rank apart


@dataclass(frozen=True)
class Looks:
    """The numbers of pairs at which a contrast is looked at; a single look is a fixed number.

    Raises ValueError unless they rise strictly from 2 or more; a single look may have one pair.
    """

    pair_counts: tuple[int, ...]

    def __post_init__(self) -> None:
        n = self.pair_counts
        if not n or n[0] < min(len(n), 2) or any(a >= b for a, b in pairwise(n)):
            raise ValueError(f"looks must rise strictly from 2 or more seeds, not {list(n)}")

    def __len__(self) -> int:
        """Return the number of looks."""
        return len(self.pair_counts)

    @property
    def last_pair_count(self) -> int:
        """The number of pairs at the last look."""
        return self.pair_counts[-1]

    @property
    def weights(self) -> tuple[float, ...]:
        """The weight √(n_k/N) of each look."""
        return tuple(math.sqrt(n / self.last_pair_count) for n in self.pair_counts)

    def compute_p(self, q: ArrayLike, tails: int = 2) -> Floats:
        """Return the p of Q = min p_k/w_k, which holds wherever a study stops; with one look, Q itself.

        `tails` is 2 if the p_k are two-sided and 1 if they are one-sided, as in tests of equivalence.
        """
        if len(self) == 1:
            return np.asarray(q, dtype=float)
        table = _load_table(self.pair_counts)
        return np.asarray(np.interp(np.asarray(q, dtype=float), table[tails], table[0]))

    def find_critical_q(self, alpha: float, tails: int = 2) -> float:
        """Return the Q whose p is alpha: look k decides if p_k ≤ w_k · Q."""
        if len(self) == 1:
            return alpha
        table = _load_table(self.pair_counts)
        return float(np.interp(alpha, table[0], table[tails]))


@dataclass(frozen=True)
class Look:
    """One of several looks, counted from 0."""

    looks: Looks
    k: int = 0

    @property
    def weight(self) -> float:
        """The weight √(n_k/N) of this look."""
        return self.looks.weights[self.k]

    @property
    def seed_count(self) -> int:
        """The number of seeds at this look."""
        return self.looks.pair_counts[self.k]

    @property
    def is_last(self) -> bool:
        """True if no other look follows."""
        return self.k + 1 == len(self.looks)

    def compute_level(self, alpha: float, tails: int = 2) -> float:
        """Return the level of this look's test, so that all looks together have an error rate of alpha.

        Looks at 10, 15, 20, 30 and 40 pairs with alpha = .05 have the levels .010, .013, .015, .018 and .021.
        Intervals at these levels are repeated confidence intervals: Jennison & Turnbull, "Group Sequential
        Methods" (2000), chapter 9.
        """
        return self.weight * self.looks.find_critical_q(alpha, tails)


SINGLE_LOOK = Look(Looks((CLAIM_SEEDS,)))
"""The look at a fixed number of seeds. Its bounds do not depend on that number."""


def list_seeds_to_detect_copies(seeds: Sequence[Any], numbers: Sequence[int]) -> Sequence[Any]:
    """Return the seeds of the first look with five or more, or of the last look if none has as many.

    `numbers` are `Looks.pair_counts`.
    """
    return seeds[: next((n for n in numbers if n >= FEWEST_SEEDS), numbers[-1])]


@lru_cache(maxsize=16)
def _load_table(numbers: tuple[int, ...]) -> Floats:
    """Return the table of these looks: that of `boundaries/`, from 10⁷ draws, or else a simulated one."""
    name = f"looks_{'_'.join(map(str, numbers))}.npy"
    stored = Path(__file__).with_name("boundaries") / name
    return np.load(stored) if stored.exists() else simulate_table(numbers)


def simulate_table(numbers: tuple[int, ...], draws: int = DRAWS, seed: int = 0) -> Floats:
    """Return a table with three rows: p, and the Q of one-sided and of two-sided tests that have this p.

    The tables in `boundaries/` are of `draws` = 10⁷, which take half a minute and 200 MB.
    The k-th smallest of B draws has p (k + 1)/(B + 1). Between draws, p is interpolated over at most 1 %.
    """
    rng = np.random.default_rng(seed)
    smallest = np.empty((2, draws))
    for start in range(0, draws, _CHUNK):
        chunk = smallest[:, start : start + _CHUNK]
        chunk[:] = _draw_minima(numbers, rng, chunk.shape[1])
    smallest.sort(axis=1)
    ranks = np.geomspace(_EXACT, draws, 1_000).round().astype(int)
    ranks = np.unique(np.concatenate([np.arange(1, _EXACT), ranks]))
    p = (np.concatenate([[0], ranks]) + 1) / (draws + 1)
    return np.vstack([p, np.insert(smallest[:, ranks - 1], 0, 0.0, axis=1)])


def _draw_minima(numbers: tuple[int, ...], rng: np.random.Generator, size: int) -> Floats:
    """Return min p_k/w_k, one-sided and two-sided, of null studies: (2, size).

    A look adds m normal pairs, whose mean and sum of squares are drawn directly: normal with variance 1/m,
    and chi-squared with m − 1 degrees of freedom.
    """
    n = 0
    mean = np.zeros(size)
    squares = np.zeros(size)
    smallest = np.full((2, size), np.inf)
    for after, weight in zip(numbers, Looks(numbers).weights, strict=True):
        m = after - n
        step = rng.standard_normal(size) / math.sqrt(m) - mean
        squares += step**2 * (n * m / after)
        if m > 1:
            squares += rng.chisquare(m - 1, size)
        mean += step * (m / after)
        n = after
        t = mean / np.sqrt(squares / (n * (n - 1)))
        tail = special.stdtr(n - 1, -np.abs(t))
        np.minimum(smallest, np.array([np.where(t < 0, tail, 1 - tail), 2 * tail]) / weight, out=smallest)
    return smallest
