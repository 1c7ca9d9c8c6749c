"""Pictures of a comparison. Every function returns a bare `Figure`, drawn in stand-in colours (see svg)."""

import math
from collections.abc import Sequence
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.book import Held
from reports.comparison import Comparison, Row
from reports.factorial import Factorial
from reports.figures import factorial_plot
from reports.figures import forest as forest_plot
from reports.figures.svg import COLOURS, axes_at, blank, picture
from reports.sections import Sweep
from reports.statistics.estimators import t_interval
from reports.text import number, short
from reports.tuning import OwnBest

MARKERS = "osD^vPX*"
DASHES = ((1, 0), (5, 2), (1, 1.6), (6, 2, 1, 2), (3, 1.5), (8, 2), (1, 3), (5, 1, 1, 1, 1, 1))
"""Marker and dash of arm i, modulo eight: what tells arms apart where colour does not."""

PANELS = 12
"""Most arms that small multiples show; the tables have them all."""
_POINTS = 60  # most points that one learning curve keeps
_MUTED = COLOURS["muted"]


def forest(c: Comparison) -> Markup:
    """Every compared arm's Δ: a dot a seed, a thick 95 % interval, a thin Bonferroni one."""
    said = "; ".join(f"{r.arm.name}: {number(r.contrast.mean, sign=True)}" for r in c.compared if r.contrast)
    about = f"Difference from the baseline in {c.title}, one row an arm. {said}"
    return picture("forest", "Forest plot of the contrasts", about, partial(forest_plot.draw, c))


def slopes(c: Comparison) -> Markup:
    """Paired slopes: one line a seed from the baseline to the arm."""
    about = f"One panel an arm: each line joins a seed's {c.title} under the baseline and under the arm."
    return picture("slopes", "Paired slopes", about, partial(_slopes, c))


def curves(c: Comparison) -> Markup:
    """Learning curves: thin seeds, the mean of those that converged, its pointwise band."""
    about = "Validation loss by epoch, one panel an arm; grey is the baseline's mean, ✕ a diverged seed."
    return picture("curves", "Learning curves", about, partial(_curves, c))


def book(held: Sequence[Held]) -> Markup:
    """Our seeds, the prediction interval, and the published value as a diamond."""
    about = "; ".join(f"{h.published.title}: {h.prediction.wording}" for h in held)
    return picture("book", "The book's values among our seeds", about, partial(_book, held))


def sweeps(found: Sequence[Sweep], c: Comparison) -> Markup:
    """The metric against the learning rate, one line a model."""
    about = f"{c.title} against the learning rate, on a logarithmic axis, with 95 % intervals over seeds."
    return picture("sweep", "Learning-rate sweep", about, partial(_sweeps, found, c))


def best_of_n(found: Sequence[OwnBest], c: Comparison) -> Markup:
    """The expected best of n trials of each arm's search, against n."""
    about = f"Expected best {c.title} of n trials of the search, one panel an arm; grey is the baseline's."
    return picture("best-of-n", "Expected best of n trials", about, partial(_best_of_n, found))


def effects(whole: Factorial, c: Comparison) -> Markup:
    """The factorial's main effects and interactions, drawn as the forest is."""
    said = "; ".join(f"{e.name}: {number(e.mean, sign=True)}" for e in whole.effects)
    about = f"Effects on {c.title}: main effects, then interactions. {said}"
    return picture("effects", "Effects of the factorial", about, partial(factorial_plot.effects, whole, c))


def interactions(whole: Factorial, c: Comparison) -> Markup:
    """Every two switches: the metric with the first off and on, a line for each level of the second."""
    about = (
        f"Mean {c.title} with the first switch off and on, one line with the second off and one with it on."
    )
    return picture("interplay", "Interaction plot", about, partial(_interactions, whole))


def _interactions(whole: Factorial, narrow: bool) -> Figure:
    figure, axes = _grid(len(whole.pairs[:PANELS]), narrow, 130, columns=2 if narrow else 3)
    _share(axes, factorial_plot.panels(axes, whole))
    factorial_plot.name_lines(axes, whole)
    return figure


def _grid(panels: int, narrow: bool, height: float, columns: int | None = None) -> tuple[Figure, list[Axes]]:
    """Axes of small multiples that share both scales; only the outer ones are labelled."""
    columns = min(panels, columns or (2 if narrow else 4))
    lines = math.ceil(panels / columns)
    width, left, gap = (360, 38, 14) if narrow else (940, 46, 22)
    each = (width - left - gap * (columns - 1) - 6) / columns
    figure = blank(width, lines * (height + 50) + 14)
    places = [divmod(i, columns) for i in range(panels)]
    axes = [axes_at(figure, left + x * (each + gap), 26 + y * (height + 50), each, height) for y, x in places]
    for ax, (_, x) in zip(axes, places, strict=True):
        ax.grid(axis="y")
        ax.tick_params(length=0, labelleft=x == 0)
        ax.set_axisbelow(True)
    return figure, axes


