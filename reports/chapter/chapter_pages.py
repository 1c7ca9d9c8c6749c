"""How the metrics of the chapter's models are written on pages."""

from dataclasses import replace

from unrolled.bench.chapter.metric_table import CHAPTER_METRICS, ChapterMetric, Column
from unrolled.bench.metric import Kind
from unrolled.bench.trainer import ImportName
from unrolled.reports.formats import format_number
from unrolled.reports.presentation import FigureColumn, Presentation
from unrolled.reports.scale import Scale

PERPLEXITY = Scale(title="perplexity", difference_unit="%", decimals=2, log_factor=1.0)
"""The scale that shows losses in nats as perplexities, exp(loss), and their differences in per cent."""


def _make_figure_column(column: Column, kind: Kind) -> FigureColumn:
    """Return a column beside the main figure, from a row of the metrics' table."""

    def format_value(value: float) -> str:
        return f"{format_number(value * column.multiplier, column.decimals)}{column.suffix}"

    return FigureColumn(column.title, format_value, depends_on_load=kind in ("time", "speed"))


def _make_scale(metric: ChapterMetric) -> Scale:
    """Return the scale of a metric of the table."""
    scale = Scale(
        title=metric.title or metric.name.replace("_", " "),
        value_unit=metric.unit,
        difference_unit=metric.difference_unit or metric.unit,
        multiplier=metric.multiplier,
        decimals=metric.decimals,
        most_decimals=metric.most_decimals,
        mean_phrase=metric.mean_phrase,
    )
    return replace(scale, second_scale=PERPLEXITY) if metric.name == "valid_loss" else scale


CHAPTER_PRESENTATION = Presentation(
    interval_clause=", given the validation set",
    scales={metric.name: _make_scale(metric) for metric in CHAPTER_METRICS},
    cost_columns={
        metric.name: Scale(title=column.title, multiplier=column.multiplier, decimals=column.decimals)
        for metric in CHAPTER_METRICS
        if (column := metric.cost_column)
    },
    gpu_costs=frozenset(
        metric.name for metric in CHAPTER_METRICS if metric.cost_column and metric.cost_column.needs_gpu
    ),
    columns=tuple(metric.name for metric in CHAPTER_METRICS if metric.is_column),
    figure_columns={
        metric.name: _make_figure_column(metric.figure_column, metric.kind)
        for metric in CHAPTER_METRICS
        if metric.figure_column
    },
    template="chapter.html",
    make_extras=ImportName("unrolled.reports.chapter.extras:make_extras"),
    read_curves=ImportName("unrolled.reports.chapter.extras:read_curves"),
    page_curves=tuple(metric.curve_name for metric in CHAPTER_METRICS if metric.has_curve),
    step="epoch",
    sample_records=("passage", "continuation"),
)
"""The presentation of the chapter's studies on pages."""
