"""What a design with looks does: the seeds that it takes, and the estimate that allows for when it stopped.

`unrolled plan` imports this module: numpy and scipy.special only.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unrolled.reports.statistics.estimators import Floats, Moments, mean_interval, moments
from unrolled.reports.statistics.futility import LastLook
from unrolled.reports.statistics.power import ALPHA, FEWEST_SEEDS
from unrolled.reports.statistics.sequential import Look, Looks

Flags = NDArray[np.bool_]
STUDIES = 4_000  # simulated contrasts behind an expectation: a chance has a standard error of at most .008
_HALVINGS = 24  # of the range in which an estimate is sought


@dataclass(frozen=True)
class Expected:
    """The expected number of seeds of a contrast by the last look, and the chances that it is decided."""

    seeds: float
    decided: float
    right: float  # that it is decided, and that the decision is true
    reach: tuple[float, ...]  # the chance that it gets the seeds of each look


class _Seen(NamedTuple):
    """What a look sees of simulated contrasts, in SDs: means and the ends of both intervals, (STUDIES,)."""

    moments: Moments
    low: Floats
    high: Floats
    inner_low: Floats  # of the interval that shows equivalence
    inner_high: Floats

    def stops(self, effect: float, delta: float, until_size: bool) -> tuple[Flags, Flags, Flags]:
        """Which contrasts stop as higher, as lower, and as the same, if the true difference is `effect`."""
        low, high = self.low + effect, self.high + effect
        settled = np.ones(STUDIES, bool)
        if until_size:
            settled = (low > delta) | (high < -delta) | ((low > -delta) & (high < delta))
        same = (self.inner_low + effect > -delta) & (self.inner_high + effect < delta)
        enough = self.moments.n >= FEWEST_SEEDS
        same &= ~((low > 0) | (high < 0))
        return enough & settled & (low > 0), enough & settled & (high < 0), enough & same

    def right(self, effect: float, delta: float, until_size: bool) -> Flags:
        """Which contrasts stop with a true decision: its direction or, as the same, its size.

        Until sizes are settled, the size of a direction has to be true as well. At a true difference of δ no
        size is.
        """
        higher, lower, same = self.stops(effect, delta, until_size)
        direction = higher if effect > 0 else lower if effect < 0 else np.zeros(STUDIES, bool)
        if until_size:
            more = (self.low + effect > delta) | (self.high + effect < -delta)
            direction = direction & (more if abs(effect) > delta else ~more & (abs(effect) < delta))
        return direction | (same & (abs(effect) < delta))


@lru_cache(maxsize=1024)
def expected(
    looks: Looks,
    *,
    sd: float,
    delta: float,
    effect: float,
    family: int = 1,
    until_size: bool = False,
    futility: float = 0.0,
) -> Expected:
    """For a true difference, and the SD of the pairs' differences, both in the unit of δ; pairs are normal.

    The contrast is judged at .05/family, Holm's first step, so that seeds err on the high side and chances on
    the low one; with `until_size` it goes on until a difference is shown to be more or less than δ. It gets
    no more seeds at a look after which its chance to be decided is below `futility`, if the other contrasts
    of the family are as it is. Raises ValueError unless sd, δ and the family are positive.
    """
    if not (sd > 0 and delta > 0 and family > 0):
        raise ValueError(f"SD, δ and the family must be positive, not {sd}, {delta} and {family}")
    effect, delta, alpha = effect / sd, delta / sd, ALPHA / family
    test = LastLook(looks=looks, delta=delta, alpha=alpha, alpha_same=alpha, until_size=until_size)
    going, different, same = np.ones(STUDIES, bool), np.zeros(STUDIES, bool), np.zeros(STUDIES, bool)
    right, reach = 0, []
    for seen in _simulate(looks, alpha, alpha):
        reach.append(float(going.mean()))
        higher, lower, equal = seen.stops(effect, delta, until_size)
        different |= going & (higher | lower)
        same |= going & equal
        right += int((going & seen.right(effect, delta, until_size)).sum())
        going &= ~(different | same)
        if futility and FEWEST_SEEDS <= seen.moments.n < looks.last:
            m = _select(seen.moments, going, effect)
            going[going] = _predict_family(test, m, family, different.mean(), same.mean()) >= futility
    seeds = float(np.diff(looks.numbers, prepend=0) @ reach)
    return Expected(seeds, float((different | same).mean()), right / STUDIES, tuple(reach))


def _predict_family(test: LastLook, m: Moments, family: int, different: float, same: float) -> Floats:
    """The chances of contrasts to be decided, each in a family whose other contrasts are as all of them.

    `different` and `same` are the shares of all simulated contrasts that are decided so.
    """
    others = family - 1
    chances = test.after(others, others).predict(m)
    different += float(chances.difference.sum()) / STUDIES
    same += float(chances.same.sum()) / STUDIES
    return test.after(others * different, others * same).predict(m).decided


def _select(m: Moments, chosen: Flags, effect: float) -> Moments:
    """The moments of these samples, moved by an effect."""
    return Moments(m.n, m.mean[chosen] + effect, m.sd[chosen], m.skewness[chosen])


@lru_cache(maxsize=1024)
def median_unbiased(
    looks: Looks,
    most: int,
    mean: float,
    sd: float,
    *,
    delta: float,
    alpha: float,
    alpha_same: float,
    until_size: bool = False,
) -> float:
    """The true difference of which half of all contrasts end with a larger mean, after `most` looks at most.

    Contrasts are ordered by their mean, wherever they end: Emerson and Fleming, "Parameter Estimation
    Following Group Sequential Hypothesis Testing" (1990), Biometrika 77; Jennison and Turnbull, "Group
    Sequential Methods" (2000), section 8.4. Pairs are normal with this SD. With one look it is the mean.
    """
    if most == 1 or not sd > 0:
        return mean
    stages = _simulate(looks, alpha, alpha_same)[:most]
    reach = 6 * sd / math.sqrt(stages[0].moments.n)
    low, high = mean - reach, mean + reach
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        larger = _final_means(stages, middle / sd, delta / sd, until_size) >= mean / sd
        low, high = (middle, high) if larger.mean() < 0.5 else (low, middle)
    return (low + high) / 2


def _final_means(stages: tuple[_Seen, ...], effect: float, delta: float, until_size: bool) -> Floats:
    """The means of simulated contrasts where they end, in SDs: (STUDIES,)."""
    going, means = np.ones(STUDIES, bool), stages[-1].moments.mean.copy()
    for seen in stages[:-1]:
        higher, lower, same = seen.stops(effect, delta, until_size)
        ends = going & (higher | lower | same)
        means[ends] = seen.moments.mean[ends]
        going &= ~ends
    return means + effect


@lru_cache(maxsize=8)
def _simulate(looks: Looks, alpha: float, alpha_same: float) -> tuple[_Seen, ...]:
    """What each look sees of standard normal pairs, with tests of these levels over all looks."""
    stages = []
    for k, n in enumerate(looks.numbers):
        look, m = Look(looks, k), _moments(looks.last, n)
        outer = mean_interval(m, look.level(alpha))
        inner = mean_interval(m, 2 * look.level(alpha_same, sides=1))
        stages.append(_Seen(m, *outer, *inner))
    return tuple(stages)


@lru_cache(maxsize=64)
def _moments(drawn: int, n: int) -> Moments:
    return moments(_standard(drawn)[:, :n])


@lru_cache(maxsize=4)
def _standard(n: int) -> Floats:
    return np.random.default_rng(0).standard_normal((STUDIES, n))
