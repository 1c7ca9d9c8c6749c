"""Benchmarks over sizes: tokens a second, their share of the arithmetic limit, and what growth costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import numpy as np
from markupsafe import Markup

from reports.benchmarks.stored import Stored, medians, notes, title
from reports.chapter.shown import Shown, TextTable
from reports.figures.drawing import Series, plot
from reports.figures.svg import picture
from reports.formats import count, number

HEAD = ("Model", "Batch", "Hidden", "Training", "Evaluation", "GFLOP/s", "Of the limit")
GPU = {"gpu_memory_peak": "GPU memory, MiB", "gpu_utilisation": "GPU in use, %"}


def throughput(stored: Stored) -> Shown | None:
    """Tokens a second by model, batch and hidden size, and their share of the limit."""
    info = next(notes(stored, "throughput"), None)
    if info is None:
        return None
    cells = [{**cell, **medians(cell["measured"])} for cell in info["cells"]]
    also = {key: name for key, name in GPU.items() if all(key in cell for cell in cells)}
    rows = tuple(
        (
            title(stored, cell["model"]),
            *(count(cell[key]) for key in ("batch", "hidden", "train", "evaluate")),
            number(cell["flops"] / 1e9, 1),
            f"{number(100 * cell['flops'] / info['peak'], 0)} %",
            *(count(cell[key]) for key in also),
        )
        for cell in cells
    )
    return Shown(
        text="Random tokens in windows of 16, through the engine's own loop. Operations are those of the "
        "matrix products, forwards and twice backwards; the limit is what a large product reached in the "
        f"same run: {number(info['peak'] / 1e9, 0)} GFLOP/s in single precision "
        f"{'on the GPU' if info['machine'].get('gpu') else 'on one thread'}.",
        picture=_paces(stored, cells),
        caption="Tokens a second in training against the hidden size, both logarithmic.",
        table=TextTable("Tokens a second by model, batch and hidden size", (*HEAD, *also.values()), rows),
    )


def _paces(stored: Stored, cells: Sequence[Mapping[str, Any]]) -> Markup | None:
    """A line for each model and batch of which there is more than one hidden size."""
    found: dict[str, list[tuple[float, float]]] = {}
    for cell in cells:
        name = f"{title(stored, cell['model'])}, {cell['batch']}"
        found.setdefault(name, []).append((cell["hidden"], cell["train"]))
    drawn = [_line(name, sorted(points)) for name, points in found.items() if len(points) > 1]
    if not drawn:
        return None
    about = "; ".join(f"{name}: {count(y[0])} to {count(y[-1])}" for name, _, y in drawn)
    how = partial(plot, drawn, "hidden size", "tokens a second", log=True, every=True)
    return picture("q-paces", "Tokens a second", f"A line for each model and batch. {about}.", how)


def _line(name: str, points: Sequence[tuple[float, float]]) -> Series:
    return name, [x for x, _ in points], [y for _, y in points]


@dataclass(frozen=True)
class CostCurve:
    """Seconds against one size of one model, of two sizes at least."""

    what: str
    model: str
    points: tuple[tuple[float, float], ...]

    @property
    def exponent(self) -> float:
        """The slope of a line through the logarithms."""
        x, y = np.log(np.array(self.points)).T
        return float(np.polyfit(x, y, 1)[0])

    @property
    def relative(self) -> Series:
        """Size and cost as multiples of the smallest's."""
        x0, y0 = self.points[0]
        return _line(f"{self.what}, {self.model}", [(x / x0, y / y0) for x, y in self.points])

    @property
    def row(self) -> tuple[str, ...]:
        """As the table shows it."""
        (x0, y0), (x1, y1) = self.points[0], self.points[-1]
        milliseconds = number(1000 * y0, 1), number(1000 * y1, 1)
        return self.what, self.model, f"{count(x0)} … {count(x1)}", *milliseconds, number(self.exponent, 2)


def growth(stored: Stored) -> Shown | None:
    """The section on how cost grows with seeds, layers, hidden size and window."""
    found = curves(stored)
    if not found:
        return None
    about = ", ".join(f"{c.what} of {c.model} {number(c.exponent, 2)}" for c in found)
    relative = [c.relative for c in found]
    how = partial(
        plot, relative, "size, times the smallest", "cost, times the smallest", log=True, every=True
    )
    return Shown(
        text="One size grows and the others stay as in the chapter. The exponent is the slope of a line "
        "through the logarithms: 1 is cost in proportion, 2 is four times the cost of twice the size. "
        "Hidden size, layers and window cost milliseconds an update; seeds cost milliseconds until as many "
        "have been trained for one epoch, side by side.",
        picture=picture("q-growth", "What growth costs", f"Fitted exponents: {about}.", how),
        caption="Cost against size, each relative to its smallest, both logarithmic.",
        table=TextTable(
            "Fitted exponents of cost",
            ("What grows", "Model", "From … to", "First, ms", "Last, ms", "Exponent"),
            tuple(c.row for c in found),
        ),
    )


def curves(stored: Stored) -> list[CostCurve]:
    """The medians of each size that grew, where it took two values at least."""
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for info in notes(stored, "growth"):
        for point in info["points"]:
            key = point["what"], title(stored, point["model"])
            found.setdefault(key, []).append((float(point["size"]), median(point["seconds"])))
    return [CostCurve(*key, tuple(sorted(points))) for key, points in found.items() if len(points) > 1]
