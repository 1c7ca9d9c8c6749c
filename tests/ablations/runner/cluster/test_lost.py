"""Real schedulers and workers that are killed, hang and are cut off. Trials wait at a gate, not for time."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.helpers.processes import is_alive, wait_for
from tests.helpers.stub_trials import WORK, make_trial, serialize_result, steady
from tests.helpers.supervisor import make_supervisor
from tests.helpers.trial_counts import RunCounts, run_and_count
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.runner.parallel import TrialConditions
from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.errors import BadInput
from unrolled.bench.trial import Result


class DriverResults(list[Result]):
    """The results that a driver in another thread passed on, and its final tally."""

    tally: RunCounts
    error: BaseException | None = None


@contextmanager
def drive_trials(
    trials: list[ChapterTrial], ledger: Ledger, address: str, **words
) -> Iterator[DriverResults]:
    """Drive trials in a thread during the block, and then wait for its end."""
    results = DriverResults()

    def drive() -> None:
        try:
            results.tally = run_and_count(
                trials,
                ledger,
                TrialConditions(run_import=WORK, cluster=address),
                make_supervisor(receive_result=results.append),
                **words,
            )
        except BaseException as error:
            results.error = error

    thread = threading.Thread(target=drive, daemon=True)
    thread.start()
    yield results
    thread.join(120)
    assert not thread.is_alive()
    if results.error is not None and not isinstance(results.error, BadInput):
        raise results.error


def check_every_trial_is_stored_once(
    results: DriverResults, ledger: Ledger, trials: list[ChapterTrial]
) -> None:
    """Check that each was passed on once and has one file, and that finished ones have the local bits."""
    assert sorted(result.trial.id for result in results) == sorted(trial.id for trial in trials)
    files = sorted(path.stem for path in ledger.root.glob("trials/*/*"))
    assert files == sorted(trial.id for trial in trials)
    for result in results:
        assert not result.is_done or serialize_result(result) == serialize_result(steady(result.trial))


def test_the_trials_of_a_killed_worker_are_tried_again_and_no_others(
    two_workers: str, gate, ledger: Ledger
) -> None:
    trials = gate.make_trials(6)
    with drive_trials(trials, ledger, two_workers) as results:
        wait_for(lambda: len(gate.list_attempts()) == 2)
        victim = gate.list_attempts()[1]
        os.kill(victim[2], signal.SIGKILL)
        wait_for(lambda: gate.count_attempts(victim[0]) == 2)
        gate.open_for(*range(6))
    assert results.tally == RunCounts(measured_count=6)
    check_every_trial_is_stored_once(results, ledger, trials)
    assert sorted(seed for seed, *_ in gate.list_attempts()) == sorted([*range(6), victim[0]])


def test_a_trial_whose_worker_dies_has_three_attempts_and_fails_alone(processes, ledger: Ledger) -> None:
    processes.start_cluster(1, DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0")
    trials = [make_trial(0), make_trial(1, "kills_its_worker"), *(make_trial(seed) for seed in range(2, 5))]
    with drive_trials(trials, ledger, processes.address) as results:
        pass
    assert results.tally == RunCounts(measured_count=4, failed_count=1)
    check_every_trial_is_stored_once(results, ledger, trials)
    killer = ledger.read_result(trials[1].id)
    assert killer is not None
    assert (killer.reason, killer.attempts) == ("its worker died (3 attempts)", 3)


def test_a_lost_scheduler_ends_the_driver_and_the_next_one_finishes(
    two_workers: str, processes, gate, ledger: Ledger
) -> None:
    scheduler = processes.start_cluster(1)
    trials = gate.make_trials(3)
    gate.open_for(0)
    with drive_trials(trials, ledger, processes.address) as results:
        wait_for(lambda: len(results) == 1 and len(gate.list_attempts()) == 2)
        scheduler.kill()
    assert isinstance(results.error, BadInput)
    assert results.error.place == f"--cluster {processes.address}"
    assert "scheduler was lost" in results.error.rule
    assert "run the same command" in results.error.cure
    wait_for(lambda: not any(is_alive(pid) for _, pid, _ in gate.list_attempts()))
    gate.open_for(*range(3))
    with drive_trials(trials, ledger, two_workers) as next_results:
        pass
    assert next_results.tally == RunCounts(measured_count=2, stored_count=1)
    check_every_trial_is_stored_once(DriverResults([*results, *next_results]), ledger, trials)


def test_a_worker_that_hangs_and_comes_back_late_changes_nothing(processes, gate, ledger: Ledger) -> None:
    processes.start_scheduler(DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL="2s")
    processes.start_worker()
    processes.start_worker("--nthreads", "2")
    trials = gate.make_trials(3)
    with drive_trials(trials, ledger, processes.address) as results:
        wait_for(lambda: len(gate.list_attempts()) == 3)
        workers = [pid for *_, pid in gate.list_attempts()]
        (first, process, worker), (second, *_), (third, *_) = sorted(
            gate.list_attempts(), key=lambda attempt: workers.count(attempt[2])
        )
        os.kill(worker, signal.SIGSTOP)
        gate.open_for(second)  # which leaves a free place for the first
        wait_for(lambda: gate.count_attempts(first) == 2)
        gate.open_for(first)  # for both
        wait_for(lambda: len(results) == 2 and len(gate.list_attempts()) == 4)
        os.kill(worker, signal.SIGCONT)
        wait_for(lambda: not (is_alive(process) or is_alive(worker)))
        assert len(results) == 2, "the late result was not taken"
        gate.open_for(third)
    assert results.tally == RunCounts(measured_count=3)
    check_every_trial_is_stored_once(results, ledger, trials)
