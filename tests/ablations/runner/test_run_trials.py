"""Trials that run side by side, each in a process: what is recorded, retried, stopped and resumed."""

import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.helpers.bad_input import raises_bad_input
from tests.helpers.stub_trials import WORK, make_trial, read_results, run_in_process, serialize_result, steady
from tests.helpers.supervisor import make_supervisor
from tests.helpers.trial_counts import RunCounts, run_and_count
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.runner.child import Limits
from unrolled.ablations.runner.parallel import TrialConditions, run_trials
from unrolled.ablations.runner.process import ENVIRONMENT
from unrolled.ablations.runner.supervisor import RunSupervisor
from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.errors import BadInput
from unrolled.bench.trial import Result, make_failed_result


def read_fresh_process(**options) -> dict:
    """Return what a trial finds in its process."""
    return dict(run_in_process(make_trial(0, "inspects_its_process"), **options).provenance)


def test_trials_start_in_order_and_end_in_the_ledger(ledger: Ledger) -> None:
    trials = [make_trial(seed) for seed in (3, 1, 4, 0, 2, 5)]
    begun_trials: list[ChapterTrial] = []
    results: list[Result] = []
    supervisor = make_supervisor(
        is_wanted=lambda trial: not begun_trials.append(trial), receive_result=results.append
    )
    assert run_and_count(
        trials, ledger, TrialConditions(run_import=WORK, workers=3), supervisor
    ) == RunCounts(measured_count=6)
    assert begun_trials == trials
    stored = read_results(ledger, trials)
    assert {serialize_result(result) for result in stored.values()} == {
        serialize_result(steady(stub)) for stub in trials
    }
    assert {result.trial.id for result in results} == set(stored)


def test_a_trial_listed_twice_is_trained_once(
    ledger: Ledger,
) -> None:
    assert run_and_count([], ledger, TrialConditions(run_import=WORK)) == RunCounts()
    assert run_and_count(
        [make_trial(), make_trial(), make_trial(1)], ledger, TrialConditions(run_import=WORK)
    ) == RunCounts(measured_count=2)


def test_the_supervisor_is_never_called_twice_at_the_same_time(ledger: Ledger) -> None:
    semaphore = threading.Semaphore(1)

    def check_alone(_: ChapterTrial | Result) -> bool:
        assert semaphore.acquire(blocking=False)
        time.sleep(0.01)
        semaphore.release()
        return True

    trials = [make_trial(seed) for seed in range(8)]
    supervisor = make_supervisor(is_wanted=check_alone, receive_result=check_alone)
    conditions = TrialConditions(run_import=WORK, workers=4)
    assert run_and_count(trials, ledger, conditions, supervisor) == RunCounts(measured_count=8)


def test_a_failed_trial_is_final_until_it_is_asked_for_again(ledger: Ledger) -> None:
    trials = [make_trial(0, "raises"), make_trial(1)]
    assert run_and_count(trials, ledger, TrialConditions(run_import=WORK)) == RunCounts(
        measured_count=1, failed_count=1
    )
    assert run_and_count(trials, ledger, TrialConditions(run_import=WORK)) == RunCounts(stored_count=2)
    ledger.record_result(
        make_failed_result(make_trial(2), "diverged", status="diverged")
    )  # a result, as command.md says
    trials.append(make_trial(2))
    assert run_and_count(
        trials, ledger, TrialConditions(run_import=WORK), RunSupervisor(retries=True)
    ) == RunCounts(failed_count=1, stored_count=2)


def test_fail_fast_starts_nothing_after_the_first_failure(ledger: Ledger) -> None:
    trials = [make_trial(0), make_trial(1, "raises"), make_trial(2), make_trial(3)]
    assert run_and_count(trials, ledger, TrialConditions(run_import=WORK), fail_fast=True) == RunCounts(
        measured_count=1, failed_count=1, left_count=2
    )


def test_a_ledger_that_cannot_be_written_stops_the_study_with_its_line(ledger: Ledger) -> None:
    class Full(Ledger):
        def record_result(self, result: Result) -> None:
            if result.trial.seed == 2:
                raise BadInput("no room")
            super().record_result(result)

    # One place is taken by the long trial, so that the other three follow one another in the other place.
    trials = [make_trial(3, sleep=3600), *(make_trial(seed) for seed in range(3)), make_trial(4)]
    with raises_bad_input("no room"):  # within the test's own limit: the long trial was stopped
        run_trials(trials, Full(ledger.root), TrialConditions(run_import=WORK, workers=2))
    assert run_and_count(trials[1:4], ledger, TrialConditions(run_import=WORK)) == RunCounts(
        measured_count=1, stored_count=2
    ), "resumed"


