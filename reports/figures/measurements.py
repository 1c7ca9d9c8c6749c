"""Figures of the chapter's page: its measurements, and a study's arms along one of its factors."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

from reports.arms import trial_of
from reports.comparison import ComparedArm, Comparison
from reports.figures.drawing import (
    axes_at,
    blank,
    estimates,
    grid,
    lines,
    logarithmic,
    name_ends,
    single,
)
from reports.figures.svg import COLOURS, picture
from reports.statistics.contrasts import ArmSummary

Data = Mapping[str, Any]

WATCHED = {
    "accuracy": "accuracy",
    "activation": "largest activation",
    "gradient": "largest gradient",
    "radius": "spectral radius",
}
STATES = (("ReLU", "h"), ("tanh", "h"), ("LSTM", "h"), ("LSTM", "c"), ("GRU", "h"))


def pairs(above: Mapping[int, float], below: Mapping[int, float], names: Sequence[str]) -> Figure:
    """One line a seed, from its loss in one way of training above to that in another below."""
    left, width = 170, 758
    figure = blank(178)
    ax = axes_at(figure, left, 14, width, 120)
    ax.grid(visible=False)
    ax.grid(axis="x")
    ax.spines["left"].set_visible(False)
    for seed in sorted(set(above) & set(below)):
        colour, line = ("improves", "-") if below[seed] < above[seed] else ("worsens", "--")
        look: dict[str, Any] = {"marker": "o", "ms": 4, "mew": 0, "lw": 1.1, "alpha": 0.75}
        ax.plot([above[seed], below[seed]], [0, 1], color=COLOURS[colour], ls=line, **look)
    for y, (losses, name) in enumerate(zip((above, below), names, strict=True)):
        ax.plot([fmean(losses.values())], [y], "D", ms=8, mew=0, color=COLOURS["ink"], zorder=3)
        place = ax.get_yaxis_transform()
        ax.text(-left / width, y, name, transform=place, va="center", weight="bold")
    ax.set(yticks=[], ylim=(1.3, -0.5), xlabel="validation loss (nats)")
    return figure


def stability(relu: Sequence[Data], tanh: Sequence[Data]) -> Figure:
    """Four panels by epoch, one line a seed: LMModel4 solid, tanh dashed."""
    figure, axes = grid(4, 150, own=True)
    for ax, (key, title) in zip(axes, WATCHED.items(), strict=True):
        for runs, colour, dash in ((tanh, "arm1", (0, (4, 2))), (relu, "arm2", "-")):
            for one in runs:
                start = 0 if key == "radius" else 1  # the radius is known before the first epoch
                x = range(start, start + len(one[key]))
                ax.plot(x, one[key], color=COLOURS[colour], lw=1, alpha=0.7, ls=dash)
        if key in ("activation", "gradient"):
            logarithmic(ax)
        if key == "radius":
            ax.axhline(1, color=COLOURS["muted"], lw=1)
        ax.set_title(title, weight="bold", pad=7)
        ax.set_xlabel("epoch")
        ax.locator_params(axis="x", nbins=4, integer=True)
    return figure


def growth(states: Data) -> Figure:
    """The largest number of each state against tokens read: dashed before training, solid after."""
    figure, axes = grid(len(STATES), 140, columns=5, own=True)
    runs = {
        (cell, part, when): [sorted((int(n), float(v)) for n, v in run.items()) for run in both[part]]
        for cell, part in STATES
        for when, both in states[cell].items()
    }
    seen = [value for group in runs.values() for run in group for _, value in run]
    for i, (ax, (cell, part)) in enumerate(zip(axes, STATES, strict=True)):
        for when, dash in (("start", (0, (3, 2))), ("end", "-")):
            for run in runs[cell, part, when]:
                ax.plot(*zip(*run, strict=True), color=COLOURS[f"arm{i % 8 + 1}"], lw=1.3, ls=dash)
        logarithmic(ax)
        logarithmic(ax, "x")
        steps = [n for n, _ in runs[cell, part, "end"][0]]
        ticks = (steps[0], steps[len(steps) // 2], steps[-1])
        ax.set_xticks(ticks, [str(n) for n in ticks])
        ax.set_ylim(min(seen) / 1.5, max(seen) * 1.5)
        ax.set_title(f"{cell}, {part}" if cell == "LSTM" else cell, weight="bold", pad=7)
        ax.set_xlabel("tokens read")
    return figure


def gradients(far: Data, names: Sequence[str]) -> Figure:
    """Two panels, before and after training: the share of the gradient that is left, by distance."""
    figure, each = blank(300), 350
    for i, when in enumerate(("start", "end")):
        ax = axes_at(figure, 60 + i * (each + 80), 26, each, 230)
        logarithmic(ax)
        ax.set_ylim(1e-12, 10)
        ax.set_title(f"{'before' if when == 'start' else 'after'} training", weight="bold", pad=7)
        ax.set(xlabel="tokens back", xlim=(0, len(far[names[0]][when]) - 1))
        lines(ax, [(n if i else "", range(len(far[n][when])), far[n][when]) for n in names])
    return figure


def tanh(data: Data) -> Figure:
    """tanh and σ as lines, 2σ(2x) − 1 as rings that lie on tanh."""
    figure, ax = single(200)
    x, curves = data["x"], data["curves"]
    value = dict(zip(x, curves["sigmoid"], strict=True))
    rings = [(v, 2 * value[2 * v] - 1) for v in x if 2 * v in value][::2]
    ax.plot(*zip(*rings, strict=True), "o", ms=7, mfc="none", color=COLOURS["muted"])
    ax.plot(x, curves["tanh"], color=COLOURS["arm1"], lw=2)
    ax.plot(x, curves["sigmoid"], color=COLOURS["arm2"], lw=2, ls=(0, (5, 2)))
    name_ends(ax, [(1.0, "tanh(x)", COLOURS["arm1"]), (0.99, "σ(x)", COLOURS["arm2"])])
    ax.set_xlabel("x")
    return figure


def levels(name: str, c: Comparison, factor: str, by: str, label: str) -> Markup | None:
    """A study's arms along one factor, a line for each level of another; None where it has no results yet."""
    found: dict[str, dict[Any, ComparedArm]] = {}
    for row in c.rows:
        trial = trial_of(row.arm)
        if trial and (row.index == 0 or row.arm.changes):  # the A/A arm changes nothing and is left out
            factors = trial.factors()
            line = row.arm.title if by == "model" else str(factors.get(by))
            found.setdefault(line, {}).setdefault(factors.get(factor), row)
    if not any(row.summary.mean is not None for line in found.values() for row in line.values()):
        return None
    about = f"{c.title} against {label}, one line for each {by}: seeds as dots, means joined, 95 % intervals."
    return picture(name, f"{c.title} against {label}", about, lambda: _levels(c, found, label))


def _levels(c: Comparison, found: Mapping[str, Mapping[Any, ComparedArm]], label: str) -> Figure:
    figure, ax = single()
    met = dict.fromkeys(level for line in found.values() for level in line)
    order = list(met) if any(isinstance(level, str) for level in met) else sorted(met)
    ax.set_xticks(range(len(order)), [f"{x:g}" if isinstance(x, float) else str(x) for x in order])
    ax.set_xlim(-0.3, len(order) - 0.7)
    ax.set(xlabel=label, ylabel=c.label)
    drawn: list[tuple[str, list[tuple[float, ArmSummary]]]] = []
    for name, line in found.items():
        shift = 0.05 * (len(drawn) - (len(found) - 1) / 2)
        points = sorted((order.index(x) + shift, r.summary) for x, r in line.items() if r.summary.n)
        if any(s.mean is not None for _, s in points):
            drawn.append((name, points))
    estimates(ax, drawn)
    return figure
