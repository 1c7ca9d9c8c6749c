"""The forest plot: one row a contrast, Δ on x, the ratio of perplexities above."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.comparison import ComparedArm, Comparison
from reports.factorial import Factorial
from reports.figures.drawing import axes_at, blank
from reports.figures.svg import COLOURS, picture
from reports.formats import interval, number, two_lines
from reports.statistics.verdicts import Verdict

_LEFT, _PLOT = 165, 445  # units: of the names, and of the plot


@dataclass(frozen=True)
class ForestRow:
    """One row of the plot. `gid` begins the ids of its parts, by which the page finds them."""

    name: str
    verdict: Verdict
    gid: str


def arms(c: Comparison, name: str = "forest") -> Markup | None:
    """Every compared arm's Δ: a dot a seed, a thick 95 % interval, a thin Bonferroni one."""
    rows = [ForestRow(_named(r), r.verdict, f"arm{r.index}") for r in c.compared if r.verdict]
    about = f"Difference from {c.rows[0].arm.name}, or from the arm that is named, in {c.title}."
    title = f"Contrasts of {c.evidence.study} by {c.title}"
    return _picture(name, title, about, rows, c) if rows else None


def _named(row: ComparedArm) -> str:
    return f"{row.arm.name} against {row.arm.against}" if row.arm.against else row.arm.name


def effects(whole: Factorial, c: Comparison) -> Markup:
    """The factorial's main effects, then its interactions."""
    rows = [ForestRow(e.name, e.verdict, f"effect{i}") for i, e in enumerate(whole.effects)]
    about = f"Effects on {c.title}: main effects, then interactions."
    return _picture("effects", "Effects of the factorial", about, rows, c)


def _picture(name: str, title: str, about: str, rows: Sequence[ForestRow], c: Comparison) -> Markup:
    said = "; ".join(f"{row.name}: {number(row.verdict.contrast.mean, sign=True)}" for row in rows)
    return picture(name, title, f"{about} {said}", lambda: _plot(rows, c))


def _plot(rows: Sequence[ForestRow], c: Comparison) -> Figure:
    height, delta = 36 * len(rows), c.metric.delta
    figure = blank(height + 96)
    ax = axes_at(figure, _LEFT, 44, _PLOT, height)
    ax.grid(visible=False)
    ax.set(ylim=(len(rows) - 0.5, -0.5), yticks=[])
    ax.spines["left"].set_visible(False)
    ax.axvspan(-delta, delta, color=COLOURS["band"], lw=0)
    ax.axvline(0, color=COLOURS["muted"], lw=1)
    for y, row in enumerate(rows):
        _numbers(ax, y, row)
        _words(ax, y, row)
    low, high = min(ax.get_xlim()[0], -1.5 * delta), max(ax.get_xlim()[1], 1.5 * delta)
    if any(row.verdict.contrast.arm_diverged for row in rows):
        high += 0.12 * (high - low)  # room for the ✕ of seeds that lie beyond any scale
    ax.set_xlim(low, high)
    _scales(ax, c)
    return figure


def _numbers(ax: Axes, y: float, row: ForestRow) -> None:
    """Dots for seeds, a thin Bonferroni interval, a thick 95 % one, a diamond for the mean."""
    contrast = row.verdict.contrast
    look: dict[str, Any] = {"color": COLOURS[row.verdict.word.name.lower()], "mew": 0}
    at, dots = y - 0.04, list(contrast.differences.values())
    ax.plot(dots, [at + 0.26] * len(dots), "o", ms=3.6, alpha=0.55, gid=f"{row.gid}-seeds", **look)
    for ends, width in ((contrast.bonferroni, 1.2), (contrast.interval, 5)):
        if ends:
            gid = f"{row.gid}-{width}"
            ax.plot([ends.low, ends.high], [at, at], lw=width, solid_capstyle="butt", gid=gid, **look)
    if contrast.mean is not None:
        ax.plot([contrast.mean], [at], "D", ms=7, gid=f"{row.gid}-mean", **look)


def _words(ax: Axes, y: float, row: ForestRow) -> None:
    """The row's name, its effect, its verdict, and how many seeds lie beyond the plot: they diverged."""
    verdict, contrast = row.verdict, row.verdict.contrast
    effect = number(contrast.mean, sign=True)
    effect += f"  {interval(contrast.interval, sign=True)}" if contrast.interval else ""
    word, colour = f"{verdict.symbol} {verdict.word.name}", COLOURS[verdict.word.name.lower()]
    bold = {"weight": "bold"}
    texts: list[tuple[float, str, str, dict[str, Any]]] = [
        (-_LEFT / _PLOT, two_lines(row.name, 23), "name", {"linespacing": 1.05, **bold}),
        (1.03, effect, "effect", {}),
        (1.48, word, "claim", {"color": colour, **bold}),
    ]
    if k := contrast.arm_diverged:
        texts.append((1, f"{k} ✕", "gone", {"ha": "right", "color": COLOURS["worsens"]}))
    for x, text, part, look in texts:
        gid = f"{row.gid}-{part}"
        ax.text(x, y, text, transform=ax.get_yaxis_transform(), va="center", gid=gid, **look)


def _scales(ax: Axes, c: Comparison) -> None:
    """Differences below, and above them the ratios of perplexities where the metric is in nats."""
    left, right = ("better", "worse") if c.lower_is_better else ("worse", "better")
    ax.set_xlabel(f"← {left}    Δ {c.label}    {right} →")
    ax.tick_params(axis="x", length=3)
    ax.locator_params(axis="x", nbins=8)
    ax.xaxis.set_major_formatter(lambda x, _: f"{x:+g}".replace("-", "−") if abs(x) > 1e-9 else "0")
    if c.in_nats:
        above = ax.twiny()
        above.set_xlim(ax.get_xlim())
        ticks = _ratio_ticks(*ax.get_xlim(), 7)
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
