"""The rule of a gate: a change passes where it is shown to be less than δ worse by every metric.

All metrics have to pass, so that each is tested at .05 without a correction: a change that is worse by δ in
one of them passes in .05 of gates at most, however many there are (R. L. Berger, "Multiparameter Hypothesis
Testing and Acceptance Sampling", Technometrics 24 (1982)). With skewed pairs it passes more often:
docs/trust.md has the rates.
"""

import math
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from unrolled.bench.metric import FEWEST_SEEDS, Metric, is_computed
from unrolled.reports.statistics.estimators import Floats, mean_interval, moments
from unrolled.reports.statistics.pairs import compare_pairs
from unrolled.reports.statistics.power import ALPHA
from unrolled.reports.statistics.sequential import Look, Looks
from unrolled.reports.statistics.types import SidePair, select_side_seeds
from unrolled.reports.statistics.values import are_computed_alike

Key = TypeVar("Key", bound=Hashable)
GATES = 4_000  # simulated gates behind an expectation: a chance has a standard error of at most .008


class Outcome(StrEnum):
    """What is shown of how much worse the head is."""

    LESS = "less than δ worse"
    MORE = "more than δ worse"
    OPEN = "open"


@dataclass(frozen=True, kw_only=True)
class Bound:
    """How much worse the head is by one metric, after the looks at which that was open.

    `bound` is the one-sided 95 % repeated bound: the head is worse by less than this. `least` is the one on
    the other side. Both hold at all looks together.
    """

    metric: Metric
    pairs: int = 0  # that converged on both sides
    worse: float | None = None  # their mean, in the metric's unit; negative where the head is better
    bound: float = math.inf
    least: float = -math.inf

    @property
    def outcome(self) -> Outcome:
        """The outcome that the two bounds show."""
        if self.bound < self.metric.zone:
            return Outcome.LESS
        if self.least > self.metric.zone:
            return Outcome.MORE
        return Outcome.OPEN

    def add_look(self, pair: SidePair, look: Look, equal: Collection[int]) -> "Bound":
        """Return the bound after one more look, at which head and base have these values by seed.

        A number that follows from the settings, such as a number of parameters, is known.
        """
        head, base = pair
        seeds = [s for s in head if s in base and math.isfinite(head[s]) and math.isfinite(base[s])]
        head, base = select_side_seeds(pair, seeds)
        is_fixed = bool(seeds) and all(len({*side.values()}) == 1 and side[seeds[0]] for side in (head, base))
        c = compare_pairs(
            head,
            base,
            delta=self.metric.zone,
            lower_is_better=self.metric.lower_is_better,
            look=look,
            identical=set(seeds) <= set(equal) or are_computed_alike(head, base, self.metric.zone),
            highest=self.metric.highest,
        )
        ends = c.interval(ALPHA, sides=1)
        if ends is None or c.mean is None or c.pairs < FEWEST_SEEDS:
            return replace(self, pairs=c.pairs)
        worse = c.mean
        low = ends.low
        high = ends.high
        if is_fixed and self.metric.is_structural:
            low = high = c.mean
        if not c.lower_is_better:
            worse, low, high = -worse, -high, -low
        return replace(
            self, pairs=c.pairs, worse=worse, bound=min(self.bound, high), least=max(self.least, low)
        )


@dataclass(frozen=True, kw_only=True)
class GateDecision(Generic[Key]):
    """The state of a gate. It is open while neither a pass nor a fault is there, and asks for more seeds."""

    bounds: Mapping[tuple[Key, str], Bound]  # by level of other settings and by metric
    looks_taken: int
    fault: str = ""  # why it fails, such as "seed 3 failed"; "" where it does not
    seeds_requested: int = 0  # of the planned ones, for the next look; 0: no more

    @property
    def has_ended(self) -> bool:
        """True if it has passed or failed."""
        return not self.seeds_requested

    @property
    def passed(self) -> bool:
        """True if it ended without a fault."""
        return self.has_ended and not self.fault


