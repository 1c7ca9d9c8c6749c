"""Learning curves by step, and sweeps: a metric against the learning rate.

Which curves a page draws is chosen in four steps:

1. A trial stores curves: those that a program logs or, of the chapter, `record.Epoch`. A metric of the
   chapter has `has_curve` in `metric_table` if pages draw its curve.
2. `read_page_results` of `ablations/publishing/plan_page.py` keeps those of `Presentation.page_curves`,
   and those that MLflow draws, because all curves of thousands of trials would not fit into memory. Of a
   program, whose presentation names none, it keeps all.
3. `Presentation.read_curves` adds derived curves, such as perplexity from the loss.
4. `draw_curves` draws those of judged metrics or, if none of these has a curve, one other.

Seaborn draws the means over seeds and, in a sweep, their intervals. Matplotlib draws the hundreds of lines of
single seeds. It also draws the band around the mean of a learning curve, because one call then computes the
intervals at all steps. Seaborn is imported where it draws: it takes most of a second, and a page of a program
without curves does not need it.
"""

import gc
import math
from collections.abc import Collection, Sequence
from functools import partial
from operator import attrgetter
from textwrap import wrap
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter

from unrolled.bench.metric import LARGEST_FINITE
from unrolled.bench.trial import ResultInStudy
from unrolled.reports.compare.compared_arm import ComparedArm
from unrolled.reports.compare.comparison import Comparison
from unrolled.reports.compare.sweeps import Sweep
from unrolled.reports.figures.svg import COLOURS, draw_svg, make_axes, pad_ends
from unrolled.reports.formats import MINUS, shorten_name
from unrolled.reports.presentation import Curves
from unrolled.reports.statistics.estimators import t_interval

_MOST_POINTS = 60  # most points of one learning curve
_MOST_POINTS_IN_ALL = 40_000  # most points of all learning curves together
_MUTED = COLOURS["muted"]
_BASE_MEAN: dict[str, Any] = {
    "color": _MUTED,
    "lw": 1.1,
    "dashes": (3, 2),
}  # line of the mean of an arm's base

_MEAN: dict[str, Any] = {"color": COLOURS["ink"], "lw": 2}  # line of the mean over seeds


