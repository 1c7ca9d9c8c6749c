"""How the metrics of the chapter's models are written on pages."""

from dataclasses import replace

from unrolled.bench.chapter.metric_table import CHAPTER_METRICS, ChapterMetric
from unrolled.bench.trainer import ImportName
from unrolled.reports.formats import format_number
from unrolled.reports.presentation import FigureColumn, Presentation
from unrolled.reports.scale import Scale

PERPLEXITY = Scale(title="perplexity", difference_unit="%", decimals=2, log_factor=1.0)
"""The scale that shows losses in nats as perplexities, exp(loss), and their differences in per cent."""


def format_thousands(x: float) -> str:
    """Return a number in thousands: 4500 → "4.5k"."""
    return f"{format_number(x / 1000, 1)}k"


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
        metric.name: Scale(title=cost.head, multiplier=cost.multiplier, decimals=cost.decimals)
        for metric in CHAPTER_METRICS
        if (cost := metric.cost_column)
    },
    gpu_costs=frozenset(
        metric.name for metric in CHAPTER_METRICS if metric.cost_column and metric.cost_column.needs_gpu
    ),
    columns=tuple(metric.name for metric in CHAPTER_METRICS if metric.is_column),
    figure_columns={
        metric.name: FigureColumn(metric.figure_head, format_thousands)
        for metric in CHAPTER_METRICS
        if metric.figure_head
    },
    template="chapter.html",
    make_extras=ImportName("unrolled.reports.chapter.extras:make_extras"),
    read_curves=ImportName("unrolled.reports.chapter.extras:read_curves"),
    page_curves=tuple(metric.curve_name for metric in CHAPTER_METRICS if metric.has_curve),
    step="epoch",
    sample_records=("passage", "continuation"),
)
"""The presentation of the chapter's studies on pages."""
