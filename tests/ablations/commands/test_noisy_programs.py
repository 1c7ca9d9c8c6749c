"""A study of a program of which two trials of one seed differ: what says so, and how it is verified."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.command_call import check_command, run_command
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.plans import plan_store

pytestmark = pytest.mark.usefixtures("skip_mlflow_in_module")

PROGRAM = """
from pathlib import Path

RUNS = Path({runs!r})  # how often each trial was run, on which its noise depends


def train(seed, lr):
    file = RUNS / f"{{seed}} {{lr}}"
    file.parent.mkdir(exist_ok=True)
    with file.open("a+") as runs:
        runs.write("\\n")
        runs.seek(0)
        count = len(runs.readlines())
    noise = 1 + count % 2 if count > 1 else 0  # never that of its first run, nor of the last one
    return {{"accuracy": seed % 7 / 100 + lr + 1e-6 * noise}}
"""
STUDY = """
name = "noisy"
question = "Does the rate matter?"
metrics = [{ name = "accuracy", delta = 0.01 }]
seeds = 12
program.function = "noisy:train"
baseline.lr = 0.1
design.one_at_a_time.lr = [0.2]
"""


def write_project(folder: Path) -> Path:
    """Write the program and its study, and return their folder."""
    (folder / "noisy.py").write_text(PROGRAM.format(runs=str(folder / "runs")))
    (folder / "noisy.toml").write_text(STUDY)
    return folder


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Run the study and return its folder and the output."""
    folder = write_project(tmp_path_factory.mktemp("noisy"))
    return folder, check_command(folder, "run", "noisy.toml")


def test_page_and_terminal_tell_of_a_program_that_is_not_deterministic(
    finished_run: tuple[Path, str],
) -> None:
    folder, output = finished_run
    page = (folder / "out" / "noisy" / "index.html").read_text("utf-8")
    for text in (output, page):
        assert "Not deterministic: two trials of one seed differ (accuracy by 1e-06)" in text


def test_ledger_and_bundle_are_verified_by_the_distance_of_new_trials(
    finished_run: tuple[Path, str],
) -> None:
    folder, _ = finished_run
    check_command(folder, "bundle", "noisy.toml", "-o", "noisy.zip")
    for words in (["noisy.toml"], ["noisy.zip", "--trust"]):
        output = check_command(folder, "verify", *words, "-n", "3")
        assert "not deterministic: new trials of one seed differ (accuracy by 1e-06)\n" in output
        assert output.endswith("3 of 3 within 4 times the distance of equal trials\n")


def test_numbers_beyond_the_distance_of_new_trials_differ(
    finished_run: tuple[Path, str], tmp_path: Path
) -> None:
    folder = shutil.copytree(finished_run[0], tmp_path / "copy")
    ledger = Ledger(folder / "results")
    plan = plan_store.load_plan("noisy", ledger)
    for id in plan.ids:
        result = ledger.read_result(id)
        assert result is not None
        ledger.record_result(replace(result, metrics={**result.metrics, "accuracy": 0.9}))
    plan_store.store_plan(replace(plan, repetition_differences={"accuracy": 9.0}), ledger)
    process = run_command(folder, "verify", "noisy.toml", "-n", "2")
    assert process.returncode == 1
    assert process.stdout.endswith("0 of 2 within 4 times the distance of equal trials, 2 not\n")


PARTIAL = """
import random


def train(seed, lr):
    return {"accuracy": random.Random(f"{seed % 5} {lr}").random() if lr < 0.3 else 0.51234}
"""


def test_what_the_page_warns_of_is_told_in_the_terminal_a_partial_seed_from_the_first_look_on(
    tmp_path: Path,
) -> None:
    """Equal arms differ in .26 to .60, where ten seeds are two copies of five runs."""
    (tmp_path / "noisy.py").write_text(PARTIAL)
    study = STUDY.replace("seeds = 12", "seeds = 12\nlooks = [10, 12]").replace("[0.2]", "[0.2, 0.3]")
    (tmp_path / "noisy.toml").write_text(study)
    output = check_command(tmp_path, "run", "noisy.toml", "--to-the-end")
    folder = tmp_path / "out" / "noisy"
    warnings = json.loads((folder / "summary.json").read_text("utf-8"))["warnings"]
    (repeated,) = (warning for warning in warnings if "half of the seeds" in warning)
    assert output.count(f"noisy: WARNING: {repeated}") == 2, "at the look, and at the end"
    assert f"WARNING: {repeated}" in " ".join((folder / "comparison.md").read_text("utf-8").split())
    assert [warning for warning in warnings if f"noisy: WARNING: {warning}\n" not in output] == []
    assert any(warning.endswith("copies of fewer runs: baseline, lr 0.2") for warning in warnings)
    assert any(warning.startswith("one run, with the same numbers") for warning in warnings)
