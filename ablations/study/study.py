"""A study: a question, the arms that answer it, and their trials, hashed before the first is trained."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from unrolled.ablations.study.study_file import StudyFile
from unrolled.ablations.study.trainer import Settings, Trainer
from unrolled.bench.metric import Metric
from unrolled.bench.trial import Scalar, Trial, canonical


@dataclass(frozen=True, kw_only=True)
class ArmDescription:
    """The fields that a study's arms and a plan's arms share.

    `changes` are the settings that differ from the baseline's, by their flat names; a change of the model
    includes that model's chapter settings. `against` names the arm that this one is compared with, from which
    `changes` then differ; "" is the baseline. An arm that others name has a contrast only where it names one
    itself. An arm of a program that is `identical` may tell the same numbers as its baseline. A trial is
    trained with a seed of the study, by which it is paired, plus `seed_offset`.
    """

    name: str
    changes: Mapping[str, Scalar] = field(default_factory=dict)
    question: str = ""
    note: str = ""
    exploratory: bool = False
    against: str = ""
    identical: bool = False
    seed_offset: int = 0

    @property
    def is_other_commit(self) -> bool:
        """Whether it runs another commit than its baseline, which may change no number."""
        return "commit" in self.changes


@dataclass(frozen=True, kw_only=True)
class Arm(ArmDescription):
    """One arm of a study with the complete settings of its trials.

    `settings` are the fields of its trials but the seed. `seeds` are the study's. `also` are further names
    under which the design declares an arm of the same settings.
    """

    trainer: Trainer = field(repr=False, compare=False)
    settings: Settings
    seeds: tuple[int, ...]
    also: tuple[str, ...] = ()

    def trial(self, seed: int = 0, device: str = "cpu") -> Trial:
        """Its trial for a seed of the study, without the hashes of code and text (`bench.identity`)."""
        return self.trainer.trial(self.settings, seed + self.seed_offset, device)

    @property
    def flat(self) -> dict[str, Scalar]:
        """Its settings by their flat names."""
        return self.trial().factors()

    @property
    def task(self) -> dict[str, Any]:
        """The settings that define its task."""
        return self.trainer.task(self.settings)


@dataclass(frozen=True, kw_only=True)
class Study:
    """A question, and the arms that answer it. The first arm is the baseline.

    The first of `metrics` decides; `looks` are the numbers of `seeds` after which it may, and `decide` is
    what it decides: "direction" or "size". With `to_the_end` contrasts that are unlikely to be decided go on
    to the last look. `file` is the parsed study file, which `override` changes.
    """

    name: str
    question: str
    about: str
    metrics: tuple[Metric, ...]
    seeds: tuple[int, ...]
    looks: tuple[int, ...]
    decide: str
    to_the_end: bool
    arms: tuple[Arm, ...]
    path: str
    file: StudyFile = field(repr=False, compare=False)

    @property
    def baseline(self) -> Arm:
        """The first arm, with which the others are compared."""
        return self.arms[0]

    @property
    def trainer(self) -> str:
        """The name of what trains its arms: see `bench.trial.TRAINERS`."""
        return self.baseline.trial().trainer

    @property
    def of_program(self) -> bool:
        """Whether its trials are a user's program, of which nothing is known before the first."""
        return self.trainer == "program"

    @property
    def clocks(self) -> list[str]:
        """The metrics of time, speed or memory that it judges: its trials run one at a time."""
        return [metric.name for metric in self.metrics if not metric.is_quality]

    @property
    def contrasts(self) -> dict[str, str]:
        """The declared contrasts: the arm that is compared, and the one that it is compared with.

        The A/A check is none. Nor has a reference one: an arm that others name in `against`, or one that no
        seed changes, unless it names an arm itself. Nor has an arm of another task.
        """
        found, bases = {}, {arm.against for arm in self.arms}
        for arm in self.arms[1:]:
            reference = not arm.against and (arm.trial().ignores_seed or arm.name in bases)
            if not self.other_task(arm) and not reference and not arm.seed_offset:
                found[arm.name] = arm.against or self.baseline.name
        return found

    def other_task(self, arm: Arm) -> list[str]:
        """The settings of the task in which an arm differs from the one that it is compared with."""
        base = next((one for one in self.arms if one.name == arm.against), self.baseline)
        theirs = base.task
        return [key for key, value in arm.task.items() if theirs[key] != value]

    @property
    def plan_hash(self) -> str:
        """sha256 of what is decided: question, metrics, seeds, looks, the arms' settings."""
        decided = {
            **{key: getattr(self, key) for key in ("name", "question", "seeds", "looks")},
            "metrics": [asdict(metric) for metric in self.metrics],
            "arms": [
                {key: getattr(arm, key) for key in ("name", "settings", "exploratory", "seed_offset")}
                | ({"against": arm.against} if arm.against else {})
                for arm in self.arms
            ],
        }
        if self.decide != "direction":
            decided["decide"] = self.decide
        return hashlib.sha256(canonical(decided)).hexdigest()
