"""Pictures of a comparison, each None where there is nothing to draw."""

import math
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.book import Held
from reports.comparison import ComparedArm, Comparison, mean_of
from reports.factorial import Factorial
from reports.figures.drawing import MARKERS, axes_at, blank, estimates, grid, share, single
from reports.figures.svg import COLOURS, picture
from reports.formats import short
from reports.sections import Sweep
from reports.statistics.estimators import t_interval
from reports.tuning import OwnBest

_POINTS = 60  # most points that one learning curve keeps
_MUTED = COLOURS["muted"]
_GREY: dict[str, Any] = {"color": _MUTED, "lw": 1.1, "dashes": (3, 2)}  # the baseline's line in a panel


def _title(ax: Axes, name: str) -> None:
    ax.set_title(short(name, 26), weight="bold", pad=7)


def curves(c: Comparison) -> Markup | None:
    """Learning curves: thin seeds, the mean of those that converged, its pointwise band."""
    seeds = c.common(with_curves(c))
    frames = {row.index: _curve_frame(row, seeds) for row in c.rows}
    rows = [row for row in c.rows if len(frames[row.index])]
    about = "Validation loss by epoch, one panel an arm; grey is the baseline's mean, ✕ a diverged seed."
    return picture("curves", "Learning curves", about, lambda: _curves(rows, frames, c)) if rows else None


def with_curves(c: Comparison) -> list[ComparedArm]:
    """The arms that were trained: one that counts has no epochs."""
    return [row for row in c.rows if any(result.epochs for result in row.arm.results.values())]


def _curve_frame(row: ComparedArm, seeds: Collection[int]) -> pd.DataFrame:
    """Thinned: seed, epoch (from 1), finite validation loss, whether the trial finished."""
    records = []
    for seed, result in sorted(row.arm.results.items()):
        if seed in seeds and result.epochs and (result.done or result.diverged):
            kept = np.unique(np.linspace(0, len(result.epochs) - 1, _POINTS).astype(int))
            points = [(result.epochs[i].epoch + 1, result.epochs[i].valid_loss) for i in kept]
            records += [(seed, epoch, loss, result.done) for epoch, loss in points if math.isfinite(loss)]
    return pd.DataFrame(records, columns=["seed", "epoch", "loss", "done"]).astype({"done": bool})


def _curves(rows: Sequence[ComparedArm], frames: dict[int, pd.DataFrame], c: Comparison) -> Figure:
    figure, axes = grid(len(rows), 150)
    shown: list[float] = []
    for ax, row in zip(axes, rows, strict=True):
        frame = frames[row.index]
        ax.set_gid(f"arm{row.index}-curves")
        if row.contrast:
            base = c.base(row)
            frame_of_base = frames[base.index]
            mean = frame_of_base[frame_of_base.done].groupby("epoch").loss.mean()
            ax.plot(mean.index, mean, **_GREY)
            if not len(mean) and (level := mean_of(base.arm, "valid_loss")) is not None:
                ax.axhline(level, **_GREY)  # a model that counts has no epochs
                shown.append(level)
        _curve_panel(ax, frame, COLOURS[f"arm{row.index % 8}"])
        _title(ax, row.arm.name)
        ax.set(xlabel="", ylabel="")
        ax.locator_params(axis="x", nbins=5, integer=True)
        shown += [float(frame.loss.min()), float(frame.loss.quantile(0.995))]
    share(axes, shown)
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


def book(held: Sequence[Held]) -> Markup | None:
    """Our seeds, the prediction interval, and the published value as a diamond."""
    about = "; ".join(f"{h.published.title}: {h.prediction.wording}" for h in held)
    return picture("book", "The book's values among our seeds", about, lambda: _book(held)) if held else None


def _book(held: Sequence[Held]) -> Figure:
    left, width, height = 165, 600, 38 * len(held)
    figure = blank(height + 58)
    ax = axes_at(figure, left, 8, width, height)
    ax.grid(visible=False)
    for y, h in enumerate(held):
        ends, fits = h.prediction.interval, h.prediction.plausible
        name, reading = ("improves", "✓ plausible") if fits else ("worsens", "✕ not plausible")
        ax.plot(h.losses, [y] * len(h.losses), "o", ms=5, mew=0, alpha=0.6, color=_MUTED)
        ax.plot([ends.low, ends.high], [y, y], lw=5, alpha=0.35, color=_MUTED, solid_capstyle="butt")
        ax.plot([h.prediction.y], [y], "D", ms=9, mew=0, color=COLOURS[name], zorder=4)
        place: dict[str, Any] = {"transform": ax.get_yaxis_transform(), "va": "center", "weight": "bold"}
        ax.text(-left / width, y, short(h.row.arm.name, 22), **place)
        ax.text(1.03, y, reading, color=COLOURS[name], **place)
    ax.set(yticks=[], xlabel="validation loss (nats)", ylim=(len(held) - 0.4, -0.6))
    ax.spines["left"].set_visible(False)
    return figure


