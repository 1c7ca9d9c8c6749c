"""A result as MLflow shows it: names, times and curves."""

import json
import math
from dataclasses import replace

import pytest

from tests.helpers.stub_results import build_plan, write_to_mlflow
from unrolled.ablations.mlflow import fields, mlflow_runs
from unrolled.bench.chapter.chapter_mlflow import CHAPTER_MLFLOW


@pytest.fixture
def write_result(study, store, make_result, read_run):
    """Return a function that writes a result and reads its run."""

    def write_one(**facts):
        write_to_mlflow(study, {"baseline": [make_result(**facts)]}, store)
        return read_run(store)

    return write_one


def list_points(result):
    """Return the points that MLflow gets of a result."""
    return fields.make_metric_points(
        CHAPTER_MLFLOW.list_curve_points(result), CHAPTER_MLFLOW.collect_final_numbers(result), 0.0, 1.0
    )


def test_a_trial_becomes_one_run_with_its_true_times(study, write_result, make_result):
    run = write_result(seed=3)
    assert (run.name, run.status) == ("baseline/seed=3", "FINISHED")
    assert (run.start, run.end) == (1_700_000_300_250, 1_700_000_310_250)  # 1 s of loading, 3 epochs of 3 s
    params = {"model": "lm7", "arm": "baseline", "seed": "3", "dropout": "0.4", "lr": "0.01"}
    assert params.items() <= run.params.items()
    assert set(make_result().trial.flat_settings()) <= set(run.params)
    params = {
        "trial": make_result(seed=3).trial.id,
        "study": study.study_name,
        "role": "trial",
        "plan": mlflow_runs.plan_mark(study),
    }
    assert {f"unrolled.{name}": value for name, value in params.items()}.items() <= run.tags.items()


def test_curves_have_a_point_for_each_epoch_at_its_end(write_result):
    curves = write_result().curves
    ends = [1_700_000_004_250, 1_700_000_007_250, 1_700_000_010_250]
    assert curves["valid/loss"] == list(zip([1, 2, 3], [3.0, 2.0, 1.5], ends, strict=True))
    assert [step for step, _, _ in curves["train_loss"]] == [1, 2, 3]
    assert {"train_ar", "train_tar"} <= set(curves)
    # A value that is measured once has step 0, which MLflow draws as a bar.
    single_steps = {
        name: [step for step, _, _ in points] for name, points in curves.items() if len(points) == 1
    }
    assert single_steps == {"valid/perplexity": [0], "speed_train": [0], "memory_peak": [0]}


def test_the_final_metric_is_the_latest_point_of_its_curve(make_result):
    curve = [p for p in list_points(make_result(metrics={"valid_loss": 1.25})) if p[0] == "valid/loss"]
    assert [(value, step) for _, value, _, step in curve] == [(3.0, 1), (2.0, 2), (1.25, 3)]


def test_witnesses_commit_and_attempts_are_tags(write_result):
    proof = {
        "dropout": {"ok": True, "declared": 0.4, "seen": 0.41},
        "tying": {"ok": False, "declared": True, "seen": False},
        "alpha": {"ok": True, "declared": 2.0, "seen": 0.9145725, "penalty": "AR"},
    }
    tags = write_result(witnesses=proof, provenance={"commit": "abc123"}, attempts=2).tags
    assert tags["witness.dropout"] == "✓ dropout seen: 0.41"
    assert tags["witness.tying"] == "✕ tying seen: false, not true"
    assert tags["witness.alpha"] == "✓ AR penalty seen: 0.91 > 0"
    assert (tags["unrolled.commit"], tags["unrolled.attempts"]) == ("abc123", "2")


def test_a_failed_trial_is_failed_with_its_reason(write_result):
    run = write_result(status="failed", reason="signal 9", losses=(3.0,))
    assert (run.status, run.tags["unrolled.reason"]) == ("FAILED", "signal 9")
    assert len(run.curves["valid/loss"]) == 1


