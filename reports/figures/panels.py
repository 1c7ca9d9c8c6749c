"""Pictures of a comparison, each None where there is nothing to draw."""

import gc
import math
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from operator import attrgetter
from pkgutil import resolve_name
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter

from unrolled.bench.metric import LARGEST
from unrolled.bench.trial import Result
from unrolled.reports.comparison import ComparedArm, Comparison
from unrolled.reports.figures.svg import COLOURS, blank_axes, drawing, pad_ends
from unrolled.reports.formats import shorten
from unrolled.reports.sections import Sweep
from unrolled.reports.statistics.estimators import t_interval

_POINTS, _ALL_POINTS = 60, 40_000  # most points that one learning curve keeps, and all of them
_MUTED = COLOURS["muted"]
_GREY: dict[str, Any] = {"color": _MUTED, "lw": 1.1, "dashes": (3, 2)}  # the baseline's line in a panel

Curves = Mapping[str, Sequence[tuple[float, float]]]
"""The points (step, value) of a trial's learning curves, by metric."""

_MEAN: dict[str, Any] = {"color": COLOURS["ink"], "lw": 2}


def curves(c: Comparison) -> dict[str, dict[int, Markup]]:
    """Learning curves by metric, a picture an arm, by its index, all of a metric with one scale.

    Of the metrics that are judged, those that have curves; the first that there is where none has one.
    """
    read = c.design.presentation.curves
    curves_of = resolve_name(read) if read else attrgetter("curves")
    trials = [(row.index, seed, r) for row in c.rows for seed, r in row.arm.trials.items()]
    told = [(arm, seed, r, curves_of(r)) for arm, seed, r in trials if r.done or r.diverged]
    known = dict.fromkeys(name for *_, curves in told for name in curves if len(curves[name]) > 1)
    names = [m.name for m in c.design.metrics if m.name in known] or list(known)[:1]
    most = max(8, min(_POINTS, _ALL_POINTS // max(1, len(told) * len(names))))
    return {name: _pictures(f"curves{k}", name, _points(name, told, most), c) for k, name in enumerate(names)}


def _points(metric: str, told: Sequence[tuple[int, int, Result, Curves]], most: int) -> pd.DataFrame:
    """A row a point, of the finite ones at so many of the steps at most."""
    having = [(arm, seed, r.done, all[metric]) for arm, seed, r, all in told if len(all.get(metric, ()))]
    *columns, curves = zip(*having, strict=True)
    steps, values = np.concatenate([np.asarray(curve, float) for curve in curves]).T
    lengths = [len(curve) for curve in curves]
    repeated = (np.repeat(column, lengths) for column in columns)
    points = pd.DataFrame(dict(zip(("arm", "seed", "done"), repeated, strict=True)))
    points = points.assign(step=steps, value=values)
    known = np.unique(steps)
    kept = known[np.linspace(0, len(known) - 1, min(most, len(known))).astype(int)]
    return points[points.step.isin(kept) & (points.value.abs() <= LARGEST)]


def _pictures(prefix: str, metric: str, points: pd.DataFrame, c: Comparison) -> dict[int, Markup]:
    """Thin: seeds. Thick: the mean of those that all arms have and that converged. Dashed: the base's."""
    common, scale = common_seeds(c), c.design.presentation.find_scale(metric)
    axes = c.design.presentation.step, scale.unit or scale.title
    by_arm = {i: points[points.arm == i] for i in points.arm.unique()}
    counting = {row.index: _counting_values(row, metric, points, common) for row in c.rows}
    means = {i: values.mean(axis=1) for i, values in counting.items()}
    bases = {i: means[c.find_base(c.rows[i]).index] if c.rows[i].contrast else None for i in by_arm}
    levels = [x for base in bases.values() if base is not None for x in base]
    levels += [x for mine in by_arm.values() for x in mine.value.quantile([0.005, 0.995])]
    title = scale.title.capitalize()
    about = f"{title}; dashed is the mean of the arm it is compared with, ✕ a diverged seed."
    panel = _panel(axes, pad_ends(levels or [0.0]))  # one for all arms: making axes takes as long as drawing
    pictures = {}
    for i, base in bases.items():
        name = c.rows[i].arm.name
        draw = partial(_curves, panel, name, by_arm[i], counting[i], base)
        pictures[i] = drawing(f"{prefix}-{i}", f"Learning curves of {name}", about, draw)
        if len(pictures) % 50 == 0:
            gc.collect()  # what seaborn leaves behind: a tenth of a megabyte an arm
    return pictures


def common_seeds(c: Comparison) -> tuple[int, ...]:
    """The seeds that count for all arms that were trained."""
    return c.common_seeds([row for row in c.rows if row.seeds])


def _counting_values(
    row: ComparedArm, metric: str, points: pd.DataFrame, common: Collection[int]
) -> pd.DataFrame:
    """The values that an arm's mean is of: a row a step that all have, a column a common seed that converged.

    A model that counts has no steps: its level, at the first step and the last.
    """
    mine = points[points.arm == row.index]
    if mine.empty and (level := row.arm.average_metric(metric)) is not None:
        return pd.DataFrame({"level": level}, index=[points.step.min(), points.step.max()])
    counted = mine[mine.done & mine.seed.isin(common)]
    return counted.groupby(["step", "seed"]).value.mean().unstack().dropna()


def _curves(
    panel: tuple[Figure, Axes],
    name: str,
    points: pd.DataFrame,
    counting: pd.DataFrame,
    base: "pd.Series[float] | None",
) -> Figure:
    """The panel with the curves of one arm, in place of those of the arm before."""
    figure, ax = panel
    for earlier in (*ax.lines, *ax.collections):
        earlier.remove()
    ax.relim()
    ax.set_title(shorten(name, 26))
    if base is not None:
        ax.plot(base, **_GREY)
    step, value, done = (points[name].to_numpy() for name in ("step", "value", "done"))
    for seed, rows in points.groupby("seed").indices.items():
        # ax.plot takes a third longer, and there are hundreds
        ax.add_line(Line2D(step[rows], value[rows], color=_MUTED, lw=0.6, alpha=0.4, gid=f"seed{seed}"))
        if not done[last := rows[-1]]:
            ax.plot(step[last], value[last], "X", ms=8, mew=0, color=COLOURS["ink"], zorder=3)
    sns.lineplot(x=counting.index, y=counting.mean(axis=1), errorbar=None, ax=ax, **_MEAN)
    if len(counting.columns) > 2:  # all steps at once: seaborn would take them one by one
        ax.fill_between(counting.index, *t_interval(counting), lw=0, facecolor=_MUTED, alpha=0.35)
    ax.locator_params(nbins=5, integer=True, axis="x")
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))  # 10k
    return figure


