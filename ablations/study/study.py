"""A study: a question, the arms that answer it, and a hash of what is decided before the first trial."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

from unrolled.ablations.study.study_file import StudyFile
from unrolled.ablations.study.trial_factory import ArmFields, TrialFactory
from unrolled.bench.files.canonical_json import canonical_json
from unrolled.bench.study_rules import StudyRules, find_base, is_reference
from unrolled.bench.trainer import Trainer
from unrolled.bench.trial import Scalar, Trial


@dataclass(frozen=True, kw_only=True)
class ArmDescription:
    """The fields that a study's arms and a plan's arms share."""

    name: str
    changes: Mapping[str, Scalar] = field(default_factory=dict)
    """Settings that differ from those of its baseline, by their flat names.

    If the model differs, they include the settings that differ with it, such as its number of layers.
    """
    question: str = ""
    note: str = ""
    exploratory: bool = False
    against: str = ""
    """The arm that this one is compared with; "" for the baseline.

    An arm that other arms name here is a reference. It has a contrast only if it has an `against` itself.
    """
    may_be_identical: bool = False
    """True for an arm of a program that may report the same numbers as its baseline."""
    seed_offset: int = 0
    """The number that is added to each seed of the study; 0 for all arms but the A/A check."""
    other_names: tuple[str, ...] = ()
    """Names of other arms of the same settings that the file declares, and that were merged into this one."""

    @property
    def is_other_commit(self) -> bool:
        """True if the arm runs another commit than its baseline, which may change no number."""
        return "commit" in self.changes


@dataclass(frozen=True, kw_only=True)
class Arm(ArmDescription):
    """One arm of a study. `fields` are those that its trials share: see ArmFields."""

    factory: TrialFactory = field(repr=False, compare=False)
    fields: ArmFields

    def make_unidentified_trial(self, seed: int = 0, device: str = "cpu") -> Trial:
        """Return its trial for a seed of the study, without the hashes of code and text."""
        return self.factory.make_trial(self.fields, seed + self.seed_offset, device)


@dataclass(frozen=True, kw_only=True)
class Study:
    """A question, and the arms that answer it. The first arm is the baseline.

    `file` is the parsed study file, which `override_study` changes.
    """

    rules: StudyRules
    arms: tuple[Arm, ...]
    path: str
    file: StudyFile = field(repr=False, compare=False)
    declared_seeds: tuple[int, ...] = ()
    """The seeds of its file, where `--seeds` replaced them; else ()."""
    repetition_differences: Mapping[str, float] | None = None
    """See `Plan`. Not None if an earlier plan has measured it."""
    unjudged_repetition_differences: Mapping[str, float] = field(default_factory=dict)
    """See `Plan`. Measured together with `repetition_differences`."""

    @property
    def name(self) -> str:
        """The name of the study."""
        return self.rules.name

    @property
    def baseline(self) -> Arm:
        """The first arm, with which the others are compared."""
        return self.arms[0]

    @property
    def trainer(self) -> Trainer:
        """What the trainer of its arms supplies."""
        return self.baseline.make_unidentified_trial().trainer

    def extend_to_the_end(self) -> "Study":
        """Return the study whose contrasts, though unlikely to be decided, get all seeds."""
        return replace(self, rules=replace(self.rules, to_the_end=True))

    @property
    def contrasts(self) -> dict[str, str]:
        """The declared contrasts: compared arm → the arm that it is compared with.

        These arms have none:

        - the A/A check
        - an arm of another task than its base
        - a reference: see `is_reference`
        """
        contrasts = {}
        for arm in self.arms[1:]:
            has_own_contrast = not is_reference(
                arm, self.arms, uses_seed=arm.make_unidentified_trial().uses_seed
            )
            if has_own_contrast and not self.find_task_differences(arm) and not arm.seed_offset:
                contrasts[arm.name] = find_base(arm, self.arms).name
        return contrasts

    def find_task_differences(self, arm: Arm) -> list[str]:
        """Return the settings of the task in which an arm differs from its base: ["vocab"]."""
        base = find_base(arm, self.arms)
        base_task = base.factory.find_task_settings(base.fields)
        task = arm.factory.find_task_settings(arm.fields)
        return [key for key, value in task.items() if base_task[key] != value]

    @property
    def study_hash(self) -> str:
        """sha256 of what is decided in advance: question, metrics, seeds, looks, the arms' settings."""
        arms = [
            {
                "name": arm.name,
                "settings": arm.fields,
                "exploratory": arm.exploratory,
                "seed_offset": arm.seed_offset,
                "against": arm.against,
            }
            for arm in self.arms
        ]
        decisions = {
            "name": self.rules.name,
            "question": self.rules.question,
            "seeds": self.rules.seeds,
            "looks": self.rules.looks,
            "metrics": [asdict(metric) for metric in self.rules.metrics],
            "arms": arms,
            "decide": self.rules.stopping_rule,
        }
        if self.rules.gain_level:
            decisions["levels"] = [self.rules.gain_level, self.rules.simpler_level]
        return hashlib.sha256(canonical_json(decisions)).hexdigest()
