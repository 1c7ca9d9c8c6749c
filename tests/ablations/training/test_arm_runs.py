"""What MLflow shows of an arm: the report's numbers over all its seeds, once, and its trials beneath."""

import math
import re
from dataclasses import replace
from statistics import fmean, stdev

import pytest
from many_trials import ARMS, diverged, keep, planned, study
from scipy import stats
from stub_plans import kept

from unrolled.ablations.cli import main
from unrolled.ablations.mlflow.database import set_environment
from unrolled.ablations.mlflow.experiment import read_ended_runs
from unrolled.ablations.study import plan_store
from unrolled.bench.chapter.models.registry import ZOO
from unrolled.bench.metric import Metric

set_environment()  # before anything imports mlflow

BASE, OTHER = ARMS[:2]


@pytest.fixture
def mlflow(tmp_path, store, monkeypatch):
    """A project of its own; syncs a study's results, and returns the active runs of a role by name."""
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)

    class Project:
        folder, results, client = tmp_path, tmp_path / "results", MlflowClient(tracking_uri=store)

        def sync(self, results, **facts):
            keep(self.results, results, **facts)
            assert main(["sync", "--results", str(self.results)]) == 0

        def runs(self, role="arm"):
            number = self.client.get_experiment_by_name("unrolled/width").experiment_id
            found = self.client.search_runs([number], f"tags.`unrolled.role` = '{role}'")
            key = "unrolled.arm" if role == "arm" else "mlflow.runName"
            by_name = {run.data.tags[key]: run for run in found}
            assert len(by_name) == len(found)
            return by_name

        def history(self, run, metric):
            points = self.client.get_metric_history(run.info.run_id, metric)
            return [(point.step, point.value) for point in points]

    return Project()


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("sqlite:///no.db", r"cannot be written \(.*file is not a database"),
        ("http://user:secret@127.0.0.1:1", "nothing answers"),  # no one listens at port 1
    ],
)
def test_sync_tells_in_one_line_that_mlflow_cannot_be_written(mlflow, where, told, monkeypatch, capsys):
    keep(mlflow.results, study(seeds=1, arms=1))
    monkeypatch.chdir(mlflow.folder)
    (mlflow.folder / "no.db").write_bytes(b"not a database " * 100)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", where)
    assert main(["sync"]) == 2
    said = capsys.readouterr().err
    assert re.search(f"{told}.* run `unrolled sync` again", said)
    assert said.count("\n") == 1 and "secret" not in said


def test_an_arm_has_its_means_its_seeds_its_settings_and_the_reports_verdict(mlflow):
    results = study(seeds=6, arms=2)
    mlflow.sync(results)
    base, other = (mlflow.runs()[arm].data for arm in (BASE, OTHER))
    told = ("6 of 6", "baseline")
    assert (base.tags["unrolled.seeds"], base.tags["unrolled.verdict"]) == told
    assert f"{OTHER} against {BASE}" in other.tags["unrolled.claim"]
    assert (other.params["hidden"], other.params["arm"]) == ("8", OTHER)
    assert "seed" not in other.params
    for arm, of_arm in results.items():
        shown = mlflow.runs()[arm].data.metrics
        for key in ("valid/loss", "valid/accuracy", "speed_train"):
            x = [r.metrics[key.replace("/", "_")] for r in of_arm]
            ends = stats.t.interval(0.95, 5, fmean(x), stats.sem(x))
            numbers = [shown[f"{key}{end}"] for end in ("", " sd", " low", " high")]
            assert numbers == pytest.approx([fmean(x), stdev(x), *ends], rel=1e-4)
        assert shown["valid/perplexity"] == pytest.approx(math.exp(shown["valid/loss"]), rel=1e-4)
        assert shown["valid/perplexity high"] == pytest.approx(math.exp(shown["valid/loss high"]), rel=1e-4)
        curve = [(e, fmean(r.curves["valid_loss"][e][1] for r in of_arm)) for e in range(4)]
        found = mlflow.history(mlflow.runs()[arm], "valid/loss")
        assert found == [(epoch, pytest.approx(loss, rel=1e-4)) for epoch, loss in curve]


