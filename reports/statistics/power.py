"""The power of a number of seeds, for the test in use: the larger p of Student's t and Hall's corrected t.

The power of t has a formula. How much the second test costs was simulated: see `STRETCH`.

`unrolled plan` imports this module: scipy.special takes 0.2 s, scipy.stats or scipy.optimize 0.5 s or more.
"""

import math
from functools import lru_cache

import numpy as np
from scipy import special

ALPHA = 0.05  # error rate of every claim: 95 % intervals, Holm's family, the two one-sided tests
SELF_CHECK_ALPHA = 0.01
"""The error rate of the A/A check: it fails in one of a hundred studies in which nothing is wrong."""
POWER = 0.8  # probability of detecting a real effect that plans aim at
CLAIM_SEEDS = 10  # seeds that a claim should rest on; a verdict from fewer is called provisional

_MANY = 10_000  # seeds from which on t and normal quantiles no longer differ by a seed


_LEVELS = (0.1, 0.05, 0.01, 0.002, 0.0005, 0.0001)
STRETCH = {
    5: (1.180, 1.281, 1.601, 1.820, 1.758, 1.566),
    6: (1.130, 1.199, 1.442, 1.784, 1.861, 1.785),
    7: (1.103, 1.154, 1.315, 1.607, 1.838, 1.901),
    8: (1.083, 1.123, 1.240, 1.434, 1.711, 1.914),
    9: (1.068, 1.100, 1.190, 1.320, 1.520, 1.824),
    10: (1.060, 1.086, 1.159, 1.253, 1.382, 1.657),
    12: (1.045, 1.064, 1.115, 1.176, 1.240, 1.353),
    15: (1.034, 1.046, 1.080, 1.118, 1.155, 1.207),
    20: (1.023, 1.031, 1.051, 1.073, 1.094, 1.121),
    30: (1.015, 1.019, 1.029, 1.040, 1.050, 1.062),
    40: (1.011, 1.013, 1.020, 1.027, 1.033, 1.040),
    60: (1.006, 1.008, 1.012, 1.015, 1.018, 1.022),
    100: (1.003, 1.005, 1.007, 1.009, 1.010, 1.012),
}
"""By the number of pairs: how many times larger an effect has to be than for t alone, for 80 % power.

The columns are the two-sided levels in `_LEVELS`. The numbers are from 200,000 samples of normal pairs or
more, and have standard errors of .002 from eight pairs on (`simulate_stretch` of
tests/simulations/rules.py).
"""


def power(dz: float, n: int, alpha: float = ALPHA) -> float:
    """Return the power of a two-sided paired test of n ≥ 2 pairs, for a mean of `dz` standard deviations.

    A result of .8 is exact, because `STRETCH` was simulated for a power of .8. Other results err by at most
    .09 from ten pairs on, and by more with fewer pairs.
    """
    return t_power(dz / interpolate_stretch(n, alpha), n, alpha)


def t_power(dz: float, n: int, alpha: float = ALPHA) -> float:
    """Return the power for Student's t alone."""
    critical = special.stdtrit(n - 1, 1 - alpha / 2)
    shift = abs(dz) * math.sqrt(n)
    below = special.nctdtr(n - 1, shift, [critical, -critical])
    missed, other_side = np.nan_to_num(below)  # scipy gives nan for values under 1e-9
    return float(1 - missed + other_side)


@lru_cache(maxsize=1024)
def interpolate_stretch(n: int, alpha: float) -> float:
    """Return the `STRETCH` of n pairs at a level, interpolated by the level's logarithm and by 1/n.

    Beyond the table's levels the nearest one is taken, and under five pairs five. From 100 pairs on, the
    excess over 1 falls with 1/n.
    """
    levels = [math.log(level) for level in reversed(_LEVELS)]
    factors = [np.interp(math.log(alpha), levels, row[::-1]) for row in STRETCH.values()]
    inverse = [1 / pairs for pairs in STRETCH]
    return float(np.interp(1 / n, [0.0, *reversed(inverse)], [1.0, *reversed(factors)]))


@lru_cache(maxsize=256)
def minimum_detectable_effect(n: int, alpha: float = ALPHA) -> float:
    """Return the effect, in SDs of the differences, that n ≥ 2 pairs detect with a chance of `POWER`.

    Divide `alpha` by the number of contrasts for Holm's first step.
    """
    return t_detectable_effect(n, alpha) * interpolate_stretch(n, alpha)


def t_detectable_effect(n: int, alpha: float = ALPHA) -> float:
    """Return the detectable effect for Student's t alone."""
    critical = special.stdtrit(n - 1, 1 - alpha / 2)  # the other tail adds less than 1e-6 to the power
    return float(special.nctdtrinc(n - 1, 1 - POWER, critical)) / math.sqrt(n)


@lru_cache(maxsize=1024)
def count_seeds_needed(dz: float, alpha: float = ALPHA) -> int:
    """Return the fewest pairs that detect a standardised effect with a chance of `POWER`.

    Raises ValueError for an effect of zero, which no number of seeds detects.
    """
    if not abs(dz) > 0:
        raise ValueError("no number of seeds detects an effect of zero")
    bound = ((special.ndtri(1 - alpha / 2) + special.ndtri(POWER)) / dz) ** 2  # if the SD were known
    n = max(2, math.ceil(bound))
    while n < _MANY and power(dz, n, alpha) < POWER:
        n += 1
    return n
