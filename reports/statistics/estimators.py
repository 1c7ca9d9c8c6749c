"""Tests and intervals: arrays in, numbers out.

Functions on samples work along the last axis, so that thousands of simulated studies are one call.
Bootstrap intervals are left out: at 5 seeds a nominal 95 % covers .83.
"""

from collections.abc import Iterable
from math import comb

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from reports.statistics.power import ALPHA

Floats = NDArray[np.float64]

_EXACT = 20  # pairs up to which all 2^n sign flips are counted
_ROUNDING = 1e-13  # differences that rounding alone explains, relative to what was subtracted


def without_rounding(differences: Floats, scale: float) -> Floats:
    """Differences (S,) of values up to `scale`, with noise of rounding set to 0, or to their median.

    Two arms that differ by .01 on every seed have no spread, though their floats do.
    """
    noise = _ROUNDING * scale
    d = np.where(np.abs(differences) <= noise, 0.0, differences)
    return np.full_like(d, np.median(d)) if d.size and np.ptp(d) <= noise else d


def t_test(x: ArrayLike) -> tuple[Floats, Floats]:
    """Student's t and its two-sided p for a mean of zero; x is (…, S), S ≥ 2.

    Without any spread t is 0 (p 1) at zero and infinite (p 0) elsewhere.
    """
    x = np.asarray(x, dtype=float)
    t = _over(x.mean(-1), _standard_error(x))
    return t, 2 * special.stdtr(x.shape[-1] - 1, -np.abs(t))


def t_interval(x: ArrayLike, level: float = 1 - ALPHA) -> tuple[Floats, Floats]:
    """Both ends of the mean's t interval; x is (…, S), S ≥ 2."""
    x = np.asarray(x, dtype=float)
    mean, half = x.mean(-1), _quantile(x, level) * _standard_error(x)
    return mean - half, mean + half


def prediction_interval(x: ArrayLike, level: float = 1 - ALPHA) -> tuple[Floats, Floats]:
    """Where one more value falls, m ± t·s·√(1+1/S); x is (…, S), S ≥ 2."""
    x = np.asarray(x, dtype=float)
    mean = x.mean(-1)
    half = _quantile(x, level) * x.std(-1, ddof=1) * np.sqrt(1 + 1 / x.shape[-1])
    return mean - half, mean + half


def prediction_p(x: ArrayLike, y: float) -> Floats:
    """Two-sided p that y is one more value of the same kind; x is (…, S), S ≥ 2."""
    x = np.asarray(x, dtype=float)
    spread = x.std(-1, ddof=1) * np.sqrt(1 + 1 / x.shape[-1])
    return np.asarray(2 * special.stdtr(x.shape[-1] - 1, -_over(np.abs(y - x.mean(-1)), spread)))


def tost_p(x: ArrayLike, delta: float) -> Floats:
    """p of two one-sided t tests that the mean lies within ±delta; x is (…, S), S ≥ 2 (Schuirmann 1987)."""
    x = np.asarray(x, dtype=float)
    mean, error = x.mean(-1), _standard_error(x)
    nearest = _over(delta - np.abs(mean), error)  # the one of the two that is harder to reject
    return np.asarray(special.stdtr(x.shape[-1] - 1, -nearest))


def sign_flip_test(differences: ArrayLike) -> float:
    """Exact two-sided p of the paired permutation test: the share of sign patterns with a mean as far out.

    Over 20 pairs, 99,999 patterns are drawn with a fixed seed in place of all 2^n.
    """
    d = np.asarray(differences, dtype=float)
    if d.size > _EXACT:
        drawn = stats.permutation_test(
            (d,), np.mean, permutation_type="samples", n_resamples=99_999, vectorized=True, rng=0
        )
        return float(drawn.pvalue)
    if not d.size:
        return 1.0
    sums = np.empty(2 ** (d.size - 1))  # of the patterns whose first sign is +: the others are their mirror
    sums[0] = d[0]
    for n, x in enumerate(d[1:]):
        sums[2**n : 2 ** (n + 1)] = sums[: 2**n] - x
        sums[: 2**n] += x
    return float(np.mean(np.abs(sums, out=sums) >= abs(d.sum()) - 1e-12 * np.abs(d).sum()))


def sign_test(wins: int, losses: int) -> float:
    """Exact two-sided p that wins and losses are equally likely; ties are left out."""
    return float(stats.binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0


def step_down(ps: ArrayLike) -> Floats:
    """Holm's adjusted p values within each family; ps is (…, k).

    statsmodels has the same for one family, and spends 90 ms of every call on collecting garbage.
    """
    p = np.asarray(ps, dtype=float)
    order = np.argsort(p, -1)
    still_held = np.arange(p.shape[-1], 0, -1)  # the smallest p counts k times, the next k − 1 times
    scaled = np.take_along_axis(p, order, -1) * still_held
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, np.minimum(np.maximum.accumulate(scaled, -1), 1), -1)
    return adjusted


def clopper_pearson(k: int, n: int, level: float = 1 - ALPHA) -> tuple[float, float]:
    """Clopper–Pearson interval of the rate k/n. Raises ValueError unless 0 ≤ k ≤ n, n ≥ 1."""
    ends = stats.binomtest(k, n).proportion_ci(level, method="exact")
    return float(ends.low), float(ends.high)


def expected_best_of_n(values: Iterable[float], n: int, *, lower_is_better: bool = True) -> float:
    """The expected best of n trials, unbiased: the mean over all subsets of n of these values.

    Raises ValueError on NaN, and on an n under 1 or over the number of values.
    """
    ordered = sorted(values, reverse=not lower_is_better)
    if not 1 <= n <= len(ordered):
        raise ValueError(f"the best of {n} cannot be told from {len(ordered)} values")
    if np.isnan(ordered).any():
        raise ValueError("NaN is no value: a diverged seed is an infinite one")
    # the i-th best is the best of those subsets whose other members are all worse
    ways = [comb(len(ordered) - 1 - i, n - 1) for i in range(len(ordered))]
    return sum(w * v for w, v in zip(ways, ordered, strict=True) if w) / sum(ways)


def _standard_error(x: Floats) -> Floats:
    return np.asarray(x.std(-1, ddof=1) / np.sqrt(x.shape[-1]))


def _quantile(x: Floats, level: float) -> Floats:
    return np.asarray(special.stdtrit(x.shape[-1] - 1, (1 + level) / 2))


def _over(distance: Floats, error: Floats) -> Floats:
    """Their quotient; without an error the sign decides: ±infinity, or 0 for no distance."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(distance == 0, 0.0, distance / error))
