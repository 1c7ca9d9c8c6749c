"""Laws of simulated differences, and the two tests of their mean."""

import math
import os
from collections.abc import Callable, Mapping

import numpy as np
from scipy import special

from tests.helpers.contrasts import LOOKS
from unrolled.reports.statistics.estimators import mean_tails, moments

Tails = Callable[[np.ndarray, float], tuple[np.ndarray, np.ndarray]]
"""One-sided p that the means of samples (…, S) are at most a number, and at least it."""


def make_generator(place: int) -> np.random.Generator:
    """Return the random numbers of one place in a simulation.

    The environment variable SIMULATION_SEED, 0 by default, gives every place other numbers.
    """
    return np.random.default_rng((int(os.environ.get("SIMULATION_SEED", "0")) << 32) + place)


def t_tails(x: np.ndarray, mu: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return the tails of Student's t, as verdicts had it."""
    n = x.shape[-1]
    t = (x.mean(-1) - mu) / x.std(-1, ddof=1) * math.sqrt(n)
    return special.stdtr(n - 1, -t), special.stdtr(n - 1, t)


def both_tails(x: np.ndarray, mu: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return the larger p of t and of Hall's corrected t."""
    return mean_tails(moments(x), mu)


def collapsing(rng: np.random.Generator, studies: int) -> np.ndarray:
    """Return normal differences of which one in twenty is eight SDs worse."""
    return (
        rng.standard_normal((studies, LOOKS.last_pair_count))
        + 8 * (rng.random((studies, LOOKS.last_pair_count)) < 0.05)
        - 0.4
    )


LAWS: Mapping[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "normal": lambda rng, n: rng.standard_normal((n, LOOKS.last_pair_count)),
    "t, 3 degrees": lambda rng, n: rng.standard_t(3, (n, LOOKS.last_pair_count)),
    "exponential": lambda rng, n: rng.standard_exponential((n, LOOKS.last_pair_count)) - 1,
    "lognormal": lambda rng, n: np.exp(rng.standard_normal((n, LOOKS.last_pair_count))) - math.exp(0.5),
    "a collapse in 5 %": collapsing,
    "of 25 items": lambda rng, n: np.subtract(*rng.binomial(25, 0.9, (2, n, LOOKS.last_pair_count))) / 25,
}
"""Laws of the differences, each with mean zero."""


def gate_law(law: str, sd: float, gates: int, seed: int = 0) -> np.ndarray:
    """Return differences with mean zero and an SD in units of δ.

    "rare collapses" cost 20 δ in one pair of twenty, on top of normal differences of that SD.
    """
    rng = make_generator(seed)
    if law == "rare collapses":
        return (
            sd * rng.standard_normal((gates, LOOKS.last_pair_count))
            + 20 * (rng.random((gates, LOOKS.last_pair_count)) < 0.05)
            - 1
        )
    return sd * LAWS[law](rng, gates) / SDS.get(law, 1.0)


SDS = {"t, 3 degrees": math.sqrt(3), "lognormal": math.sqrt(math.e * (math.e - 1))}
SDS["a collapse in 5 %"] = math.sqrt(1 + 64 * 0.05 * 0.95)
"""The SD of each law that has another one than 1."""
