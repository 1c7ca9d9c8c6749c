"""Corrections of the p values of a family of contrasts, and the levels of intervals that agree with them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from unrolled.reports.statistics.estimators import Floats, step_down
from unrolled.reports.statistics.power import ALPHA


class Adjusted(NamedTuple):
    """A p adjusted over its family, and the error rate of the interval that agrees with it."""

    p: float
    alpha: float


def holm(ps: Sequence[float]) -> list[Adjusted]:
    """Return p values adjusted so that any false claim in the family has a chance of at most .05 (Holm 1979).

    The interval of a rejected hypothesis has the level of its own step: .05 divided by the number of
    hypotheses that were open there. The interval of an open hypothesis has the level of the step that failed.
    For p = .001, .02, .9 the levels are .05/3 (rejected), .05/2 (rejected) and .05/1. Raises ValueError for a
    p outside of 0 to 1.
    """
    adjusted = step_down(_check_p_values(ps))
    rank = np.argsort(np.argsort(ps, kind="stable"), kind="stable")
    step = np.minimum(rank, (adjusted <= ALPHA).sum())
    return [Adjusted(float(p), ALPHA / (len(ps) - int(k))) for p, k in zip(adjusted, step, strict=True)]


def benjamini_hochberg(ps: Sequence[float]) -> list[Adjusted]:
    """Return p values adjusted so that at most .05 of claims are expected to be false; for exploratory arms.

    From Benjamini and Hochberg (1995). The intervals are those of Benjamini and Yekutieli (2005): at most .05
    of the claims' intervals are expected to miss the true difference. Raises ValueError as `holm` does.
    """
    if not len(ps):
        return []
    from scipy import stats  # takes half a second, and only a study with exploratory arms needs it

    adjusted = stats.false_discovery_control(_check_p_values(ps))
    claims = int((adjusted <= ALPHA).sum())
    return [Adjusted(float(p), ALPHA * (claims + (p > ALPHA)) / len(ps)) for p in adjusted]


def _check_p_values(ps: Sequence[float]) -> Floats:
    if any(not 0 <= p <= 1 for p in ps):
        raise ValueError(f"p values lie between 0 and 1: {list(ps)}")
    return np.array(ps, dtype=float)
