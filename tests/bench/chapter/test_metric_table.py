"""The table of the chapter's metrics agrees with what a training records."""

from unrolled.bench.chapter.metric_table import CHAPTER_METRICS
from unrolled.bench.chapter.training.record import TrainingRecord


def test_a_metric_that_declares_a_curve_is_recorded_in_each_epoch() -> None:
    declared = [metric for metric in CHAPTER_METRICS if metric.has_curve]
    names = {metric.derived_from.name if metric.derived_from else metric.name for metric in declared}
    assert names <= TrainingRecord().curves.keys(), "page and MLflow would show an empty chart"
