"""What MLflow shows of an arm: the report's numbers over all its seeds, once, and its trials beneath."""

import math
import re
from dataclasses import replace
from statistics import fmean, geometric_mean, stdev

import pytest
from scipy import stats

from tests.helpers.many_trials import ARMS, build_plan, make_arms, make_diverged, store_results
from tests.helpers.stub_results import store_plan_and_results
from unrolled.ablations.cli import main
from unrolled.ablations.mlflow.database import set_environment
from unrolled.ablations.mlflow.experiment import read_trial_runs
from unrolled.ablations.plans import plan_store
from unrolled.bench.chapter.chapter_trial import make_chapter_trial
from unrolled.bench.metric import Metric

set_environment()  # before anything imports mlflow

BASE, OTHER = ARMS[:2]


@pytest.fixture
def project(tmp_path, store, monkeypatch):
    """Return a project that syncs results to MLflow and finds its active runs."""
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)

    class Project:
        folder = tmp_path
        results = tmp_path / "results"
        client = MlflowClient(tracking_uri=store)

        def sync_study(self, results, **facts):
            store_results(self.results, results, **facts)
            assert main(["sync", "--results", str(self.results)]) == 0

        def find_runs(self, role="arm"):
            number = self.client.get_experiment_by_name("unrolled/width").experiment_id
            runs = self.client.search_runs([number], f"tags.`unrolled.role` = '{role}'")
            key = "unrolled.arm" if role == "arm" else "mlflow.runName"
            runs_by_name = {run.data.tags[key]: run for run in runs}
            assert len(runs_by_name) == len(runs)
            return runs_by_name

        def read_history(self, run, metric):
            points = self.client.get_metric_history(run.info.run_id, metric)
            return [(point.step, point.value) for point in points]

    return Project()


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("sqlite:///no.db", r"cannot be written \(.*file is not a database"),
        ("http://user:secret@127.0.0.1:1", "nothing answers"),  # no one listens at port 1
    ],
)
def test_sync_tells_in_one_line_that_mlflow_cannot_be_written(project, address, reason, monkeypatch, capsys):
    store_results(project.results, make_arms(seeds=1, arms=1))
    monkeypatch.chdir(project.folder)
    (project.folder / "no.db").write_bytes(b"not a database " * 100)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert main(["sync"]) == 2
    error = capsys.readouterr().err
    assert re.search(f"{reason}.* run `unrolled sync` again", error)
    assert error.count("\n") == 1 and "secret" not in error


def test_an_arm_has_means_seeds_settings_and_the_reports_verdict(project):
    results = make_arms(seeds=6, arms=2)
    project.sync_study(results)
    base_run, arm_run = (project.find_runs()[arm].data for arm in (BASE, OTHER))
    tags = ("6 of 6", "baseline")
    assert (base_run.tags["unrolled.seeds"], base_run.tags["unrolled.verdict"]) == tags
    assert f"{OTHER} against {BASE}" in arm_run.tags["unrolled.claim"]
    assert (arm_run.params["hidden"], arm_run.params["arm"]) == ("8", OTHER)
    assert "seed" not in arm_run.params
    for arm, of_arm in results.items():
        metrics = project.find_runs()[arm].data.metrics
        for key in ("valid/loss", "valid/accuracy", "speed_train"):
            x = [r.metrics[key.replace("/", "_")] for r in of_arm]
            ends = stats.t.interval(0.95, 5, fmean(x), stats.sem(x))
            numbers = [metrics[f"{key}{end}"] for end in ("", " sd", " low", " high")]
            assert numbers == pytest.approx([fmean(x), stdev(x), *ends], rel=1e-4)
        assert metrics["valid/perplexity"] == pytest.approx(math.exp(metrics["valid/loss"]), rel=1e-4)
        assert metrics["valid/perplexity high"] == pytest.approx(
            math.exp(metrics["valid/loss high"]), rel=1e-4
        )
        curve = [(e, fmean(r.curves["valid_loss"][e][1] for r in of_arm)) for e in range(4)]
        history = project.read_history(project.find_runs()[arm], "valid/loss")
        assert history == [(epoch + 1, pytest.approx(loss, rel=1e-4)) for epoch, loss in curve]


