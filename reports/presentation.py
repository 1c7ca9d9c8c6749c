"""How a page shows the metrics of one trainer's trials: names, units, decimals, and the parts of its own."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from markupsafe import Markup

from unrolled.bench.metric import Metric, safe_exp
from unrolled.reports.formats import MINUS, count_decimals, format_number
from unrolled.reports.statistics.interval import Interval


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How a metric is read: on the first screen in its unit, in tables as it is measured.

    What is judged may be a logarithm, `log` times ln of what is read. Levels are then written as they are
    read and differences as ratios: in per cent or, without a unit, as a factor.
    """

    title: str = ""
    level_unit: str = ""  # the unit of its levels
    difference_unit: str = ""  # the unit of its differences
    factor: float = 1.0  # from what is measured to the unit
    digits: int | None = None  # decimals of a level; by default δ decides
    finest: int | None = None  # most decimals of a difference, likewise
    table_decimals: int = 4  # decimals in tables
    log: float = 0.0
    reaches: str = ""  # what an arm with a level does, such as "predicts {} of the words"
    second_scale: "Scale | None" = None  # another reading of the same numbers

    def adapt_to(self, metric: Metric) -> "Scale":
        """Return the same for a metric with a δ, and for one that is judged by its ratio."""
        places = count_decimals(metric.delta)
        if metric.ratio:
            return replace(
                self, difference_unit="%", log=100.0, finest=3, table_decimals=places, second_scale=None
            )
        by_delta = max(0, count_decimals(self.factor * metric.delta) - 1)
        digits, finest = (
            by_delta if decimals is None else decimals for decimals in (self.digits, self.finest)
        )
        return replace(self, digits=digits, finest=finest, table_decimals=places)

    @property
    def unit(self) -> str:
        """The unit of what is measured, where it is known."""
        return self.level_unit if self.factor == 1 else ""

    @property
    def as_factor(self) -> bool:
        """True if differences are written as factors."""
        return bool(self.log) and not self.difference_unit

    def convert_level(self, x: float) -> float:
        """Return a level as it is measured."""
        return safe_exp(x / self.log) if self.log else x

    def convert_difference(self, x: float) -> float:
        """Return a difference as it is measured; of logarithms the ratio, as a factor or in per cent."""
        if not self.log:
            return x
        ratio = safe_exp(x / self.log)
        return ratio if self.as_factor else 100 * (ratio - 1)

    def scale_difference(self, x: float) -> float:
        """Return a difference in its unit."""
        return self.convert_difference(x) if self.log else self.factor * x

    def format_level(self, x: float | None, digits: int | None = None) -> str:
        """Return a level with its unit: 87.6 %."""
        if x is None or math.isnan(x):
            return "–"
        level = self.factor * self.convert_level(x)
        digits = self.digits if digits is None else digits
        if digits is None:
            digits = _count_significant(level, 3)
        return f"{format_number(level, digits)} {self.level_unit}".rstrip()

    def format_change(self, before: float | None, after: float | None) -> str:
        """Return two levels with their unit: 88.4 → 90.0 %."""
        return (
            f"{self.format_level(before).removesuffix(self.level_unit).rstrip()} → {self.format_level(after)}"
        )

    def format_difference(self, x: float | None, ends: Interval | None = None, *, sign: bool = False) -> str:
        """Return a difference without its unit, with two digits of the uncertainty that `ends` show."""
        if x is None:
            return "–"
        sign &= not self.as_factor
        return format_number(self.scale_difference(x), self._count_decimals(x, ends), sign=sign)

    def format_size(self, x: float, ends: Interval | None = None) -> str:
        """Return the size of a difference, without its unit."""
        return self.format_difference(x, ends).removeprefix(MINUS)

    def describe_difference(self, x: float, ends: Interval | None = None) -> str:
        """Return a difference without a sign: 14.2 points higher, 1.30 nats lower, × 1.13."""
        if self.as_factor:
            return f"× {self.format_difference(x)}"
        size = f"{self.format_size(x, ends)} {self.difference_unit}".rstrip()
        if not x:
            return size
        return f"{size} {'higher' if x > 0 else 'lower'}"

    def format_interval(self, ends: Interval | None, *, sizes: bool = False) -> str:
        """Return a difference's interval with its level, such as 95 % CI [−1.2, +0.3]; "" for None.

        With `sizes` its ends have no signs, and the smaller comes first.
        """
        if ends is None:
            return ""
        low, high = (self.format_difference(x, ends, sign=True) for x in (ends.low, ends.high))
        if sizes:
            low, high = (self.format_size(x, ends) for x in sorted((ends.low, ends.high), key=abs))
        return f"{ends.percent} CI [{low}, {high}]"

    def format_delta(self, delta: float) -> str:
        """Return δ, as differences are judged, with its unit: 2 points."""
        return f"{self.scale_difference(delta):g} {self.difference_unit}".rstrip()

    def format_measured_delta(self, delta: float) -> str:
        """Return the same as tables measure it: 0.02, 0.05 nats, 5 %."""
        return (
            f"{self.convert_difference(delta):g} {self.difference_unit if self.log else self.unit}".rstrip()
        )

    def format_cell(self, x: float | None) -> str:
        """Return a level in a table."""
        if x is None or not self.log:
            return format_number(x, self.table_decimals)
        return format_number(self.convert_level(x), _count_significant(self.convert_level(x), 4))

    def format_difference_cell(self, x: float | None, *, sign: bool = False) -> str:
        """Return a difference in a table."""
        if x is None or not self.log:
            return format_number(x, self.table_decimals, sign=sign)
        return f"{format_number(self.convert_difference(x), 1, sign=sign)} {self.difference_unit}"

    def format_measured(self, x: float | None, *, sign: bool = False) -> str:
        """Return a difference as a table has it, with its unit."""
        return f"{self.format_difference_cell(x, sign=sign)} {'' if self.log else self.unit}".rstrip()

    def format_interval_cell(self, ends: Interval | None) -> str:
        """Return the ends of a difference's interval in a table, beside which stands its level."""
        if ends is None:
            return "–"
        return f"[{', '.join(self.format_difference_cell(x, sign=True) for x in (ends.low, ends.high))}]"

    def _count_decimals(self, x: float, ends: Interval | None) -> int:
        """Return the decimals that show two digits of a difference's uncertainty, or of a tenth of its size.

        They are more where an end of the interval would be shown as zero and is not.
        """
        finest = 3 if self.finest is None else self.finest
        if self.as_factor:
            return finest
        fewest = 0 if self.log else min(1, finest)  # the means beside it have one, too
        nearest = 0.0
        if ends and math.isfinite(ends.high - ends.low):
            x = max((ends.high - ends.low) / 2, abs(ends.high + ends.low) / 20)
            nearest = min(abs(self.scale_difference(end)) for end in (ends.low, ends.high))
        digits = min(finest, max(fewest, _count_significant(x if self.log else self.factor * x, 2)))
        if 0 < nearest < 0.5 * 10**-digits:
            return min(digits + 2, _count_significant(nearest, 1))
        return digits


def _count_significant(x: float, digits: int) -> int:
    """Return the decimals that a number has with so many significant digits; 1 where it has no size."""
    return max(0, digits - 1 - math.floor(math.log10(abs(x)))) if 0 < abs(x) < math.inf else 1


MEASURED = {
    "seconds": Scale(title="duration", level_unit="s", difference_unit="s"),
    "memory_peak": Scale(title="peak memory", level_unit="MiB", difference_unit="MiB"),
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
    reasons: Mapping[int, Markup] = {}  # where the difference of an arm lies, by the arm's index
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
    figure_columns: Mapping[str, str] = field(default_factory=dict)  # metrics beside the figure → their heads
    task: tuple[str, ...] = ()  # the settings that define the task
    template: str = "report.html"
    extras: str = ""
    curves: str = ""
    step: str = "step or epoch"  # what curves are drawn against
    condition: str = ""  # ", given this validation set" where all trials have one
    sample_records: tuple[str, ...] = ()  # records of which a page shows one trial an arm

    def find_scale(self, metric: str) -> Scale:
        """Return how a metric is read; one that is not known, by its name in words."""
        return self.scales.get(metric, Scale(title=metric.replace("_", " ")))


PLAIN = Presentation()  # that of any program
