"""What MLflow shows of a study: exactly the ledger's results, once."""

import json
from dataclasses import replace

import pytest

from tests.helpers.bad_input import raises_bad_input
from tests.helpers.stub_results import build_plan, write_to_mlflow
from tests.helpers.study_rules import change_rules
from unrolled.ablations.mlflow import fields, mlflow_runs, views
from unrolled.ablations.mlflow.database import find_tracking_uri, hide_credentials, set_environment
from unrolled.ablations.mlflow.mlflow_runs import ArmRun
from unrolled.ablations.tables import table_reader
from unrolled.bench.metric import Metric
from unrolled.bench.table_columns import STANDING
from unrolled.reports.foreign.columns import Columns, arrange_table

STARTED = 1_700_000_000.25


# exactly once


def test_half_written_and_second_copies_are_removed(client, study, store, make_result, read_runs, read_run):
    write_to_mlflow(study, {"baseline": [make_result(seed=0)]}, store)
    experiment = client.experiment.experiment_id
    tags = {name: tag for name, tag in read_run(store)[5].items() if name.startswith("unrolled.")}
    copy = client.create_run(experiment, 1_700_000_000_250, tags, "baseline/seed=0")
    client.set_terminated(copy.info.run_id)
    client.create_run(
        experiment, 1_700_000_100_250, {**tags, **fields.make_trial_tags(make_result(seed=1))}, "half"
    )
    foreign = client.create_run(experiment, run_name="mine")  # a run of the user's own stays

    counts = write_to_mlflow(study, {"baseline": [make_result(seed=0), make_result(seed=1)]}, store)
    assert counts == (1, 1)
    assert [run[:2] for run in read_runs(store)] == [
        ("baseline/seed=0", "FINISHED"),
        ("baseline/seed=1", "FINISHED"),
    ]
    assert client.get_run(foreign.info.run_id).info.lifecycle_stage == "active"


def test_a_trial_that_was_tried_again_replaces_its_failure(study, store, make_result, read_run):
    write_to_mlflow(study, {"baseline": [make_result(status="failed", reason="signal 9")]}, store)
    write_to_mlflow(study, {"baseline": [make_result(started=STARTED + 60)]}, store)
    name, status, start, *_ = read_run(store)
    assert (name, status, start) == ("baseline/seed=0", "FINISHED", 1_700_000_060_250)


def test_a_deleted_experiment_is_brought_back(client, study, store, make_result, read_run):
    write_to_mlflow(study, {"baseline": [make_result()]}, store)
    client.delete_experiment(client.experiment.experiment_id)
    write_to_mlflow(study, {"baseline": [make_result()]}, store)
    assert read_run(store)[0] == "baseline/seed=0"


@pytest.fixture
def shrink_pages(monkeypatch):
    """Have MLflow return two runs a page."""
    from mlflow import MlflowClient

    search = MlflowClient.search_runs

    def search_two(self, ids, *positional, **options):
        return search(
            self, ids, *positional, **options | ({"max_results": 2} if "page_token" in options else {})
        )

    monkeypatch.setattr(MlflowClient, "search_runs", search_two)


def test_more_trials_than_a_page_are_read(study, store, make_result, shrink_pages):
    results = {"baseline": [make_result(seed=s) for s in range(5)]}
    write_to_mlflow(study, results, store)
    assert write_to_mlflow(study, results, store)[1] == 5


def test_a_half_written_run_is_completed_and_none_is_written_twice(
    client, study, store, make_result, read_runs, shrink_pages
):
    results = {"baseline": [make_result(seed=s) for s in range(5)]}
    write_to_mlflow(study, results, store)
    newest = client.search_runs([client.experiment.experiment_id], max_results=1)[0]
    client.update_run(newest.info.run_id, status="RUNNING")
    assert write_to_mlflow(study, results, store) == (1, 4)
    assert [run[0] for run in read_runs(store)] == [f"baseline/seed={s}" for s in range(5)]