def test_a_mean_with_delta_in_per_cent_is_geometric_as_on_pages(project):
    results = make_arms(seeds=6, arms=2)
    plan = build_plan(results, metrics=(Metric("valid_loss", 5.0, ratio=True),))
    store_plan_and_results(project.results, plan, results)
    assert main(["sync", "--results", str(project.results)]) == 0
    run = project.find_runs()[OTHER].data
    losses = [r.metrics["valid_loss"] for r in results[OTHER]]
    assert run.metrics["valid/loss"] == pytest.approx(geometric_mean(losses), rel=1e-4)
    assert run.metrics["valid/loss"] < fmean(losses), "the two means differ"
    assert format(geometric_mean(losses), ".3g") in run.tags["mlflow.runName"]


def test_an_arm_that_no_seed_changes_has_neither_sd_nor_interval(project):
    (result,) = make_arms(seeds=1, arms=2)[OTHER]
    counts = [replace(result, trial=make_chapter_trial("ngram-1", seed)) for seed in range(6)]
    results = {**make_arms(seeds=6, arms=1), OTHER: counts}
    plan = build_plan(results)
    base = results[BASE][0].trial.flat_settings()
    changes = {key: x for key, x in counts[0].trial.flat_settings().items() if base.get(key) != x}
    project.sync_study(results, arms=(plan.arms[0], replace(plan.arms[1], changes=changes)))
    run = project.find_runs()[OTHER]
    assert run.data.tags["unrolled.seeds"] == "6 of 6"
    assert run.data.metrics["valid/loss"] == pytest.approx(result.metrics["valid_loss"], rel=1e-4)
    assert not [name for name in run.data.metrics if name.endswith((" sd", " low", " high"))]
    assert len(project.find_runs("trial")) == 12


def test_an_arm_names_its_deciding_look_and_every_metrics_interval(project):
    results = make_arms(seeds=40, arms=2)
    metrics = (Metric("valid_accuracy", 0.02), Metric("valid_loss", 0.05))
    plan = build_plan(results, metrics=metrics, looks=(10, 15, 20, 30, 40))
    store_plan_and_results(project.results, plan, {arm: of_arm[:10] for arm, of_arm in results.items()})
    assert main(["sync", "--results", str(project.results)]) == 0
    base_run, arm_run = (project.find_runs()[arm].data for arm in (BASE, OTHER))
    assert [d.tags["unrolled.seeds"] for d in (base_run, arm_run)] == ["10 of 40", "10 of 40, decided"]
    claim = arm_run.tags["unrolled.claim"]
    assert ", decided at 10 of 40 seeds; validation loss: ▼ worse by more than δ, " in claim
    assert re.search(r"perplexity \d+ % higher", claim)
    assert "decided at 10 of 40 seeds" in arm_run.tags["mlflow.note.content"]
    arm_metrics = arm_run.metrics
    for key in ("valid/accuracy", "valid/loss"):
        mean, low, high = (arm_metrics[f"{key} difference{end}"] for end in ("", " low", " high"))
        assert low < mean < high
        assert mean == pytest.approx(arm_metrics[key] - base_run.metrics[key], abs=1e-4)
    assert arm_metrics["valid/accuracy difference unbiased"] == pytest.approx(
        arm_metrics["valid/accuracy difference"], rel=0.1
    )
    assert "valid/loss difference unbiased" not in arm_metrics, "the accuracy stopped it"


def test_differences_of_a_metric_judged_by_its_ratio_are_in_per_cent(project):
    results = make_arms(seeds=6, arms=2)
    project.sync_study(results, metrics=(Metric("valid_loss", 5.0, ratio=True),))
    base_logs, arm_logs = ([math.log(r.metrics["valid_loss"]) for r in results[arm]] for arm in (BASE, OTHER))
    metrics = project.find_runs()[OTHER].data.metrics
    mean = 100 * math.expm1(fmean(arm_logs) - fmean(base_logs))
    low, high = (metrics[f"valid/loss difference {end}"] for end in ("low", "high"))
    assert metrics["valid/loss difference"] == pytest.approx(mean, rel=1e-4) and low < mean < high
    assert abs(mean - 100 * (fmean(arm_logs) - fmean(base_logs))) > 0.1, "the logarithm is another number"


def test_a_diverged_seed_is_told_and_leaves_its_arm_without_a_mean(project):
    results = make_arms(seeds=6, arms=2)
    losses = [r.metrics["valid_loss"] for r in results[OTHER]]
    results[OTHER][2] = make_diverged(results[OTHER][2])
    project.sync_study(results)
    run = project.find_runs()[OTHER]
    mean = fmean(loss for seed, loss in enumerate(losses) if seed != 2)
    assert run.data.tags["unrolled.seeds"].startswith("5 of 6, 1 diverged: no mean; median ")
    assert run.data.tags["unrolled.seeds"].endswith(f"mean given convergence {mean:.4f}")
    assert not run.data.metrics


