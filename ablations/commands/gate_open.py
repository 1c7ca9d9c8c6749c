"""The files of a ledger as a gate reads them, and the seeds that its open contrasts still ask for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ablations.design.plan import Id
from bench.trial import TASK, Metric, Result, Trial
from reports.comparison import compare
from reports.evidence import Evidence, MeasuredArm


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
    arms = tuple(_measured(arm, plan.seeds, results[arm.name]) for arm in plan.arms)
    evidence = Evidence(
        study=plan.study,
        question="",
        metrics=plan.metrics,
        seeds=plan.seeds,
        looks=plan.looks,
        arms=arms,
        plan="",
        planned=0.0,
        command="",
    )
    return {
        arm.name: [seed for seed in plan.seeds[: row.total] if seed not in arm.results]
        for arm, row in zip(arms, compare(evidence).rows, strict=True)
    }


def _measured(arm: StoredArm, seeds: Sequence[int], results: Mapping[int, StoredTrial]) -> MeasuredArm:
    """The arm as a report reads it."""
    found = {seed: _result(trained) for seed, trained in results.items()}
    if arm.counted:
        found = {seed: result for result in found.values() for seed in seeds}
    return MeasuredArm(
        name=arm.name,
        model="",
        title="",
        changes=arm.changes,
        results=found,
        exploratory=arm.exploratory,
        against=arm.against,
        counted=arm.counted,
    )


def _result(stored: StoredTrial) -> Result:
    """What a comparison reads of a result."""
    task = {name: stored.trial[name] for name in TASK if name in stored.trial}
    trial = Trial(model="", seed=int(stored.trial.get("seed", 0)), **task)
    return Result(trial=trial, status=stored.status, metrics=stored.metrics)