def test_a_clock_that_jumps_back_changes_no_duration_and_no_limit(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter(range(2_000_000_000, 0, -86_400))
    monkeypatch.setattr(time, "time", lambda: float(next(times)))
    results: list[Result] = []
    for stub, seconds in ((make_trial(0, sleep=0.2), 100), (make_trial(1, "loops"), 1.5)):
        run_trials(
            [stub],
            ledger,
            TrialConditions(run_import=WORK, limits=Limits(time_limit=seconds)),
            make_supervisor(receive_result=results.append),
        )
    assert [result.trial.seed for result in results] == [0, 1]
    assert results[0].started > results[1].started, "the clock did jump"
    assert 0.2 <= results[0].attempt_seconds < 100
    assert results[1].reason.startswith("time limit of 1.5 s")
    assert 1.5 <= results[1].attempt_seconds < 100


def test_each_trial_has_a_new_process_with_a_pinned_environment() -> None:
    first = read_fresh_process()
    second = read_fresh_process()
    assert len({first["pid"], second["pid"], os.getpid()}) == 3
    assert first["environment"].items() >= ENVIRONMENT.items()
    assert first["hash"] == second["hash"]
    assert first["folder"] == str(Path.cwd())
    assert first["main"] is None, "the program that started it is not imported"
    assert not {
        "pytest",
        "torch",
        "mlflow",
        "unrolled.ablations.ledger",
        "unrolled.ablations.runner.process",
    } & {*first["modules"]}


def test_the_parent_is_as_it_was(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its environment, its main module, its blocked signals and its handlers of Ctrl-C."""

    def read_state() -> tuple[object, ...]:
        handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        return dict(os.environ), sys.modules["__main__"], blocked, handlers

    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MALLOC_TOP_PAD_", raising=False)
    state = read_state()
    run_trials([make_trial()], ledger, TrialConditions(run_import=WORK))
    assert read_state() == state


def test_a_leak_of_a_trial_does_not_reach_the_next(ledger: Ledger) -> None:
    clean_process = read_fresh_process()
    random.seed(0)
    assert run_and_count([make_trial(0, "leaks")], ledger, TrialConditions(run_import=WORK)) == RunCounts(
        measured_count=1
    )
    next_process = read_fresh_process()
    assert next_process.pop("pid") != clean_process.pop("pid")
    assert next_process == clean_process


def test_ctrl_c_lets_the_running_trials_finish_and_starts_no_more(tmp_path: Path, start_study) -> None:
    signal_file = tmp_path / "go"
    study = start_study(tmp_path, count=50, workers=2, until=signal_file)
    study.read_until("start 1")
    study.interrupt()
    study.read_until("finishing the running trials")
    signal_file.touch()
    code, output = study.wait_for_end()
    assert code == 130
    assert (
        "RunCounts(measured_count=2, failed_count=0, stored_count=0, left_count=48, interrupted=True)"
        in output
    )
    assert study.living_pids() == []
    next_study = start_study(tmp_path, count=4, workers=4)  # other trials: no sleep
    assert next_study.wait_for_end()[0] == 0


@pytest.mark.parametrize("signals", ["ctrl-c twice", "sigterm"])
def test_ctrl_c_twice_or_sigterm_stops_now_and_records_nothing_half(
    tmp_path: Path, start_study, signals: str
) -> None:
    study = start_study(tmp_path, count=50, sleep=600)
    study.read_until("start 1")
    if signals == "sigterm":
        study.process.terminate()
    else:
        study.interrupt()
        study.read_until("finishing the running trials")
        study.interrupt()
    code, output = study.wait_for_end()
    assert code == 130
    assert (
        "RunCounts(measured_count=0, failed_count=0, stored_count=0, left_count=50, interrupted=True)"
        in output
    )
    assert study.living_pids() == []


def test_a_study_can_run_outside_the_main_thread(ledger: Ledger) -> None:
    tallies: list[RunCounts] = []
    thread = threading.Thread(
        target=lambda: tallies.append(run_and_count([make_trial()], ledger, TrialConditions(run_import=WORK)))
    )
    thread.start()
    thread.join()
    assert tallies == [RunCounts(measured_count=1)]


def test_a_callback_that_fails_stops_the_study_and_is_raised(ledger: Ledger) -> None:
    def fail(result: Result) -> None:
        raise BrokenPipeError("the reader of our output has gone")

    trials = [make_trial(0), make_trial(1, sleep=600), make_trial(2)]
    with pytest.raises(BrokenPipeError):
        run_trials(
            trials, ledger, TrialConditions(run_import=WORK, workers=2), make_supervisor(receive_result=fail)
        )
    assert list(ledger.read_results(t.id for t in trials)) == [make_trial(0).id], (
        "recorded before it was told"
    )
