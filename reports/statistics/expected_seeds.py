"""Designs with looks: how many seeds they take, and an estimate that allows for early stops.

`unrolled plan` imports this module, which therefore imports only numpy and scipy.special.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unrolled.bench.metric import FEWEST_SEEDS
from unrolled.reports.statistics.estimators import Floats, Moments, mean_interval, moments
from unrolled.reports.statistics.futility import LastLookTest
from unrolled.reports.statistics.looks import Look, Looks
from unrolled.reports.statistics.power import ALPHA

Flags = NDArray[np.bool_]
SIMULATED_CONTRASTS = (
    4_000  # simulated contrasts behind an expectation: a chance has a standard error of at most .008
)
_HALVINGS = 24  # halvings of the range in which an estimate is sought


@dataclass(frozen=True)
class ExpectedContrast:
    """The expected course of a contrast up to the last look."""

    seeds: float  # mean number of seeds
    decided: float  # chance that it is decided
    right: float  # chance that it is decided, and that the decision is true
    reach: tuple[float, ...]  # for each look, the chance that it gets the seeds of that look


class _Stage(NamedTuple):
    """Simulated contrasts at one look, in SDs and without a true difference.

    Each field is (SIMULATED_CONTRASTS,).
    """

    moments: Moments
    low: Floats  # lower end of the interval of the difference
    high: Floats
    inner_low: Floats  # lower end of the interval that shows equivalence
    inner_high: Floats

    def find_stops(self, effect: float, zone: float, until_size: bool) -> tuple[Flags, Flags, Flags]:
        """Return which contrasts stop as higher, lower and the same, if the true difference is `effect`."""
        low = self.low + effect
        high = self.high + effect
        settled = np.ones(SIMULATED_CONTRASTS, bool)
        if until_size:
            settled = (low > zone) | (high < -zone) | ((low > -zone) & (high < zone))
        same = (self.inner_low + effect > -zone) & (self.inner_high + effect < zone)
        enough = self.moments.n >= FEWEST_SEEDS
        same &= ~((low > 0) | (high < 0))
        return enough & settled & (low > 0), enough & settled & (high < 0), enough & same

    def find_true_decisions(self, effect: float, zone: float, until_size: bool) -> Flags:
        """Return which contrasts stop with a true decision: a true direction or, for "the same", a true size.

        With `until_size`, the size of a direction has to be true as well. If the true difference is exactly
        δ, no size is true.
        """
        higher, lower, same = self.find_stops(effect, zone, until_size)
        direction = higher if effect > 0 else lower
        if effect == 0:
            direction = np.zeros(SIMULATED_CONTRASTS, bool)
        if until_size:
            more = (self.low + effect > zone) | (self.high + effect < -zone)
            direction = direction & (more if abs(effect) > zone else ~more & (abs(effect) < zone))
        return direction | (same & (abs(effect) < zone))


@lru_cache(maxsize=1024)
def predict_contrast(
    looks: Looks,
    *,
    sd: float,
    zone: float,
    effect: float,
    family_size: int = 1,
    until_size: bool = False,
    futility: float = 0.0,
) -> ExpectedContrast:
    """Return what to expect of a contrast with this true difference and this SD of its pairs' differences.

    `sd`, `zone` and `effect` have one unit, and pairs are normal.

    The contrast is judged at .05/family, Holm's first step. A real contrast may reach a later step: then it
    needs fewer seeds, and its chances are higher. With `until_size` the contrast goes on until a difference
    is shown to be more or less than δ. It is given up after a look at which its chance to be decided is below
    `futility`. For this chance, the other contrasts of the family are taken to be like it.

    Raises ValueError unless sd, δ and the family are positive.
    """
    if not (sd > 0 and zone > 0 and family_size > 0):
        raise ValueError(f"SD, δ and the family must be positive, not {sd}, {zone} and {family_size}")
    effect /= sd
    zone /= sd
    alpha = ALPHA / family_size
    test = LastLookTest(looks=looks, zone=zone, alpha=alpha, alpha_same=alpha, until_size=until_size)
    active = np.ones(SIMULATED_CONTRASTS, bool)
    different = np.zeros(SIMULATED_CONTRASTS, bool)
    same = np.zeros(SIMULATED_CONTRASTS, bool)
    right = 0
    reach = []
    for stage in _simulate_stages(looks, alpha, alpha):
        reach.append(float(active.mean()))
        higher, lower, equal = stage.find_stops(effect, zone, until_size)
        different |= active & (higher | lower)
        same |= active & equal
        right += int((active & stage.find_true_decisions(effect, zone, until_size)).sum())
        active &= ~(different | same)
        if futility and FEWEST_SEEDS <= stage.moments.n < looks.last_pair_count:
            m = stage.moments
            m = Moments(m.n, m.mean[active] + effect, m.sd[active], m.skewness[active])
            active[active] = _predict_family(test, m, family_size, different.mean(), same.mean()) >= futility
    seeds = float(np.diff(looks.pair_counts, prepend=0) @ reach)
    return ExpectedContrast(
        seeds, float((different | same).mean()), right / SIMULATED_CONTRASTS, tuple(reach)
    )


def _predict_family(
    test: LastLookTest, m: Moments, family_size: int, different: float, same: float
) -> Floats:
    """Return the chances of contrasts to be decided, each in a family of contrasts like those simulated.

    `different` and `same` are the shares of all simulated contrasts with these decisions.
    """
    other_contrasts = family_size - 1
    chances = test.advance_holm(other_contrasts, other_contrasts).predict_chances(m)
    different += float(chances.difference.sum()) / SIMULATED_CONTRASTS
    same += float(chances.same.sum()) / SIMULATED_CONTRASTS
    return test.advance_holm(other_contrasts * different, other_contrasts * same).predict_chances(m).decided


@lru_cache(maxsize=1024)
def median_unbiased(
    looks: Looks,
    most_looks: int,
    mean: float,
    sd: float,
    *,
    zone: float,
    alpha: float,
    alpha_same: float,
    until_size: bool = False,
) -> float:
    """Return the true difference for which half of all contrasts end with a larger mean.

    Contrasts end after `most_looks` looks at the latest, and are ordered by their means wherever they end:
    Emerson and Fleming, "Parameter Estimation Following Group Sequential Hypothesis Testing" (1990),
    Biometrika 77; Jennison and Turnbull, "Group Sequential Methods" (2000), section 8.4. Pairs are normal
    with this SD. With one look it is the mean.
    """
    if most_looks == 1 or not sd > 0:
        return mean
    stages = _simulate_stages(looks, alpha, alpha_same)[:most_looks]
    reach = 6 * sd / math.sqrt(stages[0].moments.n)
    low = mean - reach
    high = mean + reach
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        # each simulated contrast counts with its mirror image, so that their median is 0
        larger = _final_means(stages, middle / sd, zone / sd, until_size) >= mean / sd
        mirrored = _final_means(stages, -middle / sd, zone / sd, until_size) <= -mean / sd
        if larger.mean() + mirrored.mean() < 1:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _final_means(stages: tuple[_Stage, ...], effect: float, zone: float, until_size: bool) -> Floats:
    """Return the means of simulated contrasts where they end, in SDs: (SIMULATED_CONTRASTS,)."""
    active = np.ones(SIMULATED_CONTRASTS, bool)
    means = stages[-1].moments.mean.copy()
    for stage in stages[:-1]:
        higher, lower, same = stage.find_stops(effect, zone, until_size)
        ends = active & (higher | lower | same)
        means[ends] = stage.moments.mean[ends]
        active &= ~ends
    return means + effect


@lru_cache(maxsize=8)
def _simulate_stages(looks: Looks, alpha: float, alpha_same: float) -> tuple[_Stage, ...]:
    """Return standard normal pairs at each look, with tests of these levels over all looks."""
    stages = []
    for k, n in enumerate(looks.pair_counts):
        look = Look(looks, k)
        m = _simulate_moments(looks.last_pair_count, n)
        outer = mean_interval(m, look.compute_level(alpha))
        inner = mean_interval(m, 2 * look.compute_level(alpha_same, tails=1))
        stages.append(_Stage(m, *outer, *inner))
    return tuple(stages)


@lru_cache(maxsize=64)
def _simulate_moments(drawn: int, n: int) -> Moments:
    return moments(_draw_normal_pairs(drawn)[:, :n])


@lru_cache(maxsize=4)
def _draw_normal_pairs(n: int) -> Floats:
    return np.random.default_rng(0).standard_normal((SIMULATED_CONTRASTS, n))
