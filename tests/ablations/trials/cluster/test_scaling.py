import pytest

from ablations.commands.cluster_costs import Costs, ceilings, hours, table

COSTS = Costs(
    plan=0.001,
    ledger=0.006,
    driver=0.004,
    mlflow=0.025,
    mlflow_cpu=0.016,
    scheduler=0.002,
    worker=0.05,
    local=0.04,
    planned_bytes=2048,
    result_bytes=4096,
    file_bytes=40960,
)


def test_the_narrowest_part_is_named_first() -> None:
    # Rates: MLflow 1 / .025 = 40; driver and its thread 1 / (.004 + .016) = 50; loop 1 / .01 = 100;
    # scheduler 1 / .002 = 500 trials a second.
    found = ceilings(COSTS)
    assert [round(rate) for rate in found.values()] == [40, 50, 100, 500]
    assert next(iter(found)).startswith("MLflow")
    assert [round(rate) for rate in ceilings(COSTS, mlflow=False).values()] == [100, 500]


def test_a_study_takes_as_long_as_its_workers_or_its_narrowest_part_need() -> None:
    # 1,000 workers end 1000 / 1.05 = 952 trials a second; the loop lets 100 through. Plus 1,000 s to plan.
    assert hours(COSTS, 10**6, 1000, 1.0, mlflow=False) == pytest.approx((1000 + 10**4) / 3600)
    # Of 60 s, 1000 / 60.05 = 16.65 a second: less than anything lets through.
    assert hours(COSTS, 10**6, 1000, 60.0, mlflow=True) == pytest.approx((1000 + 60050) / 3600, rel=1e-6)


def test_the_tables_have_every_cost_and_every_part() -> None:
    text = table(COSTS)
    assert "| mlflow | 25.00 ms |" in text
    assert "| file_bytes | 40.0 KiB |" in text
    assert "| MLflow: one write after the other | 40 | 40 | 400 | 2,400 |" in text
