"""The effects of a study's arms as one picture, for a notebook."""

from markupsafe import Markup
from matplotlib.figure import Figure

from unrolled.reports.compare.compared_arm import ComparedArm
from unrolled.reports.compare.comparison import Comparison
from unrolled.reports.figures.svg import COLOURS, draw_svg, make_axes
from unrolled.reports.formats import shorten_name
from unrolled.reports.words.sentences import name_bases

ROW, LEFT, WIDTH = 26, 230, 480  # in units of the SVG
STYLE = "--accent:#2667b8;--band:#8883;--muted:#888;--rule:#8883;max-width:730px"
"""The colours that a page has from its style sheet, and the width of the picture."""


def draw_intervals(comparison: Comparison) -> Markup:
    """Return a picture of each contrast: effect, interval and the zone of ±δ; "" without contrasts."""
    arms = [arm for arm in comparison.arms if arm.estimate is not None]
    if not arms:
        return Markup("")
    title = f"Differences in {comparison.scale.title} from {name_bases(comparison)}"
    picture = draw_svg("effects", title, "An interval for each arm.", lambda: _draw_figure(arms, comparison))
    return Markup('<div style="{}">{}</div>').format(STYLE, picture)


def _draw_figure(arms: list[ComparedArm], comparison: Comparison) -> Figure:
    height = ROW * len(arms)
    figure, ax = make_axes((LEFT + WIDTH + 20, height + 60), LEFT, 8, WIDTH, height)
    scale = comparison.scale.scale_difference
    zone = comparison.metric.zone
    ax.axvspan(scale(-zone), scale(zone), color=COLOURS["band"], lw=0)
    ax.axvline(0, color=COLOURS["ink"], lw=1)
    for row, arm in enumerate(arms):
        if interval := arm.interval:
            ax.plot([scale(interval.low), scale(interval.high)], [row, row], color=COLOURS["accent"], lw=3)
        if arm.estimate is not None:
            ax.plot(scale(arm.estimate), row, "o", color=COLOURS["accent"], ms=7)
    levels = [f", {arm.interval.percent} CI" if arm.interval else "" for arm in arms]
    labels = [f"{shorten_name(arm.name, 24)}{level}" for arm, level in zip(arms, levels, strict=True)]
    ax.set_yticks(range(len(arms)), labels)
    ax.set_ylim(len(arms) - 0.5, -0.5)
    unit = f" ({comparison.scale.difference_unit})" if comparison.scale.difference_unit else ""
    ax.set_xlabel(f"difference in {comparison.scale.title}{unit}, and the zone that is too small to matter")
    return figure
