"""Stored runs of pytest-benchmark pass the gate when none is slower by the margin."""

import math

import numpy as np
import pandas as pd
import pytest
from simulate_compare import slow_rate
from synthetic import HERE

from unrolled.bench.errors import BadInput
from unrolled.reports.before_after import ResultSet, compare_timings
from unrolled.reports.statistics.speed_ratio import ratios_of_rounds


def stored(seconds: float, iqr: float, rounds: int) -> pd.DataFrame:
    """One stored run."""
    return pd.DataFrame({"seconds": [seconds], "iqr": [iqr], "rounds": [rounds]})


def test_a_ratio_of_medians_has_the_interval_of_their_standard_errors() -> None:
    # by hand: 1.25 · .04 / (1.35 √25) = .0074074 of a median of 1, twice; df 48: t = 2.0106
    pace = ratios_of_rounds({"b": (stored(1.0, 0.04, 25), stored(1.0, 0.04, 25))}, 0.05)["b"]
    assert pace.ratio == 1.0
    assert math.log(pace.interval.high) == pytest.approx(2.0106 * math.sqrt(2) * 0.0074074, rel=1e-4)


def test_three_stored_runs_on_each_side_are_replicates_of_their_own() -> None:
    def runs(*medians: float) -> pd.DataFrame:
        return pd.concat([stored(median, 1e-6, 1000) for median in medians])

    pace = ratios_of_rounds({"b": (runs(1.0, 1.1, 1.2), runs(1.1, 1.2, 1.3))}, 0.05)["b"]
    # scipy ttest_ind(log after, log before, equal_var=False): ratio 1.0914, [.8946, 1.3315]
    assert pace.ratio == pytest.approx(1.0914, abs=1e-4)
    assert (pace.interval.low, pace.interval.high) == pytest.approx((0.89458, 1.33150), abs=1e-5)
    assert not pace.fault


def benchmarks(name: str, runs: int = 3, **medians: float) -> ResultSet:
    rows = [
        {
            "arm": n,
            "machine": HERE,
            "seconds": median * (1 + run / 1e3),
            "iqr": 0.01 * median,
            "rounds": 50,
        }
        for n, median in medians.items()
        for run in range(runs)
    ]
    return ResultSet(name=name, table=pd.DataFrame(rows))


@pytest.mark.parametrize("runs", [(1, 1), (2, 2), (1, 3), (3, 2)])
def test_fewer_than_three_runs_on_a_side_show_no_slowness_and_one_line_says_so(runs: tuple[int, int]) -> None:
    base = benchmarks("base", runs=runs[0], step=0.01, load=0.5)
    new = benchmarks("new", runs=runs[1], step=0.02, load=0.5)
    found = compare_timings(base, new, margin=0.05)
    (note,) = found.notes
    assert found.passed and "3 stored runs on each side, which these lack: step, load" in note
    assert not compare_timings(base, new, margin=0.05, require_speed=True).passed


def test_unchanged_code_whose_runs_differ_by_five_percent_is_called_slower_once_in_twenty_at_most() -> None:
    one, three = (slow_rate(np.random.default_rng(3), 0.05, runs, 400) for runs in (1, 3))
    assert three <= 0.05 < one, "one run a side, which is why three are needed"


def test_a_slower_benchmark_fails_by_name_and_a_run_without_any_of_the_baselines_is_refused() -> None:
    base = benchmarks("base.json", step=0.010, load=0.5)
    found = compare_timings(base, benchmarks("new.json", step=0.013, load=0.5), margin=0.05)
    assert [j.name for j in found.failed] == ["step"]
    assert compare_timings(base, benchmarks("new.json", step=0.0102, load=0.3), margin=0.05).passed
    with pytest.raises(BadInput, match="has no benchmark of base"):
        compare_timings(base, benchmarks("new.json", other=0.01), margin=0.05)


def test_a_benchmark_that_is_gone_fails() -> None:
    base, new = benchmarks("base.json", step=0.01, load=0.5), benchmarks("new.json", step=0.01)
    found = compare_timings(base, new, margin=0.05)
    assert [(arm.name, bool(arm.faults)) for arm in found.arms] == [("step", False), ("load", True)]
    few = ResultSet(name="few.json", table=stored(0.01, 0.0, 1).assign(arm="step", machine=[HERE]))
    assert not compare_timings(base, few, margin=0.05).passed
