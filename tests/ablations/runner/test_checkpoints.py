"""Trials that take long go on from their last epoch, with the bits of an undisturbed trial."""

import io
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from tests.helpers import stub_trials
from tests.helpers.processes import helpers_path, wait_for
from tests.helpers.trial_counts import RunCounts, run_and_count
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.runner.child import Limits
from unrolled.ablations.runner.parallel import TrialConditions, run_trials
from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.chapter.training.checkpoint import Checkpoint
from unrolled.bench.chapter.training.record import Epoch, TrainingRecord
from unrolled.bench.differences import list_differences, select_reproducible_values

WARM = TrialConditions(preload=("unrolled.bench.chapter.warm_up",))
DRIVER = """
import sys
from pathlib import Path
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.runner.parallel import TrialConditions, run_trials
from unrolled.bench.chapter.chapter_trial import ChapterTrial
trials = [ChapterTrial(**settings) for settings in eval(sys.argv[2])]
warm = ("unrolled.bench.chapter.warm_up",)
work = "tests.helpers.trial_work:halt_at_checkpoint"
where = TrialConditions(run_import=work, preload=warm, workers=len(trials))
run_trials(trials, Ledger(Path(sys.argv[1])), where)
"""
CASES = {
    "plain": {},
    "dropout": {"model": "lm7", "options": {"hidden": 16, "dropout": 0.4}, "alpha": 2.0},
    "carried state and replay": {"reset": "never", "detach_every": 8},
    "shuffled": {"order": "shuffled", "reset": "batch"},
}


def make_trial(text: Path, **changes: object) -> ChapterTrial:
    """Return a trial on a small text."""
    settings = {"model": "lm4", "seed": 3, "options": {"hidden": 32}, "corpus": str(text)}
    return ChapterTrial(**{**settings, "window": 4, "batch": 4, "epochs": 4, **changes})


def kill_driver(folder: Path, trials: list[ChapterTrial], **variables: str) -> Ledger:
    """Kill a driver when each of its trials stands still after a checkpoint, and return its ledger."""
    ledger = Ledger(folder / "killed")
    Path(trials[0].corpus).write_text("the cat sat on the mat and the dog sat on the log . " * 60)
    variables |= {"PYTHONPATH": helpers_path(), "UNROLLED_CHECKPOINT_SECONDS": "0"}
    words = [sys.executable, "-c", DRIVER, str(ledger.root), repr([asdict(trial) for trial in trials])]
    with subprocess.Popen(words, env={**os.environ, **variables}) as driver:
        try:
            wait_for(lambda: len(list(ledger.checkpoints.glob("*.stands-still"))) == len(trials))
        finally:
            driver.kill()
    assert not ledger.read_results(trial.id for trial in trials)
    return ledger


def check_undisturbed(ledger: Ledger, trial: ChapterTrial, folder: Path) -> None:
    """Check that a killed driver's trial resumes to an undisturbed one's bits and leaves no checkpoint."""
    reference = Ledger(folder / "undisturbed")
    for target in (reference, ledger):
        assert run_and_count([trial], target, WARM) == RunCounts(measured_count=1)
    expected = reference.read_result(trial.id)
    result = ledger.read_result(trial.id)
    assert expected is not None and result is not None
    assert (
        list(
            list_differences(
                select_reproducible_values(expected.to_dict()), select_reproducible_values(result.to_dict())
            )
        )
        == []
    )
    assert not list(ledger.checkpoints.glob(f"{trial.id}.*"))


@pytest.fixture(scope="module")
def halted_driver(tmp_path_factory) -> tuple[Ledger, dict[str, ChapterTrial]]:
    folder = tmp_path_factory.mktemp("halted")
    trials = {name: make_trial(folder / "text.txt", **changes) for name, changes in CASES.items()}
    return kill_driver(folder, list(trials.values())), trials


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_trial_killed_and_resumed_has_the_bits_of_an_undisturbed_one(
    halted_driver: tuple[Ledger, dict[str, ChapterTrial]], name: str, tmp_path: Path
) -> None:
    ledger = halted_driver[0]
    trial = halted_driver[1][name]
    (state,) = ledger.checkpoints.glob(f"{trial.id}.cpu.*.pt")
    epochs = torch.load(io.BytesIO(state.read_bytes()[32:]), weights_only=True)["record"]["epochs"]
    check_undisturbed(ledger, trial, tmp_path)
    result = ledger.read_result(trial.id)
    assert result is not None and len(epochs) == 2
    checkpoint_curves = TrainingRecord(epochs=[Epoch(**epoch) for epoch in epochs]).curves
    first_epochs = {name: points[:2] for name, points in result.curves.items()}
    assert first_epochs == checkpoint_curves, "it did go on: the clocks' numbers, too"


def test_a_checkpoint_of_another_kind_of_machine_is_removed_and_not_resumed(
    tmp_path: Path,
) -> None:
    """Killed under the least CPU capability, run again under this machine's own: its bits throughout."""
    if torch.backends.cpu.get_cpu_capability() == "DEFAULT":
        pytest.skip("this CPU has no other capability")
    trial = make_trial(tmp_path / "text.txt")
    check_undisturbed(kill_driver(tmp_path, [trial], ATEN_CPU_CAPABILITY="default"), trial, tmp_path)


def test_a_time_limit_keeps_the_checkpoint_and_names_it(ledger: Ledger) -> None:
    trial = stub_trials.make_trial(0, "loops")
    checkpoint = ledger.checkpoints / f"{trial.id}.cpu.0123.pt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    run_trials([trial], ledger, TrialConditions(run_import=stub_trials.WORK, limits=Limits(time_limit=1)))
    result = ledger.read_result(trial.id)
    assert result is not None and result.stopped_by_limit
    assert str(checkpoint) in result.reason and checkpoint.exists()


def test_a_resumed_record_knows_the_seconds_that_it_takes_over() -> None:
    numbers = dict.fromkeys(("train_loss", "train_ar", "train_tar", "valid_loss", "valid_accuracy"), 1.0)
    first = TrainingRecord()
    second = TrainingRecord()
    first.add_step(1.0, lr=0.1, mom=0.9, weights=[])
    seconds = {"speed_train_seconds": 2.0, "speed_valid_seconds": 1.0}
    first.epochs = [Epoch(epoch=number, **seconds, **numbers) for number in range(2)]
    second.load_state_dict(first.state_dict())
    assert (first.resumed_seconds, second.resumed_seconds) == (0.0, 6.0)


def test_a_damaged_checkpoint_counts_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNROLLED_CHECKPOINTS", str(tmp_path))
    checkpoint = Checkpoint("abc", torch.device("cpu"))
    checkpoint.save({"epochs": [1, 2]})
    assert checkpoint.load() == {"epochs": [1, 2]} and checkpoint.path is not None
    data = bytearray(checkpoint.path.read_bytes())
    data[len(data) // 2] ^= 1
    checkpoint.path.write_bytes(data)
    assert checkpoint.load() is None
