"""What a study knows of the trainer that its trials belong to: which settings there are, and their trials.

`ablations.study.chapter` is the chapter's, `ablations.study.program` that of a user's program.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from unrolled.ablations.study.study_file import MetricTable
from unrolled.bench.trial import Trial

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Factor:
    """A named change for use in designs: a setting and its two levels."""

    key: str
    title: str
    off: Any
    on: Any


class Trainer(Protocol):
    """The settings of a study, flat as a study's file has them, and as the fields of a trial.

    Every function raises BadInput for settings that are wrong.
    """

    def metrics(self, given: Sequence[MetricTable]) -> Sequence[MetricTable]:
        """What arms are judged by: the metrics that a study gives, or else those that are usual."""

    def resolve(self, given: Settings) -> dict[str, Any]:
        """The fields of a trial, the seed and the hashes apart, from flat settings."""

    def complete(self, given: Settings) -> dict[str, Any]:
        """Every setting, flat and unchecked."""

    def inherit(self, baseline: Settings, changes: Settings) -> dict[str, Any]:
        """The settings that an arm gives: the baseline's and then its own."""

    def factor(self, name: str, given: Settings) -> Factor:
        """The factor of that name."""

    def label(self, key: str, value: Any) -> str:
        """A setting as reports name it: 'lr 0.001', 'no dropout'."""

    def trial(self, trial_fields: Settings, seed: int = 0, device: str = "cpu") -> Trial:
        """The trial of these fields, without hashes."""

    def check_data(self, trial_fields: Settings) -> None:
        """Check the data that trials learn from, as far as planning can tell."""

    def task(self, trial_fields: Settings) -> dict[str, Any]:
        """The settings that define the task, beyond which numbers do not compare."""


def title(trainer: Trainer, changes: Settings) -> str:
    """The name of an arm that was given none: 'LMModel5, lr 0.003'. The settings must be sound."""
    return ", ".join(trainer.label(key, value) for key, value in changes.items())
