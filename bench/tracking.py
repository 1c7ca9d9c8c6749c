"""What MLflow shows of a kind of trial, beside the metrics that its study judges.

`Tracking` is that of a program, which tells names and numbers alone; `bench.chapter.tracking` has the
chapter's.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import ClassVar, NamedTuple

from unrolled.bench.trial import Result


class CurvePoint(NamedTuple):
    """A value of a metric during a trial."""

    metric: str
    step: float  # or the epoch
    value: float
    elapsed: float  # seconds since the trial began


class Tracking:
    """What is shown of a program's trials."""

    first: ClassVar[tuple[str, ...]] = ()
    """Metrics that tables begin with."""
    last: ClassVar[tuple[str, ...]] = ("seconds",)
    """Metrics behind the judged ones."""
    on_a_gpu: ClassVar[tuple[str, ...]] = ()
    """Metrics behind them where a study is trained on a GPU."""
    drawn: ClassVar[tuple[str, ...]] = ()
    """Metrics whose curves are drawn; () for the judged ones."""
    derived: ClassVar[Mapping[str, tuple[str, Callable[[float], float]]]] = {}
    """Metrics whose mean is a function of another one's mean: that one, and the function."""

    def table_metrics(self, judged: Sequence[str], *, on_a_gpu: bool = True) -> list[str]:
        """Return the metrics of a table."""
        return list(dict.fromkeys([*self.first, *judged, *self.last, *(self.on_a_gpu if on_a_gpu else ())]))

    def final_numbers(self, result: Result) -> dict[str, float]:
        """Return the final numbers of a trial."""
        return dict(result.metrics)

    def curve_points(self, result: Result) -> Iterator[CurvePoint]:
        """Yield the points of a trial's curves. A program does not tell when it measured them: at its end."""
        for name, curve in result.curves.items():
            yield from (CurvePoint(name, step, value, result.seconds) for step, value in curve)


PROGRAM = Tracking()
