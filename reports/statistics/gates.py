"""The rule of a gate: a change passes if it is shown to be less than δ worse by every metric.

All metrics have to pass, so that each is tested at .05 without a correction: a change that is worse by δ in
one of them passes at most .05 of gates, however many metrics there are (R. L. Berger, "Multiparameter
Hypothesis Testing and Acceptance Sampling", Technometrics 24 (1982)). With skewed pairs it passes more often:
docs/error-rates.md has the rates.
"""

import math
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Generic, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unrolled.bench.metric import FEWEST_SEEDS, Metric
from unrolled.reports.statistics.estimators import Floats, mean_interval, moments
from unrolled.reports.statistics.look_input import Key, LookInput
from unrolled.reports.statistics.looks import Look, Looks
from unrolled.reports.statistics.pairs import compare_pairs, make_judged_scale
from unrolled.reports.statistics.power import ALPHA
from unrolled.reports.statistics.seed_values import Interval, SidePair, select_side_seeds

SIMULATED_GATES = 4_000
"""The simulated gates behind an expectation: a chance has a standard error of at most .008."""


class GateOutcome(StrEnum):
    """How much worse the head is shown to be by one metric."""

    LESS = "less than δ worse"
    MORE = "more than δ worse"
    OPEN = "open"


@dataclass(frozen=True, kw_only=True)
class Bound:
    """How much worse the head is by one metric, after the looks at which that metric was open.

    The two bounds are one-sided 95 % repeated bounds, which hold at all looks together:
    `lower` < how much worse the head is < `upper`.
    """

    metric: Metric
    pair_count: int = 0  # number of pairs that converged on both sides
    diverged_count: int = 0  # number of seeds of its last look that diverged, on both sides or at the base
    worse: float | None = None  # their mean, in the metric's unit; negative if the head is better
    upper: float = math.inf
    lower: float = -math.inf

    @property
    def outcome(self) -> GateOutcome:
        """The outcome that the two bounds show."""
        if self.upper < self.metric.zone:
            return GateOutcome.LESS
        if self.lower > self.metric.zone:
            return GateOutcome.MORE
        return GateOutcome.OPEN

    def add_look(self, sides: SidePair, look: Look, equal_seeds: Collection[int]) -> "Bound":
        """Return the bound after one more look, at which head and base have these values by seed."""
        head, base = sides
        seeds = [s for s in head if s in base and math.isfinite(head[s]) and math.isfinite(base[s])]
        diverged_count = len(head) - len(seeds)
        head, base = select_side_seeds(sides, seeds)
        contrast = compare_pairs(
            head,
            base,
            make_judged_scale(self.metric),
            look=look,
            equal_seeds=equal_seeds,
            trusts_equal_values=True,
        )
        interval = contrast.interval(ALPHA, tails=1)
        if interval is None or contrast.mean_difference is None or contrast.pair_count < FEWEST_SEEDS:
            return replace(self, pair_count=contrast.pair_count, diverged_count=diverged_count)
        worse = contrast.mean_difference
        if not contrast.lower_is_better:
            worse = -worse
            interval = Interval(-interval.high, -interval.low, interval.confidence)
        return replace(
            self,
            pair_count=contrast.pair_count,
            diverged_count=diverged_count,
            worse=worse,
            upper=min(self.upper, interval.high),
            lower=max(self.lower, interval.low),
        )


@dataclass(frozen=True, kw_only=True)
class GateDecision(Generic[Key]):
    """The state of a gate: passed, failed, or open while it requests more seeds."""

    bounds: Mapping[tuple[Key, str], Bound]  # by variant of the other settings and metric
    looks_taken: int
    fault: str = ""  # why it fails, such as "seed 3 failed"; "" if it does not
    next_seed_count: int = 0  # number of seeds at the next look; 0 for no more

    @property
    def has_ended(self) -> bool:
        """True if it has passed or failed."""
        return not self.next_seed_count

    @property
    def has_passed(self) -> bool:
        """True if it ended without a fault."""
        return self.has_ended and not self.fault


def decide_gate(
    look_input: LookInput[Key], one_run_sides: Mapping[Key, str] = MappingProxyType({})
) -> GateDecision[Key]:
    """Judge a head against its base, look by look.

    A contrast is a variant of the other settings, and its sides are head and base. An infinite value is a
    diverged seed. `one_run_sides` says of each variant which sides ignore their seed: "the head ignores the
    seed".

    A gate passes when every metric is shown to be less than δ worse, each at this look or at an earlier one.
    It fails as soon as

    - a metric is shown to be more than δ worse, or is still open after the last look,
    - a planned seed is lost, or only the head diverges on it,
    - a side ignores its seed, even if both do and computed the same: one run on either side shows too little.

    A seed that diverged on both sides, or only at the base, is no evidence.
    """
    looks = look_input.looks
    bounds = {
        (variant, metric.name): Bound(metric=metric)
        for variant in look_input.sides
        for metric in look_input.metrics
    }
    for k, n in enumerate(looks.pair_counts):
        values = {key: look_input.select_sides(*key, k) for key in bounds}
        faults = _find_faults(values, look_input.lost_reasons, one_run_sides, look_input.select_look_seeds(k))
        if fault := next(faults, ""):
            return GateDecision(bounds=bounds, looks_taken=k, fault=fault)
        if any(len(side) < n for sides in values.values() for side in sides):
            return GateDecision(bounds=bounds, looks_taken=k, next_seed_count=n)
        for key, bound in bounds.items():
            if bound.outcome is GateOutcome.OPEN:
                bounds[key] = bound.add_look(
                    values[key], Look(looks, k), look_input.equal_seeds.get(key[0], ())
                )
        outcomes = {_format_key(*key): bound.outcome for key, bound in bounds.items()}
        if worse := [name for name, outcome in outcomes.items() if outcome is GateOutcome.MORE]:
            fault = f"{', '.join(worse)}: {GateOutcome.MORE}"
            return GateDecision(bounds=bounds, looks_taken=k + 1, fault=fault)
        if {*outcomes.values()} == {GateOutcome.LESS}:
            return GateDecision(bounds=bounds, looks_taken=k + 1)
    still_open = ", ".join(name for name, outcome in outcomes.items() if outcome is GateOutcome.OPEN)
    fault = f"{still_open}: not shown to be {GateOutcome.LESS}"
    return GateDecision(bounds=bounds, looks_taken=len(looks), fault=fault)


