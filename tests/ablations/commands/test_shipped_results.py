"""Results that come with Unrolled: of today's designs, and another draw of what today's code gives."""

from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev

import pytest
from stub_plans import recorded

from ablations.commands import shipped_results
from ablations.design import loading
from ablations.design.study import Study
from bench.run import run_trial
from bench.trial import Result, Trial, failure
from reports.arms import values
from reports.chapter import questions

STUDIES = sorted(path.stem for path in Path(str(shipped_results.FOLDER)).glob("*.json"))


def test_what_ships_is_small_and_of_studies_of_the_page() -> None:
    assert STUDIES and set(STUDIES) <= set(questions.STUDIES)
    sizes = [len((shipped_results.FOLDER / f"{name}.json").read_bytes()) for name in STUDIES]
    assert sum(sizes) < 500_000


def test_a_training_here_is_another_draw_of_the_shipped_accuracies() -> None:
    """Bits differ between machines, and a training amplifies them: within four SDs of the mean over seeds.

    Counting amplifies nothing: its numbers are the same in all six stored digits.
    """
    c = shipped_results.read(loading.load("models"))
    if c is None:
        pytest.skip("what ships is of an earlier design of this study, and is not shown")
    arms = {row.arm.name: row.arm for row in c.rows}
    counts = arms["bigram counts"].results[10]
    again = run_trial(counts.trial).metrics
    assert {name: again[name] for name in counts.metrics} == pytest.approx(counts.metrics, abs=1e-6)
    lm4 = arms["LMModel4"]
    accuracies = values(lm4, "valid_accuracy").values()
    again = run_trial(lm4.results[10].trial).metrics
    assert abs(again["valid_accuracy"] - fmean(accuracies)) < 4 * stdev(accuracies) < 0.3


def made_up(trial: Trial) -> Result:
    if trial.model == "lm5" and trial.seed == 12:
        return failure(trial, "loss is nan", status="diverged")
    accuracy = 0.5 + 0.01 * int(trial.options.get("layers", 0)) + trial.seed / 1000
    metrics = {"valid_accuracy": accuracy, "valid_loss": 1 / 3}
    environment = {"cpu": "EPYC 9654", "packages": {"torch": "2.12.1"}}
    facts = {"started": 1_770_000_000.0, "fingerprints": {"weights": trial.id}, "environment": environment}
    return Result(trial=trial, status="done", metrics=metrics, **facts)


@pytest.fixture(scope="module")
def models() -> Study:
    return loading.override(loading.load("models"), seeds="10-14")


def test_a_slim_copy_compares_as_its_ledger_does(models, tmp_path) -> None:
    recorded(tmp_path / "results", models, made_up)
    assert shipped_results.write(tmp_path / "results", tmp_path) == [tmp_path / "models.json"]
    c = shipped_results.read(models, tmp_path)
    assert c is not None
    for row in c.rows:
        for seed, result in row.arm.results.items():
            own = made_up(result.trial)
            assert result.status == own.status and result.trial.id == own.trial.id
            assert dict(result.metrics) == pytest.approx(own.metrics, abs=1e-6), (row.arm.name, seed)
            assert not result.done or (result.started, result.environment) == (own.started, own.environment)


@pytest.mark.parametrize(
    "change", [{"sets": [("epochs", [3])]}, {"seeds": "10-15"}, {"sets": [("lr", [0.1, 0.2])]}]
)
def test_results_of_another_design_are_not_used(models, tmp_path, change) -> None:
    recorded(tmp_path / "results", models, made_up)
    shipped_results.write(tmp_path / "results", tmp_path)
    changed = loading.override(models, **{"seeds": "10-14", **change})
    assert shipped_results.read(changed, tmp_path) is None


def test_a_study_of_the_readers_own_does_not_ship(models, tmp_path) -> None:
    recorded(tmp_path / "results", replace(models, name="mine"), made_up)
    assert shipped_results.write(tmp_path / "results", tmp_path) == []
