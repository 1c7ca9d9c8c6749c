"""Trials that take long go on from their last epoch, with the bits of an undisturbed trial."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from ablations.ledger import Ledger
from bench.chapter.trial import ChapterTrial
from bench.differences import differences, numbers
from bench.trial import Epoch, Result

WORK = "bench.chapter.run:run_trial"
DRIVER = """
import sys
from pathlib import Path
from ablations.ledger import Ledger
from ablations.runner.parallel import TrialConditions, run_trials
from bench.chapter.trial import ChapterTrial
trial, ledger = ChapterTrial(**eval(sys.argv[2])), Ledger(Path(sys.argv[1]))
run_trials([trial], ledger, TrialConditions(work=sys.argv[3], preload=("bench.chapter.warm_up",)))
"""


def driver(
    ledger: Ledger, trial: ChapterTrial, work: str = WORK, **variables: str
) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-c", DRIVER, str(ledger.root), repr(asdict(trial)), work]
    return subprocess.Popen(words, env={**os.environ, **variables})


def resumed(
    folder: Path, wait_for: Callable[..., None], changes: dict[str, object], **variables: str
) -> tuple[Result, bytes]:
    """A trial whose driver was killed after a checkpoint and started again; its result and the checkpoint.

    It has the bits of an undisturbed trial, and no checkpoint is left.
    """
    text = folder / "text.txt"
    text.write_text("the cat sat on the mat and the dog sat on the log . " * 60)
    settings = {"model": "lm4", "seed": 3, "options": {"hidden": 32}, "corpus": str(text)}
    trial = ChapterTrial(**{**settings, "window": 4, "batch": 4, "epochs": 60, **changes})
    undisturbed, killed = Ledger(folder / "undisturbed"), Ledger(folder / "killed")
    variables |= {"PYTHONPATH": str(Path(__file__).parents[1]), "UNROLLED_CHECKPOINT_SECONDS": "0"}
    with driver(killed, trial, "halting_trials:act", **variables) as halting:
        try:
            wait_for(lambda: list(killed.checkpoints.glob("*.stands-still")))
        finally:
            halting.kill()
    assert killed.read(trial.id) is None
    (state,) = killed.checkpoints.glob(f"{trial.id}.cpu.*.pt")
    kept = state.read_bytes()
    for ledger in (undisturbed, killed):
        assert driver(ledger, trial).wait() == 0
    one, two = undisturbed.read(trial.id), killed.read(trial.id)
    assert one is not None and two is not None
    assert one.done and list(differences(numbers(one.to_dict()), numbers(two.to_dict()))) == []
    assert list(killed.checkpoints.iterdir()) == []
    return two, kept


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"model": "lm7", "options": {"hidden": 16, "dropout": 0.4}, "alpha": 2.0, "epochs": 30},
        {"reset": "never", "detach_every": 8},
        {"order": "shuffled", "reset": "batch"},
    ],
    ids=["plain", "dropout", "carried state and replay", "shuffled"],
)
def test_a_trial_killed_between_epochs_and_resumed_has_the_bits_of_an_undisturbed_one(
    tmp_path: Path, changes: dict[str, object], wait_for: Callable[..., None]
) -> None:
    result, kept = resumed(tmp_path, wait_for, changes)
    # It did go on: what was kept is a trained epoch, and its seconds are the first driver's.
    assert len(kept) > 1000
    assert result.spent >= sum(e.train_seconds + e.valid_seconds for e in result.epochs)


def test_a_checkpoint_of_another_kind_of_machine_is_not_resumed_and_is_removed_in_the_end(
    tmp_path: Path, wait_for: Callable[..., None]
) -> None:
    """Killed under the least CPU capability, run again under this machine's own: its bits throughout."""
    import torch

    if torch.backends.cpu.get_cpu_capability() == "DEFAULT":
        pytest.skip("this CPU has no other capability")
    resumed(tmp_path, wait_for, {"epochs": 12}, ATEN_CPU_CAPABILITY="default")


def test_a_resumed_record_knows_the_seconds_that_it_takes_over() -> None:
    from bench.chapter.training.engine import Training

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
    from bench.chapter.training.checkpoint import Checkpoint

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
