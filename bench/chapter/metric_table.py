"""The metrics of the chapter's trials, a row each: how studies, pages and MLflow have them.

The numbers come from `bench.chapter.metrics` and `bench.chapter.run`, whose source is part of a trial's
identity. The source of this module is not, so that editing it does not retrain any trial.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from unrolled.bench.metric import Better, Kind
from unrolled.bench.numbers import safe_exp


class CostColumn(NamedTuple):
    """A column of the page's table of costs."""

    head: str
    decimals: int = 0
    multiplier: float = 1.0  # multiplies the measured value to give the value that is shown
    needs_gpu: bool = False  # whether it is shown only if some trial was trained on a GPU


class Source(NamedTuple):
    """The metric of which another one is a function."""

    name: str
    function: Callable[[float], float]


@dataclass(frozen=True, kw_only=True)
class ChapterMetric:
    """A metric of the chapter. Without further fields it is a column of the page's table of all trials."""

    name: str  # key in `Result.metrics`
    kind: Kind = "quality"  # any other kind differs from run to run: `verify` does not compare it
    title: str = ""  # title on pages; "" for the name in words
    unit: str = ""
    difference_unit: str = ""  # unit of a difference; "" for the same unit
    multiplier: float = 1.0  # multiplies the measured value to give it in `unit`
    decimals: int | None = None  # decimals of a level; None to derive them from δ
    finest: int | None = None  # most decimals of a difference; None to derive them from δ
    reaches: str = ""  # what an arm with a level does, such as "predicts {} of the words"
    is_judged: bool = False  # whether arms can be judged by it
    better: Better | None = None  # direction of a judged metric that `bench.metric` does not know
    is_column: bool = True  # whether it is a column of the page's table of all trials
    has_curve: bool = False  # has a curve by epoch, in `bench.chapter.training.record.CURVES` or its source
    source: Source | None = None  # the metric from whose mean and curve it is derived
    figure_head: str = ""  # head of its column beside the page's main figure; "" for no column
    cost: CostColumn | None = None
    mlflow: Literal["", "first", "gpu"] = ""  # "first": before judged metrics in MLflow; "gpu": after them


CHAPTER_METRICS = (
    ChapterMetric(
        name="valid_accuracy", title="validation accuracy", unit="%", difference_unit="points",
        multiplier=100.0, decimals=1, finest=1, reaches="predicts {} of the words", is_judged=True,
        has_curve=True, mlflow="first",
    ),
    ChapterMetric(
        name="valid_perplexity", title="validation perplexity", is_judged=True, has_curve=True,
        source=Source("valid_loss", safe_exp), mlflow="first",
    ),
    ChapterMetric(
        name="valid_loss", title="validation loss", unit="nats", decimals=2, finest=3, is_judged=True,
        is_column=False, has_curve=True, mlflow="first",
    ),
    ChapterMetric(
        name="valid_bits", title="validation bits a token", unit="bits", is_judged=True, is_column=False,
    ),
    ChapterMetric(
        name="train_loss", title="training loss", unit="nats", decimals=2, finest=3, is_judged=True,
        is_column=False, has_curve=True,
    ),
    ChapterMetric(
        name="speed_train", kind="speed", title="training speed", unit="tokens/s", is_judged=True,
        is_column=False, figure_head="Tokens/s", mlflow="first",
    ),
    ChapterMetric(
        name="model_parameters", is_column=False, figure_head="Parameters", cost=CostColumn("parameters"),
    ),
    ChapterMetric(name="train_updates", is_column=False, cost=CostColumn("updates")),
    ChapterMetric(name="train_tokens", is_column=False, cost=CostColumn("tokens trained on")),
    ChapterMetric(name="train_flops", is_column=False, cost=CostColumn("GFLOPs of training", 1, 1e-9)),
    ChapterMetric(
        name="speed_steady", kind="speed", is_column=False,
        cost=CostColumn("tokens/s after the first epoch", needs_gpu=True), mlflow="gpu",
    ),
    ChapterMetric(name="speed_valid", kind="speed", is_column=False),
    ChapterMetric(name="speed_train_seconds", kind="time", is_column=False),  # by epoch alone
    ChapterMetric(name="speed_valid_seconds", kind="time", is_column=False),
    ChapterMetric(
        name="seconds", kind="time", title="duration", unit="s", is_judged=True, is_column=False,
        cost=CostColumn("seconds", 1),
    ),
    ChapterMetric(
        name="memory_peak", kind="memory", title="peak memory", unit="MiB", is_judged=True, is_column=False,
        cost=CostColumn("peak memory (MiB)"),
    ),
    ChapterMetric(
        name="gpu_memory_peak", kind="memory", title="peak GPU memory", unit="MiB", is_column=False,
        cost=CostColumn("peak GPU memory (MiB)"), mlflow="gpu",
    ),
)  # fmt: skip
"""The chapter's metrics, in the order of pages and of MLflow's tables."""
