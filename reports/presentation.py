"""How a page shows the metrics of one trainer's trials: names, units, decimals, and the parts of its own."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from unrolled.bench.metric import Metric
from unrolled.reports.formats import MINUS, decimals, number
from unrolled.reports.statistics.interval import Interval, exp


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How a metric is read: on the first screen in its unit, in tables as it is measured.

    What is judged may be a logarithm, `log` times ln of what is read. Levels are then written as they are
    read and differences as ratios: in per cent or, without a unit, as a factor.
    """

    title: str = ""
    level: str = ""  # the unit of its levels
    difference: str = ""  # the unit of its differences
    factor: float = 1.0  # from what is measured to the unit
    digits: int | None = None  # decimals of a level; by default δ decides
    finest: int | None = None  # most decimals of a difference, likewise
    places: int = 4  # decimals in tables
    log: float = 0.0
    reaches: str = ""  # what an arm with a level does, such as "predicts {} of the words"
    also: "Scale | None" = None  # another reading of the same numbers

    def of(self, metric: Metric) -> "Scale":
        """The same for a metric with a δ, and for one that is judged by its ratio."""
        places = decimals(metric.delta)
        if metric.ratio:
            return replace(self, difference="%", log=100.0, finest=3, places=places, also=None)
        by_delta = max(0, decimals(self.factor * metric.delta) - 1)
        digits, finest = (by_delta if given is None else given for given in (self.digits, self.finest))
        return replace(self, digits=digits, finest=finest, places=places)

    @property
    def unit(self) -> str:
        """The unit of what is measured, where it is known."""
        return self.level if self.factor == 1 else ""

    @property
    def as_factor(self) -> bool:
        """Whether differences are written as factors."""
        return bool(self.log) and not self.difference

    def read(self, x: float) -> float:
        """A level as it is measured."""
        return exp(x / self.log) if self.log else x

    def read_difference(self, x: float) -> float:
        """A difference as it is measured; of logarithms the ratio, as a factor or in per cent."""
        if not self.log:
            return x
        ratio = exp(x / self.log)
        return ratio if self.as_factor else 100 * (ratio - 1)

    def show_difference(self, x: float) -> float:
        """A difference in its unit."""
        return self.read_difference(x) if self.log else self.factor * x

    def at(self, x: float | None, digits: int | None = None) -> str:
        """A level with its unit: 87.6 %."""
        if x is None or math.isnan(x):
            return "–"
        level = self.factor * self.read(x)
        digits = self.digits if digits is None else digits
        return f"{number(level, _significant(level, 3) if digits is None else digits)} {self.level}".rstrip()

    def change(self, before: float | None, after: float | None) -> str:
        """Two levels with their unit: 88.4 → 90.0 %."""
        return f"{self.at(before).removesuffix(self.level).rstrip()} → {self.at(after)}"

    def by(self, x: float | None, ends: Interval | None = None, *, sign: bool = False) -> str:
        """A difference without its unit, with two digits of its uncertainty, which its interval tells."""
        if x is None:
            return "–"
        sign &= not self.as_factor
        return number(self.show_difference(x), self._decimals(x, ends), sign=sign)

    def size(self, x: float, ends: Interval | None = None) -> str:
        """The size of a difference, without its unit."""
        return self.by(x, ends).removeprefix(MINUS)

    def moved(self, x: float, ends: Interval | None = None) -> str:
        """A difference without a sign: 14.2 points higher, 1.30 nats lower, × 1.13."""
        if self.as_factor:
            return f"× {self.by(x)}"
        size = f"{self.size(x, ends)} {self.difference}".rstrip()
        return f"{size} {'higher' if x > 0 else 'lower'}" if x else size

    def from_to(self, ends: Interval | None, *, sizes: bool = False) -> str:
        """A difference's interval with its level, such as 95 % CI [−1.2, +0.3]; "" where there is none.

        With `sizes` its ends have no signs, and the smaller comes first.
        """
        if ends is None:
            return ""
        low, high = (self.by(x, ends, sign=True) for x in (ends.low, ends.high))
        if sizes:
            low, high = (self.size(x, ends) for x in sorted((ends.low, ends.high), key=abs))
        return f"{ends.percent} CI [{low}, {high}]"

    def within(self, delta: float) -> str:
        """δ, as differences are judged, with its unit: 2 points."""
        return f"{self.show_difference(delta):g} {self.difference}".rstrip()

    def delta(self, delta: float) -> str:
        """The same as tables measure it: 0.02, 0.05 nats, 5 %."""
        return f"{self.read_difference(delta):g} {self.difference if self.log else self.unit}".rstrip()

    def cell(self, x: float | None) -> str:
        """A level in a table."""
        if x is None or not self.log:
            return number(x, self.places)
        return number(self.read(x), _significant(self.read(x), 4))

    def cell_by(self, x: float | None, *, sign: bool = False) -> str:
        """A difference in a table."""
        if x is None or not self.log:
            return number(x, self.places, sign=sign)
        return f"{number(self.read_difference(x), 1, sign=sign)} {self.difference}"

    def measured(self, x: float | None, *, sign: bool = False) -> str:
        """A difference as a table has it, with its unit."""
        return f"{self.cell_by(x, sign=sign)} {'' if self.log else self.unit}".rstrip()

    def cell_ends(self, ends: Interval | None) -> str:
        """The ends of a difference's interval in a table, beside which stands its level."""
        if ends is None:
            return "–"
        return f"[{', '.join(self.cell_by(x, sign=True) for x in (ends.low, ends.high))}]"

    def _decimals(self, x: float, ends: Interval | None) -> int:
        """Of a difference: two digits of its uncertainty, or of a tenth of its own size.

        They are more where an end of the interval would be shown as zero and is not.
        """
        finest = 3 if self.finest is None else self.finest
        if self.as_factor:
            return finest
        fewest, nearest = 0 if self.log else min(1, finest), 0.0  # the means beside it have one, too
        if ends and math.isfinite(ends.high - ends.low):
            x = max((ends.high - ends.low) / 2, abs(ends.high + ends.low) / 20)
            nearest = min(abs(self.show_difference(end)) for end in (ends.low, ends.high))
        digits = min(finest, max(fewest, _significant(x if self.log else self.factor * x, 2)))
        if 0 < nearest < 0.5 * 10**-digits:
            return min(digits + 2, _significant(nearest, 1))
        return digits


def _significant(x: float, digits: int) -> int:
    """The decimals that a number has with so many significant digits; 1 where it has no size."""
    return max(0, digits - 1 - math.floor(math.log10(abs(x)))) if 0 < abs(x) < math.inf else 1


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
