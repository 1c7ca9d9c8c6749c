"""The protocol of a study's factory: its settings, and the trials that it makes of them.

`ablations.study.chapter` trains the chapter's models, `ablations.study.program` a user's program.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from unrolled.ablations.study.study_file import MetricTable
from unrolled.bench.trial import Trial

Settings = Mapping[str, Any]
"""Settings, flat as a study's file has them."""
TrialFields = Mapping[str, Any]
"""Fields of a trial but its seed and hashes; the options of a model of the chapter are a mapping in them."""


@dataclass(frozen=True)
class Factor:
    """A named change for use in designs: a setting and its two levels."""

    name: str
    key: str
    title: str
    off: Any
    on: Any


class TrialFactory(Protocol):
    """A factory of trials. Every function raises BadInput for settings that are wrong."""

    def choose_metrics(self, tables: Sequence[MetricTable]) -> Sequence[MetricTable]:
        """Return the metrics that judge arms: those of the study's file, or else the default ones."""

    def make_trial_fields(self, settings: Settings) -> dict[str, Any]:
        """Return the fields of a trial, without its seed and hashes: `make_trial(fields)`."""

    def complete_settings(self, settings: Settings) -> dict[str, Any]:
        """Return every setting, flat and unchecked: those that are not set have their defaults."""

    def inherit_settings(self, baseline: Settings, changes: Settings) -> dict[str, Any]:
        """Return the settings of an arm: those of the baseline that apply to it, and its own changes."""

    def find_factor(self, name: str, settings: Settings) -> Factor:
        """Return the factor of this name."""

    def title_setting(self, key: str) -> str:
        """Return what reports call a setting: alpha is AR, detach_every 'detach every'."""

    def format_setting(self, key: str, value: Any) -> str:
        """Return a setting as reports name it: 'lr 0.001', 'no dropout'."""

    def make_trial(self, trial_fields: TrialFields, seed: int = 0, device: str = "cpu") -> Trial:
        """Return the trial of these fields, without hashes."""

    def check_data(self, trial_fields: TrialFields) -> None:
        """Check the data that trials learn from, as far as that is possible before they are trained."""

    def task_settings(self, trial_fields: TrialFields) -> dict[str, Any]:
        """Return the settings that define the task: numbers of different tasks cannot be compared."""


def title_changes(factory: TrialFactory, changes: Settings) -> str:
    """Return the name of an arm that has none in the file: 'LMModel5, lr 0.003'."""
    return ", ".join(factory.format_setting(key, value) for key, value in changes.items())
