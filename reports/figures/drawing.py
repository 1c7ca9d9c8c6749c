"""Functions shared by the pictures: axes at fixed places, scales, lines and their names."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.figures.svg import COLOURS
from reports.formats import short
from reports.statistics.arm_summary import ArmSummary

WIDTH = 940
"""Of a picture as wide as the page, in units that are about a CSS pixel there."""

MARKERS = "osD^vPX*"
DASHES = ((1, 0), (5, 2), (1, 1.6), (6, 2, 1, 2), (3, 1.5), (8, 2), (1, 3), (5, 1, 1, 1, 1, 1))
"""Marker and dash of arm i, modulo eight: what tells arms apart where colour does not."""


def blank_figure(height: float, width: float = WIDTH) -> Figure:
    """A figure of a height and a width in units."""
    return Figure(figsize=(width / 72, height / 72), dpi=72)


def axes_at(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes with horizontal grid lines, at a place given in units from the upper left corner."""
    w, h = figure.get_size_inches() * 72
    ax = figure.add_axes((left / w, 1 - (top + height) / h, width / w, height / h))
    ax.grid(axis="y")
    ax.tick_params(length=0)
    ax.set_axisbelow(True)
    return ax


def pad_ends(values: Sequence[float]) -> tuple[float, float]:
    """The ends of a scale for these values, with some room beyond them."""
    low, high = min(values), max(values)
    pad = 0.06 * (high - low) or 0.1
    return low - pad, high + pad


def single_axes(height: float = 250) -> tuple[Figure, Axes]:
    """One pair of axes, with room at the right for the names of its lines."""
    figure = blank_figure(height + 62)
    return figure, axes_at(figure, 62, 12, WIDTH - 252, height)


def estimates(
    ax: Axes, drawn: Sequence[tuple[str, Sequence[tuple[float, ArmSummary]]]], read: Callable[[float], float]
) -> None:
    """By name: a dot for each seed that converged, a bar for the interval, a line through the means.

    `read` makes of a number that is judged the one that is drawn.
    """
    ends = []
    for i, (name, points) in enumerate(drawn):
        look: dict[str, Any] = {"color": COLOURS[f"arm{(i + 1) % 8}"]}
        for x, s in points:
            dots = [read(v) for v in s.values.values() if math.isfinite(v)]
            ax.plot([x] * len(dots), dots, "o", ms=3.5, mew=0, alpha=0.4, **look)
            if s.interval:
                ax.plot([x, x], [read(s.interval.low), read(s.interval.high)], lw=4, alpha=0.45, **look)
        means = [(x, read(s.mean)) for x, s in points if s.mean is not None]
        if means:
            line: dict[str, Any] = {"ls": (0, DASHES[i % 8]), "marker": MARKERS[i % 8], "ms": 7, "mew": 0}
            ax.plot(*zip(*means, strict=True), **line, **look)
            ends.append((means[-1][1], name, look["color"]))
    name_ends(ax, ends)


def name_ends(ax: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Write the names of lines at the right edge, at their ends' heights, moved apart where they overlap.

    `ends` has (y, name, colour) of each line.
    """
    figure: Any = ax.get_figure(root=True)
    height = ax.get_position().height * figure.get_size_inches()[1] * 72
    ax.autoscale_view()  # matplotlib puts it off until it draws
    to_height = (ax.transData + ax.transAxes.inverted()).transform
    ordered = sorted(ends)
    heights = spread([float(to_height((1.0, y))[1]) for y, _, _ in ordered], 17 / height)
    for at, (_, name, colour) in zip(heights, ordered, strict=True):
        look: dict[str, Any] = {"color": colour, "weight": "bold", "va": "center", "transform": ax.transAxes}
        ax.text(1.02, at, short(name, 26), **look)


def spread(heights: Sequence[float], least: float) -> list[float]:
    """Ascending heights between 0 and 1, moved so that neighbours are at least `least` apart."""
    placed: list[float] = []
    for height in heights:
        placed.append(max(min(height, 1), 0, placed[-1] + least if placed else 0))
    limit = 1.0
    for i in range(len(placed) - 1, -1, -1):  # what was pushed out at the top pushes the others down
        placed[i] = min(placed[i], limit)
        limit = placed[i] - least
    return placed
