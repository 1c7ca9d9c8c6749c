"""Run trials side by side, each in a fresh process, until all of them are in the ledger.

Each worker is a thread of the parent that starts a trial, waits for it and records its result. A killed trial
is therefore one failed result, where it would end a pool of processes.
"""

import math
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.runner.child import ProcessConditions
from unrolled.ablations.runner.gpus import GpuSlots
from unrolled.ablations.runner.process import remove_checkpoints, run_alone
from unrolled.ablations.runner.shutdown import Shutdown
from unrolled.ablations.runner.trial_queue import TrialQueue
from unrolled.bench.devices import Gpu
from unrolled.bench.trial import Result, ResultInStudy, Trial


@dataclass(frozen=True, kw_only=True)
class Counts:
    """The trials of a run by outcome; the four numbers add up to all of them."""

    measured_count: int = 0  # trials that are done or diverged
    failed_count: int = 0
    stored_count: int = 0  # trials with a result in the ledger
    left_count: int = 0  # trials not run, stopped or not wanted
    interrupted: bool = False


@dataclass(frozen=True, kw_only=True)
class TrialConditions(ProcessConditions):
    """How trials are run, side by side or on a cluster."""

    workers: int = 1  # trials at a time on this machine
    gpus: Sequence[Gpu] = ()  # shared by trials of device cuda: see `ablations.runner.gpus`
    cluster: str = ""  # address of the Dask scheduler on whose workers they run; "" to run them here


def run_trials(
    trials: Sequence[Trial],
    ledger: Ledger,
    conditions: TrialConditions = TrialConditions(),
    *,
    should_retrain: Callable[[Result], bool] = lambda _: False,
    fail_fast: bool = False,
    make_result_in_study: Callable[[Result], ResultInStudy] = ResultInStudy,
    is_wanted: Callable[[Trial], bool] = lambda _: True,
    on_result: Callable[[ResultInStudy], None] = lambda _: None,
    on_result_of_another_run: Callable[[ResultInStudy], None] = lambda _: None,
) -> Counts:
    """Run the trials that the ledger has no result for, in this order.

    should_retrain: returns True for a stored result that another training replaces; others are final.
    fail_fast: whether no trial starts after the first failure.
    make_result_in_study: gives a result its status in the study. The ledger gets it as it was measured.
    is_wanted: called for each trial when a slot is free for it. A trial that is not wanted does not start.
    on_result: called with each result of this run.
    on_result_of_another_run: called with the result of a trial that another run was training.

    The last three are called from several threads, but one at a time, so that which trials are wanted may
    follow from the results so far. After Ctrl-C no trial starts; a second Ctrl-C, or SIGTERM, also ends the
    running trials, without recording them.

    Raises BadInput if the ledger cannot be written, if a trial's code, text or versions have changed since it
    was planned, or if the cluster fails; and whatever these functions raise, once all trials are stopped.
    """
    trials_by_id = {trial.id: trial for trial in trials}
    results = ledger.read_results(trials_by_id)
    missing_trials = [
        trial for id, trial in trials_by_id.items() if id not in results or should_retrain(results[id])
    ]
    shutdown = Shutdown()
    lock = threading.Lock()
    end_counts = Counter[str]()

    def is_missing(trial: Trial) -> bool:
        result = ledger.read_results([trial.id]).get(trial.id)
        if result is None or should_retrain(result):
            return True
        end_counts["by another run"] += 1
        on_result_of_another_run(make_result_in_study(result))
        return False

    def record_result(result: Result) -> None:
        ledger.record_result(result)
        remove_checkpoints(ledger.checkpoints, result)
        queue.unlock_trial(result.trial.id)
        result_in_study = make_result_in_study(result)
        with lock:
            end_counts[result_in_study.status] += 1
            on_result(result_in_study)
        if fail_fast and result_in_study.status == "failed":
            shutdown.drain_trials()

    queue = TrialQueue(
        missing_trials, ledger.checkpoints, is_wanted, is_missing, ledger.warn_once, shutdown, lock
    )
    try:
        with shutdown.handle_signals():
            if conditions.cluster and missing_trials:
                from unrolled.ablations.runner.cluster import run_on_cluster  # requires the extra `cluster`

                run_on_cluster(
                    conditions.cluster,
                    conditions,
                    ledger.checkpoints,
                    missing_trials,
                    queue,
                    record_result,
                    shutdown,
                )
            else:
                _run_here(missing_trials, queue, ledger.checkpoints, conditions, record_result, shutdown)
    finally:
        queue.unlock_all()
    return Counts(
        measured_count=end_counts["done"] + end_counts["diverged"],
        failed_count=end_counts["failed"],
        stored_count=len(trials_by_id) - len(missing_trials) + end_counts["by another run"],
        left_count=len(missing_trials) - end_counts.total(),
        interrupted=shutdown.interrupted,
    )


def run_in_temporary_ledger(
    trials: Sequence[Trial],
    conditions: TrialConditions,
    *,
    fail_fast: bool = False,
    is_wanted: Callable[[Trial], bool] = lambda _: True,
    on_result: Callable[[Result], None] = lambda _: None,
) -> tuple[dict[str, Result], bool]:
    """Run trials as `run_trials` does, into a ledger that is removed.

    Returns their results by id, and whether Ctrl-C ended the run.
    """
    with TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder))
        counts = run_trials(
            trials, ledger, conditions, fail_fast=fail_fast, is_wanted=is_wanted, on_result=on_result
        )
        results = {trial.id: result for trial in trials if (result := ledger.read_result(trial.id))}
    return results, counts.interrupted


def _run_here(
    trials: Sequence[Trial],
    queue: TrialQueue,
    checkpoints: Path,
    conditions: TrialConditions,
    record_result: Callable[[Result], None],
    shutdown: Shutdown,
) -> None:
    """Run the trials of a queue on this machine. If a worker raises an error, stop all and raise it."""
    workers = min(conditions.workers, len(trials))
    gpus_in_use = workers * max((trial.gpu_count for trial in trials), default=0)
    slots = GpuSlots(conditions.gpus, math.ceil(gpus_in_use / max(len(conditions.gpus), 1)))

    def run_queue() -> None:
        try:
            while trial := queue.wait_for_trial():
                with slots.hold_gpus(trial.gpu_count) as gpus:
                    stop = shutdown.stop_signal
                    result = run_alone(trial, conditions, checkpoints=checkpoints, stop=stop, gpus=gpus)
                if result is not None:
                    provenance = {"trials_at_a_time": workers, **result.provenance}
                    record_result(replace(result, provenance=provenance))
        except BaseException:
            shutdown.stop_trials()
            raise

    with ThreadPoolExecutor(max(workers, 1)) as pool:
        futures = [pool.submit(run_queue) for _ in range(workers)]
        try:
            while wait(futures, 0.1).not_done:  # a signal received by another thread does not end a wait
                pass
        finally:
            shutdown.stop_trials()
    for future in futures:
        future.result()
