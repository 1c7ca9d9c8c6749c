"""Numbers over seeds: one arm, a contrast of two, corrections for many, the rate of divergence.

The unit of replication is the seed, and every interval is "over seeds, given this validation set".
Values come as {seed: value}; an infinite one is a seed that diverged, NaN is refused.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from reports.statistics import power
from reports.statistics.estimators import Floats, step_down, t_interval, t_test, tost_p, without_rounding
from reports.statistics.power import ALPHA, FEWEST_SEEDS
from reports.statistics.sequential import FIXED, Look


@dataclass(frozen=True)
class Interval:
    """From low to high, at a level such as .95."""

    low: float
    high: float
    level: float

    def exp(self) -> "Interval":
        """The same for perplexities, or for their ratio: exp of both ends."""
        return Interval(_exp(self.low), _exp(self.high), self.level)


@dataclass(frozen=True, kw_only=True)
class ArmSummary:
    """One arm over its seeds. Mean, SD and interval leave out diverged seeds; the median includes them.

    The mean needs 1 converged seed, the SD 2 and the interval 3; with fewer they are None.
    """

    values: Mapping[int, float]
    diverged: int
    mean: float | None
    sd: float | None  # ddof 1
    interval: Interval | None
    median: float | None

    @property
    def n(self) -> int:
        """Seeds, diverged ones included."""
        return len(self.values)

    @property
    def perplexity(self) -> float | None:
        """Exp of the mean loss."""
        return None if self.mean is None else _exp(self.mean)

    @property
    def perplexity_interval(self) -> Interval | None:
        """Exp of the ends of the loss's interval."""
        return self.interval and self.interval.exp()


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """An arm minus the baseline, over the seeds that both have, at one look of a design.

    Intervals are repeated ones: each holds at all looks together at its level. With one look they are the
    usual t intervals.

    A pair is converged when both its sides are. Mean, SD, intervals, t, t_p, r and tost_p are
    over converged pairs and None when there are too few; wins, losses, sign_p and the medians count every
    pair. When a side diverged, the latter are the headline (`given_convergence`).
    """

    seeds: tuple[int, ...]
    unpaired: tuple[int, ...]  # seeds that only one side has
    differences: Mapping[int, float]  # of the converged pairs, by seed
    delta: float
    family: int
    look: Look
    lower_is_better: bool
    wins: int  # pairs in which the arm is better
    losses: int
    arm_diverged: int
    baseline_diverged: int
    arm_median: float | None
    baseline_median: float | None
    identical: bool  # the same value on every seed: "bitwise identical"
    constant: bool  # the same difference on every seed, so that a t test has no spread to go by
    mean: float | None
    sd: float | None
    interval: Interval | None  # 95 %
    interval90: Interval | None  # what the equivalence test looks at
    t: float | None
    t_p: float | None
    tost_p: float | None
    r: float | None  # correlation of the pairs

    @property
    def pairs(self) -> int:
        """Seeds that both sides have."""
        return len(self.seeds)

    @property
    def paired(self) -> bool:
        """Whether values of the same seed are compared."""
        return True

    @property
    def given_convergence(self) -> bool:
        """Whether the mean leaves out diverged seeds, and wins and medians are the headline."""
        return len(self.differences) < self.pairs

    @property
    def p(self) -> float:
        """The p of the verdict: the t test's; with diverged seeds the sign test's; without spread exact."""
        if self.given_convergence:
            return self.sign_p
        if self.constant:
            return power.smallest_exact_p(self.pairs) if self.mean else 1.0
        return 1.0 if self.t_p is None else self.t_p

    @property
    def equivalence_p(self) -> float:
        """The p of the equivalence within ±δ: 0 if bitwise identical, 1 with diverged seeds, else TOST's."""
        if self.identical:
            return 0.0
        return 1.0 if self.given_convergence or self.tost_p is None else self.tost_p

    @property
    def sign_p(self) -> float:
        """Exact two-sided p that wins and losses are equally likely; ties are left out."""
        decided, fewer = self.wins + self.losses, min(self.wins, self.losses)
        return min(1.0, 2 * float(special.bdtr(fewer, decided, 0.5))) if decided else 1.0

    @property
    def direction(self) -> int:
        """1 where the headline favours the arm, −1 where it favours the baseline, otherwise 0."""
        if self.given_convergence or self.mean is None:
            return (self.wins > self.losses) - (self.wins < self.losses)
        sign = (self.mean > 0) - (self.mean < 0)
        return -sign if self.lower_is_better else sign

    @property
    def better(self) -> bool:
        """Whether the headline favours the arm."""
        return self.direction > 0

    @property
    def ratio(self) -> float | None:
        """The ratio of perplexities, arm over baseline; meaningful for losses only."""
        return None if self.mean is None else _exp(self.mean)

    @property
    def ratio_interval(self) -> Interval | None:
        """Its 95 % interval."""
        return self.interval and self.interval.exp()

    @property
    def mde(self) -> float | None:
        """The mean difference that this look detects with 80 % power at .05/family."""
        if self.sd is None:
            return None
        level = self.look.level(ALPHA / self.family)
        return self.sd * power.minimum_detectable_effect(len(self.differences), level)

    @property
    def seeds_needed(self) -> int | None:
        """The seeds that would detect a difference of δ at the last look, with this spread and power."""
        if self.sd is None:
            return None
        if self.sd == 0:
            return FEWEST_SEEDS
        level = self.look.looks.critical(ALPHA / self.family)
        return max(FEWEST_SEEDS, power.seeds_needed(self.delta / self.sd, level))


