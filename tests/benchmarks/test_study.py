"""Trials an hour, everything included: the command against the chapter's notebook, in turn."""

import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import pytest

STUDY = """
name = "eight"
question = "How many trials an hour?"
seeds = {seeds}
[baseline]
model = "{baseline}"
{changes}[design.one_at_a_time]
model = [{others}]
"""
COMMAND = str(Path(sys.executable).with_name("unrolled"))
HELPERS = Path(__file__).parents[1] / "helpers"
UNLOGGED = str(HELPERS / "command_without_mlflow.py")  # it makes no MLflow database
OTHERS = ("lm1", "lm2", "lm3", "lm4", "lm5", "lm7", "gru")


@pytest.mark.slow
@pytest.mark.benchmark(group="study")
def test_trials_an_hour(benchmark, profile, make_environment, tmp_path):
    """Eight models once in the notebook's way, then a study of these models and some seeds of each."""
    baseline, other_models = ("ngram-2", ("ngram-1",)) if benchmark.disabled else ("lm6", OTHERS)
    text = STUDY.format(
        seeds=profile.seeds,
        baseline=baseline,
        others=", ".join(f'"{name}"' for name in other_models),
        changes="epochs = 1\n" if benchmark.disabled else "",
    )
    took: dict[str, list[float]] = {"notebook": [], "unrolled": []}

    def time_command(program: str, command: list[str], folder: Path) -> None:
        start = time.perf_counter()
        subprocess.run(
            command, cwd=folder, env=make_environment(folder), check=True, stdout=subprocess.DEVNULL
        )
        took[program].append(time.perf_counter() - start)

    def run_notebook() -> tuple[tuple[Path], dict[str, object]]:
        folder = tmp_path / str(len(took["notebook"]))
        folder.mkdir()
        (folder / "eight.toml").write_text(text)
        words = ["-c", "pass"] if benchmark.disabled else [str(HELPERS / "peers.py")]
        time_command("notebook", [sys.executable, *words], folder)
        return (folder,), {}

    def run_study(folder: Path) -> None:
        command = [sys.executable, UNLOGGED] if benchmark.disabled else [COMMAND]
        time_command("unrolled", [*command, "run", "eight.toml"], folder)
        assert (folder / "out/eight/index.html").exists()
        files = list((folder / "results/trials").rglob("*.json"))
        assert len(files) == profile.seeds * (1 + len(other_models))

    benchmark.pedantic(
        run_study, setup=run_notebook, rounds=1 if benchmark.disabled else max(1, profile.rounds // 2)
    )
    trials = {"notebook": 8, "unrolled": profile.seeds * (1 + len(other_models))}
    hourly = {program: 3600 * trials[program] / median(seconds) for program, seconds in took.items()}
    benchmark.extra_info.update(
        trials=trials, trials_an_hour=hourly, ratio=hourly["unrolled"] / hourly["notebook"]
    )
