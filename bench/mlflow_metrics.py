"""The metrics and curves of a kind of trial that MLflow shows, beside those that its study judges.

`MlflowMetrics` is for the trials of a program, of which only names and numbers are known. The chapter's class
in `bench.chapter.chapter_mlflow` derives from it, because a module for all trainers may not import one of
them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import ClassVar, NamedTuple

from unrolled.bench.trial import Result


class CurvePoint(NamedTuple):
    """A value of a metric during a trial."""

    metric: str
    step: float  # step or epoch
    value: float
    elapsed: float  # seconds since the trial began


class MlflowMetrics:
    """The metrics and curves of a program's trials."""

    leading_metrics: ClassVar[tuple[str, ...]] = ()
    """Metrics at the beginning of tables, before the judged ones."""
    trailing_metrics: ClassVar[tuple[str, ...]] = ("seconds",)
    """Metrics after the judged ones."""
    gpu_metrics: ClassVar[tuple[str, ...]] = ()
    """Metrics at the end of tables, if a study is trained on a GPU."""
    mlflow_curves: ClassVar[tuple[str, ...]] = ()
    """Metrics whose curves MLflow draws; () for the judged ones."""
    derived_metrics: ClassVar[Mapping[str, tuple[str, Callable[[float], float]]]] = {}
    """Metrics whose mean is a function of another metric's mean: that metric, and the function."""
    first_step: ClassVar[int] = 0
    """The step in MLflow of a curve's step 0."""

    def list_table_metrics(self, judged: Sequence[str], *, on_a_gpu: bool = True) -> list[str]:
        """Return the metrics of a table."""
        gpu_metrics = self.gpu_metrics if on_a_gpu else ()
        return list(dict.fromkeys([*self.leading_metrics, *judged, *self.trailing_metrics, *gpu_metrics]))

    def list_curves(self, judged: Sequence[str]) -> Sequence[str]:
        """Return the metrics whose curves MLflow draws."""
        return self.mlflow_curves or judged

    def collect_final_numbers(self, result: Result) -> dict[str, float]:
        """Return the final numbers of a trial."""
        return dict(result.metrics)

    def list_curve_points(self, result: Result) -> Iterator[CurvePoint]:
        """Yield the points of a trial's curves. As a program reports no times, all are at the trial's end."""
        for name, curve in result.curves.items():
            yield from (CurvePoint(name, step, value, result.attempt_seconds) for step, value in curve)


PROGRAM_MLFLOW = MlflowMetrics()
