"""A published single number held against our seeds."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from reports.statistics.contrasts import Interval
from reports.statistics.estimators import prediction_interval, prediction_p
from reports.statistics.power import ALPHA


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Whether a published single number could be one more seed of ours. Given convergence."""

    y: float
    interval: Interval  # widened by half a unit of y's last printed digit
    p: float  # of y as printed; the interval decides
    n: int
    diverged: int

    @property
    def plausible(self) -> bool:
        """Whether y lies in the interval."""
        return self.interval.low <= self.y <= self.interval.high

    @property
    def wording(self) -> str:
        """The one way in which a report says it."""
        left_out = f", given convergence ({self.diverged} diverged)" if self.diverged else ""
        return f"{'a' if self.plausible else 'not a'} plausible single run of our procedure{left_out}"


def prediction(values: Iterable[float], y: float, digits: int = 6) -> Prediction | None:
    """Hold a published value against our seeds; None under 3 converged ones.

    Args:
        values: ours, one a seed; infinite ones diverged, and are counted but predict nothing.
        y: the published value.
        digits: decimals that y was printed with; rounding hides up to half a unit of the last one.

    Raises:
        ValueError: on NaN.
    """
    ours = list(values)
    if any(math.isnan(v) for v in ours):
        raise ValueError("NaN is no value: a diverged seed is an infinite one")
    x = np.array([v for v in ours if math.isfinite(v)])
    if x.size < 3:
        return None
    half_unit = 0.5 * 10.0**-digits
    low, high = prediction_interval(x, 1 - ALPHA)
    return Prediction(
        y=y,
        interval=Interval(float(low) - half_unit, float(high) + half_unit, 1 - ALPHA),
        p=float(prediction_p(x, y)),
        n=x.size,
        diverged=len(ours) - x.size,
    )
