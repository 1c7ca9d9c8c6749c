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
model = "lm6"
{changes}[design.one_at_a_time]
model = [{others}]
"""
OTHERS = ("lm1", "lm2", "lm3", "lm4", "lm5", "lm7", "gru")


@pytest.mark.slow
@pytest.mark.benchmark(group="study")
def test_trials_an_hour(benchmark, profile, clean, tmp_path):
    """Eight models once in the notebook's way, then a study of these models and some seeds of each."""
    peers = Path(__file__).with_name("peers.py")
    others = ("ngram-1",) if benchmark.disabled else OTHERS
    text = STUDY.format(
        seeds=profile.seeds,
        others=", ".join(f'"{name}"' for name in others),
        changes="epochs = 1\n" if benchmark.disabled else "",
    )
    took: dict[str, list[float]] = {"notebook": [], "unrolled": []}

    def timed(what: str, command: list[str], folder: Path) -> None:
        begun = time.perf_counter()
        subprocess.run(command, cwd=folder, env=clean(folder), check=True, stdout=subprocess.DEVNULL)
        took[what].append(time.perf_counter() - begun)

    def notebook() -> tuple[tuple[Path], dict[str, object]]:
        folder = tmp_path / str(len(took["notebook"]))
        folder.mkdir()
        (folder / "eight.toml").write_text(text)
        few = ["lm4", "1"] if benchmark.disabled else []  # a model, and for how many epochs
        timed("notebook", [sys.executable, str(peers), *few], folder)
        return (folder,), {}

    def study(folder: Path) -> None:
        command = [str(Path(sys.executable).with_name("unrolled")), "run", "eight.toml"]
        timed("unrolled", command, folder)
        assert (folder / "out/eight/index.html").exists()
        trained = list((folder / "results/trials").rglob("*.json"))
        assert len(trained) == profile.seeds * (1 + len(others))

    benchmark.pedantic(study, setup=notebook, rounds=1 if benchmark.disabled else max(1, profile.rounds // 2))
    trials = {"notebook": 8, "unrolled": profile.seeds * (1 + len(others))}
    hourly = {what: 3600 * trials[what] / median(seconds) for what, seconds in took.items()}
    benchmark.extra_info.update(
        trials=trials, trials_an_hour=hourly, ratio=hourly["unrolled"] / hourly["notebook"]
    )
