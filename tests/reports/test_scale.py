"""How people read a difference: its digits and its unit."""

import pytest

from bench.metric import Metric
from reports.chapter import CHAPTER
from reports.statistics.interval import Interval

ACCURACY = CHAPTER.scale("valid_accuracy").of(Metric("valid_accuracy", 0.02))


@pytest.mark.parametrize(
    "low, high, shown",
    [
        (0.0003, 0.0252, "[+0.03, +2.52]"),
        (-0.030, -0.0004, "[−3.00, −0.04]"),
        (-0.03, 0.0, "[−3.0, 0.0]"),
        (-0.0301, 0.0123, "[−3.0, +1.2]"),
        (1e-9, 0.02, "[0.000, +2.000]"),
    ],
)
def test_an_end_that_is_not_zero_is_shown_as_zero_only_where_it_is_tiny(low, high, shown) -> None:
    assert ACCURACY.from_to(Interval(low, high, 0.95)) == shown
