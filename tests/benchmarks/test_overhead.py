"""What is not training: the command's start, processes, ledger, MLflow, progress and report."""

import json
import os
import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ablations.design import loading, plan, study
from ablations.design.planning import expected_seconds
from ablations.ledger import Ledger
from bench.trial import Result

COMMAND = [str(Path(sys.executable).with_name("unrolled"))]


@pytest.mark.benchmark(group="overhead")
@pytest.mark.parametrize(("word", "most"), [("--help", 0.25), ("plan toggles", 0.5)])
def test_the_command_answers_at_once(benchmark, word, most, clean, tmp_path):
    def ask() -> None:
        done = subprocess.run([*COMMAND, *word.split()], env=clean(tmp_path), capture_output=True, check=True)
        assert done.stdout

    benchmark.pedantic(
        ask, rounds=1 if benchmark.disabled else 9, warmup_rounds=0 if benchmark.disabled else 1
    )
    benchmark.extra_info.update(what=f"unrolled {word}", unit="s", most=most)


FINISHED = """
name = "finished"
question = "What does everything but training cost?"
seeds = 20
[baseline]
model = "lm7"
[design.one_at_a_time]
lr = {lrs}
"""


@pytest.mark.slow
@pytest.mark.benchmark(group="overhead")
@pytest.mark.parametrize("arms", [50, 100])
def test_finished_trials_are_recorded_projected_and_reported(benchmark, profile, ours, clean, tmp_path, arms):
    """A ledger full of results as large as real ones, and then the command, which finds them there."""
    if benchmark.disabled:
        if arms > 50:
            pytest.skip("not measured: one size will do")
        arms = 2
    trained = ours.ask("result", model="lm7", epochs=1 if benchmark.disabled else 15)
    (tmp_path / "finished.toml").write_text(FINISHED.format(lrs=[0.01 + i / 1e4 for i in range(1, arms)]))
    took, peak = {}, 0.0

    def everything() -> None:
        nonlocal peak
        begun = time.perf_counter()
        trials = _fill(tmp_path, Result.from_dict(trained))
        took["recorded"] = time.perf_counter() - begun
        begun = time.perf_counter()
        with (tmp_path / "said.txt").open("w") as said:
            process = subprocess.Popen(
                [*COMMAND, "run", "finished.toml"],
                cwd=tmp_path,
                env=clean(tmp_path),
                stdout=said,
                stderr=subprocess.STDOUT,
            )
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        took["projected and reported"] = time.perf_counter() - begun
        peak = used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
        text = (tmp_path / "said.txt").read_text()
        assert process.returncode == 0 and f"{trials} already there" in text, text
        assert "MLflow is behind" not in text

    benchmark.pedantic(everything, rounds=1)
    trials = arms * 20
    benchmark.extra_info.update(
        what=f"{trials} finished trials recorded, projected and reported",
        unit="s",
        most=120 * trials / 1000,
        memory=peak,
        memory_most=400,
        parts=took,
    )


def _fill(folder: Path, like: Result) -> int:
    """Record a result for every trial of the study; its losses differ, its size is that of `like`."""
    chosen = loading.load(str(folder / "finished.toml"), confirmed=True)
    _, trials = plan.decide(chosen, "")
    ledger = Ledger(folder / "results")
    for trial in trials:
        loss = random.Random(trial.id).gauss(0.4, 0.02)
        metrics, prints = {**like.metrics, "valid_loss": loss}, {"weights": trial.id, "metrics": trial.id}
        ledger.record(replace(like, trial=trial, metrics=metrics, fingerprints=prints))
    return len(trials)


FLOORS = """
name = "models"
question = "What does a trial cost beside its epochs?"
seeds = 1
[baseline]
model = "lm4"
epochs = 1
[design.one_at_a_time]
model = ["floor-unigram"]
"""


@pytest.mark.slow
@pytest.mark.benchmark(group="overhead")
@pytest.mark.skipif(sys.platform != "linux", reason="adopts orphans to add up their CPU time")
def test_the_models_study_spends_its_time_on_training(benchmark, theirs, tmp_path):
    """CPU seconds of the study with one epoch a trial: with one seed, and with three.

    The difference tells what a trial costs beside its epochs, and the rest what a study does. In the whole
    study, of up to 15 epochs and ten seeds, these costs stand beside the training that its plan expects.
    """
    (tmp_path / "floors.toml").write_text(FLOORS)
    name = "floors.toml" if benchmark.disabled else "models"
    spent: dict[int, tuple[int, float, float]] = {}  # by seeds: trials, CPU seconds, those of the epochs

    def run(seeds: int) -> None:
        folder = tmp_path / str(seeds)
        command = [*COMMAND, "run", name, "--seeds", f"0-{seeds - 1}", "--set", "epochs=1"]
        cpu = theirs.ask("cpu", command=command, folder=str(tmp_path), results=str(folder))["seconds"]
        results = [json.loads(path.read_bytes())["result"] for path in folder.rglob("trials/*/*.json")]
        epochs = [e["train_seconds"] + e["valid_seconds"] for result in results for e in result["epochs"]]
        spent[seeds] = (len(results), cpu, sum(epochs))

    def both() -> None:
        for seeds in (1,) if benchmark.disabled else (1, 3):
            run(seeds)

    benchmark.pedantic(both, rounds=1)
    assert all(trials and cpu > 0 for trials, cpu, _ in spent.values())
    if benchmark.disabled:
        return
    (few, cpu, trained), (many, more_cpu, more_trained) = spent.values()
    trial = ((more_cpu - more_trained) - (cpu - trained)) / (many - few)
    start = cpu - trained - few * trial
    whole = [expected_seconds(t) for _, t in study.trials(loading.load("models"), lambda trial: trial)]
    beside = start + len(whole) * trial
    benchmark.extra_info.update(
        what="the models study: CPU seconds beside training",
        unit="%",
        value=100 * beside / (beside + sum(whole)),
        most=8,
        parts={"a study (CPU s)": start, "a trial (CPU s)": trial, "training (CPU s)": sum(whole)},
    )