def test_an_arm_that_no_seed_changes_has_neither_sd_nor_interval(mlflow):
    (one,) = study(seeds=1, arms=2)[OTHER]
    counts = [replace(one, trial=ZOO["ngram-1"].make_trial(seed)) for seed in range(6)]
    results = {**study(seeds=6, arms=1), OTHER: counts}
    plan = planned(results)
    base = results[BASE][0].trial.factors()
    changes = {key: x for key, x in counts[0].trial.factors().items() if base.get(key) != x}
    mlflow.sync(results, arms=(plan.arms[0], replace(plan.arms[1], changes=changes)))
    run = mlflow.runs()[OTHER]
    assert run.data.tags["unrolled.seeds"] == "6 of 6"
    assert run.data.metrics["valid/loss"] == pytest.approx(one.metrics["valid_loss"], rel=1e-4)
    assert not [name for name in run.data.metrics if name.endswith((" sd", " low", " high"))]
    assert len(mlflow.runs("trial")) == 12


def test_an_arm_says_at_which_look_it_was_decided_and_has_every_metric_with_its_ends(mlflow):
    whole = study(seeds=40, arms=2)
    metrics = (Metric("valid_accuracy", 0.02), Metric("valid_loss", 0.05))
    plan = planned(whole, metrics=metrics, looks=(10, 15, 20, 30, 40))
    kept(mlflow.results, plan, {arm: of_arm[:10] for arm, of_arm in whole.items()})
    assert main(["sync", "--results", str(mlflow.results)]) == 0
    base, other = (mlflow.runs()[arm].data for arm in (BASE, OTHER))
    assert [d.tags["unrolled.seeds"] for d in (base, other)] == ["10 of 40", "10 of 40, decided"]
    said = other.tags["unrolled.claim"]
    assert (
        ", decided at 10 of 40 seeds; validation loss: ▼ worse by more than δ, " in said
        and "perplexity × " in said
    )
    assert "decided at 10 of 40 seeds" in other.tags["mlflow.note.content"]
    shown = other.metrics
    for key in ("valid/accuracy", "valid/loss"):
        mean, low, high = (shown[f"{key} difference{end}"] for end in ("", " low", " high"))
        assert low < mean < high and mean == pytest.approx(shown[key] - base.metrics[key], abs=1e-4)
    assert shown["valid/accuracy difference unbiased"] == pytest.approx(
        shown["valid/accuracy difference"], rel=0.1
    )
    assert "valid/loss difference unbiased" not in shown, "the accuracy stopped it"


def test_differences_of_a_metric_that_is_judged_by_its_ratio_are_in_per_cent_as_in_the_csv(mlflow):
    results = study(seeds=6, arms=2)
    mlflow.sync(results, metrics=(Metric("valid_loss", 5.0, ratio=True),))
    base, other = ([math.log(r.metrics["valid_loss"]) for r in results[arm]] for arm in (BASE, OTHER))
    shown = mlflow.runs()[OTHER].data.metrics
    mean = 100 * math.expm1(fmean(other) - fmean(base))
    low, high = (shown[f"valid/loss difference {end}"] for end in ("low", "high"))
    assert shown["valid/loss difference"] == pytest.approx(mean, rel=1e-4) and low < mean < high
    assert abs(mean - 100 * (fmean(other) - fmean(base))) > 0.1, "the logarithm is another number"


def test_a_diverged_seed_is_told_and_leaves_its_arm_without_a_mean(mlflow):
    results = study(seeds=6, arms=2)
    losses = [r.metrics["valid_loss"] for r in results[OTHER]]
    results[OTHER][2] = diverged(results[OTHER][2])
    mlflow.sync(results)
    run = mlflow.runs()[OTHER]
    others = fmean(loss for seed, loss in enumerate(losses) if seed != 2)
    assert run.data.tags["unrolled.seeds"].startswith("5 of 6, 1 diverged: no mean; median ")
    assert run.data.tags["unrolled.seeds"].endswith(f"mean given convergence {others:.4f}")
    assert not run.data.metrics


