"""A plan: a study as it was decided, with the identity of every trial, stored before the first of them.

Reports, MLflow and `status` read the plan and the ledger, never the study's file or today's code: an edit
makes other trials and another plan, and old results cannot slip into a new report.
"""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ablations.ledger import Ledger, save
from ablations.study import Study, trials
from bench.identity import identify
from bench.models.registry import spec_of
from bench.trial import BadInput, Result, Scalar, Trial, canonical


@dataclass(frozen=True, kw_only=True)
class PlannedArm:
    """One arm and the identity of its trial for each of the study's seeds."""

    name: str
    model: str
    title: str
    changes: Mapping[str, Scalar]
    trials: Mapping[int, str]
    exploratory: bool = False
    question: str = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What was decided, and when. `hash` is the sha256 of the resolved study, `command` what was typed."""

    study: str
    question: str
    about: str
    metric: str
    equivalence: float
    seeds: tuple[int, ...]
    arms: tuple[PlannedArm, ...]
    hash: str
    command: str
    planned: float = field(default_factory=time.time)  # unix seconds

    @property
    def ids(self) -> list[str]:
        """The identity of every trial, seed by seed."""
        return [arm.trials[seed] for seed in self.seeds for arm in self.arms]

    def cells(self, ledger: Ledger) -> Iterator[tuple[PlannedArm, int, Result]]:
        """Arm, seed and result of every trial that the ledger has."""
        results = ledger.results(self.ids)
        for seed in self.seeds:
            for arm in self.arms:
                if arm.trials[seed] in results:
                    yield arm, seed, results[arm.trials[seed]]


def decide(study: Study, command: str) -> tuple[Plan, list[Trial]]:
    """The plan of a study under today's code and data, and its trials in the order of running."""
    cells = trials(study, identify)
    by_arm: dict[str, dict[int, str]] = {arm.name: {} for arm in study.arms}
    offsets = {arm.name: arm.seed_offset for arm in study.arms}
    for name, trial in cells:
        by_arm[name][trial.seed - offsets[name]] = trial.id
    arms = tuple(
        PlannedArm(
            name=arm.name,
            model=arm.settings["model"],
            title=spec_of(arm.settings["model"]).title,
            changes=arm.changes,
            trials=by_arm[arm.name],
            **{key: getattr(arm, key) for key in ("exploratory", "question", "note")},
        )
        for arm in study.arms
    )
    plan = Plan(
        study=study.name,
        seeds=study.seeds,
        arms=arms,
        hash=study.plan,
        command=command,
        **{key: getattr(study, key) for key in ("question", "about", "metric", "equivalence")},
    )
    return plan, [trial for _, trial in cells]


def store(plan: Plan, ledger: Ledger) -> Plan:
    """Keep the plan in the ledger's folder and return it; the same plan again keeps its first time."""
    path = _path(ledger, plan.study)
    if path.exists():
        before = _read(path)
        if (before.hash, before.ids) == (plan.hash, plan.ids):
            plan = replace(plan, planned=before.planned)
    save(path, canonical(asdict(plan)))
    return plan


def stored(name: str, ledger: Ledger) -> Plan:
    """The latest plan of a study. Raises BadInput where it was never run."""
    path = _path(ledger, name)
    if not path.exists():
        known = ", ".join(plan.study for plan in all_stored(ledger)) or "none yet"
        raise BadInput(f"study {name!r} has not been run (run: {known}); `unrolled run {name}` runs it")
    return _read(path)


def all_stored(ledger: Ledger) -> list[Plan]:
    """The latest plan of every study that was run, by name."""
    return sorted(
        (_read(path) for path in (ledger.root / "plans").glob("*.json")), key=lambda plan: plan.study
    )


def _path(ledger: Ledger, study: str) -> Path:
    return ledger.root / "plans" / f"{hashlib.sha256(study.encode()).hexdigest()[:16]}.json"


def _read(path: Path) -> Plan:
    try:
        data: dict[str, Any] = json.loads(path.read_bytes())
        arms = tuple(
            PlannedArm(**{**arm, "trials": {int(seed): id for seed, id in arm["trials"].items()}})
            for arm in data.pop("arms")
        )
        return Plan(**{**data, "arms": arms, "seeds": tuple(data["seeds"])})
    except (ValueError, TypeError, KeyError) as error:
        raise BadInput(f"{path}: is not a plan of this version; delete it and run its study again") from error
