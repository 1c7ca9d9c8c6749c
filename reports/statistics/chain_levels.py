"""Online testing: the level of each test of a chain, given the p values of the tests before it.

The number of tests is unknown, and which test is tried next may depend on all that came before. Each level is
a function of the earlier p values alone, so that it can be written down before a test begins.

- **"saffron"**: Ramdas, Zrnic, Wainwright and Jordan, "SAFFRON: an adaptive algorithm for online control of
  the false discovery rate" (2018), ICML 35. With p values that are super-uniform given the past,
  E[false rejections] ≤ α · E[max(rejections, 1)] at any stop. A false discovery rate of at most α is
  proved for independent p values and a number of tests that is fixed beforehand.
- **"family-wise"**: alpha spending. The chance of any false rejection is at most α, however p values depend
  on each other, and wherever the chain stops.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from unrolled.reports.statistics.estimators import Floats

TERMS = 5_000
"""The number of γ above 0: after so many tests without a rejection, no level is left."""
_GAMMAS: Floats = np.arange(1, TERMS + 1, dtype=float) ** -1.6
_GAMMAS /= _GAMMAS.sum()
LAMBDA = 0.5  # the λ of SAFFRON: a test with a larger p is taken for a true null


@dataclass(frozen=True, eq=False, kw_only=True)
class AlphaSpending:
    """The level of test j is α·γ_j. The γ add up to 1 at most."""

    alpha: float
    gammas: Floats = field(default_factory=lambda: _GAMMAS)

    def compute_levels(self, p_values: ArrayLike) -> Floats:
        """Return the levels of chains of tests (…, n) and of the test after them: (…, n + 1)."""
        p = _read_p_values(p_values)
        levels = self.alpha * _select_gammas(self.gammas, np.arange(p.shape[-1] + 1))
        return np.broadcast_to(levels, (*p.shape[:-1], levels.size))


@dataclass(frozen=True, eq=False, kw_only=True)
class Saffron:
    """SAFFRON with a constant λ: a rejection earns α, and tests with p ≤ λ, its candidates, spend nothing.

    `wealth` is the w₀ that pays for the first levels, α/2 if it is None. The first rejection earns
    α − w₀.
    """

    alpha: float
    candidate_threshold: float = LAMBDA
    wealth: float | None = None
    gammas: Floats = field(default_factory=lambda: _GAMMAS)

    def compute_levels(self, p_values: ArrayLike) -> Floats:
        """Return the levels of chains of tests (…, n) and of the test after them: (…, n + 1)."""
        p = _read_p_values(p_values)
        n = p.shape[-1]
        wealth = self.alpha / 2 if self.wealth is None else self.wealth
        spent = np.zeros((*p.shape[:-1], n + 1), dtype=int)  # number of earlier tests that have spent
        np.cumsum(p > self.candidate_threshold, axis=-1, out=spent[..., 1:])
        earned = np.zeros(p.shape)  # amount that each test has earned
        levels = np.empty((*p.shape[:-1], n + 1))
        for t in range(n + 1):
            spent_since = spent[..., t, None] - spent[..., 1 : t + 1]  # since each of the earlier tests
            level = wealth * _select_gammas(self.gammas, spent[..., t])
            level += (earned[..., :t] * _select_gammas(self.gammas, spent_since)).sum(-1)
            levels[..., t] = np.minimum(self.candidate_threshold, (1 - self.candidate_threshold) * level)
            if t < n:
                reward = np.where(earned.any(-1), self.alpha, self.alpha - wealth)
                earned[..., t] = np.where(p[..., t] <= levels[..., t], reward, 0.0)
        return levels


def compute_next_level(rule: str, p_values: Sequence[float], alpha: float) -> float:
    """Return the level of a chain's next test by a rule, "saffron" or "family-wise", given all earlier tests.

    `p_values` are in the order in which the tests began, because a test gets its level when it begins. The p
    of a test that has not ended is 1, which makes the next levels smaller. Raises ValueError for another
    rule, and for a p value that is not between 0 and 1.
    """
    return float(make_rule(rule, alpha).compute_levels(p_values)[-1])


def make_rule(name: str, alpha: float) -> AlphaSpending | Saffron:
    """Return the rule of this name. Raises ValueError on another name, and unless 0 < α < 1."""
    if not 0 < alpha < 1:
        raise ValueError(f"α must be between 0 and 1, not {alpha}")
    if name == "saffron":
        return Saffron(alpha=alpha)
    if name == "family-wise":
        return AlphaSpending(alpha=alpha)
    raise ValueError(f'a chain\'s rule is "saffron" or "family-wise", not "{name}"')


def _read_p_values(p_values: ArrayLike) -> Floats:
    p = np.asarray(p_values, dtype=float)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("p values must be between 0 and 1")
    return p


def _select_gammas(gammas: Floats, indices: ArrayLike) -> Floats:
    """Return the γ at these indices, counted from 0; 0 beyond the last."""
    return np.append(gammas, 0.0)[np.minimum(indices, gammas.size)]
