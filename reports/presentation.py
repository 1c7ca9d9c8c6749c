"""How a page shows one trainer's trials: the scales of its metrics, its columns, and sections of its own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from markupsafe import Markup

from unrolled.bench.trainer import NOTHING, ImportName
from unrolled.bench.trial import Result
from unrolled.reports.scale import COST_COLUMNS, MEASURED_SCALES, Scale

Curves = Mapping[str, Sequence[tuple[float, float]]]
"""The points (step, value) of a trial's learning curves, by metric."""


class FigureColumn(NamedTuple):
    """A column beside the main figure: the mean of a metric over an arm's trials."""

    title: str
    format_value: Callable[[float], str]  # a Scale's method, or another function
    depends_on_load: bool = False  # whether trials that run at the same time change it


@dataclass(frozen=True, kw_only=True)
class Extras:
    """Parts that only the pages of one trainer have. A subclass adds fields, which the template reads."""

    sentence: str = ""  # sentence below the main figure
    warnings: tuple[str, ...] = ()
    marks: Mapping[str, Mapping[int, float]] = field(default_factory=dict)  # by metric and arm's index
    marks_legend: str = ""  # what a mark means, such as "the book"
    # by the arm's index, where its difference lies, such as in which roles of tokens: a strip and a sentence
    explanations: Mapping[int, Markup] = field(default_factory=dict)
    explanations_legend: str = ""  # how to read `explanations`
    columns_legend: str = ""  # explains the columns beside the figure


@dataclass(frozen=True, kw_only=True)
class Presentation:
    """How a trainer's metrics are written, and which sections only its pages have.

    Two fields name functions, so that a study runs without loading them:

    - `make_extras`: from a Comparison to its Extras
    - `read_curves`: from a Result to its curves, {metric: points (step, value)}, instead of `Result.curves`
    """

    scales: Mapping[str, Scale] = field(default_factory=lambda: MEASURED_SCALES)
    # columns of the page's table of costs, by metric: parameters and updates, too
    cost_columns: Mapping[str, Scale] = field(default_factory=lambda: COST_COLUMNS)
    # those that are shown only if some trial was trained on a GPU
    gpu_costs: frozenset[str] = frozenset()
    columns: tuple[str, ...] = ()  # metrics in the table of all trials, after the judged ones
    figure_columns: Mapping[str, FigureColumn] = field(default_factory=dict)  # columns by metric
    template: str = "report.html"
    make_extras: ImportName[Callable[[Any], Extras]] = NOTHING
    read_curves: ImportName[Callable[[Result], Curves]] = NOTHING
    # metrics of `Result.curves` that pages draw, () for any of them: see `reports.figures.curves`
    page_curves: tuple[str, ...] = ()
    step: str = "step or epoch"  # what curves are drawn against
    interval_clause: str = ""  # text after "intervals are over seeds", such as ", given the validation set"
    sample_records: tuple[str, ...] = ()  # records that a page shows for one trial an arm

    def find_scale(self, metric: str) -> Scale:
        """Return the scale of a metric; for an unknown one, a scale with its name as the title."""
        return self.scales.get(metric, Scale(title=metric.replace("_", " ")))


PROGRAM_PRESENTATION = Presentation()
"""The presentation of any program."""
