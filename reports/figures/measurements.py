"""The pictures of the measurements. Every function returns a bare `Figure`, in stand-in colours (see svg)."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from matplotlib.figure import Figure

from reports.figures.chapter import Data, Line, lines, logarithmic, name_ends, panels, single
from reports.figures.svg import COLOURS, axes_at, blank

WATCHED = {
    "accuracy": "accuracy",
    "activation": "largest activation",
    "gradient": "largest gradient",
    "radius": "spectral radius",
}
STATES = (("ReLU", "h"), ("tanh", "h"), ("LSTM", "h"), ("LSTM", "c"), ("GRU", "h"))


def pairs(
    above: Mapping[int, float], below: Mapping[int, float], names: Sequence[str], narrow: bool
) -> Figure:
    """One line a seed, from its loss in one way of training above to that in another below."""
    width, left = (360, 8) if narrow else (940, 170)
    figure = blank(width, 178)
    ax = axes_at(figure, left, 14, width - left - 12, 120)
    ax.tick_params(length=0)
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x")
    for seed in sorted(set(above) & set(below)):
        colour, line = ("improves", "-") if below[seed] < above[seed] else ("worsens", "--")
        look: dict[str, Any] = {"marker": "o", "ms": 4, "mew": 0, "lw": 1.1, "alpha": 0.75}
        ax.plot([above[seed], below[seed]], [0, 1], color=COLOURS[colour], ls=line, **look)
    for y, (losses, name) in enumerate(zip((above, below), names, strict=True)):
        ax.plot([fmean(losses.values())], [y], "D", ms=8, mew=0, color=COLOURS["ink"], zorder=3)
        x, up = (0, 0.27) if narrow else (-170 / 758, 0)
        ax.text(x, y - up, name, transform=ax.get_yaxis_transform(), va="center", weight="bold")
    ax.set(yticks=[], ylim=(1.3, -0.5), xlabel="validation loss (nats)")
    return figure


def stability(relu: Sequence[Data], tanh: Sequence[Data], narrow: bool) -> Figure:
    """Four panels by epoch, one line a seed: LMModel4 solid, tanh dashed."""
    figure, axes = panels(4, narrow, 150)
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


def growth(states: Data, narrow: bool) -> Figure:
    """The largest number of each state against tokens read: dashed before training, solid after."""
    figure, axes = panels(len(STATES), narrow, 140, columns=5)
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


def gradients(far: Data, names: Sequence[str], narrow: bool) -> Figure:
    """Two panels, before and after training: the share of the gradient that is left, by distance."""
    width, height, each = (360, 190, 224) if narrow else (940, 230, 350)
    figure = blank(width, (height + 66) * 2 if narrow else height + 70)
    for i, when in enumerate(("start", "end")):
        left, top = (50, 26 + i * (height + 62)) if narrow else (60 + i * (each + 80), 26)
        ax = axes_at(figure, left, top, each, height)
        ax.grid(axis="y")
        ax.tick_params(length=0)
        logarithmic(ax)
        ax.set_ylim(1e-12, 10)
        ax.set_title(f"{'before' if when == 'start' else 'after'} training", weight="bold", pad=7)
        ax.set(xlabel="tokens back", xlim=(0, len(far[names[0]][when]) - 1))
        named = i == 1 or narrow
        lines(ax, [(n if named else "", range(len(far[n][when])), far[n][when]) for n in names], narrow)
    return figure


def loglog(drawn: Sequence[Line], x: str, y: str, narrow: bool) -> Figure:
    """Lines on two logarithmic axes."""
    figure, ax = single(narrow, 220)
    logarithmic(ax)
    logarithmic(ax, "x")
    lines(ax, drawn, narrow)
    ax.set(xlabel=x, ylabel=y)
    return figure


def plain(drawn: Sequence[Line], x: str, y: str, narrow: bool) -> Figure:
    """Lines on two linear axes."""
    figure, ax = single(narrow, 190)
    lines(ax, drawn, narrow)
    ax.set(xlabel=x, ylabel=y)
    if all(float(v).is_integer() for _, xs, _ in drawn for v in xs):
        ax.locator_params(axis="x", integer=True)
    return figure


def tanh(data: Data, narrow: bool) -> Figure:
    """tanh and σ as lines, 2σ(2x) − 1 as rings that lie on tanh."""
    figure, ax = single(narrow, 200)
    x, curves = data["x"], data["curves"]
    value = dict(zip(x, curves["sigmoid"], strict=True))
    rings = [(v, 2 * value[2 * v] - 1) for v in x if 2 * v in value][::2]
    ax.plot(*zip(*rings, strict=True), "o", ms=7, mfc="none", color=COLOURS["muted"])
    ax.plot(x, curves["tanh"], color=COLOURS["arm1"], lw=2)
    ax.plot(x, curves["sigmoid"], color=COLOURS["arm2"], lw=2, ls=(0, (5, 2)))
    name_ends(ax, [(1.0, "tanh(x)", COLOURS["arm1"]), (0.99, "σ(x)", COLOURS["arm2"])], narrow)
    ax.set_xlabel("x")
    return figure
