"""The table of the chapter's metrics agrees with what a training records."""

from collections.abc import Callable
from dataclasses import fields

from unrolled.bench.chapter.chapter_run import run_trial
from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.chapter.metric_table import CHAPTER_METRICS
from unrolled.bench.chapter.training.record import Epoch, TrainingRecord


def test_a_metric_that_declares_a_curve_is_recorded_in_each_epoch() -> None:
    declared = [metric for metric in CHAPTER_METRICS if metric.has_curve]
    names = {metric.derived_from.name if metric.derived_from else metric.name for metric in declared}
    assert names <= TrainingRecord().curves.keys(), "page and MLflow would show an empty chart"


def test_each_metric_of_the_table_is_measured(make_small_trial: Callable[..., ChapterTrial]) -> None:
    measured = {*run_trial(make_small_trial(epochs=2)).metrics, *(field.name for field in fields(Epoch))}
    on_a_gpu_alone = {"gpu_memory_peak"}
    assert {metric.name for metric in CHAPTER_METRICS} <= measured | on_a_gpu_alone
