"""Workers that send programs instead of answers, on a real cluster. The driver is this process."""

import os
from pathlib import Path

import pytest
from driving import running
from stub_trials import trial

from ablations.ledger import Ledger
from ablations.trials.process import Limits
from bench.trial import BadInput

HERE = Path(__file__).parent


@pytest.mark.parametrize(
    ("attack", "told"),
    [
        ("entry", "cannot load unrolled"),
        ("result", "its worker sent no answer"),
        ("list of results", "its worker sent no answer"),
        ("number", "its worker sent no answer"),
        ("type", "something that is not its result"),
        ("error", "its worker sent no answer"),
        ("error of another kind", "sent something that is not read"),
        ("event", ""),
        ("warning", ""),
        ("odd events", ""),
    ],
)
def test_nothing_that_a_worker_sends_runs_in_the_driver(
    processes, ledger: Ledger, tmp_path: Path, attack: str, told: str
) -> None:
    folder = tmp_path / "victims"
    processes.scheduler()
    hostile = {"UNROLLED_HOSTILE": str(folder), "UNROLLED_ATTACK": attack}
    processes.worker("--preload", str(HERE / "hostile.py"), **hostile)
    with running([trial(0)], ledger, processes.address, limits=Limits(attempts=1)) as answer:
        pass
    assert str(os.getpid()) not in {path.name for path in folder.iterdir()}
    if answer.error is not None:
        assert isinstance(answer.error, BadInput)
    said = str(answer.error) if answer.error else answer[0].reason
    assert told in said
    assert bool(told) or answer[0].done
