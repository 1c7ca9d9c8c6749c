"""The metrics of the chapter's trials in MLflow: language models, with curves by epoch."""

from collections.abc import Iterator

from unrolled.bench.chapter.metric_table import CHAPTER_METRICS
from unrolled.bench.mlflow_metrics import CurvePoint, MlflowMetrics
from unrolled.bench.trial import Result


class ChapterMlflowMetrics(MlflowMetrics):
    """The metrics and curves of the chapter's trials."""

    leading_metrics = tuple(metric.name for metric in CHAPTER_METRICS if metric.mlflow_position == "first")
    trailing_metrics = ()
    gpu_metrics = tuple(metric.name for metric in CHAPTER_METRICS if metric.mlflow_position == "last_on_gpu")
    mlflow_curves = tuple(
        metric.name for metric in CHAPTER_METRICS if metric.has_curve and not metric.derived_from
    )
    derived_metrics = {metric.name: metric.derived_from for metric in CHAPTER_METRICS if metric.derived_from}  # noqa: RUF012

    first_step = 1  # pages, too, count epochs from 1

    def collect_final_numbers(self, result: Result) -> dict[str, float]:
        """Return the metrics, and the loss (nats a token) and accuracy of each role of token."""
        numbers = dict(result.metrics)
        for role, (nats, hits, targets) in result.records.get("roles", {}).items():
            if targets:
                numbers |= {
                    f"role_{role} loss": float(nats) / targets,
                    f"role_{role} accuracy": hits / targets,
                }
        return numbers

    def list_curve_points(self, result: Result) -> Iterator[CurvePoint]:
        """Yield the points of each epoch with the time of its end.

        All time that is not an epoch's is taken to lie before the first epoch.
        """
        parts = (result.curves.get(f"speed_{part}_seconds", ()) for part in ("train", "valid"))
        epoch_seconds = [(epoch, train + valid) for (epoch, train), (_, valid) in zip(*parts, strict=True)]
        elapsed = max(0.0, result.attempt_seconds - sum(seconds for _, seconds in epoch_seconds))
        end_times = {}
        for epoch, seconds in epoch_seconds:
            elapsed += seconds
            end_times[epoch] = elapsed
        for name, curve in result.curves.items():
            yield from (
                CurvePoint(name, epoch + self.first_step, value, end_times[epoch]) for epoch, value in curve
            )


CHAPTER_MLFLOW = ChapterMlflowMetrics()