def test_a_metric_that_one_seed_lacks_has_no_mean_and_the_memory_of_a_gpu_has_one(mlflow):
    results = study(seeds=3, arms=1)
    of_arm = [
        replace(r, metrics={**r.metrics, "gpu_memory_peak": 50.0 + r.trial.seed}) for r in results[BASE]
    ]
    few = {name: x for name, x in of_arm[0].metrics.items() if name != "speed_train"}
    mlflow.sync({BASE: [replace(of_arm[0], metrics=few), *of_arm[1:]]})
    shown = mlflow.runs()[BASE].data.metrics
    assert "valid/loss" in shown and not [name for name in shown if name.startswith("speed")]
    assert shown["gpu_memory_peak"] == pytest.approx(51.0)


def test_every_trial_lies_beneath_its_arm_and_syncing_again_changes_nothing(mlflow):
    mlflow.sync(study(seeds=3, arms=3))
    before, trials = mlflow.runs(), mlflow.runs("trial")
    for arm, run in before.items():
        parents = {name: trial.data.tags["mlflow.parentRunId"] for name, trial in trials.items()}
        beneath = sorted(name for name, parent in parents.items() if parent == run.info.run_id)
        assert beneath == [f"{arm}/seed={seed}" for seed in range(3)]
    _, ended = read_ended_runs(f"sqlite:///{mlflow.folder}/mlflow.db", "width")
    read = {(run.tags["unrolled.role"], run.params["seed"]) for run in ended}
    assert read == {("trial", str(seed)) for seed in range(3)}, "`compare` reads the trials and no means"
    mlflow.sync(study(seeds=3, arms=3))
    after = mlflow.runs()
    assert after.keys() == before.keys()
    assert [after[name].to_dictionary() for name in before] == [r.to_dictionary() for r in before.values()]
    assert {r.info.run_id for r in mlflow.runs("trial").values()} == {r.info.run_id for r in trials.values()}


def test_a_partial_arm_says_how_many_seeds_it_covers_and_is_replaced_when_it_is_whole(mlflow):
    whole = study(seeds=5, arms=2)
    part = {arm: of_arm[:3] for arm, of_arm in whole.items()}
    plan_store.store_plan(planned(whole), keep(mlflow.results, part))
    assert main(["sync", "--results", str(mlflow.results)]) == 0
    assert mlflow.runs()[OTHER].data.tags["unrolled.seeds"] == "3 of 5, 2 not trained yet"
    mlflow.sync(whole)
    run = mlflow.runs()[OTHER]
    assert run.data.tags["unrolled.seeds"] == "5 of 5"
    mean = fmean(r.metrics["valid_loss"] for r in whole[OTHER])
    assert mlflow.history(run, "valid/loss")[-1] == (3, pytest.approx(mean, rel=1e-4))
    assert len(mlflow.history(run, "valid/loss")) == 4  # no value of the part stays
    parents = {run.data.tags.get("mlflow.parentRunId") for run in mlflow.runs("trial").values()}
    assert parents == {run.info.run_id for run in mlflow.runs().values()}


def test_trials_of_an_earlier_plan_leave_their_arms_whose_old_means_are_deleted(mlflow):
    mlflow.sync(study(seeds=3, arms=2, source="v1"))
    old = mlflow.runs()
    mlflow.sync(study(seeds=3, arms=2, source="v2"))  # an edit of the code: the plan's settings are the same
    now = mlflow.runs()
    assert not {r.info.run_id for r in old.values()} & {r.info.run_id for r in now.values()}
    everything = mlflow.client.search_runs([now[BASE].info.experiment_id], "tags.`unrolled.role` = 'trial'")
    beneath = [run.data.tags.get("mlflow.parentRunId") for run in everything]
    assert len(beneath) == 12 and beneath.count(None) == 6
    marks = {r.data.tags["unrolled.plan"] for r in everything if "mlflow.parentRunId" in r.data.tags}
    assert marks == {r.data.tags["unrolled.plan"] for r in [*now.values(), *mlflow.runs("study").values()]}
    assert len(marks) == 1
    assert not marks & {
        r.data.tags["unrolled.plan"] for r in everything if "mlflow.parentRunId" not in r.data.tags
    }
