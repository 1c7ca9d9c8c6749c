"""Drawings of networks: boxes and arrows."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from reports.figures.drawing import axes_at, blank
from reports.figures.svg import COLOURS

WORDS = ("one", "two", "three")
X, Y = (0.0, 3.0, 6.0), (0.0, 1.5, 3.0, 4.5)
"""Of the words, and of their rows: word, layer 1, layer 2, answer."""


def stacked() -> Figure:
    """Two recurrent layers, unrolled over three words: a colour for each layer, whose weights are shared."""
    figure = blank(320)
    ax = axes_at(figure, 20, 8, 900, 300)
    ax.set(xlim=(-2.2, 9.0), ylim=(-0.5, 5.1))
    ax.set_axis_off()
    for t, x in enumerate(X):
        ax.text(x, Y[0], f"word {t + 1}", ha="center", va="center", color=COLOURS["ink"])
        for layer in (1, 2):
            _box(ax, x, Y[layer], f"layer {layer}", f"arm{layer}")
            _arrow(ax, (x, Y[layer - 1] + (0.25 if layer == 1 else 0.42)), (x, Y[layer] - 0.42))
            before = -1.9 if t == 0 else X[t - 1] + 0.85
            _arrow(ax, (before, Y[layer]), (x - 0.85, Y[layer]))
            ax.text((before + x - 0.85) / 2, Y[layer] + 0.2, f"h{layer}", ha="center", color=COLOURS["muted"])
        ax.text(x, Y[3], f"answer {t + 1}", ha="center", va="center", color=COLOURS["ink"])
        _arrow(ax, (x, Y[2] + 0.42), (x, Y[3] - 0.25))
    for layer in (1, 2):
        _arrow(ax, (X[-1] + 0.85, Y[layer]), (X[-1] + 2.2, Y[layer]))
    return figure


def _box(ax: Axes, x: float, y: float, text: str, colour: str) -> None:
    rounded = "round,pad=0,rounding_size=.12"
    box = FancyBboxPatch((x - 0.85, y - 0.42), 1.7, 0.84, rounded, fc="none", ec=COLOURS[colour], lw=2)
    ax.add_patch(box)
    ax.text(x, y, text, ha="center", va="center", weight="bold", color=COLOURS[colour])


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    look = {"arrowstyle": "-|>", "color": COLOURS["muted"], "lw": 1.2, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", end, start, arrowprops=look)
