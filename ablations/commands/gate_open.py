"""The seeds that a study's open contrasts still ask for, from the files of a ledger of any version."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from bench.trial import TASK, Metric
from reports.statistics.contrasts import benjamini_hochberg, holm
from reports.statistics.decisions import decide
from reports.statistics.sequential import Looks


class PlannedArm(Protocol):
    """The fields of a planned arm that say what it is held against."""

    name: str
    against: str
    changes: Mapping[str, Any]
    exploratory: bool


class Trained(Protocol):
    """The fields of a result that a decision rests on."""

    status: str
    trial: Mapping[str, Any]
    metrics: Mapping[str, float]


Results = Mapping[str, Mapping[int, Trained]]
"""By arm, by the seed of the plan."""


def missing(
    arms: Sequence[PlannedArm],
    results: Results,
    seeds: Sequence[int],
    looks: Sequence[int],
    metrics: Sequence[Metric],
) -> dict[str, list[int]]:
    """By arm, the seeds without a result, of those of the first look and of the next that needs the arm.

    An arm whose contrasts are decided lacks nothing, however few seeds it has.
    """
    needs = dict.fromkeys((arm.name for arm in arms), looks[0])
    bases = {arm.name: arm.against or arms[0].name for arm in arms[1:]}
    for exploratory in (False, True):
        names = [arm.name for arm in _contrasts(arms, bases, results) if arm.exploratory is exploratory]
        asks = decide(
            {
                n: {m.name: (_values(results[n], m), _values(results[bases[n]], m)) for m in metrics}
                for n in names
            },
            seeds=seeds,
            looks=Looks(tuple(looks)),
            metrics=metrics,
            lost={n: _lost(results[n]) | _lost(results[bases[n]]) for n in names},
            adjust=benjamini_hochberg if exploratory else holm,
        ).asks
        for name, asked in asks.items():
            for side in (name, bases[name]):
                needs[side] = max(needs[side], asked)
    return {name: [seed for seed in seeds[:n] if seed not in results[name]] for name, n in needs.items()}


def _contrasts(arms: Sequence[PlannedArm], bases: Mapping[str, str], results: Results) -> list[PlannedArm]:
    """The arms with a contrast to decide: no A/A check, no reference, and of the task of their baseline."""
    named = {arm.against for arm in arms}
    return [
        arm
        for arm in arms[1:]
        if (arm.against or (arm.changes and arm.name not in named))
        and _task(results[arm.name]) == _task(results[bases[arm.name]])
    ]


def _task(of_arm: Mapping[int, Trained]) -> list[Any]:
    trial = next((trained.trial for trained in of_arm.values()), {})
    return [trial.get(name) for name in TASK]


def _values(of_arm: Mapping[int, Trained], metric: Metric) -> dict[int, float]:
    found = {}
    for seed, trained in of_arm.items():
        value = math.inf if trained.status == "diverged" else trained.metrics.get(metric.name)
        if value is not None and trained.status in ("done", "diverged"):
            found[seed] = value if math.isfinite(value) else math.inf
    return found


def _lost(of_arm: Mapping[int, Trained]) -> dict[int, str]:
    return {seed: "failed" for seed, one in of_arm.items() if one.status not in ("done", "diverged")}
