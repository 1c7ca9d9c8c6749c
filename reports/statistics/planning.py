"""What a design with looks takes, before a seed is trained.

`unrolled plan` imports this module: numpy and scipy.special only.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from reports.statistics.estimators import t_test, tost_p
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
    rng = np.random.default_rng(0)
    undecided = effect + rng.standard_normal((STUDIES, looks.last))
    different, equivalent = (looks.critical(ALPHA / family, sides) for sides in (2, 1))
    seeds, before = 0, 0
    for n, weight in zip(looks.numbers, looks.weights, strict=True):
        seeds += (n - before) * len(undecided)
        before, seen = n, undecided[:, :n]
        if n >= FEWEST_SEEDS:
            apart = t_test(seen)[1] <= weight * different
            undecided = undecided[~(apart | (tost_p(seen, delta) <= weight * equivalent))]
    return Expected(seeds / STUDIES, 1 - len(undecided) / STUDIES)
