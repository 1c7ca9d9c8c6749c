"""The power of a number of seeds.

`unrolled plan` imports this module: scipy.special takes 0.2 s, scipy.stats or scipy.optimize 0.5 s or more.
"""

import math
from functools import lru_cache

import numpy as np
from scipy import special

ALPHA = 0.05  # the error rate of every claim: 95 % intervals, Holm's family, the two one-sided tests
SELF_CHECK_ALPHA = 0.01
"""The error rate of the A/A check: one study in a hundred is distrusted without a cause."""
POWER = 0.8  # the probability of detecting a real effect that plans aim at
FEWEST_SEEDS = 5  # under this many pairs a contrast is open
CLAIM_SEEDS = 10  # the seeds that a claim should rest on; a verdict from fewer is called provisional

_MANY = 10_000  # seeds from where t and normal quantiles no longer differ by a seed


def power(dz: float, n: int, alpha: float = ALPHA) -> float:
    """The chance that a two-sided paired t test of n ≥ 2 pairs detects a mean of `dz` standard deviations."""
    critical, shift = special.stdtrit(n - 1, 1 - alpha / 2), abs(dz) * math.sqrt(n)
    below = special.nctdtr(n - 1, shift, [critical, -critical])
    missed, other_side = np.nan_to_num(below)  # scipy gives nan where they are under 1e-9
    return float(1 - missed + other_side)


@lru_cache(maxsize=256)
def minimum_detectable_effect(n: int, alpha: float = ALPHA) -> float:
    """The effect, in SDs of the differences, that n ≥ 2 pairs detect with a chance of `POWER`.

    Divide `alpha` by the number of contrasts for Holm's first step.
    """
    critical = special.stdtrit(n - 1, 1 - alpha / 2)  # the other tail adds less than 1e-6 to the power
    return float(special.nctdtrinc(n - 1, 1 - POWER, critical)) / math.sqrt(n)


@lru_cache(maxsize=1024)
def seeds_needed(dz: float, alpha: float = ALPHA, target: float = POWER) -> int:
    """The fewest pairs that detect a standardised effect with the target power.

    Raises ValueError on an effect of zero, which no number of seeds detects.
    """
    if not abs(dz) > 0:
        raise ValueError("no number of seeds detects an effect of zero")
    bound = ((special.ndtri(1 - alpha / 2) + special.ndtri(target)) / dz) ** 2  # were the SD known
    n = max(2, math.ceil(bound))
    while n < _MANY and power(dz, n, alpha) < target:
        n += 1
    return n
