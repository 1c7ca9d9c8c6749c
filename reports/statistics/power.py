"""What a number of seeds can and cannot decide. Standard library alone, so that planning starts at once.

scipy would need half a second to load; tests hold these functions to scipy's and statsmodels' values.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from statistics import NormalDist

ALPHA = 0.05
"""The error rate of every claim: 95 % intervals, Holm's family, the two one-sided tests."""
POWER = 0.8
"""The chance of seeing a real effect that plans ask for."""
FEWEST_SEEDS = 5
"""Under this many pairs the only verdict is INCONCLUSIVE."""
CLAIM_SEEDS = 10
"""The seeds that a claim should rest on; a verdict from fewer is called provisional."""

_STEPS = 400  # of Simpson's rule; errors stay under 1e-8 from 2 to 10,000 seeds
_MANY = 10_000  # seeds from where t and normal quantiles no longer differ by a seed


def smallest_exact_p(n: int) -> float:
    """The least p that an exact sign-flip test of n pairs can give: 2^(1−n), all signs alike."""
    return min(1.0, 2.0 ** (1 - n))


def seeds_for_exact(contrasts: int, alpha: float = ALPHA) -> int:
    """Seeds from which an exact test can pass Holm over this many contrasts: ⌈1 + log2(k/α)⌉."""
    return math.ceil(1 + math.log2(contrasts / alpha))


def power(dz: float, n: int, alpha: float = ALPHA) -> float:
    """The chance that a two-sided paired t test of n pairs sees an effect.

    Args:
        dz: mean of the differences over their standard deviation.
        n: pairs, at least 2.
        alpha: two-sided level.
    """
    return _beyond(_critical(n, alpha), dz * math.sqrt(n), n - 1)


def minimum_detectable_effect(n: int, sd: float = 1.0, alpha: float = ALPHA, target: float = POWER) -> float:
    """The effect that n pairs detect with the target power, in the units of sd.

    Args:
        n: pairs, at least 2.
        sd: standard deviation of the paired differences.
        alpha: two-sided level; divide it by the number of contrasts for Holm's first step.
        target: the power asked for.
    """
    return sd * _detectable_dz(n, alpha, target)


def seeds_needed(dz: float, alpha: float = ALPHA, target: float = POWER) -> int:
    """The fewest pairs that detect a standardised effect with the target power.

    Raises ValueError on an effect of zero, which no number of seeds detects.
    """
    dz = abs(dz)
    if not dz > 0:
        raise ValueError("no number of seeds detects an effect of zero")
    normal = NormalDist()
    bound = ((normal.inv_cdf(1 - alpha / 2) + normal.inv_cdf(target)) / dz) ** 2  # were sd known
    n = max(2, math.ceil(bound))
    while n < _MANY and power(dz, n, alpha) < target:
        n += 1
    return n


@lru_cache(maxsize=256)
def _detectable_dz(n: int, alpha: float, target: float) -> float:
    return _root(lambda dz: power(dz, n, alpha) - target)


@lru_cache(maxsize=256)
def _critical(n: int, alpha: float) -> float:
    """The two-sided critical value of Student's t with n − 1 degrees of freedom.

    By Newton from the normal's, which lies below it: the tail is convex, so that no step goes too far.
    """
    df, c, step = n - 1, NormalDist().inv_cdf(1 - alpha / 2), math.inf
    scale = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - math.log(df * math.pi) / 2
    while step > 1e-10 * c:
        density = math.exp(scale - (df + 1) / 2 * math.log1p(c * c / df))
        step = (_beyond(c, 0.0, df) - alpha) / (2 * density)
        c += step
    return c


def _beyond(critical: float, shift: float, df: int) -> float:
    """P(|T| > critical) for a noncentral t: the normal's two tails, averaged over the sample's SD.

    The SD over its true value is s = √(χ²/df). The rule's nodes are even in √s, which packs them near
    zero, where few degrees of freedom need them.
    """
    spread = 8 / math.sqrt(2 * df)
    low, high = math.sqrt(max(0.0, 1 - spread)), math.sqrt(1 + spread)
    step = (high - low) / _STEPS
    scale = math.log(2) + df / 2 * math.log(df / 2) - math.lgamma(df / 2)
    total = 0.0
    for i in range(_STEPS + 1):
        root = low + i * step
        if root == 0:
            continue  # the Jacobian 2√s vanishes
        s = root * root
        density = math.exp(scale + (df - 1) * math.log(s) - df * s * s / 2) * 2 * root
        tails = _tail(critical * s - shift) + _tail(critical * s + shift)
        total += (1 if i in (0, _STEPS) else 4 if i % 2 else 2) * density * tails
    return total * step / 3


def _tail(z: float) -> float:
    return math.erfc(z / math.sqrt(2)) / 2


def _root(rising: Callable[[float], float]) -> float:
    """Where a rising function of a positive number crosses zero."""
    low, high = 0.0, 1.0
    while rising(high) < 0:
        low, high = high, 2 * high
    while high - low > 1e-10 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return high
