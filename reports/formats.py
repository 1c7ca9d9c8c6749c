"""Text and numbers as a page, a CSV or a Markdown file must show them: hostile names stay text."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bench.errors import visible

if TYPE_CHECKING:  # the command imports this module, and must not wait for scipy
    from reports.statistics.contrasts import Interval

MINUS = "−"

_TITLES = {
    "valid_loss": ("validation loss", "nats"),
    "valid_accuracy": ("validation accuracy", "accuracy"),
    "valid_perplexity": ("validation perplexity", ""),
    "valid_bits": ("validation bits a token", "bits"),
    "train_loss": ("training loss", "nats"),
    "speed_train": ("training speed", "tokens/s"),
    "seconds": ("duration", "s"),
    "memory_peak": ("peak memory", "MiB"),
}


def short(value: object, most: int = 28) -> str:
    """`visible` in at most `most` characters, for labels that cannot wrap."""
    text = visible(value)
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def titled(metric: str) -> tuple[str, str]:
    """A metric in words, and its unit."""
    return _TITLES.get(metric, (metric.replace("_", " "), ""))


@dataclass(frozen=True)
class Scale:
    """How people read a metric: the unit of its levels, that of its differences, and its decimals."""

    level: str = ""
    difference: str = ""
    factor: float = 1.0
    digits: int = 3  # at most; a difference has two significant digits of its uncertainty
    log: bool = False  # of 100 ln: levels are written as they are measured, differences in per cent

    def at(self, x: float | None, digits: int | None = None) -> str:
        """A level with its unit: 87.6 %."""
        if x is None or math.isnan(x):
            return "–"
        digits = min(2, self.digits) if digits is None else digits
        x = math.exp(x / 100) if self.log else self.factor * x
        return f"{number(x, digits)} {self.level}".rstrip()

    def change(self, before: float | None, after: float | None) -> str:
        """Two levels with their unit: 88.4 → 90.0 %."""
        return f"{self.at(before).removesuffix(self.level).rstrip()} → {self.at(after)}"

    def by(self, x: float | None, near: float | None = None, *, sign: bool = False) -> str:
        """A difference without its unit; `near` is a number of the size of its uncertainty."""
        return number(self._change(x), self._decimals(near or x or 0), sign=sign)

    def size(self, x: float, near: float | None = None) -> str:
        """The size of a difference without its unit."""
        return number(abs(self._change(x) or 0.0), self._decimals(near or x))

    def _change(self, x: float | None) -> float | None:
        if x is None:
            return None
        return 100 * math.expm1(x / 100) if self.log else self.factor * x

    def moved(self, mean: float, ends: "Interval | None" = None) -> str:
        """A difference without a sign: 14.2 points higher, 1.30 nats lower."""
        size = f"{self.size(mean, self.near(ends))} {self.difference}".rstrip()
        return f"{size} {'higher' if mean > 0 else 'lower'}" if mean else size

    def near(self, ends: "Interval | None") -> float | None:
        """The size that decides the decimals of a difference: of its uncertainty, or a tenth of its own."""
        if ends is None or not math.isfinite(ends.high - ends.low):
            return None
        return max((ends.high - ends.low) / 2, abs(ends.high + ends.low) / 20)

    def from_to(self, ends: "Interval | None") -> str:
        """The ends of a difference's interval; "" where there is none."""
        both = (ends.low, ends.high) if ends else ()
        return f"[{', '.join(self.by(x, self.near(ends), sign=True) for x in both)}]" if both else ""

    def _decimals(self, size: float) -> int:
        size, fewest = abs(self.factor * size), 0 if self.log else 1  # means beside it have one, too
        return min(self.digits, max(fewest, 1 - math.floor(math.log10(size)))) if 0 < size < math.inf else 1


_SCALES = {
    "valid_accuracy": Scale("%", "points", 100, 1),
    "valid_loss": Scale("nats", "nats"),
    "train_loss": Scale("nats", "nats"),
    "valid_bits": Scale("bits", "bits"),
}


def scale(metric: str, delta: float | None = None, *, ratio: bool = False) -> Scale:
    """How people read a metric, or its 100 ln where it is judged as a ratio.

    With δ, a metric that we may not know has two digits beyond those of δ.
    """
    unit = titled(metric)[1]
    if ratio:
        return Scale(unit, "%", log=True)
    return _SCALES.get(metric) or Scale(unit, unit, digits=3 if delta is None else max(3, decimals(delta)))


