"""A published single number compared with our seeds."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from reports.statistics.contrasts import Interval
from reports.statistics.estimators import prediction_p, t_interval
from reports.statistics.power import ALPHA


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Whether a published single number could be one more seed of ours; diverged seeds are left out."""

    y: float
    interval: Interval  # widened by half a unit of y's last printed digit
    p: float  # of y as printed; the interval decides
    diverged: int

    @property
    def plausible(self) -> bool:
        """Whether y lies in the interval."""
        return self.interval.low <= self.y <= self.interval.high

    @property
    def wording(self) -> str:
        """The phrase for it in reports."""
        left_out = f", given convergence ({self.diverged} diverged)" if self.diverged else ""
        return f"{'a' if self.plausible else 'not a'} plausible single run of our procedure{left_out}"


def prediction(values: Iterable[float], y: float, digits: int = 6) -> Prediction | None:
    """Compare a value, published with `digits` decimals, with our seeds; None if fewer than 3 converged.

    An infinite value is a diverged seed: it is counted, and left out of the interval. Raises ValueError on
    NaN.
    """
    ours = list(values)
    if any(math.isnan(v) for v in ours):
        raise ValueError("NaN is no value: a diverged seed is an infinite one")
    x = np.array([v for v in ours if math.isfinite(v)])
    if x.size < 3:
        return None
    half_unit = 0.5 * 10.0**-digits
    low, high = t_interval(x, one_more=True)
    ends = Interval(float(low) - half_unit, float(high) + half_unit, 1 - ALPHA)
    return Prediction(y=y, interval=ends, p=float(prediction_p(x, y)), diverged=len(ours) - x.size)
