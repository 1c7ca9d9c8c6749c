"""The protocol of a study's factory, which makes trials of settings.

There are two factories: the module `ablations.study.chapter_factory` for the chapter's models, and the class
`ProgramFactory` of `ablations.study.program_factory` for a user's program. What an arm sets has these shapes:

| shape | made by | example |
|---|---|---|
| settings: those that a study sets, flat | `inherit_settings` | {"model": "lm7", "dropout": 0.2} |
| changes: those that differ from the baseline's, flat | `Trial.find_changes` | {"dropout": 0.2} |
| arm fields: all, checked, as in a Trial | `make_arm_fields` | {"options": {"dropout": 0.2, …}, …} |
| flat settings: all, flat, for tables | `Trial.flat_settings` | {"model": "lm7", "dropout": 0.2, …} |
| stored fields: those of the trial, hashes too | `Trial.to_dict` | {"seed": 0, "source": "3f…", …} |
| declared fields: arm fields and the seed | `Trial.declared_fields` | {"seed": 0, "options": {…}, …} |
| content: settings and data, without code and seed | `Trial.comparable_content` | {"data": "9c…", …} |
| trial fields: those that all seeds share, as JSON | `planning.list_trial_fields` | {"source": "3f…", …} |
| task: what makes numbers comparable | `Trial.task` | {"data": "9c…", "tokens": "word", …} |
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from unrolled.ablations.study.study_file import MetricTable
from unrolled.bench.trial import Trial

Settings = Mapping[str, Any]
"""Settings or changes by name, flat as a study's file has them."""
ArmFields = Mapping[str, Any]
"""The fields that the trials of an arm share, without device and hashes: `make_trial(arm_fields, seed)`."""


@dataclass(frozen=True)
class Factor:
    """A name that designs use for a setting and two levels of it: "ar" is alpha, off at 0.0, on at 2.0."""

    name: str
    key: str  # name of the setting
    title: str
    off: Any
    on: Any


class TrialFactory(Protocol):
    """A factory of trials. Every function raises BadInput for wrong settings."""

    def choose_metrics(self, tables: Sequence[MetricTable]) -> Sequence[MetricTable]:
        """Return the metrics that judge arms: those of the study's file, or the defaults if it has none."""

    def make_arm_fields(self, settings: Settings) -> ArmFields:
        """Return the fields of a trial with these settings, and defaults for all others."""

    def complete_settings(self, settings: Settings) -> dict[str, Any]:
        """Return every setting, flat and unchecked, with defaults for those that are missing."""

    def inherit_settings(self, baseline: Settings, changes: Settings) -> dict[str, Any]:
        """Return the settings of an arm: the baseline's, as far as they apply to it, with its changes."""

    def find_factor(self, name: str, settings: Settings) -> Factor:
        """Return the factor of this name."""

    def title_setting(self, key: str) -> str:
        """Return what reports call a setting: alpha is AR, detach_every 'detach every'."""

    def describe_setting(self, key: str, value: Any) -> str:
        """Return a setting as reports name it: 'lr 0.001', 'no dropout'."""

    def make_trial(self, arm_fields: ArmFields, seed: int = 0, device: str = "cpu") -> Trial:
        """Return the trial of these fields, without hashes."""

    def check_data(self, arm_fields: ArmFields) -> None:
        """Check the data of these trials as far as that is possible before training."""

    def find_task_settings(self, arm_fields: ArmFields) -> dict[str, Any]:
        """Return the settings that define the task: numbers of different tasks cannot be compared."""


def title_changes(factory: TrialFactory, changes: Settings) -> str:
    """Return the name of an arm that has none in the file: 'LMModel5, lr 0.003'."""
    return ", ".join(factory.describe_setting(key, value) for key, value in changes.items())