def decimals(delta: float) -> int:
    """Two decimals beyond those of δ, at most 12."""
    return min(12, max(0, 2 - math.floor(math.log10(delta))))


def when(unix: float) -> str:
    """A moment, given in unix seconds, to the second."""
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def number(value: float | None, digits: int = 4, *, sign: bool = False) -> str:
    """A number with a true minus sign; an en dash where there is none."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    text = f"{value:{'+' if sign else ''}.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", MINUS)


def interval(ends: "Interval | None", digits: int = 4, *, sign: bool = False) -> str:
    """`[low, high]`, or an en dash where there is none."""
    return f"[{number(ends.low, digits, sign=sign)}, {number(ends.high, digits, sign=sign)}]" if ends else "–"


def p_value(p: float | None) -> str:
    """Three decimals from .001 on, and `<.001` below."""
    if p is None or math.isnan(p):
        return "–"
    return "<.001" if p < 0.001 else f"{p:.3f}".lstrip("0") if p < 0.9995 else "1"


def count(value: float | None) -> str:
    """A whole number in groups of three, separated by thin spaces."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:,.0f}".replace(",", "\u202f").replace("-", MINUS)


def seconds(value: float) -> str:
    """A duration in the largest unit that keeps two digits."""
    if value < 120:
        return f"{value:.1f} s"
    return f"{value / 60:.1f} min" if value < 7200 else f"{value / 3600:.1f} h"


def duration(seconds: float) -> str:
    """A duration as text, in seconds, minutes or hours."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows in aligned columns; a column that has nothing to say is left out."""
    kept = [column for column in zip(*rows, strict=True) if says_something(column)]
    widths = [max(map(len, column)) for column in kept]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in zip(*kept, strict=True)
    ]


def says_something(column: Sequence[str]) -> bool:
    """Whether a column has a value below its head."""
    return set(column[1:]) != {"–"}


def level(value: object) -> str:
    """A setting's level: on and off for a switch, 2 for 2.0."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else visible(value)


def csv_cell(value: object) -> object:
    """Numbers as they are; a text that a spreadsheet would run as a formula gets a leading quote."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    text = visible("" if value is None else value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def markdown_cell(value: object) -> str:
    """One cell of a pipe table: no markup, no HTML, no new column."""
    text = visible(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|$~])", r"\\\1", text)


def pipe_table(rows: Sequence[Sequence[str]], rule: str = "---") -> str:
    """A Markdown table whose first row is the head; `rule` aligns the columns after the first.

    A column that has nothing to say is left out.
    """
    kept = [column for column in zip(*rows, strict=True) if says_something(column)]
    rows = list(zip(*kept, strict=True))
    lines = [rows[0], ["---", *[rule] * (len(rows[0]) - 1)], *rows[1:]]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def listed(names: Sequence[str]) -> str:
    """'a', 'a and b', 'a, b and c'; 'none' without any."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else "none"


def listed_up_to(names: Sequence[object], most: int) -> str:
    """The first of many names, and how many more there are: 'a, b and 3 more'."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(short(name) for name in names[:most]) + more


def quoted(name: str) -> str:
    """A name as it stands in a sentence: in quotation marks where it has a comma of its own."""
    return f"“{name.strip()}”" if "," in name else name.strip()


_FACTS = {
    "gpu": "GPU",
    "driver": "Its driver",
    "cuda": "CUDA",
    "cpu": "Processor",
    "cpu_capability": "Its instructions",
    "cpus": "Cores",
    "threads": "Threads",
    "python": "Python",
    "platform": "System",
    "commit": "Commit",
}


def machine(facts: Mapping[str, Any]) -> dict[str, str]:
    """The facts of a machine by their titles, then its packages by name."""
    versions = {name: str(version) for name, version in facts.get("packages", {}).items()}
    return {title: str(facts[key]) for key, title in _FACTS.items() if facts.get(key)} | versions


def merge_facts(machines: Iterable[Mapping[str, object]]) -> dict[str, str]:
    """The facts of several machines, each with all the values that were seen."""
    values_by_name: dict[str, dict[str, None]] = {}
    for name, value in (fact for facts in machines for fact in facts.items()):
        flat = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, Mapping) else str(value)
        values_by_name.setdefault(name, {})[flat] = None
    return {name: " | ".join(filter(None, values)) for name, values in values_by_name.items() if any(values)}
