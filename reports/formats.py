"""Texts and numbers for a page, a CSV or a Markdown file, so that hostile names stay text."""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from unrolled.bench.metric import LARGEST_FINITE
from unrolled.bench.phrases import join_first, make_visible, plural
from unrolled.reports.statistics.seed_values import Interval

MINUS = "−"
_SMALLEST_POWER = 1e15  # from here on a number is written as a power of ten: "5e+29"
_SIGNS = {True: "+", False: "-"}  # of a format: "-" writes only the sign of negative numbers


def shorten(value: object, limit: int = 28) -> str:
    """Return a value as visible text of at most `limit` characters: "is not a number of t…"."""
    text = make_visible(value)
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def shorten_name(value: object, limit: int = 28) -> str:
    """Return a name of at most `limit` characters, cut in the middle, as names often differ at their ends."""
    text = make_visible(value)
    if len(text) <= limit:
        return text
    end = (limit - 1) // 2
    return f"{text[: limit - 1 - end].rstrip()}…{text[-end:].lstrip()}"


def count_table_decimals(delta: float) -> int:
    """Return two decimals more than δ has, at most 20: 0.02 → 4."""
    return min(20, max(0, 2 - math.floor(math.log10(delta))))


def format_time(unix: float) -> str:
    """Return a moment in unix seconds as text: "2026-11-30 15:06:37 UTC"."""
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def format_day(unix: float) -> str:
    """Return the day (UTC) of a moment in unix seconds: "2026-11-30"."""
    return datetime.fromtimestamp(unix, UTC).date().isoformat()


def format_number(value: float | None, decimals: int = 4, *, sign: bool = False) -> str:
    """Return a number with a true minus sign, such as "−0.0200"; "–" for None."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    notation = f".{decimals}f" if abs(value) < _SMALLEST_POWER else ".3g"
    text = f"{value:{_SIGNS[sign]}{notation}}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", MINUS)


def format_interval(interval: Interval, decimals: int = 4) -> str:
    """Return an interval as `[low, high]`."""
    return f"[{format_number(interval.low, decimals)}, {format_number(interval.high, decimals)}]"


def format_p(p: float | None) -> str:
    """Return a p value: ".034", or "<.001"."""
    if p is None or math.isnan(p):
        return "–"
    if p < 0.001:
        return "<.001"
    return f"{p:.3f}".lstrip("0") if p < 0.9995 else "1"


def format_count(value: float | None, decimals: int = 0, *, sign: bool = False) -> str:
    """Return a number in groups of three digits, with thin spaces: 12288 → "12 288"."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:{_SIGNS[sign]},.{decimals}f}".replace(",", "\u202f").replace("-", MINUS)


def format_duration(seconds: float) -> str:
    """Return a duration: "8.5 s", "12 min", "1.5 h"."""
    if seconds < 90:
        return f"{round(seconds, 1):.2g} s"
    return f"{seconds / 60:.2g} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def format_durations(low: float, high: float) -> str:
    """Return a range of durations: "2 to 30 min", or "50 s to 2 min"."""
    shortest = format_duration(low)
    longest = format_duration(high)
    if shortest == longest:
        return longest
    unit = longest.partition(" ")[2]
    return f"{shortest.removesuffix(f' {unit}')} to {longest}"


def align_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the rows as lines with aligned columns, without columns that have no value below their head."""
    rows = drop_empty_columns(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def drop_empty_columns(rows: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """Return the rows without the columns that have no value below their head."""
    columns = [column for column in zip(*rows, strict=True) if set(column[1:]) != {"–"}]
    return list(zip(*columns, strict=True))


def format_setting(value: object) -> str:
    """Return the level of a setting: True → "on", 2.0 → "2"."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else make_visible(value)


def format_csv_cell(value: object) -> object:
    """Return a cell of a CSV file. A text that a spreadsheet would run as a formula gets a quote: "'=1+1"."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    text = "" if value is None else make_visible(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def format_markdown_cell(value: object) -> str:
    """Return a cell of a pipe table, with everything escaped that Markdown or HTML would read."""
    text = make_visible(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|$~])", r"\\\1", text)


def format_pipe_table(rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table, whose head is the first row, without columns that have no value."""
    head, *body = drop_empty_columns(rows)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (head, ["---"] * len(head), *body))


REPEATED = "whether the same trial gives the same numbers twice"
"""The question that a second training of a program's first trial answers."""


def describe_distances(differences: Mapping[str, float]) -> str:
    """Return by how much two trials differ in each metric: "loss by 0.013, error by 0.2"."""
    phrases = [f"{name} by {x:.2g}" for name, x in differences.items() if 0 < x < LARGEST_FINITE]
    phrases += [f"{name}, which diverged once" for name, x in differences.items() if x >= LARGEST_FINITE]
    return ", ".join(phrases) or "in their curves"


def join_names(names: Sequence[str]) -> str:
    """Return names as a sentence lists them: 'a', 'a and b', 'a, b and c'; 'none' without any."""
    if not names:
        return "none"
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def join_first_names(names: Iterable[object], limit: int) -> str:
    """Return the first names, shortened and quoted, and the number of the others: see `join_first`."""
    return join_first([quote_name(shorten_name(name)) for name in names], limit)


def describe_all(number: int, noun: str) -> str:
    """Return "on the one seed", "on both seeds" or "on all 10 seeds"."""
    if number == 1:
        return f"on the one {noun}"
    return f"on both {noun}s" if number == 2 else f"on all {plural(number, noun)}"


def quote_name(name: str) -> str:
    """Return a name as visible text for a sentence: in quotation marks if it has a comma."""
    text = make_visible(name).strip()
    return f"“{text}”" if "," in text else text


def skip_none(convert: Callable[[float], float]) -> Callable[[Any], float | None]:
    """Return a function that converts a number, and returns None for None."""
    return lambda x: None if x is None else convert(x)


def end_sentences(*sentences: str) -> list[str]:
    """Return the sentences that are not empty, each with a full stop."""
    return [f"{sentence}." for sentence in sentences if sentence]


def format_brackets(*remarks: str) -> str:
    """Return the remarks that are not empty in brackets: " (provisional; 1 of 10 diverged)"; "" for none."""
    text = "; ".join(filter(None, remarks))
    return f" ({text})" if text else ""