def test_trials_beyond_the_first_look_do_not_enter_a_comparison_by_columns(
    client, store, make_result, report_folder
):
    arms = {name: [make_result(seed=seed) for seed in range(3)] for name in ("base", "arm")}
    plan = build_plan(arms, looks=(2, 3))
    write_to_mlflow(plan, arms, store)
    frame = table_reader.read_table(f"mlflow:{store}", "s")
    columns = Columns(("arm",), ("seed",), (Metric("valid/loss", 0.02),))
    assert sorted(arrange_table(frame, columns, "runs").seed) == ["0", "0", "1", "1"]
    for run in client.search_runs([client.get_experiment_by_name("unrolled/s").experiment_id]):
        client.delete_tag(run.info.run_id, "unrolled.first_look")
    with raises_bad_input("`unrolled sync STUDY`", place="runs"):
        arrange_table(table_reader.read_table(f"mlflow:{store}", "s"), columns, "runs")
    runs = tuple(
        ArmRun(name=name, trial_ids=tuple(r.trial.id for r in arm_results))
        for name, arm_results in arms.items()
    )
    for looks, trials in (((2, 3), 4), ((1, 3), 2)):  # as it was, and another plan
        looked_plan = change_rules(replace(plan, study_hash=str(looks)), looks=looks)
        mlflow_runs.MlflowRuns(looked_plan, store).publish_report(report_folder, (), runs)
        assert len(arrange_table(table_reader.read_table(f"mlflow:{store}", "s"), columns, "runs")) == trials


def test_a_trial_has_the_standing_that_the_report_gives_its_arm(store, make_result, report_folder):
    """A plan does not know which results repeat earlier ones, so that `compare` read no mark of these."""
    arms = {name: [make_result(seed=0)] for name in ("base", "arm")}
    plan = build_plan(arms)
    write_to_mlflow(plan, arms, store)
    runs = tuple(
        ArmRun(name=name, trial_ids=(results[0].trial.id,), standing="exploratory" if name == "arm" else "")
        for name, results in arms.items()
    )
    mlflow_runs.MlflowRuns(plan, store).publish_report(report_folder, (), runs)
    frame = table_reader.read_table(f"mlflow:{store}", "s")
    assert {*frame[frame.arm == "arm"][STANDING]} == {"exploratory"}


def test_the_view_of_a_study_has_runs_whenever_there_are_some(client, store, make_result, report_folder):
    arms = {"base": [make_result(seed=0)]}
    plan = build_plan(arms)
    runs = (ArmRun(name="base", trial_ids=(arms["base"][0].trial.id,)),)

    def count_shown_runs() -> int:
        experiment = client.get_experiment_by_name("unrolled/s")
        saved = json.loads(experiment.tags[f"mlflow.sharedViewState.{views.ARMS}"])
        return len(client.search_runs([experiment.experiment_id], json.loads(saved["state"])["searchFilter"]))

    study = mlflow_runs.MlflowRuns(plan, store)
    study.write_trial("base", arms["base"][0])
    assert count_shown_runs() == 1
    study.publish_report(report_folder, (), runs)
    assert count_shown_runs() == 1
    study = mlflow_runs.MlflowRuns(replace(plan, study_hash="another"), store)
    assert count_shown_runs() == 2, "the trial and the arm of the plan before"
    study.publish_report(report_folder, (), runs)
    assert count_shown_runs() == 1


# the study's own run


def test_the_report_is_an_artifact_of_one_run(study, store, tmp_path, read_run, report_folder, read_reports):
    arm = ArmRun(name="baseline", started=STARTED, ended=STARTED + 9)
    for page in ("an earlier page", "the report"):
        (report_folder / "index.html").write_text(page)
        mlflow_runs.MlflowRuns(study, store).publish_report(report_folder, (), (arm,))
    times = (1_700_000_000_250, 1_700_000_009_250)
    assert read_run(store, role="study")[:4] == ("study regularization", "FINISHED", *times)
    assert read_reports() == ["the report"]
    assert len(list(tmp_path.glob("mlartifacts/**/figures/forest.svg"))) == 1


