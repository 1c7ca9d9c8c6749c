"""What rows that failed, diverged or are lacking do to the verdicts on a table."""

import numpy as np
import pandas as pd
import pytest

from tests.helpers.designs import compare_table
from tests.reports.foreign.sleep_runs import GROUP, RUNS, SLEEP, compare_sleep, fail_runs
from tests.simulations.simulate_compare import simulate_failure_rates
from unrolled.bench.metric import Metric
from unrolled.reports.foreign.columns import Columns, find_unnamed_failures
from unrolled.reports.page.exports import write_comparison_markdown, write_screen
from unrolled.reports.words.study_state import describe_trials


def test_a_table_counts_the_rows_that_diverged_and_those_that_failed() -> None:
    diverged = (RUNS.group == "2") & (RUNS.ID == 0)
    rows = fail_runs(2, "1").assign(extra=fail_runs(2, "1").extra.mask(diverged, float("inf")))
    counts = describe_trials(compare_sleep("ID", rows))
    assert [count for count in ("32 rows", "1 diverged", "2 failed") if count not in counts] == []


@pytest.mark.parametrize(("number", "word"), [(0, "better"), (3, "better"), (6, "open")])
def test_a_claim_survives_failed_runs_counted_against_it_or_is_open(number: int, word: str) -> None:
    comparison = compare_sleep("ID", fail_runs(number))  # 13 of 16 better: sign test p .021; 10 of 16: .45
    arm = comparison.arms[1]
    assert (arm.verdict.kind, arm.failed_count, arm.contrast.pair_count) == (word, number, 16 - number)
    assert ("10 of 16, 6 failed" in write_screen(comparison)) is (number == 6) is bool(arm.state.halt_reason)
    assert ("counted against each verdict" in write_comparison_markdown(comparison)) is (number > 0)


def test_an_equal_arm_whose_worst_runs_crash_is_better_by_survivors_alone() -> None:
    survivors, all_runs = simulate_failure_rates(np.random.default_rng(0), 6, 60)
    assert survivors > 0.1
    assert all_runs < 0.05


INFINITE = SLEEP.replace({"extra": {5.5: float("inf")}})
LACKING = RUNS[(RUNS.group == "1") | (RUNS.ID >= 6)]


@pytest.mark.parametrize(
    ("pair", "frame", "word"),
    [
        pytest.param("ID", fail_runs(6, "1"), "open", id="failures of the baseline undo a better arm"),
        pytest.param(
            "ID", fail_runs(6, "1").assign(extra=-fail_runs(6, "1").extra), "open", id="and a worse one"
        ),
        pytest.param("ID", RUNS[(RUNS.group == "2") | (RUNS.ID >= 6)], "open", id="so do its missing rows"),
        pytest.param("ID", LACKING, "open", id="missing partners count as failures"),
        pytest.param("ID", LACKING[LACKING.ID >= 6], "better", id="but where both lack the pair"),
        pytest.param("", RUNS, "better", id="without pairs"),
        pytest.param("", fail_runs(1), "open", id="without pairs nothing is claimed where a run failed"),
        pytest.param("", INFINITE, "open", id="nor where one is infinite"),
    ],
)
def test_runs_that_failed_and_pairs_that_are_lacking_count_for_a_verdict(pair, frame, word) -> None:
    assert compare_sleep(pair, frame).arms[1].verdict.kind == word


def test_a_diverged_status_counts_beside_any_number() -> None:
    diverged = RUNS.assign(status=RUNS.status.mask((RUNS.group == "2") & (RUNS.ID < 2), "diverged"))
    assert compare_sleep("ID", diverged).arms[1].diverged_count == 2


@pytest.mark.parametrize("column", ["Status", "State", "state", "run_status", "trial.state"])
def test_the_column_of_ends_is_known_as_others_write_it(column: str) -> None:
    """W&B exports `State`: four crashed runs of ten are no evidence."""
    assert (
        compare_sleep("ID", fail_runs(4).rename(columns={"status": column})).arms[1].contrast.lost_count == 4
    )
    running = fail_runs(4).replace({"status": {"failed": "running"}})
    assert compare_sleep("ID", running.rename(columns={"status": column})).arms[1].contrast.lost_count == 4
    states = RUNS.drop(columns="status").assign(State=["OK", "UT"] * 16)
    assert compare_sleep("ID", states).arms[1].contrast.lost_count == 0, "those of a country are no ends"
    bills = RUNS.drop(columns="status").assign(bill_status=["failed", "refunded"] * 16)
    assert compare_sleep("ID", bills).arms[1].contrast.lost_count == 0, "other words are no ends of runs"


def test_a_failed_run_counts_without_its_pair() -> None:
    frame = fail_runs(6)
    frame["ID"] = frame.ID.mask(frame.status == "failed").astype(object)
    assert compare_sleep("ID", frame).arms[1].failed_count == 6
    frame["group"] = frame.group.mask(frame.status == "failed")
    assert find_unnamed_failures(frame, GROUP, "elsewhere.csv").sum() == 6


def test_a_run_whose_loss_is_infinite_diverged_by_every_metric() -> None:
    """An arm whose loss diverges in 7 of 12 runs was better by more than its accuracy's δ."""
    rng = np.random.default_rng(0)
    base = pd.DataFrame(
        {"arm": "base", "seed": range(12), "accuracy": rng.normal(0.8, 0.02, 12), "loss": 0.4}
    )
    base["loss"] += rng.normal(0, 0.02, 12)
    arm = base.assign(arm="new", accuracy=base.accuracy + 0.05, loss=base.loss.mask(base.seed < 7, np.inf))
    metrics = (Metric("accuracy", 0.02), Metric("loss", 0.02))
    comparison = compare_table(pd.concat([base, arm]), Columns(("arm",), ("seed",), metrics))
    assert [view.arms[1].verdict.divergence_direction for view in comparison.views] == ["worse", "worse"]
    assert [view.arms[1].diverged_count for view in comparison.views] == [7, 7]
    assert not any("perfect" in doubt for doubt in comparison.design.doubts)
    finite = compare_table(
        pd.concat([base, arm.assign(loss=base.loss)]), Columns(("arm",), ("seed",), metrics)
    )
    assert finite.arms[1].verdict.kind == "better"