def draw_curves(comparison: Comparison) -> dict[str, dict[int, Markup]]:
    """Return, by metric and by the arm's index, a picture of the arm's learning curves.

    The pictures of a metric have one scale. The metrics are the judged ones that have curves or, if there
    are none, the first metric with a curve.
    """
    reader = comparison.design.presentation.read_curves
    read_curves = reader.load() if reader else attrgetter("curves")
    trials = [(arm.index, seed, r) for arm in comparison.arms for seed, r in arm.counted_arm.results.items()]
    measured = [(index, seed, r, read_curves(r)) for index, seed, r in trials if r.is_done or r.diverged]
    curve_names = dict.fromkeys(name for *_, curves in measured for name in curves if len(curves[name]) > 1)
    judged_names = [name for name in comparison.design.rules.metric_names if name in curve_names]
    names = judged_names or list(curve_names)[:1]
    most_steps = max(8, min(_MOST_POINTS, _MOST_POINTS_IN_ALL // max(1, len(measured) * len(names))))
    return {
        name: _draw_pictures(f"curves{number}", name, _sample_points(name, measured, most_steps), comparison)
        for number, name in enumerate(names)
    }


def _sample_points(
    metric: str, measured: Sequence[tuple[int, int, ResultInStudy, Curves]], most_steps: int
) -> pd.DataFrame:
    """Return the finite points of a metric's curves, one row each.

    An arm has `most_steps` steps at most, evenly spaced, and beside them the last step of each of its seeds.
    """
    curves_of_metric = [
        (arm, seed, r.is_done, curves[metric])
        for arm, seed, r, curves in measured
        if len(curves.get(metric, ()))
    ]
    *columns, curves = zip(*curves_of_metric, strict=True)
    steps, values = np.concatenate([np.asarray(curve, float) for curve in curves]).T
    lengths = [len(curve) for curve in curves]
    repeated = (np.repeat(column, lengths) for column in columns)
    points = pd.DataFrame(dict(zip(("arm", "seed", "done"), repeated, strict=True)))
    points = points.assign(step=steps, value=values)
    finite_points = points[points.value.abs() <= LARGEST_FINITE]
    samples = (_sample_steps(of_arm, most_steps) for _, of_arm in finite_points.groupby("arm"))
    return pd.concat([finite_points[:0], *samples])


def _sample_steps(points: pd.DataFrame, most_steps: int) -> pd.DataFrame:
    """Return the points of an arm at `most_steps` of its steps, and at the last step of each of its seeds."""
    steps = np.unique(points.step)
    indices = np.linspace(0, len(steps) - 1, min(most_steps, len(steps))).astype(int)
    last_steps = points.groupby("seed").step.max()
    return points[points.step.isin({*steps[indices], *last_steps})]


def _draw_pictures(
    prefix: str, metric: str, points: pd.DataFrame, comparison: Comparison
) -> dict[int, Markup]:
    """Return a picture for each arm, by its index.

    Thin lines are seeds, a thick line is the mean of the seeds that finished in all arms, and a dashed
    line is the mean of the arm's base.
    """
    scale = comparison.design.presentation.find_scale(metric)
    axes = (comparison.design.presentation.step, scale.value_unit or scale.title)
    by_arm = {i: points[points.arm == i] for i in points.arm.unique()}
    mean_values = {
        arm.index: _select_mean_values(arm, metric, points, comparison.common_seeds)
        for arm in comparison.arms
    }
    means = {i: values.mean(axis=1) for i, values in mean_values.items()}
    bases = {
        i: means[comparison.find_base(comparison.arms[i]).index] if comparison.arms[i].contrast else None
        for i in by_arm
    }
    levels = [x for base in bases.values() if base is not None for x in base]
    levels += [x for curves in by_arm.values() for x in curves.value.quantile([0.005, 0.995])]
    title = scale.title.capitalize()
    description = f"{title}; dashed is the mean of the arm it is compared with, ✕ a diverged seed."
    # one drawing for all arms: making axes takes as long as drawing
    drawing = _make_axes(axes, pad_ends(levels or [0.0]))
    drawing[1].yaxis.set_major_formatter(lambda level, _: f"{scale.multiplier * level:g}".replace("-", MINUS))
    pictures = {}
    for i, base in bases.items():
        name = comparison.arms[i].name
        draw = partial(_draw_arm_curves, drawing, name, by_arm[i], mean_values[i], base)
        pictures[i] = draw_svg(f"{prefix}-{i}", f"Learning curves of {name}", description, draw)
        if len(pictures) % 50 == 0:
            gc.collect()  # seaborn leaves a tenth of a megabyte per arm behind
    return pictures


def _select_mean_values(
    arm: ComparedArm, metric: str, points: pd.DataFrame, common: Collection[int]
) -> pd.DataFrame:
    """Return the values behind an arm's mean: a row for each step, a column for each common seed.

    Steps that a seed lacks are left out. A counting model has no steps: its level stands at the first and at
    the last step.
    """
    curves = points[points.arm == arm.index]
    if curves.empty and (level := arm.counted_arm.average_measured_values(metric)) is not None:
        return pd.DataFrame({"level": level}, index=[points.step.min(), points.step.max()])
    finished = curves[curves.done & curves.seed.isin(common)]
    return finished.groupby(["step", "seed"]).value.mean().unstack().dropna()


def _draw_arm_curves(
    drawing: tuple[Figure, Axes],
    name: str,
    points: pd.DataFrame,
    mean_values: pd.DataFrame,
    base: "pd.Series[float] | None",
) -> Figure:
    """Draw the curves of an arm in place of those of the arm before, and return the figure."""
    import seaborn as sns

    figure, ax = drawing
    for earlier in (*ax.lines, *ax.collections):
        earlier.remove()
    ax.relim()
    ax.set_title(_wrap_title(name))
    if base is not None:
        ax.plot(base, **_BASE_MEAN)
    step, value, done = (points[name].to_numpy() for name in ("step", "value", "done"))
    for seed, rows in points.groupby("seed").indices.items():
        # ax.plot takes a third longer, and there are hundreds of lines
        ax.add_line(Line2D(step[rows], value[rows], color=_MUTED, lw=0.6, alpha=0.4, gid=f"seed{seed}"))
        if not done[last := rows[-1]]:
            ax.plot(step[last], value[last], "X", ms=8, mew=0, color=COLOURS["ink"], zorder=3)
    sns.lineplot(x=mean_values.index, y=mean_values.mean(axis=1), errorbar=None, ax=ax, **_MEAN)
    if len(mean_values.columns) > 2:  # all steps at once: seaborn would compute them one by one
        ax.fill_between(mean_values.index, *t_interval(mean_values), lw=0, facecolor=_MUTED, alpha=0.35)
    ax.set_xlim(pad_ends([float(step.min()), float(step.max())]))  # its base may have been trained longer
    ax.locator_params(nbins=5, integer=True, axis="x")
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))  # writes 10,000 as 10k
    return figure


