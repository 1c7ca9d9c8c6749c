"""Matplotlib figures as inline SVG: no style attribute, no request, unique ids, the page's own colours."""

import io
import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any
from xml.etree import ElementTree as ET

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from unrolled.bench.phrases import make_visible

COLOURS = {name: f"#0a{i:04x}" for i, name in enumerate(("ink", "muted", "rule", "band", "accent"))}
"""Stand-ins by name: in the SVG each becomes a colour of the page's style sheet, which is light or dark."""

_THEME = {stand_in: f"var(--{name})" for name, stand_in in COLOURS.items()} | {COLOURS["ink"]: "currentColor"}
_DROPPED = {"font-family", "font", "stroke-dashoffset", "stroke-miterlimit"}
_NUMBERS = {"d", "x", "y", "transform", "width", "height"}
_SEED = re.compile(r"seed(\d+)$")

STYLE: Any = {
    "svg.fonttype": "none",  # keeps text as text: searchable, and set in the page's font
    "text.parse_math": False,  # a name like $x_$ is not a formula
    "font.size": 12,
    "axes.edgecolor": COLOURS["muted"],
    "axes.labelcolor": COLOURS["ink"],
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlepad": 7,
    "axes.titlelocation": "left",
    "axes.titley": 1.0,  # matplotlib's automatic place looks at every tick
    "figure.facecolor": "none",
    "text.color": COLOURS["ink"],
    "xtick.color": COLOURS["muted"],
    "ytick.color": COLOURS["muted"],
    "xtick.labelcolor": COLOURS["ink"],
    "ytick.labelcolor": COLOURS["ink"],
    "grid.color": COLOURS["rule"],
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.6,
    "path.simplify": True,
}


@mpl.rc_context(STYLE)
def make_axes(
    size: tuple[float, float], left: float, top: float, width: float, height: float
) -> tuple[Figure, Axes]:
    """Return a figure, and axes of `width` and `height` in it; left and top are from its upper left corner.

    A unit is about a CSS pixel. Grid lines are horizontal.
    """
    w, h = size
    figure = Figure(figsize=(w / 72, h / 72), dpi=72)
    ax = figure.add_axes((left / w, 1 - (top + height) / h, width / w, height / h))
    ax.grid(axis="y")
    ax.tick_params(length=0)
    ax.set_axisbelow(True)
    return figure, ax


def pad_ends(values: Sequence[float]) -> tuple[float, float]:
    """Return the ends of a scale for these values, with some room beyond them."""
    low = min(values)
    high = max(values)
    pad = 0.06 * (high - low) or 0.1
    return low - pad, high + pad


def draw_svg(name: str, title: str, description: str, draw: Callable[[], Figure]) -> Markup:
    """Return a figure as an `<svg>`; equal figures give equal text.

    All ids begin with `name`. A group id `seedS` set on an artist becomes `data-seed="S"`, by which the page
    finds the curve of a seed.
    """
    svg = io.BytesIO()
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the browser has the fonts
        canvas: Any = FigureCanvasSVG(draw())
        canvas.print_svg(svg, metadata={"Date": None})
    root = ET.fromstring(svg.getvalue())
    _drop_metadata(root)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        _inline_style(element, name)
    root.attrib.update({"role": "img", "aria-labelledby": f"{name}-title {name}-desc"})
    for tag, text in (("desc", description), ("title", title)):
        child = ET.Element(tag, {"id": f"{name}-{tag}"})
        child.text = make_visible(text)
        root.insert(0, child)
    return Markup(re.sub(r">\s+<", "><", ET.tostring(root, encoding="unicode")))


def _drop_metadata(root: ET.Element) -> None:
    """Remove the licence block and the style sheet, whose rule the page states itself."""
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.endswith(("}metadata", "}style")):
                parent.remove(child)


def _inline_style(element: ET.Element, name: str) -> None:
    """Turn style declarations into attributes, as the page's policy allows no style, and prefix ids."""
    attributes = {key.rpartition("}")[2]: value for key, value in element.attrib.items()}
    for declaration in filter(None, attributes.pop("style", "").split(";")):
        key, _, value = (part.strip() for part in declaration.partition(":"))
        if key not in _DROPPED:
            attributes[key] = value.removesuffix("px") if key == "font-size" else value
    for key, value in attributes.items():
        attributes[key] = _THEME.get(value, value)
        if key in _NUMBERS:
            attributes[key] = re.sub(r"-?\d+\.\d+", lambda m: f"{float(m[0]):.1f}".replace(".0", ""), value)
            attributes[key] = " ".join(attributes[key].split())
        if key == "href":
            attributes[key] = f"#{name}-{value[1:]}"
        if value.startswith("url(#"):
            attributes[key] = f"url(#{name}-{value[5:]}"
    if identity := attributes.pop("id", ""):
        if seed := _SEED.match(identity):
            attributes["data-seed"] = seed[1]
        elif element.tag != "g" and element.tag != "text":  # no other element refers to a group's id
            attributes["id"] = f"{name}-{identity}"
    for key in ("version", "xmlns"):
        attributes.pop(key, None)
    if element.tag == "svg":
        del attributes["width"], attributes["height"]
    element.attrib = attributes
