"""Pictures of a comparison, each None where there is nothing to draw."""

import math
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import seaborn as sns
from markupsafe import Markup
from matplotlib.figure import Figure

from reports.arms import mean_of, was_trained
from reports.comparison import ComparedArm, Comparison
from reports.figures.drawing import axes_at, blank_figure, estimates, pad_ends, single_axes
from reports.figures.svg import COLOURS, drawing, picture
from reports.formats import short
from reports.sections import Sweep
from reports.statistics.estimators import t_interval

_POINTS, _ALL_POINTS = 60, 40_000  # most points that one learning curve keeps, and all of them
_MUTED = COLOURS["muted"]
_GREY: dict[str, Any] = {"color": _MUTED, "lw": 1.1, "dashes": (3, 2)}  # the baseline's line in a panel

_MEAN: dict[str, Any] = {"color": COLOURS["ink"], "lw": 2, "err_kws": {"lw": 0}}


class Curve(NamedTuple):
    """A trial's validation losses by epoch, from 1, and whether it finished."""

    losses: dict[int, float]
    done: bool


def curves(c: Comparison) -> dict[int, Markup]:
    """Learning curves, a picture an arm, by its index, all with one scale.

    Thin seeds, the mean of those that all arms have and that converged, its band, and the other side's mean.
    """
    number = sum(len(row.arm.trials) for row in c.rows)
    most = max(8, min(_POINTS, _ALL_POINTS // max(1, number)))
    by_arm = {row.index: _by_seed(row, most) for row in c.rows}
    shown, common = [row for row in c.rows if by_arm[row.index]], common_seeds(c)
    last = max((max(curve.losses) for row in shown for curve in by_arm[row.index].values()), default=1)
    means = {row.index: _mean(row, by_arm[row.index], common, last) for row in c.rows}
    bases = {row.index: means[c.base(row).index] if row.contrast else None for row in shown}
    losses_shown = [x for base in bases.values() if base is not None for x in base["loss"]]
    for row in shown:
        losses = [loss for curve in by_arm[row.index].values() for loss in curve.losses.values()]
        losses_shown += [min(losses), float(np.quantile(losses, 0.995))]
    about = "Validation loss by epoch; dashed is the mean of the arm it is held against, ✕ a diverged seed."
    return {
        i: drawing(
            f"curves{i}",
            f"Learning curves of {c.rows[i].arm.name}",
            about,
            partial(_curves, c.rows[i].arm.name, by_arm[i], means[i], base, pad_ends(losses_shown)),
        )
        for i, base in bases.items()
    }


def common_seeds(c: Comparison) -> tuple[int, ...]:
    """The seeds that count for all arms that were trained."""
    return c.common([row for row in c.rows if was_trained(row.arm)])


def _by_seed(row: ComparedArm, most: int) -> dict[int, Curve]:
    """Every seed's curve, thinned to so many points, of finite losses."""
    curves_by_seed = {}
    for seed, result in sorted(row.arm.results.items()):
        if result.epochs and (result.done or result.diverged):
            kept = np.unique(np.linspace(0, len(result.epochs) - 1, most).astype(int))
            points = [(result.epochs[i].epoch + 1, result.epochs[i].valid_loss) for i in kept]
            if finite := {epoch: loss for epoch, loss in points if math.isfinite(loss)}:
                curves_by_seed[seed] = Curve(finite, result.done)
    return curves_by_seed


def _curves(
    name: str,
    by_seed: Mapping[int, Curve],
    mean: pd.DataFrame,
    base: pd.DataFrame | None,
    ends: tuple[float, float],
) -> Figure:
    figure = blank_figure(172, 200)
    ax = axes_at(figure, 34, 26, 160, 122)
    if base is not None:
        ax.plot(base.groupby("epoch").loss.mean(), **_GREY)
    for seed, curve in by_seed.items():
        xs, ys = list(curve.losses), list(curve.losses.values())
        ax.plot(xs, ys, color=_MUTED, lw=0.6, alpha=0.4, gid=f"seed{seed}")
        if not curve.done:
            ax.plot(xs[-1:], ys[-1:], "X", ms=8, mew=0, color=COLOURS["ink"], zorder=3)
    sns.lineplot(mean, x="epoch", y="loss", errorbar=_t_band, ax=ax, **_MEAN)
    for band in ax.collections:
        band.set(facecolor=_MUTED, alpha=0.35)
    ax.set(title=short(name, 26), xlabel="", ylabel="", ylim=ends)
    ax.locator_params(nbins=5, integer=True, axis="x")
    return figure


def _mean(row: ComparedArm, by_seed: Mapping[int, Curve], common: Collection[int], last: int) -> pd.DataFrame:
    """A row a point of the curves that the mean is of: those of common seeds that converged.

    A model that counts has no epochs: its loss, from the first epoch to the last.
    """
    kept = [(seed, curve) for seed, curve in by_seed.items() if seed in common and curve.done]
    records = [(seed, epoch, loss) for seed, curve in kept for epoch, loss in curve.losses.items()]
    if not by_seed and (level := mean_of(row.arm, "valid_loss")) is not None:
        records = [(0, epoch, level) for epoch in (1, last)]
    return pd.DataFrame(records, columns=["seed", "epoch", "loss"])


def _t_band(sample: "pd.Series[float]") -> tuple[float, float]:
    """A t interval over seeds, in place of seaborn's unseeded bootstrap."""
    if len(sample) < 3:
        return math.nan, math.nan
    low, high = t_interval(np.asarray(sample, dtype=float))
    return float(low), float(high)


def sweeps(lines: Sequence[Sweep], c: Comparison) -> Markup | None:
    """The metric against the learning rate, one line a model."""
    about = f"{c.title} against the learning rate, on a logarithmic axis, with 95 % intervals over seeds."
    return picture("sweep", "Learning-rate sweep", about, lambda: _sweeps(lines, c)) if lines else None


def _sweeps(lines: Sequence[Sweep], c: Comparison) -> Figure:
    figure, ax = single_axes(264)
    ax.set_xscale("log")
    estimates(ax, lines)
    ticks = sorted({lr for _, points in lines for lr, _ in points})
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    ax.minorticks_off()
    ax.set(xlabel="learning rate", ylabel=c.title if c.title.endswith(c.unit) else f"{c.title} ({c.unit})")
    return figure
