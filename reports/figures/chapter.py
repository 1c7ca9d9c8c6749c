"""Pictures of the chapter's page: measurements, and a study's arms along one of its factors."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.comparison import Comparison, Row, trial_of
from reports.figures.panels import DASHES, MARKERS
from reports.figures.svg import COLOURS, axes_at, blank, picture
from reports.text import MINUS, number, short

Line = tuple[str, Sequence[float], Sequence[float]]
"""A name, x and y."""

Data = Mapping[str, Any]

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def power(x: float) -> str:
    """A number as people write it, small and large ones too: 0.02, 38.7, 3.1·10⁻⁷, 10⁶."""
    if x == 0 or 0.001 <= abs(x) < 10_000:
        return (
            f"{x:.2g}".replace("-", MINUS)
            if 0 < abs(x) < 1
            else number(x, 2).removesuffix("0").removesuffix(".0")
        )
    digits, _, exponent = f"{x:.1e}".partition("e")
    raised = str(int(exponent)).translate(_RAISED)
    digits = digits.removesuffix(".0").replace("-", MINUS)
    return f"10{raised}" if digits == "1" else f"{digits}·10{raised}"


def draw(name: str, title: str, about: str, how: Callable[[bool], Figure]) -> Markup:
    """A picture whose ids belong to its question."""
    return picture(f"q-{name}", title, about, how)


def panels(count: int, narrow: bool, height: float = 190, columns: int = 4) -> tuple[Figure, list[Axes]]:
    """Small multiples, each with a scale of its own."""
    columns = min(count, 2 if narrow else columns)
    lines = math.ceil(count / columns)
    width, left, gap = (360, 40, 42) if narrow else (940, 46, 52)
    each = (width - left - gap * (columns - 1) - 8) / columns
    figure = blank(width, lines * (height + 74) + 6)
    axes = []
    for i in range(count):
        y, x = divmod(i, columns)
        ax = axes_at(figure, left + x * (each + gap), 28 + y * (height + 74), each, height)
        _plain(ax)
        axes.append(ax)
    return figure, axes


def single(narrow: bool, height: float = 250) -> tuple[Figure, Axes]:
    """One pair of axes, with room at the right for the names of its lines."""
    width, left, right = (360, 50, 92) if narrow else (940, 62, 190)
    figure = blank(width, height + 62)
    ax = axes_at(figure, left, 12, width - left - right, height)
    _plain(ax)
    return figure, ax


def logarithmic(ax: Axes, axis: str = "y") -> None:
    """A logarithmic scale whose numbers need no mathematics to be set."""
    getattr(ax, f"set_{axis}scale")("log")
    chosen = getattr(ax, f"{axis}axis")
    chosen.set_major_formatter(lambda x, _: power(x))
    chosen.set_minor_formatter(lambda *_: "")
    ax.tick_params(axis="both", which="minor", length=0)


def lines(ax: Axes, drawn: Sequence[Line], narrow: bool) -> None:
    """Lines told apart by colour, dash and marker, each named at its end."""
    ends = []
    for i, (name, x, y) in enumerate(drawn):
        colour = COLOURS[f"arm{(i + 1) % 8}"]
        every = max(1, len(x) // 8)
        ax.plot(
            x, y, color=colour, ls=(0, DASHES[i % 8]), marker=MARKERS[i % 8], ms=5, mew=0, markevery=every
        )
        ends.append((y[-1], name, colour))
    name_ends(ax, ends, narrow)


def name_ends(ax: Axes, ends: Sequence[tuple[float, str, str]], narrow: bool) -> None:
    """(y, name, colour) of each line: names at the right edge, at their line's height, none over another."""
    height = ax.get_position().height * float(ax.get_figure(root=True).get_size_inches()[1]) * 72  # type: ignore[union-attr]
    ax.autoscale_view()  # matplotlib puts it off until it draws
    to_height = (ax.transData + ax.transAxes.inverted()).transform
    ordered = sorted(ends)
    heights = spread([float(to_height((1.0, y))[1]) for y, _, _ in ordered], 17 / height)
    for at, (_, name, colour) in zip(heights, ordered, strict=True):
        ax.text(
            1.02,
            at,
            short(name, 13 if narrow else 26),
            color=colour,
            weight="bold",
            va="center",
            transform=ax.transAxes,
        )


