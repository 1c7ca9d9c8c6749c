"""The files of a ledger as a gate reads them, and the seeds that its open contrasts still ask for."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ablations.design.plan import Id
from bench.trial import TASK, Metric
from reports.statistics.contrasts import benjamini_hochberg, holm
from reports.statistics.decisions import decide
from reports.statistics.sequential import Looks


@dataclass(frozen=True)
class StoredArm:
    """An arm of a plan."""

    name: str
    trials: Mapping[int, Id]
    changes: Mapping[str, Any] = field(default_factory=dict)
    against: str = ""
    exploratory: bool = False
    counted: bool = False  # its seeds share one trial


@dataclass(frozen=True)
class StoredPlan:
    """A plan."""

    study: str
    metrics: tuple[Metric, ...]
    seeds: tuple[int, ...]
    looks: tuple[int, ...]
    arms: tuple[StoredArm, ...]


@dataclass(frozen=True)
class StoredTrial:
    """A trial's result."""

    status: str
    trial: Mapping[str, Any]
    reason: str = ""
    epochs: tuple[Mapping[str, Any], ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    roles: Mapping[str, tuple[float, int, int]] = field(default_factory=dict)
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)


Results = Mapping[str, Mapping[int, StoredTrial]]
"""By arm, by the seed of the plan."""


def missing(plan: StoredPlan, results: Results) -> dict[str, list[int]]:
    """By arm, the seeds without a result, of those of the first look and of the next that needs the arm.

    An arm whose contrasts are decided lacks nothing, however few seeds it has.
    """
    arms, metrics, seeds = plan.arms, plan.metrics, plan.seeds
    for arm in arms:
        if arm.counted:
            results = {**results, arm.name: {s: r for r in results[arm.name].values() for s in seeds}}
    needs = dict.fromkeys((arm.name for arm in arms), plan.looks[0])
    bases = {arm.name: arm.against or arms[0].name for arm in arms[1:]}
    for exploratory in (False, True) if plan.looks[-1] > 1 else ():  # one seed decides nothing
        names = [arm.name for arm in _contrasts(arms, bases, results) if arm.exploratory is exploratory]
        asks = decide(
            {
                n: {m.name: (_values(results[n], m), _values(results[bases[n]], m)) for m in metrics}
                for n in names
            },
            seeds=seeds,
            looks=Looks(plan.looks),
            metrics=metrics,
            lost={n: _lost(results[n]) | _lost(results[bases[n]]) for n in names},
            adjust=benjamini_hochberg if exploratory else holm,
        ).asks
        for name, asked in asks.items():
            for side in (name, bases[name]):
                needs[side] = max(needs[side], asked)
    return {name: [seed for seed in seeds[:n] if seed not in results[name]] for name, n in needs.items()}


def _contrasts(arms: Sequence[StoredArm], bases: Mapping[str, str], results: Results) -> list[StoredArm]:
    """The arms with a contrast to decide: no A/A check, no reference, and of the task of their baseline."""
    named = {arm.against for arm in arms}
    return [
        arm
        for arm in arms[1:]
        if (arm.against or (arm.changes and not arm.counted and arm.name not in named))
        and _task(results[arm.name]) == _task(results[bases[arm.name]])
    ]


def _task(of_arm: Mapping[int, StoredTrial]) -> list[Any]:
    trial = next((trained.trial for trained in of_arm.values()), {})
    return [trial.get(name) for name in TASK]


def _values(of_arm: Mapping[int, StoredTrial], metric: Metric) -> dict[int, float]:
    found = {}
    for seed, trained in of_arm.items():
        value = math.inf if trained.status == "diverged" else trained.metrics.get(metric.name)
        if value is not None and trained.status in ("done", "diverged"):
            found[seed] = value if math.isfinite(value) else math.inf
    return found


def _lost(of_arm: Mapping[int, StoredTrial]) -> dict[int, str]:
    return {seed: "failed" for seed, one in of_arm.items() if one.status not in ("done", "diverged")}
