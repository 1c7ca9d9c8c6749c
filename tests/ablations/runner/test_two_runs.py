"""Two runs at once whose studies share trials: each trial is trained by one of them."""

import fcntl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest

from tests.helpers.processes import wait_for
from tests.helpers.stub_trials import WORK, make_trial
from tests.helpers.supervisor import make_supervisor
from tests.helpers.trial_counts import RunCounts, run_and_count
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.runner.parallel import TrialConditions
from unrolled.bench.trial import Result


@pytest.fixture
def foreign_lock(ledger: Ledger) -> Iterator[Path]:
    """Lock the first trial as another run does, and yield the lock's file."""
    path = ledger.checkpoints / f"{make_trial().id}.lock"
    path.parent.mkdir(parents=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield path


def test_trials_that_two_runs_share_are_trained_once(
    ledger: Ledger, warnings: list[str], tmp_path: Path
) -> None:
    trials = [make_trial(seed, "gated", gate=str(tmp_path)) for seed in range(4)]
    log = tmp_path / "log"
    foreign_results = list[Result]()
    supervisor = make_supervisor(receive_foreign_result=foreign_results.append)
    conditions = TrialConditions(run_import=WORK, workers=2)

    def run() -> RunCounts:
        return run_and_count(trials, ledger, conditions, supervisor)

    with ThreadPoolExecutor() as pool:
        first = pool.submit(run)
        wait_for(lambda: log.exists() and len(log.read_text().splitlines()) == 2)
        second = pool.submit(run)
        wait_for(lambda: len(log.read_text().splitlines()) == 4)  # those that the first has not begun
        for seed in (2, 3):
            (tmp_path / str(seed)).touch()
        wait_for(lambda: "waiting for 2 trials that another run trains" in warnings)
        for seed in (0, 1):
            (tmp_path / str(seed)).touch()
    assert (first.result(), second.result()) == (
        RunCounts(measured_count=2, stored_count=2),
        RunCounts(measured_count=2, stored_count=2),
    )
    assert len(log.read_text().splitlines()) == 4, "no trial was started twice"
    assert sorted(result.trial.seed for result in foreign_results) == [0, 1, 2, 3]
    assert not list(ledger.checkpoints.iterdir())


def test_a_trial_that_is_no_longer_wanted_is_not_waited_for(ledger: Ledger, foreign_lock: Path) -> None:
    calls = count()
    supervisor = make_supervisor(is_wanted=lambda _: next(calls) < 2)
    conditions = TrialConditions(run_import=WORK)
    assert run_and_count([make_trial()], ledger, conditions, supervisor) == RunCounts(left_count=1)


@pytest.mark.usefixtures("foreign_lock")
def test_ctrl_c_ends_the_wait_for_another_run(ledger: Ledger, start_study: Callable) -> None:
    study = start_study(ledger.root, count=1)
    study.read_until("waiting for 1 trial that another run trains")
    study.interrupt()
    code, output = study.wait_for_end()
    assert code == 130 and "left_count=1, interrupted=True" in output
