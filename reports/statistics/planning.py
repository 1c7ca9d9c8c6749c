"""What a design with looks takes, before a seed is trained.

`unrolled plan` imports this module: numpy and scipy.special only.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special

from reports.statistics.estimators import Floats
from reports.statistics.power import ALPHA, FEWEST_SEEDS
from reports.statistics.sequential import Looks

STUDIES = 4_000
"""Simulated contrasts behind an expectation: a chance has a standard error of at most .008."""


@dataclass(frozen=True)
class Expected:
    """The mean number of seeds of a contrast, and its chance of a verdict other than INCONCLUSIVE."""

    seeds: float
    decided: float


def expected(looks: Looks, *, sd: float, delta: float, effect: float, family: int = 1) -> Expected:
    """For a true difference, and the SD of the pairs' differences, both in the unit of δ; pairs are normal.

    The contrast is judged at .05/family, Holm's first step, so that both numbers err on the side of caution.
    Raises ValueError unless sd, δ and the family are positive.
    """
    if not (sd > 0 and delta > 0 and family > 0):
        raise ValueError(f"SD, δ and the family must be positive, not {sd}, {delta} and {family}")
    return _expected(looks, effect / sd, delta / sd, family)


@lru_cache(maxsize=256)
def _expected(looks: Looks, effect: float, delta: float, family: int) -> Expected:
    different, equivalent = (looks.critical(ALPHA / family, sides) for sides in (2, 1))
    undecided, seeds, before = np.ones(STUDIES, bool), 0, 0
    for n, weight, (mean, error) in zip(looks.numbers, looks.weights, _standard(looks), strict=True):
        seeds += (n - before) * int(undecided.sum())
        before, size = n, np.abs(mean + effect)
        if n >= FEWEST_SEEDS:
            apart = size >= special.stdtrit(n - 1, 1 - weight * different / 2) * error
            within = size <= delta - special.stdtrit(n - 1, 1 - weight * equivalent) * error
            undecided &= ~(apart | within)
    return Expected(seeds / STUDIES, 1 - undecided.mean())


@lru_cache(maxsize=16)
def _standard(looks: Looks) -> tuple[tuple[Floats, Floats], ...]:
    """Mean and standard error of simulated standard normal pairs at each look: (STUDIES,) each."""
    drawn = np.random.default_rng(0).standard_normal((STUDIES, looks.last))
    samples = [(drawn[:, :n], n) for n in looks.numbers]
    return tuple((x.mean(1), x.std(1, ddof=1) / math.sqrt(n)) for x, n in samples)
