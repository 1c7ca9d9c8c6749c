"""Real schedulers and workers that are killed, hang and are cut off. Trials wait at a gate, not for time."""

import os
import signal
from collections.abc import Callable

from driving import Told, every_trial_is_kept_once, running
from processes import lives
from stub_trials import trial

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.runner.parallel import Counts
from unrolled.bench.errors import BadInput


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
    assert told.tally == Counts(done=6)
    every_trial_is_kept_once(told, ledger, trials)
    assert sorted(seed for seed, *_ in gate.begun()) == sorted([*range(6), victim[0]])


def test_a_trial_whose_worker_dies_is_submitted_again_three_times_at_most_and_fails_alone(
    processes, ledger: Ledger
) -> None:
    processes.cluster(1, DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0")
    trials = [trial(0), trial(1, "kills_its_worker"), *(trial(seed) for seed in range(2, 12))]
    with running(trials, ledger, processes.address) as told:
        pass
    assert told.tally == Counts(done=11, failed=1)
    every_trial_is_kept_once(told, ledger, trials)
    killer = ledger.read(trials[1].id)
    assert killer is not None
    assert (killer.reason, killer.attempts) == ("its worker died (3 attempts)", 3)


def test_a_lost_scheduler_ends_the_driver_with_a_word_and_the_next_one_finishes_the_rest(
    processes, gate, ledger: Ledger, wait_for: Callable
) -> None:
    scheduler = processes.cluster(1)
    trials = gate.trials(3)
    gate.open(0)
    with running(trials, ledger, processes.address) as told:
        wait_for(lambda: len(told) == 1 and len(gate.begun()) == 2)
        scheduler.kill()
    assert isinstance(told.error, BadInput)
    assert str(told.error) == (
        f"--cluster {processes.address}: the scheduler was lost; start it again, then run the same command; "
        "everything recorded so far is kept"
    )
    wait_for(lambda: not any(lives(pid) for _, pid, _ in gate.begun()))
    gate.open(*range(3))
    processes.cluster(1)
    with running(trials, ledger, processes.address) as rest:
        pass
    assert rest.tally == Counts(done=2, skipped=1)
    every_trial_is_kept_once(Told([*told, *rest]), ledger, trials)


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
    assert told.tally == Counts(done=3)
    every_trial_is_kept_once(told, ledger, trials)
