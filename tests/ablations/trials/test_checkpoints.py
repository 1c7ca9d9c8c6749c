"""Trials that take long go on from their last epoch, with the bits of an undisturbed trial."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ablations.ledger import Ledger
from bench.bits import differences, numbers
from bench.trial import Epoch, Trial

WORK = "bench.run:run_trial"
DRIVER = """
import sys
from pathlib import Path
from ablations.ledger import Ledger
from ablations.trials.runner import run_trials
from bench.trial import Trial
trial, ledger = Trial(**eval(sys.argv[2])), Ledger(Path(sys.argv[1]))
run_trials([trial], ledger, work=sys.argv[3], preload=("bench.preload",))
"""


def settings(folder: Path, **changes: object) -> dict[str, object]:
    (folder / "text.txt").write_text("the cat sat on the mat and the dog sat on the log . " * 60)
    plain = {"model": "lm4", "seed": 3, "options": {"hidden": 32}, "corpus": str(folder / "text.txt")}
    return {**plain, "window": 4, "batch": 4, "epochs": 60, **changes}


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"model": "lm7", "options": {"hidden": 16, "dropout": 0.4}, "alpha": 2.0, "epochs": 30},
        {"reset": "never", "detach_every": 8},
        {"order": "shuffled", "reset": "batch"},
        {
            "engine": "sgd",
            "lr": 5.0,
            "clip": 0.25,
            "window": 10,
            "variable_bptt": True,
            "on_plateau": "average",
        },
    ],
    ids=["plain", "dropout", "carried state and replay", "shuffled", "averaged, varied windows"],
)
def test_a_trial_killed_between_epochs_and_resumed_has_the_bits_of_an_undisturbed_one(
    tmp_path: Path, changes: dict[str, object], wait_for: Callable[..., None]
) -> None:
    chosen = settings(tmp_path, **changes)
    trial = Trial(**chosen)  # type: ignore[arg-type]
    undisturbed, killed = Ledger(tmp_path / "undisturbed"), Ledger(tmp_path / "killed")
    command = [sys.executable, "-c", DRIVER]
    subprocess.run([*command, str(undisturbed.root), repr(chosen), WORK], check=True)

    here = {"PYTHONPATH": str(Path(__file__).parents[1]), "UNROLLED_CHECKPOINT_SECONDS": "0"}
    halting = [*command, str(killed.root), repr(chosen), "halting_trials:act"]
    with subprocess.Popen(halting, env={**os.environ, **here}) as driver:
        try:
            wait_for(lambda: list(killed.checkpoints.glob("*.stands-still")))
        finally:
            driver.kill()
    assert killed.read(trial.id) is None

    (state,) = killed.checkpoints.glob(f"{trial.id}.cpu.*.pt")
    kept = state.read_bytes()
    subprocess.run([*command, str(killed.root), repr(chosen), WORK], check=True)
    one, two = undisturbed.read(trial.id), killed.read(trial.id)
    assert one is not None and two is not None
    assert one.done and list(differences(numbers(one.to_dict()), numbers(two.to_dict()))) == []
    # It did go on: what was kept is a trained epoch, and its seconds are the first driver's.
    assert len(kept) > 1000
    assert two.spent >= sum(e.train_seconds + e.valid_seconds for e in two.epochs)
    assert list(killed.checkpoints.iterdir()) == []


def test_a_checkpoint_of_another_kind_of_machine_is_not_resumed_and_is_removed_in_the_end(
    tmp_path: Path, wait_for: Callable[..., None]
) -> None:
    """Killed under the least CPU capability, run again under this machine's own: its bits throughout."""
    import torch

    if torch.backends.cpu.get_cpu_capability() == "DEFAULT":
        pytest.skip("this CPU has no other capability")
    chosen = settings(tmp_path, epochs=12)
    trial = Trial(**chosen)  # type: ignore[arg-type]
    undisturbed, killed = Ledger(tmp_path / "undisturbed"), Ledger(tmp_path / "killed")
    command = [sys.executable, "-c", DRIVER]
    there = {
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "UNROLLED_CHECKPOINT_SECONDS": "0",
        "ATEN_CPU_CAPABILITY": "default",
    }
    halting = [*command, str(killed.root), repr(chosen), "halting_trials:act"]
    with subprocess.Popen(halting, env={**os.environ, **there}) as driver:
        try:
            wait_for(lambda: list(killed.checkpoints.glob("*.stands-still")))
        finally:
            driver.kill()
    for ledger in (undisturbed, killed):
        subprocess.run([*command, str(ledger.root), repr(chosen), WORK], check=True)
    one, two = undisturbed.read(trial.id), killed.read(trial.id)
    assert one is not None and two is not None and one.done
    assert list(differences(numbers(one.to_dict()), numbers(two.to_dict()))) == []
    assert list(killed.checkpoints.iterdir()) == []


def test_a_resumed_record_knows_the_seconds_that_it_takes_over() -> None:
    from bench.training.engine import Training

    numbers = dict.fromkeys(("train_loss", "ar", "tar", "valid_loss", "accuracy"), 1.0)
    first, second = Training(), Training()
    first.step(1.0, lr=0.1, mom=0.9, weights=[])
    first.epochs = [Epoch(epoch=i, train_seconds=2.0, valid_seconds=1.0, **numbers) for i in range(2)]
    second.resume(first.plain())
    assert (first.resumed_seconds, second.resumed_seconds) == (0.0, 6.0)


def test_a_damaged_checkpoint_counts_as_none_and_so_does_another_devices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from bench import machine
    from bench.training.checkpoint import Checkpoint

    monkeypatch.setattr(machine, "_gpu_facts", lambda: {"gpu": "one"})
    monkeypatch.setenv("UNROLLED_CHECKPOINTS", str(tmp_path))
    monkeypatch.setenv("UNROLLED_CHECKPOINT_SECONDS", "0")
    cpu, gpu = (Checkpoint("abc", torch.device(kind)) for kind in ("cpu", "cuda"))
    assert cpu.due() and cpu.load() is None
    cpu.save({"epochs": [1, 2]})
    assert cpu.load() == {"epochs": [1, 2]} and gpu.load() is None
    assert cpu.path is not None
    data = bytearray(cpu.path.read_bytes())
    data[len(data) // 2] ^= 1
    cpu.path.write_bytes(data)
    assert cpu.load() is None