def test_an_arms_run_that_a_kill_left_half_written_is_made_anew(
    client, study, store, read_runs, report_folder
):
    arm = ArmRun(name="baseline", metrics={"valid_loss": 1.5}, started=STARTED, ended=STARTED + 9)
    mlflow_runs.MlflowRuns(study, store).publish_report(report_folder, (), (arm,))
    arm_runs = read_runs(store, role="arm")
    run = client.search_runs([client.experiment.experiment_id], "tags.`unrolled.role` = 'arm'")[0]
    client.update_run(run.info.run_id, status="RUNNING")
    mlflow_runs.MlflowRuns(study, store).publish_report(report_folder, (), (arm,))
    assert read_runs(store, role="arm") == arm_runs
    assert client.get_run(run.info.run_id).info.lifecycle_stage == "deleted"


# what the study asks and the report claims


@pytest.fixture
def read_description(client):
    """Return a function that reads the experiment's description."""
    return lambda: client.experiment.tags["mlflow.note.content"]


@pytest.fixture
def report(report_folder):
    """Return a report's folder and its answers, as `sync` asks for them."""
    return report_folder, ("▲ better by more than δ — no dropout against baseline",), ()


def test_both_descriptions_have_the_answers_until_the_plan_changes(
    study, store, make_result, read_run, read_description, report
):
    write_to_mlflow(study, {"baseline": [make_result()]}, store, report)
    assert "▲ better by more than δ — no dropout against baseline" in read_description()
    study_run = read_run(store, role="study")
    assert study_run[5]["mlflow.note.content"] == read_description()
    assert "/artifacts/index.html)" in read_description()  # the link to the report
    mlflow_runs.MlflowRuns(study, store)
    assert "better by more than δ" in read_description()
    mlflow_runs.MlflowRuns(replace(study, study_hash="beef"), store)
    assert "no answer yet" in read_description()


# addresses, environment


@pytest.mark.parametrize(
    "uri",
    [
        "sqlite:///x.db",
        "sqlite+pysqlite:///x.db",
        "postgresql+psycopg2://h/db",
        "https://h",
        "file:./runs",
        "runs",
        "databricks",
    ],
)
def test_every_kind_of_store_of_mlflow_is_accepted(uri, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert find_tracking_uri() == uri
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert find_tracking_uri() == "sqlite:///mlflow.db"


@pytest.mark.parametrize(
    "uri", ["https://u:secret@h/x", "http://h/?token=secret", "mysql://h/db?password=secret&x=1"]
)
def test_an_address_is_shown_without_its_secrets(uri):
    assert "secret" not in hide_credentials(uri)
    assert "secret" not in hide_credentials(f"no answer from {uri}, said the client")
    assert hide_credentials("mlflow:http://h:5000#c0ffee") == "mlflow:http://h:5000"


def test_telemetry_and_jobs_are_off_and_the_users_timeouts_stay(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "false")
    set_environment()
    from mlflow.environment_variables import (
        MLFLOW_DISABLE_TELEMETRY,
        MLFLOW_HTTP_REQUEST_MAX_RETRIES,
        MLFLOW_HTTP_REQUEST_TIMEOUT,
        MLFLOW_SERVER_ENABLE_JOB_EXECUTION,
    )

    assert MLFLOW_DISABLE_TELEMETRY.get() is True
    assert MLFLOW_SERVER_ENABLE_JOB_EXECUTION.get() is False
    assert (MLFLOW_HTTP_REQUEST_TIMEOUT.get(), MLFLOW_HTTP_REQUEST_MAX_RETRIES.get()) == (77, 0)
