"""Two tables of runs that this project did not make, and their comparisons."""

import pandas as pd

from tests.helpers.designs import compare_table
from unrolled.bench.metric import Metric
from unrolled.reports.compare.comparison import Comparison
from unrolled.reports.foreign.columns import Columns

HOURS = Metric("extra", 1.0, "higher")
SLEEP = pd.DataFrame(
    # R's data set `sleep` (Student 1908): extra hours of sleep under two drugs, ten patients
    {
        "group": ["1"] * 10 + ["2"] * 10,
        "ID": [*range(1, 11)] * 2,
        "extra": [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0,
                  1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4],
    }
)  # fmt: skip
GROUP = Columns(("group",), ("ID",), (HOURS,))


def compare_sleep(pair: str, frame: pd.DataFrame = SLEEP, **columns: str) -> Comparison:
    """Return the comparison of a table like SLEEP, with or without pairs."""
    return compare_table(frame, Columns(("group",), (pair,) if pair else (), (HOURS,), **columns))


RUNS = pd.DataFrame(
    [{"group": g, "ID": n, "extra": n % 3 + (g == "2") * (1 + n / 100), "status": "FINISHED"}
     for g in "12" for n in range(16)]
)  # fmt: skip


def fail_runs(number: int, arm: str = "2") -> pd.DataFrame:
    """Return the runs, of which some of an arm failed: they have no number."""
    failed = (RUNS.group == arm) & (number > RUNS.ID)
    return RUNS.assign(status=RUNS.status.mask(failed, "failed"), extra=RUNS.extra.mask(failed))