def test_a_metric_that_a_seed_lacks_has_no_mean_but_gpu_memory(project):
    results = make_arms(seeds=3, arms=1)
    arm_results = [
        replace(r, metrics={**r.metrics, "gpu_memory_peak": 50.0 + r.trial.seed}) for r in results[BASE]
    ]
    metrics = {name: x for name, x in arm_results[0].metrics.items() if name != "speed_train"}
    project.sync_study({BASE: [replace(arm_results[0], metrics=metrics), *arm_results[1:]]})
    arm_metrics = project.find_runs()[BASE].data.metrics
    assert "valid/loss" in arm_metrics
    assert not [name for name in arm_metrics if name.startswith("speed")]
    assert arm_metrics["gpu_memory_peak"] == pytest.approx(51.0)


def test_every_trial_lies_beneath_its_arm_and_syncing_again_changes_nothing(project):
    project.sync_study(make_arms(seeds=3, arms=3))
    arm_runs = project.find_runs()
    trials = project.find_runs("trial")
    for arm, run in arm_runs.items():
        parents = {name: trial.data.tags["mlflow.parentRunId"] for name, trial in trials.items()}
        children = sorted(name for name, parent in parents.items() if parent == run.info.run_id)
        assert children == [f"{arm}/seed={seed}" for seed in range(3)]
    _, ended_runs = read_trial_runs(f"sqlite:///{project.folder}/mlflow.db", "width")
    readable = {(run.data.tags["unrolled.role"], run.data.params["seed"]) for run in ended_runs}
    assert readable == {("trial", str(seed)) for seed in range(3)}, "`compare` reads the trials and no means"
    project.sync_study(make_arms(seeds=3, arms=3))
    new_arm_runs = project.find_runs()
    assert new_arm_runs.keys() == arm_runs.keys()
    assert [new_arm_runs[name].to_dictionary() for name in arm_runs] == [
        r.to_dictionary() for r in arm_runs.values()
    ]
    assert {r.info.run_id for r in project.find_runs("trial").values()} == {
        r.info.run_id for r in trials.values()
    }


def test_a_partial_arm_names_its_seeds_until_it_is_complete(project):
    results = make_arms(seeds=5, arms=2)
    part = {arm: of_arm[:3] for arm, of_arm in results.items()}
    plan_store.store_plan(build_plan(results), store_results(project.results, part))
    assert main(["sync", "--results", str(project.results)]) == 0
    assert project.find_runs()[OTHER].data.tags["unrolled.seeds"] == "3 of 5, 2 not trained yet"
    project.sync_study(results)
    run = project.find_runs()[OTHER]
    assert run.data.tags["unrolled.seeds"] == "5 of 5"
    mean = fmean(r.metrics["valid_loss"] for r in results[OTHER])
    assert project.read_history(run, "valid/loss")[-1] == (4, pytest.approx(mean, rel=1e-4))
    assert len(project.read_history(run, "valid/loss")) == 4  # no value of the part stays
    parents = {run.data.tags.get("mlflow.parentRunId") for run in project.find_runs("trial").values()}
    assert parents == {run.info.run_id for run in project.find_runs().values()}


def test_trials_of_an_earlier_plan_leave_their_arms(project):
    project.sync_study(make_arms(seeds=3, arms=2, source="v1"))
    old_arms = project.find_runs()
    # an edit of the code: the plan's settings are the same
    project.sync_study(make_arms(seeds=3, arms=2, source="v2"))
    arms = project.find_runs()
    assert not {r.info.run_id for r in old_arms.values()} & {r.info.run_id for r in arms.values()}
    trials = project.client.search_runs([arms[BASE].info.experiment_id], "tags.`unrolled.role` = 'trial'")
    parents = [run.data.tags.get("mlflow.parentRunId") for run in trials]
    assert len(parents) == 12 and parents.count(None) == 6
    marks = {r.data.tags["unrolled.plan"] for r in trials if "mlflow.parentRunId" in r.data.tags}
    assert marks == {
        r.data.tags["unrolled.plan"] for r in [*arms.values(), *project.find_runs("study").values()]
    }
    assert len(marks) == 1
    assert not marks & {
        r.data.tags["unrolled.plan"] for r in trials if "mlflow.parentRunId" not in r.data.tags
    }