def _make_axes(axes: tuple[str, str], ends: tuple[float, float]) -> tuple[Figure, Axes]:
    """Return a small figure with labels of both axes and these limits of its vertical scale."""
    figure, ax = make_axes((200, 194), 46, 40, 148, 116)
    x, y = (shorten_name(label, 22) for label in axes)  # without labels, seaborn would read every tick's
    ax.set(ylim=ends, xlabel=x, ylabel=y)
    return figure, ax


def _wrap_title(name: str) -> str:
    """Return a title of one or two lines that fit above the axes."""
    lines = wrap(shorten_name(name, 50), 26)
    return "\n".join(lines if len(lines) < 3 else [shorten_name(name, 26)])


def _find_band(sample: "pd.Series[float]") -> tuple[float, float]:
    """Return the t interval of a sample; seaborn's own is a bootstrap that differs from run to run."""
    if len(sample) < 3:
        return math.nan, math.nan
    low, high = t_interval(np.asarray(sample, dtype=float))
    return float(low), float(high)


def draw_sweeps(lines: Sequence[Sweep], comparison: Comparison) -> list[Markup]:
    """Return the metric against the learning rate, a picture for each model, all with one scale."""
    frames = [
        pd.DataFrame(
            [
                (lr, comparison.scale.convert_value(x))
                for lr, s in points
                for x in s.values.values()
                if math.isfinite(x)
            ],
            columns=["lr", "value"],
        )
        for _, points in lines
    ]
    ends = pad_ends([x for frame in frames for x in frame.value] or [0.0])
    axes = ("learning rate", comparison.scale.unit or comparison.scale.title)
    description = f"{comparison.scale.title} against the learning rate, on a logarithmic axis."
    return [
        draw_svg(
            f"sweep{i}",
            f"Learning rates of {name}",
            description,
            partial(_draw_sweep, name, axes, frame, ends),
        )
        for i, ((name, _), frame) in enumerate(zip(lines, frames, strict=True))
    ]


def _draw_sweep(name: str, axes: tuple[str, str], points: pd.DataFrame, ends: tuple[float, float]) -> Figure:
    import seaborn as sns

    figure, ax = _make_axes(axes, ends)
    ax.set_title(_wrap_title(name))
    ax.plot(points.lr, points.value, "o", color=_MUTED, ms=3, mew=0, alpha=0.4)
    sns.lineplot(
        points, x="lr", y="value", errorbar=_find_band, err_style="bars", marker="o", mew=0, ax=ax, **_MEAN
    )
    rates = sorted(points.lr.unique())
    ax.set_xscale("log")
    ax.set_xticks(rates, [f"{rate:g}" for rate in rates])
    ax.minorticks_off()
    return figure
