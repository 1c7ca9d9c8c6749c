"""Real schedulers and workers that are killed, hang and are cut off. Trials wait at a gate, not for time."""

import os
import signal
from collections.abc import Callable

from driving import Told, every_trial_is_kept_once, running
from processes import lives
from stub_trials import trial

from ablations.ledger import Ledger
from ablations.trials.process import Limits
from ablations.trials.runner import Counts
from bench.trial import BadInput


def test_the_trials_of_a_killed_worker_are_tried_again_and_no_others(
    two: str, gate, ledger: Ledger, wait_for: Callable
) -> None:
    trials = gate.trials(6)
    with running(trials, ledger, two) as told:
        wait_for(lambda: len(gate.begun()) == 2)
        victim = gate.begun()[1]
        os.kill(victim[2], signal.SIGKILL)
        wait_for(lambda: gate.attempts(victim[0]) == 2)
        gate.open(*range(6))
    every_trial_is_kept_once(told, ledger, trials, {victim[0]: 2})
    assert sorted(seed for seed, *_ in gate.begun()) == sorted([*range(6), victim[0]])


def test_a_trial_that_kills_its_worker_every_time_fails_alone(two: str, ledger: Ledger) -> None:
    trials = [trial(0), trial(1, "kills_its_worker"), *(trial(seed) for seed in range(2, 12))]
    with running(trials, ledger, two, limits=Limits(attempts=3)) as told:
        pass
    assert told.tally == Counts(done=11, failed=1)
    every_trial_is_kept_once(told, ledger, trials)
    killer = ledger.read(trials[1].id)
    assert killer is not None
    assert killer.reason == "its worker died or was cut off (3 attempts)"
    assert {result.attempts for result in told if result.done} == {1}


def test_a_lost_scheduler_ends_the_driver_with_a_word_and_the_next_one_finishes_the_rest(
    processes, gate, ledger: Ledger, wait_for: Callable
) -> None:
    program = processes.cluster()
    trials = gate.trials(4)
    gate.open(0)
    with running(trials, ledger, processes.address) as told:
        wait_for(lambda: len(told) == 1 and len(gate.begun()) == 3)
        program.kill()
    assert isinstance(told.error, BadInput)
    assert str(told.error) == (
        f"--cluster {processes.address}: the scheduler was lost; start it again, then run the same command; "
        "everything recorded so far is kept"
    )
    wait_for(lambda: processes.alive() == [])
    gate.open(*range(4))
    processes.cluster()
    with running(trials, ledger, processes.address) as rest:
        pass
    assert rest.tally == Counts(done=3, skipped=1)
    every_trial_is_kept_once(Told([*told, *rest]), ledger, trials)


def test_workers_whose_scheduler_dies_end_their_trials(
    processes, gate, ledger: Ledger, wait_for: Callable
) -> None:
    scheduler = processes.scheduler()
    processes.worker()
    with running(gate.trials(1), ledger, processes.address) as told:
        wait_for(lambda: len(gate.begun()) == 1)
        scheduler.kill()
    assert "the scheduler was lost" in str(told.error)
    wait_for(lambda: processes.alive() == [])


def test_a_worker_that_hangs_and_comes_back_late_changes_nothing(
    processes, gate, ledger: Ledger, wait_for: Callable
) -> None:
    processes.scheduler(DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL="2s")
    processes.worker()
    processes.worker("--nthreads", "2")
    trials = gate.trials(3)
    with running(trials, ledger, processes.address) as told:
        wait_for(lambda: len(gate.begun()) == 3)
        workers = [pid for *_, pid in gate.begun()]
        (first, process, worker), (second, *_), (third, *_) = sorted(
            gate.begun(), key=lambda begun: workers.count(begun[2])
        )
        os.kill(worker, signal.SIGSTOP)
        gate.open(second)  # which leaves a free place for the first
        wait_for(lambda: gate.attempts(first) == 2)
        gate.open(first)  # for both
        wait_for(lambda: len(told) == 2 and len(gate.begun()) == 4)
        os.kill(worker, signal.SIGCONT)
        wait_for(lambda: not (lives(process) or lives(worker)))
        assert len(told) == 2, "the late result was not taken"
        gate.open(third)
    every_trial_is_kept_once(told, ledger, trials, {first: 2})


def test_a_worker_that_was_cut_off_and_comes_back_late_changes_nothing(
    processes, cable, gate, ledger: Ledger, wait_for: Callable
) -> None:
    processes.scheduler(cable.near, DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL="2s")
    processes.worker(prefix=cable.inside)
    trials = gate.trials(3)
    with running(trials, ledger, processes.address) as told:
        wait_for(lambda: len(gate.begun()) == 1)
        (first, process, worker), *_ = gate.begun()
        cable.set("down")
        processes.worker("--nthreads", "3")
        wait_for(lambda: gate.attempts(first) == 2)
        gate.open(first)  # for both, and the one that is cut off computes it too
        wait_for(lambda: len(told) == 1 and not lives(process))
        cable.set("up")
        wait_for(lambda: not lives(worker))
        assert len(told) == 1, "the late result was not taken"
        gate.open(1, 2)
    every_trial_is_kept_once(told, ledger, trials, {first: 2})
