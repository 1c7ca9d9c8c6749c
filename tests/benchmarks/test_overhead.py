"""What is not training: the command's start, processes, ledger, MLflow, progress and report."""

import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest

from tests.helpers.command_process import empty_database
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.plans.planning import make_plan
from unrolled.ablations.study import loading
from unrolled.bench.trial import Result, Trial

COMMAND = [str(Path(sys.executable).with_name("unrolled"))]


@pytest.mark.benchmark(group="overhead")
@pytest.mark.parametrize(("word", "bound"), [("--help", 0.25), ("plan toggles", 0.7)])
def test_the_command_answers_at_once(benchmark, word, bound, make_environment, tmp_path):
    def ask() -> None:
        done = subprocess.run(
            [*COMMAND, *word.split()], env=make_environment(tmp_path), capture_output=True, check=True
        )
        assert done.stdout

    benchmark.pedantic(
        ask, rounds=1 if benchmark.disabled else 9, warmup_rounds=0 if benchmark.disabled else 1
    )
    assert benchmark.disabled or benchmark.stats.stats.median <= bound, "seconds"


WEIGHED = """
import ctypes, os, resource, subprocess, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER of linux/prctl.h: it adopts orphans
code = subprocess.run(sys.argv[1:]).returncode
try:
    while True:
        os.wait()
except ChildProcessError:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10), used.ru_utime + used.ru_stime)
sys.exit(code)
"""
"""A command, and then what it and all that it started took: the most memory that one held, in MiB, and CPU
seconds. What a process holds as it forks counts as its child's, and a process of pytest is large: this one
is small."""


def weigh_command(words: str, folder: Path, environment: dict[str, str]) -> tuple[str, float, float]:
    """Return what a command prints, the MiB that it held and its CPU seconds; its results are in `folder`."""
    command = [sys.executable, "-c", WEIGHED, *COMMAND, *words.split()]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    assert "MLflow lacks" not in done.stderr
    text, _, usage = done.stdout.rstrip().rpartition("\n")
    memory, seconds = map(float, usage.split())
    return text, memory, seconds


FINISHED = """
name = "finished"
question = "What does everything but training cost?"
seeds = {seeds}
[baseline]
model = "lm7"
[design.one_at_a_time]
lr = {lrs}
"""


@pytest.mark.slow
@pytest.mark.benchmark(group="overhead")
@pytest.mark.parametrize("arms", [50, 100])
def test_finished_trials_are_recorded_projected_and_reported(
    benchmark, profile, unrolled_process, make_environment, tmp_path, arms
):
    """A ledger full of results as large as real ones, and then the command, which finds them there."""
    if benchmark.disabled:
        if arms > 50:
            pytest.skip("not measured: one size will do")
        arms = 2
        (tmp_path / "mlflow.db").write_bytes(empty_database())
    seeds = 1 if benchmark.disabled else 20
    result = unrolled_process.ask("result", model="lm7", epochs=1 if benchmark.disabled else 15)
    (tmp_path / "finished.toml").write_text(
        FINISHED.format(seeds=seeds, lrs=[0.01 + i / 1e4 for i in range(1, arms)])
    )
    took = {}
    peak = 0.0

    def report_study() -> None:
        nonlocal peak
        start_time = time.perf_counter()
        trials = _fill_ledger(tmp_path, Result.from_dict(result))
        took["recorded"] = time.perf_counter() - start_time
        start_time = time.perf_counter()
        text, peak, _ = weigh_command("run finished.toml", tmp_path, make_environment(tmp_path))
        took["projected and reported"] = time.perf_counter() - start_time
        assert f"{trials} already there" in text

    benchmark.pedantic(report_study, rounds=1)
    trials = arms * seeds
    benchmark.extra_info.update(trials=trials, memory=f"{peak:.0f} MiB", seconds=took)
    assert benchmark.disabled or (sum(took.values()) <= 120 * trials / 1000 and peak <= 400), (took, peak)


def _fill_ledger(folder: Path, like: Result) -> int:
    """Record a result for every trial of the study; its losses differ, its size is that of `like`."""
    chosen = loading.load_study(str(folder / "finished.toml"), confirmed=True)
    _, trials = make_plan(chosen, "")
    ledger = Ledger(folder / "results")
    for trial in trials:
        loss = random.Random(trial.id).gauss(0.4, 0.02)
        metrics = {**like.metrics, "valid_loss": loss}
        prints = {"weights": trial.id, "metrics": trial.id}
        ledger.record_result(replace(like, trial=trial, metrics=metrics, fingerprints=prints))
    return len(trials)


@pytest.mark.slow
@pytest.mark.benchmark(group="overhead")
@pytest.mark.skipif(sys.platform != "linux", reason="adopts orphans to add up their CPU time")
def test_the_models_study_spends_its_time_on_training(benchmark, make_environment, tmp_path):
    """CPU seconds of the study with one epoch a trial, with three seeds, and with four epochs.

    Three more epochs tell what an epoch of every arm costs, two more seeds what a trial costs beside it,
    and what is left is the study's own. The whole study has these costs, ten seeds, and the chapter's epochs,
    which weigh as their seconds do.
    """
    if benchmark.disabled:
        pytest.skip("not measured: the benchmark of trials an hour runs such a study")
    runs: list[tuple[float, list[Result]]] = []  # CPU seconds, and results

    def run(seeds: int, epochs: int) -> None:
        folder = tmp_path / f"{seeds} {epochs}"
        folder.mkdir()
        words = f"run models --seeds 0-{seeds - 1} --set epochs={epochs}"
        _, _, seconds = weigh_command(words, folder, make_environment(folder))
        ledger = Ledger(folder / "results")
        runs.append(
            (seconds, [result for id in ledger.find_result_files() if (result := ledger.read_result(id))])
        )

    def run_all() -> None:
        for seeds, epochs in [(1, 1), (3, 1), (1, 4)]:
            run(seeds, epochs)

    benchmark.pedantic(run_all, rounds=1)
    assert all(results and seconds > 0 for seconds, results in runs)
    (few_cpu, small_results), (many_cpu, large_results), (longer_cpu, long_results) = runs
    epoch = (longer_cpu - few_cpu) / 3
    trial = (many_cpu - few_cpu - 2 * epoch) / (len(large_results) - len(small_results))
    start = few_cpu - len(small_results) * trial - epoch
    _, trials = make_plan(loading.load_study("models"), "")
    weights = _epoch_seconds(long_results)
    epoch_seconds = sum(
        int(trial.flat_settings()["epochs"]) * weights[_find_model(trial)] for trial in trials
    )
    training = epoch * epoch_seconds / sum(weights[_find_model(result.trial)] for result in small_results)
    other_seconds = start + len(trials) * trial
    share = 100 * other_seconds / (other_seconds + training)
    benchmark.extra_info.update(
        percent_beside_training=share,
        cpu_seconds={"a study": start, "a trial": trial, "training": training},
    )
    assert share <= 8, "% of CPU seconds beside training"


def _find_model(trial: Trial) -> str:
    return str(trial.flat_settings()["model"])


def _epoch_seconds(results: list[Result]) -> dict[str, float]:
    """Return the seconds of a mean epoch by model; a counting baseline has none."""
    parts = ("speed_train_seconds", "speed_valid_seconds")
    seconds_by_model = {
        _find_model(r.trial): [
            a + b for (_, a), (_, b) in zip(*(r.curves.get(part, ()) for part in parts), strict=True)
        ]
        for r in results
    }
    return {model: fmean(seconds or [0.0]) for model, seconds in seconds_by_model.items()}