def summarise(values: Mapping[int, float], *, lower_is_better: bool = True) -> ArmSummary:
    """One arm by the numbers. Raises ValueError on NaN."""
    ordered = _order_by_seed(values, lower_is_better)
    x = _converged(ordered.values())
    return ArmSummary(
        values=ordered,
        diverged=len(ordered) - x.size,
        mean=float(x.mean()) if x.size else None,
        sd=float(x.std(ddof=1)) if x.size > 1 else None,
        interval=_interval(x, ALPHA),
        median=_median(ordered.values()),
    )


def contrast(
    arm: Mapping[int, float],
    baseline: Mapping[int, float],
    *,
    delta: float,
    lower_is_better: bool = True,
    family: int = 1,
    look: Look = FIXED,
) -> Contrast:
    """Compare two arms by their values by seed; an infinite value is a diverged seed, the worst there is.

    `delta` is the half width of the zone of equivalence, in units of the metric; `family` counts the
    contrasts that are corrected together; `look` is the one at which these seeds are seen. Raises ValueError
    on NaN, on a δ that is not positive, or on a family under 1.
    """
    if not delta > 0 or family < 1:
        raise ValueError(f"δ must be positive and the family at least 1, not {delta} and {family}")
    ours, theirs = _order_by_seed(arm, lower_is_better), _order_by_seed(baseline, lower_is_better)
    seeds = tuple(s for s in ours if s in theirs)
    a, b = np.array([ours[s] for s in seeds]), np.array([theirs[s] for s in seeds])
    converged = np.isfinite(a) & np.isfinite(b)
    wins, losses = int((a < b).sum()), int((a > b).sum())
    if not lower_is_better:
        wins, losses = losses, wins
    return Contrast(
        seeds=seeds,
        unpaired=tuple(sorted(set(ours) ^ set(theirs))),
        differences={s: float(x - y) for s, x, y, ok in zip(seeds, a, b, converged, strict=True) if ok},
        delta=delta,
        family=family,
        look=look,
        lower_is_better=lower_is_better,
        wins=wins,
        losses=losses,
        arm_diverged=int((~np.isfinite(a)).sum()),
        baseline_diverged=int((~np.isfinite(b)).sum()),
        arm_median=_median(a),
        baseline_median=_median(b),
        identical=bool(a.size and (a == b).all()),
        **_describe_pairs(a[converged], b[converged], delta, look),
    )


def holm(ps: Sequence[float]) -> list[float]:
    """Adjusted p values that keep the chance of any false claim in the family (Holm 1979)."""
    return [float(p) for p in step_down(_check_p_values(ps))]


def benjamini_hochberg(ps: Sequence[float]) -> list[float]:
    """Adjusted p values that keep the share of false claims; for exploratory sections alone."""
    if not len(ps):
        return []
    from scipy import stats  # half a second, for a study with exploratory arms alone

    return [float(p) for p in stats.false_discovery_control(_check_p_values(ps))]


def divergence_interval(k: int, n: int) -> Interval:
    """Clopper–Pearson's interval of the rate k/n. Raises ValueError unless 0 ≤ k ≤ n and n ≥ 1."""
    from scipy import stats  # half a second, for a study with diverged trials alone

    ends = stats.binomtest(k, n).proportion_ci(1 - ALPHA, method="exact")
    return Interval(float(ends.low), float(ends.high), 1 - ALPHA)


def _describe_pairs(a: Floats, b: Floats, delta: float, look: Look) -> dict[str, Any]:
    """The fields of a Contrast that rest on converged pairs."""
    d = without_rounding(a - b, max(np.abs(a).max(initial=0), np.abs(b).max(initial=0)))
    enough = d.size > 1
    constant = bool(enough and np.ptp(d) == 0)
    tested = t_test(d) if enough and not constant else None
    return {
        "constant": constant,
        "mean": float(d.mean()) if d.size else None,
        "sd": (0.0 if constant else float(d.std(ddof=1))) if enough else None,
        "interval": _interval(d, ALPHA, look.level(ALPHA)),
        "interval90": _interval(d, 2 * ALPHA, 2 * look.level(ALPHA, sides=1)),
        "t": tested and float(tested[0]),
        "t_p": tested and float(tested[1]),
        "tost_p": float(tost_p(d, delta)) if enough else None,
        "r": float(np.corrcoef(a, b)[0, 1]) if d.size > 2 and np.ptp(a) > 0 and np.ptp(b) > 0 else None,
    }


def _check_p_values(ps: Sequence[float]) -> Floats:
    if any(not 0 <= p <= 1 for p in ps):
        raise ValueError(f"p values lie between 0 and 1: {list(ps)}")
    return np.array(ps, dtype=float)


def _interval(x: Floats, alpha: float, here: float | None = None) -> Interval | None:
    """The mean's t interval at 1 − alpha, from 3 values on; `here` is its alpha at this look alone."""
    if x.size < 3:
        return None
    low, high = t_interval(x, 1 - (alpha if here is None else here))
    return Interval(float(low), float(high), 1 - alpha)


def _order_by_seed(values: Mapping[int, float], lower_is_better: bool) -> dict[int, float]:
    """By seed, with a diverged one as the worst value of its metric. Raises ValueError on NaN."""
    worst = math.inf if lower_is_better else -math.inf
    for seed, value in values.items():
        if math.isnan(value):
            raise ValueError(f"seed {seed} is NaN: a diverged seed counts as infinite, it is never dropped")
    return {s: float(values[s]) if math.isfinite(values[s]) else worst for s in sorted(values)}


def _converged(values: Iterable[float]) -> Floats:
    return np.array([v for v in values if math.isfinite(v)], dtype=float)


def _median(values: Iterable[float]) -> float | None:
    """The median; halfway to infinity is infinite."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return float(ordered[middle] + ordered[~middle]) / 2 if ordered else None


def _exp(x: float) -> float:
    return math.exp(x) if x < 709 else math.inf