def _panel(axes: tuple[str, str], ends: tuple[float, float]) -> tuple[Figure, Axes]:
    """A small picture with labels of both axes, and these ends of its scale."""
    figure, ax = blank_axes((200, 180), 46, 26, 148, 116)
    x, y = (shorten(label, 22) for label in axes)  # without labels seaborn would look at every tick's
    ax.set(ylim=ends, xlabel=x, ylabel=y)
    return figure, ax


def _t_band(sample: "pd.Series[float]") -> tuple[float, float]:
    """A t interval over seeds, in place of seaborn's unseeded bootstrap."""
    if len(sample) < 3:
        return math.nan, math.nan
    low, high = t_interval(np.asarray(sample, dtype=float))
    return float(low), float(high)


def sweeps(lines: Sequence[Sweep], c: Comparison) -> list[Markup]:
    """The metric against the learning rate, a picture a model, all with one scale."""
    frames = [
        pd.DataFrame(
            [
                (lr, c.scale.convert_level(x))
                for lr, s in points
                for x in s.values.values()
                if math.isfinite(x)
            ],
            columns=["lr", "value"],
        )
        for _, points in lines
    ]
    ends = pad_ends([x for frame in frames for x in frame.value] or [0.0])
    axes = "learning rate", c.scale.unit or c.title
    about = f"{c.title} against the learning rate, on a logarithmic axis."
    return [
        drawing(f"sweep{i}", f"Learning rates of {name}", about, partial(_sweep, name, axes, frame, ends))
        for i, ((name, _), frame) in enumerate(zip(lines, frames, strict=True))
    ]


def _sweep(name: str, axes: tuple[str, str], points: pd.DataFrame, ends: tuple[float, float]) -> Figure:
    figure, ax = _panel(axes, ends)
    ax.set_title(shorten(name, 26))
    ax.plot(points.lr, points.value, "o", color=_MUTED, ms=3, mew=0, alpha=0.4)
    sns.lineplot(
        points, x="lr", y="value", errorbar=_t_band, err_style="bars", marker="o", mew=0, ax=ax, **_MEAN
    )
    rates = sorted(points.lr.unique())
    ax.set_xscale("log")
    ax.set_xticks(rates, [f"{rate:g}" for rate in rates])
    ax.minorticks_off()
    return figure
