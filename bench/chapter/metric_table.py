"""The metrics of the chapter's trials that are shown, or are costs: a row each says how and where.

The numbers come from `bench.chapter.metrics` and `bench.chapter.chapter_run`, whose source is part of a
trial's identity. The source of this module is not, so that an edit of it trains no trial again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from unrolled.bench.metric import Better, Kind
from unrolled.bench.numbers import safe_exp


class Column(NamedTuple):
    """A column of a page: the mean of a metric over an arm's trials."""

    title: str
    decimals: int = 0
    multiplier: float = 1.0  # multiplies the measured value to give the value that is shown
    suffix: str = ""  # text after the value, such as "k" for thousands
    needs_gpu: bool = False  # whether it is shown only if some trial was trained on a GPU


class DerivedFrom(NamedTuple):
    """The metric from which another one is derived, and how: perplexity is exp of the loss."""

    name: str
    function: Callable[[float], float]


@dataclass(frozen=True, kw_only=True)
class ChapterMetric:
    """A metric of the chapter. Results and MLflow have it by its name; further fields say what else does."""

    name: str  # key in `Result.metrics`
    kind: Kind = "quality"  # another kind is a cost: it differs from run to run, so `verify` leaves it out
    title: str = ""  # title on pages; "" for the name in words
    unit: str = ""
    difference_unit: str = ""  # unit of a difference, such as "points" for "%"; "" for `unit`
    multiplier: float = 1.0  # multiplies the measured value to give it in `unit`
    decimals: int | None = None  # decimals of a mean; None to derive them from δ
    most_decimals: int | None = None  # most decimals of a difference; None to derive them from δ
    mean_phrase: str = ""  # a mean in words, such as "predicts {} of the words"
    can_be_judged: bool = False  # whether arms can be judged by it
    better: Better | None = None  # direction of a judged metric that `bench.metric` does not know
    is_column: bool = False  # whether it is a column of the page's table of all trials
    has_curve: bool = False  # whether it, or the metric that it is derived from, is a field of `record.Epoch`
    derived_from: DerivedFrom | None = None  # the metric from whose mean and curve it is derived
    figure_column: Column | None = None  # its column beside the page's main figure
    cost_column: Column | None = None  # its column of the page's table of costs
    mlflow_position: Literal["", "first", "last_on_gpu"] = ""
    """Its place in MLflow's tables of arms: before the judged metrics, or after them if a GPU trained.

    A metric with the place "" is only in trials' runs, not in arms'.
    """

    @property
    def curve_name(self) -> str:
        """The metric of `Result.curves` from which its curve is drawn."""
        return self.derived_from.name if self.derived_from else self.name


CHAPTER_METRICS = (
    ChapterMetric(
        name="valid_accuracy", title="validation accuracy", unit="%", difference_unit="points",
        multiplier=100.0, decimals=1, most_decimals=1, mean_phrase="predicts {} of the words",
        can_be_judged=True, is_column=True, has_curve=True, mlflow_position="first",
    ),
    ChapterMetric(
        name="valid_perplexity", title="validation perplexity", can_be_judged=True, is_column=True,
        has_curve=True, derived_from=DerivedFrom("valid_loss", safe_exp), mlflow_position="first",
    ),
    ChapterMetric(
        name="valid_loss", title="validation loss", unit="nats", decimals=2, most_decimals=3,
        can_be_judged=True, has_curve=True, mlflow_position="first",
    ),
    ChapterMetric(
        name="valid_bits", title="validation bits a token", unit="bits", can_be_judged=True,
    ),
    ChapterMetric(
        name="train_loss", title="training loss", unit="nats", decimals=2, most_decimals=3,
        can_be_judged=True, has_curve=True,
    ),
    ChapterMetric(
        name="speed_train", kind="speed", title="training speed", unit="tokens/s", can_be_judged=True,
        figure_column=Column("Tokens/s", 1, 1e-3, "k"), mlflow_position="first",
    ),
    ChapterMetric(
        name="model_parameters", figure_column=Column("Parameters", 1, 1e-3, "k"),
        cost_column=Column("parameters"),
    ),
    ChapterMetric(name="train_updates", cost_column=Column("updates")),
    ChapterMetric(name="train_tokens", cost_column=Column("tokens trained on")),
    ChapterMetric(name="train_flops", cost_column=Column("GFLOPs of training", 1, 1e-9)),
    ChapterMetric(
        name="speed_steady", kind="speed",
        cost_column=Column("tokens/s after the first epoch", needs_gpu=True),
        mlflow_position="last_on_gpu",
    ),
    ChapterMetric(name="speed_valid", kind="speed"),
    ChapterMetric(name="speed_train_seconds", kind="time"),  # by epoch alone
    ChapterMetric(name="speed_valid_seconds", kind="time"),
    ChapterMetric(
        name="seconds", kind="time", title="duration", unit="s", can_be_judged=True,
        cost_column=Column("seconds", 1),
    ),
    ChapterMetric(
        name="memory_peak", kind="memory", title="peak memory", unit="MiB", can_be_judged=True,
        cost_column=Column("peak memory (MiB)"),
    ),
    ChapterMetric(
        name="gpu_memory_peak", kind="memory", title="peak GPU memory", unit="MiB",
        cost_column=Column("peak GPU memory (MiB)"), mlflow_position="last_on_gpu",
    ),
)  # fmt: skip
"""The chapter's metrics, in the order of pages and of MLflow's tables."""