def spread(heights: Sequence[float], least: float) -> list[float]:
    """Rising heights between 0 and 1, moved as far as keeps each at `least` above the one before it."""
    placed: list[float] = []
    for height in heights:
        placed.append(max(min(height, 1), 0, placed[-1] + least if placed else 0))
    limit = 1.0
    for i in range(len(placed) - 1, -1, -1):  # what was pushed out at the top pushes the others down
        placed[i] = min(placed[i], limit)
        limit = placed[i] - least
    return placed


def levels(name: str, c: Comparison, factor: str, by: str, label: str) -> Markup | None:
    """A study's arms along one factor, a line for each level of another; None where it has no results yet."""
    cells = _cells(c, factor, by)
    if not any(row.summary.mean is not None for line in cells.values() for row in line.values()):
        return None
    about = f"{c.title} against {label}, one line for each {by}: seeds as dots, means joined, 95 % intervals."
    return draw(name, f"{c.title} against {label}", about, partial(_levels, c, cells, label))


def _cells(c: Comparison, factor: str, by: str) -> dict[str, dict[Any, Row]]:
    """The arms by line and level. The A/A arm changes nothing and is left out."""
    found: dict[str, dict[Any, Row]] = {}
    for row in c.rows:
        trial = trial_of(row.arm)
        if trial and (row.index == 0 or row.arm.changes):
            factors = trial.factors()
            line = row.arm.title if by == "model" else str(factors.get(by))
            found.setdefault(line, {}).setdefault(factors.get(factor), row)
    return found


def _levels(c: Comparison, cells: Mapping[str, Mapping[Any, Row]], label: str, narrow: bool) -> Figure:
    figure, ax = single(narrow)
    met = dict.fromkeys(level for line in cells.values() for level in line)
    order = list(met) if any(isinstance(level, str) for level in met) else sorted(met)
    drawn, ends = 0, []
    for name, line in cells.items():
        points = [(order.index(level), row.summary) for level, row in line.items()]
        shown = sorted((x, s) for x, s in points if s.mean is not None)
        if shown:
            colour = COLOURS[f"arm{(drawn + 1) % 8}"]
            shift = 0.05 * (drawn - (len(cells) - 1) / 2)
            for x, s in shown:
                dots = [v for v in s.values.values() if math.isfinite(v)]
                ax.plot([x + shift] * len(dots), dots, "o", ms=3.4, mew=0, color=colour, alpha=0.4)
                if s.interval:
                    ax.plot(
                        [x + shift] * 2, [s.interval.low, s.interval.high], color=colour, lw=4, alpha=0.45
                    )
            means = [s.mean for _, s in shown if s.mean is not None]
            look: dict[str, Any] = {"ls": (0, DASHES[drawn % 8]), "marker": MARKERS[drawn % 8], "mew": 0}
            ax.plot([x + shift for x, _ in shown], means, color=colour, ms=6.5, **look)
            ends.append((means[-1], name, colour))
            drawn += 1
    ax.set_xticks(range(len(order)), [f"{x:g}" if isinstance(x, float) else str(x) for x in order])
    ax.set_xlim(-0.3, len(order) - 0.7)
    ax.set(xlabel=label, ylabel=f"{c.title}{f' ({c.unit})' if c.unit else ''}")
    name_ends(ax, ends, narrow)
    return figure


def _plain(ax: Axes) -> None:
    ax.grid(axis="y")
    ax.tick_params(length=0)
    ax.set_axisbelow(True)
