"""What pages say of the trials of one trainer beside what they say of any."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from unrolled.reports.scale import Scale

MEASURED = {
    "seconds": Scale(title="duration", level="s", difference="s"),
    "memory_peak": Scale(title="peak memory", level="MiB", difference="MiB"),
}
"""Metrics that are measured of every program."""

COSTS = {
    "seconds": Scale(title="seconds", digits=1),
    "memory_peak": Scale(title="peak memory (MiB)", digits=0),
}
"""The columns of the table of costs, each there if the trials have it."""


class Extras(NamedTuple):
    """What a trainer's page has of its own."""

    sentence: str = ""  # below the main figure
    warnings: tuple[str, ...] = ()
    marked: str = ""  # what the marks in the figure are
    marks: Mapping[str, Mapping[int, float]] = {}  # by metric and the arm's index
    context: Mapping[str, Any] = {}  # of its template


NOTHING = Extras()


@dataclass(frozen=True, kw_only=True)
class Presentation:
    """How a trainer's metrics are read, and the parts of a page that only its trials have.

    `extras` and `curves` are import names of functions, so that a study runs without loading them: from a
    comparison to Extras; and from a result to its learning curves, points (step, value) by metric, in place
    of those that it has told.
    """

    scales: Mapping[str, Scale] = field(default_factory=lambda: MEASURED)
    costs: Mapping[str, Scale] = field(default_factory=lambda: COSTS)
    columns: tuple[str, ...] = ()  # metrics that the table of all trials has beside those that are judged
    task: tuple[str, ...] = ()  # the settings that define the task
    template: str = "report.html"
    extras: str = ""
    curves: str = ""
    step: str = "step or epoch"  # what curves are drawn against
    given: str = ""  # ", given this validation set" where all trials have one
    once: tuple[str, ...] = ()  # records of which a page shows those of one trial

    def scale(self, metric: str) -> Scale:
        """How a metric is read; one that is not known, by its name in words."""
        return self.scales.get(metric, Scale(title=metric.replace("_", " ")))


PLAIN = Presentation()  # that of any program
