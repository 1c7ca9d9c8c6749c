"""Sweeps: arms that differ in the learning rate alone."""

from collections.abc import Mapping, Sequence

from unrolled.bench.files.canonical_json import canonical_json
from unrolled.reports.compare.compared_arm import ComparedArm
from unrolled.reports.compare.comparison import Comparison
from unrolled.reports.statistics.arm_summary import ArmSummary

Sweep = tuple[str, tuple[tuple[float, ArmSummary], ...]]
"""A model's title, and its summaries by learning rate, rising; all other settings are equal."""

_RATES = "lr", "learning_rate", "learning-rate"


def find_sweeps(comparison: Comparison) -> tuple[Sweep, ...]:
    """Return groups of arms that differ in the learning rate alone."""
    groups: dict[bytes, dict[float, ComparedArm]] = {}
    for arm in comparison.arms:
        if trial := arm.counted_arm.example_trial:
            settings = arm.settings
            lr = next((settings.pop(name) for name in _RATES if name in settings), None)
            if isinstance(lr, float):
                groups.setdefault(canonical_json([trial.data, settings]), {}).setdefault(lr, arm)
    sweeps = [arms for arms in groups.values() if len(arms) > 1]
    return tuple(
        (title, tuple((lr, arms[lr].summary) for lr in sorted(arms)))
        for title, arms in zip(_title_sweeps(sweeps), sweeps, strict=True)
    )


def _title_sweeps(sweeps: Sequence[Mapping[float, ComparedArm]]) -> list[str]:
    """Return a title for each sweep: the model's, unless all have one model, and the settings that differ."""
    arms = [next(iter(by_rate.values())) for by_rate in sweeps]
    titles = []
    for arm in arms:
        title = arm.counted_arm.title
        namesakes = [twin.settings for twin in arms if twin.counted_arm.title == title]
        differing = [
            f"{name} {value}"
            for name, value in arm.settings.items()
            if name not in _RATES and any(settings.get(name) != value for settings in namesakes)
        ]
        titles.append(", ".join(differing if len(namesakes) == len(arms) > 1 else [title, *differing]))
    return titles