def sweeps(found: Sequence[Sweep], c: Comparison) -> Markup | None:
    """The metric against the learning rate, one line a model."""
    about = f"{c.title} against the learning rate, on a logarithmic axis, with 95 % intervals over seeds."
    return picture("sweep", "Learning-rate sweep", about, lambda: _sweeps(found, c)) if found else None


def _sweeps(found: Sequence[Sweep], c: Comparison) -> Figure:
    figure, ax = single(264)
    ax.set_xscale("log")
    estimates(ax, found)
    ticks = sorted({lr for _, points in found for lr, _ in points})
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    ax.minorticks_off()
    ax.set(xlabel="learning rate", ylabel=c.label)
    return figure


def best_of_n(found: Sequence[OwnBest], c: Comparison) -> Markup | None:
    """The expected best of n trials of each arm's search, against n."""
    shown = [x for x in found if any(map(math.isfinite, x.curve))]
    about = f"Expected best {c.title} of n trials of the search, one panel an arm; grey is the baseline's."
    if not shown:
        return None
    return picture("best-of-n", "Expected best of n trials", about, lambda: _best_of_n(shown, found[0]))


def _best_of_n(shown: Sequence[OwnBest], base: OwnBest) -> Figure:
    figure, axes = grid(len(shown), 120)
    for ax, one in zip(axes, shown, strict=True):
        index = one.row.index
        ax.set_gid(f"arm{index}-best")
        if index:
            ax.plot(*_finite(base.curve), **_GREY)
        look: dict[str, Any] = {"marker": MARKERS[index % 8], "ms": 4, "mew": 0}
        ax.plot(*_finite(one.curve), color=COLOURS[f"arm{index % 8}"], **look)
        _title(ax, one.row.arm.name)
        ax.set_xlim(0.5, len(one.curve) + 0.5)
        ax.locator_params(axis="x", nbins=5, integer=True)
    share(axes, [y for x in shown for y in _finite(x.curve)[1]])
    return figure


def _finite(curve: Sequence[float]) -> tuple[list[int], list[float]]:
    """n, from 1, and the expected best of n, where a diverged trial does not make it infinite."""
    points = [(n + 1, y) for n, y in enumerate(curve) if math.isfinite(y)]
    return [n for n, _ in points], [y for _, y in points]


_LEVELS = ((False, "muted", "o", (4, 2)), (True, "arm1", "D", (1, 0)))
"""Colour, marker and dash with the second switch off and on: colour is not all that tells them apart."""


def interactions(whole: Factorial, c: Comparison) -> Markup:
    """Every two switches: the metric with the first off and on, a line for each level of the second."""
    about = (
        f"Mean {c.title} with the first switch off and on, one line with the second off and one with it on."
    )
    return picture("interplay", "Interaction plot", about, lambda: _interactions(whole))


def _interactions(whole: Factorial) -> Figure:
    figure, axes = grid(len(whole.pairs), 130, columns=3)
    names = [short(s.name, 14) for s in whole.switches]
    shown: list[float] = []
    for ax, (first, second) in zip(axes, whole.pairs, strict=True):
        for on, colour, marker, dashes in _LEVELS:
            look: dict[str, Any] = {"color": COLOURS[colour]}
            at = [x + (0.03 if on else -0.03) for x in (0, 1)]  # bars of equal means must not hide each other
            ends = [whole.at((first, second), (level, on)) for level in (False, True)]
            means = [s.mean or 0.0 for s in ends]
            for x, s, mean in zip(at, ends, means, strict=True):
                low, high = (s.interval.low, s.interval.high) if s.interval else (mean, mean)
                ax.plot([x, x], [low, high], lw=5, alpha=0.4, solid_capstyle="butt", **look)
                shown += [low, high]
            ax.plot(at, means, dashes=dashes, marker=marker, ms=6, mew=0, lw=1.8, **look)
        _title(ax, f"{names[first]} × {names[second]}")
        ax.set_xlim(-0.2, 1.95)
        ax.set_xticks([0, 1], [f"no {names[first]}", names[first]])
    share(axes, shown)
    for ax, pair in zip(axes, whole.pairs, strict=True):
        _name_levels(ax, whole, pair, names[pair[1]])
    return figure


def _name_levels(ax: Axes, whole: Factorial, pair: tuple[int, int], name: str) -> None:
    """Write each line's name at its right end, apart from the other's. The scale must not change later."""
    low, high = ax.get_ylim()
    ends = [whole.at(pair, (True, on)).mean or 0.0 for on, *_ in _LEVELS]
    middle, gap = sum(ends) / 2, max(abs(ends[1] - ends[0]), 0.13 * (high - low)) / 2
    for (on, colour, *_), end, other in zip(_LEVELS, ends, reversed(ends), strict=True):
        y = middle + (gap if end > other or (end == other and on) else -gap)
        text = name if on else f"no {name}"
        ax.text(1.15, y, text, color=COLOURS[colour], weight="bold", va="center")
