"""The forest plot: one row a contrast, Δ on x, the ratio of perplexities above."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.comparison import Comparison
from reports.figures.svg import COLOURS, axes_at, blank
from reports.statistics.verdicts import Verdict
from reports.text import interval, number, short, two_lines


@dataclass(frozen=True)
class Line:
    """One row of the plot. `gid` begins the ids of its parts, by which the page finds them."""

    name: str
    verdict: Verdict
    gid: str


def draw(c: Comparison, narrow: bool) -> Figure:
    """Every compared arm in declared order."""
    lines = [Line(r.arm.name, r.verdict, f"arm{r.index}") for r in c.compared if r.verdict]
    return plot(lines, c, narrow)


def plot(lines: Sequence[Line], c: Comparison, narrow: bool) -> Figure:
    """These contrasts, top down; on a narrow screen names stand above their row, not beside it."""
    step, top = (54 if narrow else 36), 44
    width, left, plot = (360, 8, 344) if narrow else (940, 165, 445)
    figure = blank(width, top + step * len(lines) + 52)
    ax = axes_at(figure, left, top, plot, step * len(lines))
    ax.set(ylim=(len(lines) - 0.5, -0.5), yticks=[])
    ax.spines["left"].set_visible(False)
    delta = c.evidence.equivalence
    ax.axvspan(-delta, delta, color=COLOURS["band"], lw=0)
    ax.axvline(0, color=COLOURS["muted"], lw=1)
    for y, line in enumerate(lines):
        _numbers(ax, y, line, narrow)
        _words(ax, y, line, narrow)
    low, high = min(ax.get_xlim()[0], -1.5 * delta), max(ax.get_xlim()[1], 1.5 * delta)
    if any(line.verdict.contrast.arm_diverged for line in lines):
        high += 0.12 * (high - low)  # room for the ✕ of seeds that lie beyond any scale
    ax.set_xlim(low, high)
    _scales(ax, c, narrow)
    return figure


def _numbers(ax: Axes, y: float, line: Line, narrow: bool) -> None:
    """Dots for seeds, a thin Bonferroni interval, a thick 95 % one, a diamond for the mean."""
    contrast = line.verdict.contrast
    look: dict[str, Any] = {"color": COLOURS[line.verdict.word.name.lower()], "mew": 0}
    at, below = (y + 0.06, 0.2) if narrow else (y - 0.04, 0.26)
    dots = list(contrast.differences.values())
    ax.plot(dots, [at + below] * len(dots), "o", ms=3.6, alpha=0.55, gid=f"{line.gid}-seeds", **look)
    for ends, width in ((contrast.bonferroni, 1.2), (contrast.interval, 5)):
        if ends:
            gid = f"{line.gid}-{width}"
            ax.plot([ends.low, ends.high], [at, at], lw=width, solid_capstyle="butt", gid=gid, **look)
    if contrast.mean is not None:
        ax.plot([contrast.mean], [at], "D", ms=7, gid=f"{line.gid}-mean", **look)


def _words(ax: Axes, y: float, line: Line, narrow: bool) -> None:
    """The row's name, its effect, its verdict, and how many seeds lie beyond the plot: they diverged."""
    verdict, contrast, gid = line.verdict, line.verdict.contrast, f"{line.gid}-"
    colour = COLOURS[verdict.word.name.lower()]
    place: dict[str, Any] = {"transform": ax.get_yaxis_transform(), "va": "center"}
    effect = number(contrast.mean, sign=True)
    if narrow:
        y -= 0.27
        ax.text(0, y, short(line.name, 36), weight="bold", gid=f"{gid}name", **place)
        effect = f"{effect} {verdict.symbol}"
        ax.text(1, y, effect, ha="right", color=colour, weight="bold", gid=f"{gid}effect", **place)
    else:
        ends = contrast.interval
        effect += f"  {interval(ends.low, ends.high, sign=True)}" if ends else ""
        name = two_lines(line.name, 23)
        ax.text(-165 / 445, y, name, weight="bold", linespacing=1.05, gid=f"{gid}name", **place)
        ax.text(1.03, y, effect, gid=f"{gid}effect", **place)
        word = f"{verdict.symbol} {verdict.word.name}"
        ax.text(1.48, y, word, color=colour, weight="bold", gid=f"{gid}claim", **place)
    if contrast.arm_diverged:
        gone, at = f"{contrast.arm_diverged} ✕", y + (0.36 if narrow else 0)
        ax.text(1, at, gone, ha="right", color=COLOURS["worsens"], gid=f"{gid}gone", **place)


def _scales(ax: Axes, c: Comparison, narrow: bool) -> None:
    """Differences below, and above them the ratios of perplexities where the metric is in nats."""
    left, right = ("better", "worse") if c.lower_is_better else ("worse", "better")
    ax.set_xlabel(f"← {left}    Δ {c.title}{f' ({c.unit})' if c.unit else ''}    {right} →")
    ax.locator_params(axis="x", nbins=5 if narrow else 8)
    ax.xaxis.set_major_formatter(lambda x, _: f"{x:+g}".replace("-", "−") if abs(x) > 1e-9 else "0")
    if c.in_nats:
        above = ax.twiny()
        above.set_xlim(ax.get_xlim())
        ticks = _ratio_ticks(*ax.get_xlim(), 4 if narrow else 7)
        above.set_xticks(np.log(ticks), [f"{t:g}" for t in ticks])
        above.set_xlabel("ratio of perplexities")
        above.spines[["left", "bottom"]].set_visible(False)


def _ratio_ticks(low: float, high: float, most: int) -> list[float]:
    """Round ratios within exp(low) … exp(high), spread evenly over the differences, 1 among them."""
    raw = np.exp(np.linspace(low, high, most + 2)[1:-1])
    step = 0.05 if high - low > 0.4 else 0.02 if high - low > 0.15 else 0.005
    ticks = {float(round(round(x / step) * step, 4)) for x in raw} | {1.0}
    gap = (high - low) / (most + 3)
    return sorted(
        t for t in ticks if t == 1 or (t > 0 and low <= math.log(t) <= high and abs(math.log(t)) > gap)
    )
