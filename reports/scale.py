"""How the values and differences of a metric are written: title, unit, decimals, per cent."""

import math
import re
from dataclasses import dataclass, replace

from unrolled.bench.metric import Metric
from unrolled.bench.numbers import safe_exp
from unrolled.reports.formats import MINUS, count_table_decimals, format_number
from unrolled.reports.statistics.seed_values import Interval

NO_SPREAD = "without spread"
"""What stands for the interval of a difference that is the same in every pair."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How the values of a metric are written: with a unit on the first screen, as measured in tables.

    An accuracy, measured from 0 to 1, with a δ of .02:

        scale = Scale(title="accuracy", value_unit="%", difference_unit="points", multiplier=100)
        scale = scale.adapt_to(Metric("accuracy", 0.02))
        scale.format_value(0.876)          "87.6 %"
        scale.describe_difference(-0.031)  "3.1 points lower"
        scale.format_cell(0.876)           "0.8760", in a table

    A metric may be judged by its logarithm: judged value = `log_factor` · ln(value). Levels are then
    written as values, and differences in per cent. With a `log_factor` of 100, a judged difference of 4.88 is
    5 % higher, as exp(4.88/100) = 1.05.
    """

    title: str = ""
    value_unit: str = ""
    difference_unit: str = ""
    multiplier: float = 1.0  # multiplies the measured value to give it in the unit
    decimals: int | None = None  # decimals of a value; None to derive them from δ
    most_decimals: int | None = None  # most decimals of a difference; None to derive them from δ
    table_decimals: int = 4
    log_factor: float = 0.0  # 0 for a metric that is judged as it is measured
    zone: float = 0.0  # smallest difference that matters, on the judged scale
    mean_phrase: str = ""  # what an arm with a mean does, such as "predicts {} of the words"
    second_scale: "Scale | None" = None  # another unit of the same numbers: perplexity for a loss

    def adapt_to(self, metric: Metric) -> "Scale":
        """Return the scale with this metric's δ, and decimals to fit; a ratio has differences in per cent."""
        table_decimals = count_table_decimals(metric.delta)
        scale = replace(self, zone=metric.zone, table_decimals=table_decimals)
        if metric.ratio:
            return replace(scale, difference_unit="%", log_factor=100.0, most_decimals=3, second_scale=None)
        by_delta = max(0, count_table_decimals(self.multiplier * metric.delta) - 1)
        decimals = by_delta if self.decimals is None else self.decimals
        most_decimals = by_delta if self.most_decimals is None else self.most_decimals
        second = self.second_scale and replace(self.second_scale, zone=metric.zone)
        return replace(scale, decimals=decimals, most_decimals=most_decimals, second_scale=second)

    @property
    def unit(self) -> str:
        """The unit of the measured values; "" if they have to be multiplied to be in `value_unit`."""
        return self.value_unit if self.multiplier == 1 else ""

    def convert_value(self, x: float) -> float:
        """Return the measured value of a judged one: exp(x / log_factor), or x itself."""
        return safe_exp(x / self.log_factor) if self.log_factor else x

    def convert_difference(self, x: float) -> float:
        """Return the measured difference of a judged one: 100 (exp(x / log_factor) − 1) per cent, or x."""
        return 100 * (self.convert_value(x) - 1) if self.log_factor else x

    def convert_finite_difference(self, x: float | None) -> float | None:
        """Return the measured difference of a judged one, as JSON has it: None for one without a size."""
        return None if x is None or not math.isfinite(x) else self.convert_difference(x)

    def scale_difference(self, x: float) -> float:
        """Return a judged difference in `difference_unit`."""
        return self.convert_difference(x) if self.log_factor else self.multiplier * x

    def format_value(self, x: float | None, decimals: int | None = None) -> str:
        """Return a value with its unit: 0.876 → "87.6 %"."""
        if x is None or math.isnan(x):
            return "–"
        value = self.multiplier * self.convert_value(x)
        decimals = self.decimals if decimals is None else decimals
        if decimals is None:
            decimals = count_significant_decimals(value, 3)
        return f"{format_number(value, decimals)} {self.value_unit}".rstrip()

    def format_values(self, before: float | None, after: float | None, decimals: int | None = None) -> str:
        """Return two values with their unit: "88.4 → 90.0 %"."""
        first = self.format_value(before, decimals).removesuffix(self.value_unit).rstrip()
        return f"{first} → {self.format_value(after, decimals)}"

    def format_change(self, before: float | None, after: float | None) -> str:
        """Return two values with the decimals of `count_value_decimals`: "88.4 → 90.0 %"."""
        return self.format_values(before, after, self.count_value_decimals(before, after))

    def count_value_decimals(self, before: float | None, after: float | None) -> int | None:
        """Return the decimals of two values that stand beside their difference.

        It is one more than usual if the rounded values would not subtract to the rounded difference. None
        stands for the decimals of a single value.
        """
        if self.log_factor or before is None or after is None or not math.isfinite(after - before):
            return None
        values = [self.multiplier * before, self.multiplier * after]
        fewest = (
            max(count_significant_decimals(x, 3) for x in values) if self.decimals is None else self.decimals
        )
        for decimals in range(fewest, fewest + 3):
            first, second = (round(x, decimals) for x in values)
            if round(second - first, decimals) == round(values[1] - values[0], decimals):
                return self.decimals if decimals == fewest else decimals
        return fewest + 1

    def format_difference(
        self, x: float | None, interval: Interval | None = None, *, sign: bool = False
    ) -> str:
        """Return a difference without its unit; the narrower `interval`, the more decimals."""
        if x is None:
            return "–"
        return format_number(self.scale_difference(x), self._count_decimals(x, interval), sign=sign)

    def format_size(self, x: float, interval: Interval | None = None) -> str:
        """Return a difference without sign and unit."""
        return self.format_difference(x, interval).removeprefix(MINUS)

    def describe_difference(self, x: float, interval: Interval | None = None) -> str:
        """Return a difference in words: "14.2 points higher", "1.30 nats lower", "13 % higher"."""
        size = f"{self.format_size(x, interval)} {self.difference_unit}".rstrip()
        if math.isinf(x):
            size = "∞"
        elif not re.search("[1-9]", self.format_size(x, interval)):  # zero, as it is rounded
            return size
        return f"{size} higher" if x > 0 else f"{size} lower"

    def format_interval(self, interval: Interval | None, *, sizes: bool = False, cells: bool = False) -> str:
        """Return a difference's interval with its level: "95 % CI [−1.2, −0.3]"; "" for None.

        With `sizes` the ends have no signs, and the smaller one is first: "95 % CI [0.3, 1.2]". With `cells`
        they have the decimals of a table. An interval of one point is "without spread", and one of the whole
        line is "".
        """
        if interval is None or interval.is_whole_line:
            return ""
        if interval.low == interval.high:
            return NO_SPREAD
        ends = [interval.low, interval.high]
        if cells:
            texts = [self.format_difference_cell(x, sign=True) for x in ends]
        elif sizes:
            texts = [self.format_size(x, interval) for x in sorted(ends, key=abs)]
        else:
            texts = [self.format_difference(x, interval, sign=True) for x in ends]
        return f"{interval.percent} CI [{', '.join(texts)}]"

    def format_delta(self, zone: float) -> str:
        """Return the size of a zone of the judged scale in `difference_unit`: 0.02 → "2 points".

        For a ratio with a δ of 25 %, it is "25 %" of a zone above 0 and "20 %" of one below.
        """
        digits = ".3g" if self.log_factor else "g"
        return f"{abs(self.scale_difference(zone)):{digits}} {self.difference_unit}".rstrip()

    def format_zone(self, zone: float) -> str:
        """Return a zone in `difference_unit`: "±2 points", or "−20 to +25 %" of a ratio."""
        if not self.log_factor:
            return f"±{self.format_delta(zone)}"
        fall = self.format_delta(-zone).removesuffix(self.difference_unit).rstrip()
        return f"{MINUS}{fall} to +{self.format_delta(zone)}"

    def format_measured_delta(self, zone: float) -> str:
        """Return a zone as tables have δ, on the measured scale: "0.02", "0.05 nats", "−4.76 to +5 %"."""
        return self.format_zone(zone) if self.log_factor else f"{zone:g} {self.unit}".rstrip()

    def format_cell(self, x: float | None) -> str:
        """Return a value as a table has it: 0.876 → "0.8760"."""
        if x is None or not self.log_factor:
            return format_number(x, self.table_decimals)
        return format_number(self.convert_value(x), count_significant_decimals(self.convert_value(x), 4))

    def format_difference_cell(self, x: float | None, *, sign: bool = False) -> str:
        """Return a difference as a table has it: "+0.0310", or "+5.0 %" of logarithms."""
        if x is None or not self.log_factor:
            return format_number(x, self.table_decimals, sign=sign)
        decimals = max(1, count_significant_decimals(self.convert_difference(self.zone), 2))
        return f"{format_number(self.convert_difference(x), decimals, sign=sign)} {self.difference_unit}"

    def format_difference_with_unit(self, x: float | None, *, sign: bool = False) -> str:
        """Return a difference as a table has it, with its unit: "+0.310 nats"."""
        cell = self.format_difference_cell(x, sign=sign)
        return cell if self.log_factor else f"{cell} {self.unit}".rstrip()

    def format_interval_cell(self, interval: Interval | None) -> str:
        """Return a difference's interval as a table has it: "[+0.0110, +0.0510] 95 %"; "" for None."""
        level, _, ends = self.format_interval(interval, cells=True).partition(" CI ")
        return f"{ends} {level}".strip()

    def _count_decimals(self, x: float, interval: Interval | None) -> int:
        """Return the decimals that show two digits of half the interval, or of a tenth of the difference.

        There are up to two more if an end of the interval would otherwise be shown as 0 or as ±δ.
        """
        most_decimals = 3 if self.most_decimals is None else self.most_decimals
        fewest = 0 if self.log_factor else min(1, most_decimals)  # the means beside it have one decimal, too
        if interval and math.isfinite(interval.high - interval.low):
            x = max((interval.high - interval.low) / 2, abs(interval.high + interval.low) / 20)
        size = 100 * x / self.log_factor if self.log_factor else self.multiplier * x
        decimals = min(most_decimals, max(fewest, count_significant_decimals(size, 2)))
        most = decimals + 2
        while interval and decimals < most and self._hides_a_limit(interval, decimals):
            decimals += 1
        return decimals

    def _hides_a_limit(self, interval: Interval, decimals: int) -> bool:
        """Return True if an end is not 0 or ±δ, and would be rounded to one of them."""
        limits = [self.scale_difference(x) for x in (0.0, self.zone, -self.zone)]
        finite_ends = [self.scale_difference(x) for x in (interval.low, interval.high) if math.isfinite(x)]
        return any(
            end != limit and round(end, decimals) == round(limit, decimals)
            for end in finite_ends
            for limit in limits
        )


def count_significant_decimals(x: float, digits: int) -> int:
    """Return the decimals of a number with so many significant digits; 1 for 0 and infinity."""
    return max(0, digits - 1 - math.floor(math.log10(abs(x)))) if 0 < abs(x) < math.inf else 1


MEASURED_SCALES = {
    "seconds": Scale(title="duration", value_unit="s", difference_unit="s"),
    "memory_peak": Scale(title="peak memory", value_unit="MiB", difference_unit="MiB"),
}
"""Scales of the metrics that are measured for every program."""

COST_COLUMNS = {
    "seconds": Scale(title="seconds", decimals=1),
    "memory_peak": Scale(title="peak memory (MiB)", decimals=0),
}
"""The columns of the table of costs. One is shown if some trial has it."""