def _share(axes: Sequence[Axes], values: Sequence[float]) -> None:
    """One y scale for all panels: from the least value to just above the most."""
    low, high = min(values), max(values)
    pad = 0.06 * (high - low) or 0.1
    for ax in axes:
        ax.set_ylim(low - pad, high + pad)


def _slopes(c: Comparison, narrow: bool) -> Figure:
    rows = [r for r in c.compared if r.contrast and r.contrast.differences][:PANELS]
    figure, axes = _grid(len(rows), narrow, 150)
    gain = -1 if c.lower_is_better else 1
    shown: list[float] = []
    for ax, row in zip(axes, rows, strict=True):
        ax.set_gid(f"arm{row.index}-slopes")
        base = c.base(row).summary.values
        for seed, difference in row.contrast.differences.items() if row.contrast else ():
            pair = (base[seed], row.summary.values[seed])
            colour, line = ("improves", "-") if gain * difference > 0 else ("worsens", "--")
            ax.plot([0, 1], pair, line, marker="o", ms=3.5, mew=0, lw=1.2, alpha=0.8, color=COLOURS[colour])
            shown.extend(pair)
        ax.set_title(short(row.arm.name, 18 if narrow else 26), weight="bold", pad=7)
        ax.set_xlim(-0.18, 1.18)
        ax.set_xticks([0, 1], ["baseline", "arm"])
    _share(axes, shown)
    return figure


def curve_rows(c: Comparison) -> list[Row]:
    """The first arms that have a learning curve to show."""
    return list(islice((row for row in c.rows if _curve_points(row)), PANELS))


def _curve_points(row: Row) -> list[tuple[int, int, float, bool]]:
    """Thinned: seed, epoch (from 1), finite validation loss, whether the trial finished."""
    records = []
    for seed, result in sorted(row.arm.results.items()):
        if result.epochs and (result.done or result.diverged):
            kept = np.unique(np.linspace(0, len(result.epochs) - 1, _POINTS).astype(int))
            points = [(result.epochs[i].epoch + 1, result.epochs[i].valid_loss) for i in kept]
            records += [(seed, epoch, loss, result.done) for epoch, loss in points if math.isfinite(loss)]
    return records


def _curve_frame(row: Row) -> pd.DataFrame:
    return pd.DataFrame(_curve_points(row), columns=["seed", "epoch", "loss", "done"]).astype({"done": bool})


def _curves(c: Comparison, narrow: bool) -> Figure:
    rows = curve_rows(c)
    figure, axes = _grid(len(rows), narrow, 150)
    shown: list[float] = []
    for ax, row in zip(axes, rows, strict=True):
        frame = _curve_frame(row)
        ax.set_gid(f"arm{row.index}-curves")
        if row.contrast:
            base = _curve_frame(c.base(row))
            mean = base[base.done].groupby("epoch").loss.mean()
            ax.plot(mean.index, mean, color=_MUTED, lw=1.1, dashes=(3, 2))
        _curve_panel(ax, frame, COLOURS[f"arm{row.index % 8}"])
        ax.set_title(short(row.arm.name, 18 if narrow else 26), weight="bold", pad=7)
        ax.set(xlabel="", ylabel="")
        ax.locator_params(axis="x", nbins=5, integer=True)
        shown += [float(frame.loss.min()), float(frame.loss.quantile(0.995))]
    _share(axes, shown)
    return figure


def _curve_panel(ax: Axes, frame: pd.DataFrame, colour: str) -> None:
    for _, one in frame.groupby("seed"):
        ax.plot(one.epoch, one.loss, color=colour, lw=0.6, alpha=0.4)
        if not one.done.iloc[0]:
            end = one.iloc[-1]
            ax.plot([end.epoch], [end.loss], "X", ms=8, mew=0, color=COLOURS["worsens"], zorder=3)
    finished = frame[frame.done]  # mean and band are given convergence, and the caption says so
    if len(finished):
        sns.lineplot(finished, x="epoch", y="loss", errorbar=_t_band, ax=ax, color=colour, lw=2, legend=False)


def _t_band(sample: "pd.Series[float]") -> tuple[float, float]:
    """A t interval over seeds, in place of seaborn's unseeded bootstrap."""
    if len(sample) < 3:
        return math.nan, math.nan
    low, high = t_interval(np.asarray(sample, dtype=float))
    return float(low), float(high)


