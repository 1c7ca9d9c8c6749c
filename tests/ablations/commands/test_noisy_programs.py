"""A study of a program of which two trials of one seed differ: what says so, and how it is verified."""

from pathlib import Path

import pytest
from called import succeed

PROGRAM = """
from pathlib import Path

RUNS = Path({runs!r})  # how often each trial was run: the noise of its next run


def train(seed, lr):
    file = RUNS / f"{{seed}} {{lr}}"
    file.parent.mkdir(exist_ok=True)
    with file.open("a+") as runs:
        runs.write("\\n")
        runs.seek(0)
        count = len(runs.readlines())
    return {{"accuracy": seed % 7 / 100 + lr + 1e-6 * count}}
"""
STUDY = """
name = "noisy"
question = "Does the rate matter?"
metrics = [{ name = "accuracy", delta = 0.01 }]
seeds = SEEDS
program.function = "noisy:train"
baseline.lr = 0.1
design.one_at_a_time.lr = [0.2]
"""


def project(folder: Path, seeds: int) -> Path:
    (folder / "noisy.py").write_text(PROGRAM.format(runs=str(folder / "runs")))
    (folder / "noisy.toml").write_text(STUDY.replace("SEEDS", str(seeds)))
    return folder


@pytest.fixture(scope="module", params=[12, 40])
def seeds(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(scope="module")
def told(seeds: int, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a study that was run, and what the run printed."""
    folder = project(tmp_path_factory.mktemp(f"{seeds}"), seeds)
    return folder, succeed(folder, "run", "noisy.toml")


def test_page_and_terminal_tell_of_a_program_that_is_not_deterministic(told: tuple[Path, str]) -> None:
    folder, printed = told
    page = (folder / "out" / "noisy" / "index.html").read_text("utf-8")
    for text in (printed, page):
        assert "Not deterministic: two trials of one seed differ (accuracy by 1e-06)" in text