def non_inferiority(
    pairs: Mapping[Key, Mapping[str, SidePair]],
    *,
    seeds: Sequence[int],
    looks: Looks,
    metrics: Sequence[Metric],
    lost: Mapping[Key, Mapping[int, str]] | None = None,
    equal: Mapping[Key, Collection[int]] | None = None,
) -> GateDecision[Key]:
    """Judge a head against its base, look by look; arguments as of `decisions.evaluate_looks`.

    `pairs` has the values of head and base by level of other settings and by metric; infinite: diverged. It
    passes when every metric is shown to be less than δ worse, at the look at which that is shown or at an
    earlier one. It fails as soon as one is shown to be more than δ worse, a planned seed is lost, or diverges
    at the head alone, where a side ignores its seed, and if the last look leaves one open. A seed that
    diverged on both sides, or at the base alone, is no evidence. A side ignores its seed if each metric that
    is no clock has one value on all seeds, five or more: these are one run, unless `equal` says that both
    sides computed the same. Raises ValueError without metrics, or with fewer seeds than the last look.
    """
    if not metrics or len(set(seeds)) < max(looks.last, len(seeds)):
        raise ValueError(f"looks up to {looks.last} need a metric and as many different seeds")
    bounds = {(level, metric.name): Bound(metric=metric) for level in pairs for metric in metrics}
    for k, n in enumerate(looks.numbers):
        values = {key: select_side_seeds(pairs[key[0]].get(key[1], ({}, {})), seeds[:n]) for key in bounds}
        if fault := next(_find_faults(values, lost or {}, seeds[:n]), ""):
            return GateDecision(bounds=bounds, looks_taken=k, fault=fault)
        if any(len(side) < n for pair in values.values() for side in pair):
            return GateDecision(bounds=bounds, looks_taken=k, seeds_requested=n)
        if fault := next(_find_copies(values, metrics, equal or {}), ""):
            return GateDecision(bounds=bounds, looks_taken=k, fault=fault)
        for key, bound in bounds.items():
            if bound.outcome is Outcome.OPEN:
                bounds[key] = bound.add_look(values[key], Look(looks, k), (equal or {}).get(key[0], ()))
        outcomes = {_format_key(*key): bound.outcome for key, bound in bounds.items()}
        if worse := [name for name, outcome in outcomes.items() if outcome is Outcome.MORE]:
            fault = f"{', '.join(worse)}: {Outcome.MORE}"
            return GateDecision(bounds=bounds, looks_taken=k + 1, fault=fault)
        if {*outcomes.values()} == {Outcome.LESS}:
            return GateDecision(bounds=bounds, looks_taken=k + 1)
    still_open = ", ".join(name for name, outcome in outcomes.items() if outcome is Outcome.OPEN)
    fault = f"{still_open}: not shown to be {Outcome.LESS}"
    return GateDecision(bounds=bounds, looks_taken=len(looks.numbers), fault=fault)


def _find_faults(
    pairs: Mapping[tuple[Key, str], SidePair], lost: Mapping[Key, Mapping[int, str]], seeds: Sequence[int]
) -> Iterator[str]:
    """Yield planned seeds that were lost, and those that diverged at the head alone."""
    for level, reasons in lost.items():
        yield from (
            f"{_format_key(level, f'seed {seed}')} {reasons[seed]}" for seed in seeds if seed in reasons
        )
    for (level, _), (head, base) in pairs.items():
        for seed in head.keys() & base.keys():
            if math.isinf(head[seed]) and not math.isinf(base[seed]):
                yield f"{_format_key(level, f'seed {seed}')} diverged at the head alone"


def _find_copies(
    pairs: Mapping[tuple[Key, str], SidePair], metrics: Sequence[Metric], equal: Mapping[Key, Collection[int]]
) -> Iterator[str]:
    """Yield the sides that are one run under all seeds, unless both sides computed the same."""
    qualities = [m.name for m in metrics if m.is_quality and is_computed(m.name)]
    judged = [m for m in metrics if m.name in qualities]
    for level in dict.fromkeys(level for level, _ in pairs) if qualities else ():
        of_level = [pairs[level, name] for name in qualities]
        copies = [
            name
            for name, side in zip(("head", "base"), zip(*of_level, strict=True), strict=True)
            if all(map(_is_one_value, side))
            and not all(m.are_best(by_seed.values()) for m, by_seed in zip(judged, side, strict=True))
        ]
        seeds = {seed for head, base in of_level for seed in head.keys() | base.keys()}
        if copies and not (len(copies) == 2 and seeds <= set(equal.get(level, ()))):
            yield _format_key(
                level, f"the {' and the '.join(copies)} ignore{'s' * (len(copies) == 1)} the seed"
            )


def _is_one_value(side: Mapping[int, float]) -> bool:
    finite = [x for x in side.values() if math.isfinite(x)]
    return len(finite) >= FEWEST_SEEDS and len({*finite}) == 1


def _format_key(level: Hashable, name: str) -> str:
    return f"{level}: {name}" if level else name


class Chance(NamedTuple):
    """The mean number of pairs of a gate, and its chance to pass by one metric."""

    pairs: float
    passes: float


@lru_cache(maxsize=256)
def expected_gate(looks: Looks, *, sd: float, delta: float, effect: float = 0.0) -> Chance:
    """Return what to expect of a head that is worse by `effect`; `sd` is that of the pairs' differences.

    All are in the unit of δ. Pairs are normal. Raises ValueError unless sd and δ are positive.
    """
    if not (sd > 0 and delta > 0):
        raise ValueError(f"SD and δ must be positive, not {sd} and {delta}")
    worse = effect + sd * np.random.default_rng(0).standard_normal((GATES, looks.last))
    return simulate_gates(worse, looks, delta)


def simulate_gates(worse: Floats, looks: Looks, delta: float) -> Chance:
    """Return the same for differences of any law, (gates, pairs), each by how much the head is worse."""
    active = np.ones(len(worse), bool)
    passes = 0
    pairs = 0
    before = 0
    for k, n in enumerate(looks.numbers):
        pairs += (n - before) * int(active.sum())
        before = n
        low, high = mean_interval(moments(worse[:, :n]), 2 * Look(looks, k).compute_level(ALPHA, sides=1))
        if n >= FEWEST_SEEDS:
            passes += int((active & (high < delta)).sum())
            active &= (high >= delta) & (low <= delta)
    return Chance(pairs / len(worse), passes / len(worse))