def test_a_trial_that_never_started_is_written_once(study, store, make_result, read_run):
    results = {
        "baseline": [make_result(status="failed", reason="no memory", started=0.0, losses=(), metrics={})]
    }
    write_to_mlflow(study, results, store)
    assert write_to_mlflow(study, results, store)[1] == 1
    assert read_run(store).start == 1  # MLflow takes a start of 0 for "now"


def test_infinite_and_missing_numbers_are_never_metrics(write_result):
    numbers = {"losses": (3.0, math.inf, math.nan), "metrics": {"valid_bits": -math.inf}}
    run = write_result(status="diverged", reason="diverged at step 9", **numbers)
    assert [point[:2] for point in run.curves["valid/loss"]] == [(1, 3.0)]
    values = [value for points in run.curves.values() for _, value, _ in points]
    assert max(map(abs, values)) < 1e300  # MLflow's inf is 1.8e308


def test_a_parameter_over_6000_characters_is_cut_visibly(write_result):
    text = "é" * 9000
    param = write_result(options={"words": text}).params["words"]
    assert len(param) == 6000
    assert param.endswith(f"… [cut: 9,000 characters, sha256 {fields.hash_value(text)}]")


def test_more_metrics_and_parameters_than_one_call_takes_all_arrive(write_result):
    options = {f"option{i}": i for i in range(130)}  # MLflow takes 100 a call
    metrics = {f"many_{i}": float(i) for i in range(1100)}  # and 1000 metrics
    run = write_result(options=options, metrics=metrics)
    assert {run.params[f"option{i}"] for i in range(130)} == {str(i) for i in range(130)}
    assert [run.curves[f"many_{i}"][0][1] for i in range(1100)] == [float(i) for i in range(1100)]


HOSTILE = [
    "<script>alert(1)</script>", "../../etc/passwd", "/", "", ".", "a//b", "quote'\"`", "nul\0byte",
    "line\nbreak", "🙂", "é", "x" * 9000, "\ud800", "'; DROP TABLE runs; --", "{{7*7}}", "%s%n",
    "C:\\x", " ", "-",
]  # fmt: skip


def test_hostile_names_never_fail_a_study_and_stay_apart(store, make_result, read_runs):
    study = build_plan(question="<img src=x onerror=alert(1)>", about="\0" + "y" * 9000)
    results = {
        name: [
            make_result(
                seed=i,
                options={f"o{name}": name},
                metrics={name: 1.0, f"m_{name}": 7.25},
                reason=name,
                witnesses={name: {"ok": True, "declared": name, "seen": name}},
            )
        ]
        for i, name in enumerate(HOSTILE)
    }
    assert write_to_mlflow(study, results, store)[0] == len(HOSTILE)
    assert write_to_mlflow(study, results, store)[0] == 0
    runs = read_runs(store, study="s")
    assert len({run[0] for run in runs}) == len(HOSTILE)
    for _, _, _, _, params, _, curves in runs:
        assert [points[-1][1] for points in curves.values()].count(7.25) == 1
        assert (
            len(params) == len(make_result().trial.flat_settings()) - 2 + 3
        )  # no hidden, no dropout; o…, arm, seed


def test_a_study_of_any_name_can_be_written(store, make_result):
    for name in HOSTILE:
        study = build_plan(study=name, question=name, study_hash=name)
        assert [write_to_mlflow(study, {name: [make_result()]}, store) for _ in range(2)] == [
            (1, 0),
            (0, 1),
        ], name


def test_a_data_set_is_named_by_its_content_without_a_folder(client, study, store, make_result):
    trial_result = make_result()
    trial_result = replace(trial_result, trial=replace(trial_result.trial, corpus="/home/me/texts/my.txt"))
    write_to_mlflow(study, {"baseline": [trial_result]}, store)
    (run,) = client.search_runs([client.experiment.experiment_id], "tags.`unrolled.role` = 'trial'")
    (dataset,) = (data_input.dataset for data_input in run.inputs.dataset_inputs)
    assert (dataset.name, dataset.digest) == ("my.txt", "5a5a5a5a")
    assert "/home" not in str(dataset) and json.loads(dataset.source) == {"sha256": "5a" * 32}
