"""Pictures of a factorial: its effects as a forest, and every two switches as an interaction plot."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.comparison import Comparison
from reports.factorial import Factorial
from reports.figures import forest
from reports.figures.svg import COLOURS
from reports.text import short

LOOKS = ((False, "muted", "o", (4, 2)), (True, "arm1", "D", (1, 0)))
"""Colour, marker and dash with the second switch off and on: colour is not all that tells them apart."""


def effects(whole: Factorial, c: Comparison, narrow: bool) -> Figure:
    """Main effects, then interactions, as rows of a forest plot."""
    lines = [forest.Line(e.name, e.verdict, f"effect{i}") for i, e in enumerate(whole.effects)]
    return forest.plot(lines, c, narrow)


def panels(axes: Sequence[Axes], whole: Factorial) -> list[float]:
    """Means and t intervals of every two switches, a panel each; returns the ends of the intervals."""
    shown: list[float] = []
    for ax, pair in zip(axes, whole.pairs, strict=False):
        first, second = (short(whole.switches[i].name, 14) for i in pair)
        for on, colour, marker, dashes in LOOKS:
            look: dict[str, Any] = {"color": COLOURS[colour]}
            at = [x + (0.03 if on else -0.03) for x in (0, 1)]  # bars of equal means must not hide each other
            ends = [whole.at(pair, (level, on)) for level in (False, True)]
            means = [s.mean or 0.0 for s in ends]
            for x, s in zip(at, ends, strict=True):
                low, high = (s.interval.low, s.interval.high) if s.interval else (s.mean or 0.0,) * 2
                ax.plot([x, x], [low, high], lw=5, alpha=0.4, solid_capstyle="butt", **look)
                shown += [low, high]
            ax.plot(at, means, dashes=dashes, marker=marker, ms=6, mew=0, lw=1.8, **look)
        ax.set_title(f"{first} × {second}", weight="bold", pad=7)
        ax.set_xlim(-0.2, 1.95)
        ax.set_xticks([0, 1], [f"no {first}", first])
    return shown


def name_lines(axes: Sequence[Axes], whole: Factorial) -> None:
    """Each line's name at its right end, apart from the other's. The scales must stand."""
    for ax, pair in zip(axes, whole.pairs, strict=False):
        name, (low, high) = short(whole.switches[pair[1]].name, 14), ax.get_ylim()
        ends = [whole.at(pair, (True, on)).mean or 0.0 for on, *_ in LOOKS]
        middle, gap = sum(ends) / 2, max(abs(ends[1] - ends[0]), 0.13 * (high - low)) / 2
        for (on, colour, *_), end, other in zip(LOOKS, ends, reversed(ends), strict=True):
            y = middle + (gap if end > other or (end == other and on) else -gap)
            text = name if on else f"no {name}"
            ax.text(1.15, y, text, color=COLOURS[colour], weight="bold", va="center")
