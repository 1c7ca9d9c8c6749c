"""Text and numbers as a page, a CSV or a Markdown file must show them: hostile names stay text."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from unrolled.bench.errors import plural, visible
from unrolled.bench.metric import LARGEST
from unrolled.reports.statistics.interval import Interval

MINUS = "−"


def short(value: object, most: int = 28) -> str:
    """`visible` in at most `most` characters, for labels that cannot wrap."""
    text = visible(value)
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def decimals(delta: float) -> int:
    """Two decimals beyond those of δ, at most 20."""
    return min(20, max(0, 2 - math.floor(math.log10(delta))))


def when(unix: float) -> str:
    """A moment, given in unix seconds, to the second."""
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def day(unix: float) -> str:
    """The day (UTC) of a moment, given in unix seconds."""
    return datetime.fromtimestamp(unix, UTC).date().isoformat()


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


def interval(ends: Interval | None, digits: int = 4, *, sign: bool = False) -> str:
    """`[low, high]`, or an en dash where there is none."""
    return f"[{number(ends.low, digits, sign=sign)}, {number(ends.high, digits, sign=sign)}]" if ends else "–"


def p_value(p: float | None) -> str:
    """Three decimals from .001 on, and `<.001` below."""
    if p is None or math.isnan(p):
        return "–"
    return "<.001" if p < 0.001 else f"{p:.3f}".lstrip("0") if p < 0.9995 else "1"


def count(value: float | None, digits: int = 0, *, sign: bool = False) -> str:
    """A number in groups of three, separated by thin spaces."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:{'+' if sign else ''},.{digits}f}".replace(",", "\u202f").replace("-", MINUS)


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


def pipe_table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose first row is the head; a column that has nothing to say is left out."""
    kept = [column for column in zip(*rows, strict=True) if says_something(column)]
    rows = list(zip(*kept, strict=True))
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


REPEATED = "whether the same trial gives the same numbers twice"
"""What a repeated training of a program's first trial shows."""


def distances(apart: Mapping[str, float]) -> str:
    """How far two trials are apart by each metric: "loss by 0.013"."""
    shown = [f"{name} by {x:.2g}" for name, x in apart.items() if 0 < x < LARGEST]
    shown += [f"{name}, which diverged once" for name, x in apart.items() if x >= LARGEST]
    return ", ".join(shown) or "in their curves"


def listed(names: Sequence[str]) -> str:
    """'a', 'a and b', 'a, b and c'; 'none' without any."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else "none"


def listed_up_to(names: Sequence[object], most: int) -> str:
    """The first of many names, and how many more there are: 'a, b and 3 more'."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(short(name) for name in names[:most]) + more


def on_all(number: int, noun: str) -> str:
    """ "on the one seed", "on both seeds", "on all 10 seeds"."""
    if number == 1:
        return f"on the one {noun}"
    return f"on both {noun}s" if number == 2 else f"on all {plural(number, noun)}"


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