def _find_faults(
    values: Mapping[tuple[Key, str], SidePair],
    lost_reasons: Mapping[Key, Mapping[int, str]],
    one_run_sides: Mapping[Key, str],
    seeds: Sequence[int],
) -> Iterator[str]:
    """Yield why the gate fails whatever its bounds are.

    The reasons are sides that ignore their seed, planned seeds that were lost ("seed 3 failed"), and seeds
    that diverged at the head alone.
    """
    for variant, reason in one_run_sides.items():
        if reason:
            yield _format_key(variant, reason)
    for variant, reasons in lost_reasons.items():
        for seed in seeds:
            if seed in reasons:
                yield f"{_format_key(variant, f'seed {seed}')} {reasons[seed]}"
    for (variant, _), (head, base) in values.items():
        for seed in head.keys() & base.keys():
            if math.isinf(head[seed]) and not math.isinf(base[seed]):
                yield f"{_format_key(variant, f'seed {seed}')} diverged at the head alone"


def _format_key(variant: Hashable, name: str) -> str:
    return f"{variant}: {name}" if variant else name


class Chance(NamedTuple):
    """The mean number of pairs of a gate, and its chance to pass by one metric."""

    pairs: float
    passes: float


@lru_cache(maxsize=256)
def predict_gate(looks: Looks, *, sd: float, zone: float, effect: float = 0.0) -> Chance:
    """Return what to expect of a gate whose head is worse by `effect`; `sd` is the SD of the differences.

    All are in the unit of δ, and pairs are normal. Raises ValueError unless sd and δ are positive.
    """
    if not (sd > 0 and zone > 0):
        raise ValueError(f"SD and δ must be positive, not {sd} and {zone}")
    worse = effect + sd * np.random.default_rng(0).standard_normal((SIMULATED_GATES, looks.last_pair_count))
    return simulate_gates(worse, looks, zone)


@lru_cache(maxsize=256)
def predict_gate_pairs(looks: Looks, spreads: tuple[tuple[float, float], ...]) -> float:
    """Return the mean number of pairs of a gate by several bounds, if nothing is changed.

    `spreads` has the SD and the zone of each bound. The gate goes on until the last bound is decided, or one
    fails. Bounds are taken to be independent. In a real gate the metrics of one seed are often correlated, so
    that it may end earlier.
    """
    rng = np.random.default_rng(0)
    ends = [
        _end_gates(sd * rng.standard_normal((SIMULATED_GATES, looks.last_pair_count)), looks, zone)
        for sd, zone in spreads
    ]
    pairs = np.array([of_bound.pairs for of_bound in ends])
    failed = np.array([of_bound.failed for of_bound in ends])
    first_failure = np.where(failed, pairs, looks.last_pair_count).min(axis=0)
    return float(np.minimum(first_failure, pairs.max(axis=0)).mean())


def simulate_gates(worse: Floats, looks: Looks, zone: float) -> Chance:
    """Return what to expect of gates with these differences, (gates, pairs): how much worse the head is."""
    ends = _end_gates(worse, looks, zone)
    return Chance(float(ends.pairs.mean()), float(ends.passed.mean()))


class _Ends(NamedTuple):
    """How simulated gates end by one bound; each field is (gates,)."""

    pairs: Floats
    passed: NDArray[np.bool_]
    failed: NDArray[np.bool_]


def _end_gates(worse: Floats, looks: Looks, zone: float) -> _Ends:
    active = np.ones(len(worse), bool)
    pairs = np.full(len(worse), float(looks.last_pair_count))
    passed = np.zeros(len(worse), bool)
    failed = np.zeros(len(worse), bool)
    for k, n in enumerate(looks.pair_counts):
        if n < FEWEST_SEEDS:
            continue
        low, high = mean_interval(moments(worse[:, :n]), 2 * Look(looks, k).compute_level(ALPHA, tails=1))
        passed |= active & (high < zone)
        failed |= active & (low > zone)
        pairs[active & (passed | failed)] = n
        active &= ~(passed | failed)
    return _Ends(pairs, passed, failed)