def _book(held: Sequence[Held], narrow: bool) -> Figure:
    step, top = (50 if narrow else 38), 8
    width, left, plot = (360, 8, 344) if narrow else (940, 165, 600)
    figure = blank(width, top + step * len(held) + 50)
    ax = axes_at(figure, left, top, plot, step * len(held))
    frame = pd.DataFrame([(y, loss) for y, h in enumerate(held) for loss in h.losses], columns=["y", "loss"])
    sns.stripplot(frame, x="loss", y="y", orient="h", jitter=False, ax=ax, color=_MUTED, size=5, alpha=0.6)
    for y, h in enumerate(held):
        _book_row(ax, y, h, narrow)
    ax.set(yticks=[], ylabel="", xlabel="validation loss (nats)", ylim=(len(held) - 0.4, -0.6))
    ax.spines["left"].set_visible(False)
    return figure


def _book_row(ax: Axes, y: float, h: Held, narrow: bool) -> None:
    """The prediction interval, the book's diamond, and what to make of it."""
    ends, fits = h.prediction.interval, h.prediction.plausible
    colour, reading = (
        (COLOURS["improves"], "✓ plausible") if fits else (COLOURS["worsens"], "✕ not plausible")
    )
    ax.plot([ends.low, ends.high], [y, y], lw=5, alpha=0.35, color=_MUTED, solid_capstyle="butt")
    ax.plot([h.prediction.y], [y], "D", ms=9, mew=0, color=colour, zorder=4)
    place: dict[str, Any] = {"transform": ax.get_yaxis_transform(), "va": "center", "weight": "bold"}
    if narrow:
        ax.text(0, y - 0.34, short(h.row.arm.name, 22), **place)
        ax.text(1, y - 0.34, reading, ha="right", color=colour, **place)
    else:
        ax.text(-165 / 600, y, short(h.row.arm.name, 22), **place)
        ax.text(1.03, y, reading, color=colour, **place)


def _sweeps(found: Sequence[Sweep], c: Comparison, narrow: bool) -> Figure:
    width, left = (360, 42) if narrow else (940, 60)
    figure = blank(width, 330)
    ax = axes_at(figure, left, 12, width - left - (8 if narrow else 200), 264)
    ax.grid(axis="y")
    for i, sweep in enumerate(found):
        _sweep(ax, sweep, i, narrow)
    ax.set_xscale("log")
    ticks = sorted({lr for sweep in found for lr, _ in sweep.points})
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    ax.minorticks_off()
    ax.set(xlabel="learning rate", ylabel=f"{c.title}{f' ({c.unit})' if c.unit else ''}")
    return figure


def _sweep(ax: Axes, sweep: Sweep, i: int, narrow: bool) -> None:
    """One model: dots for seeds that converged, an interval, a line through the means."""
    colour = COLOURS[f"arm{(i + 1) % 8}"]
    for lr, s in sweep.points:
        converged = [v for v in s.values.values() if math.isfinite(v)]
        ax.plot([lr] * len(converged), converged, "o", ms=3.6, mew=0, color=colour, alpha=0.4)
        if s.interval:
            ax.plot([lr, lr], [s.interval.low, s.interval.high], color=colour, lw=4, alpha=0.5)
    means = [(lr, s.mean) for lr, s in sweep.points if s.mean is not None]
    if means:
        line = (0, DASHES[i % 8])
        ax.plot(*zip(*means, strict=True), marker=MARKERS[i % 8], ls=line, color=colour, ms=7, mew=0)
        offset, side = ((0, 12), "right") if narrow else ((12, 0), "left")
        look: dict[str, Any] = {"color": colour, "weight": "bold", "va": "center", "ha": side}
        ax.annotate(short(sweep.name, 20), means[-1], offset, textcoords="offset points", **look)


def best_rows(found: Sequence[OwnBest]) -> list[OwnBest]:
    """The first tuned arms whose curve has a finite point."""
    return [x for x in found if any(map(math.isfinite, x.curve))][:PANELS]


def _best_of_n(found: Sequence[OwnBest], narrow: bool) -> Figure:
    shown = best_rows(found)
    figure, axes = _grid(len(shown), narrow, 120)
    for ax, one in zip(axes, shown, strict=True):
        index = one.row.index
        ax.set_gid(f"arm{index}-best")
        if index:
            ax.plot(*_finite(found[0].curve), color=_MUTED, lw=1.1, dashes=(3, 2))
        look: dict[str, Any] = {"marker": MARKERS[index % 8], "ms": 4, "mew": 0}
        ax.plot(*_finite(one.curve), color=COLOURS[f"arm{index % 8}"], **look)
        ax.set_title(short(one.row.arm.name, 18 if narrow else 26), weight="bold", pad=7)
        ax.set_xlim(0.5, len(one.curve) + 0.5)
        ax.locator_params(axis="x", nbins=5, integer=True)
    _share(axes, [y for x in shown for y in _finite(x.curve)[1]])
    return figure


def _finite(curve: Sequence[float]) -> tuple[list[int], list[float]]:
    """n, from 1, and the expected best of n, where a diverged trial does not make it infinite."""
    points = [(n + 1, y) for n, y in enumerate(curve) if math.isfinite(y)]
    return [n for n, _ in points], [y for _, y in points]
