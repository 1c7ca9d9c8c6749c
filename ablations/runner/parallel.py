"""Run trials side by side, each in a fresh process, until all of them are in the ledger.

Each worker is a thread of the parent that starts a trial, waits for it and records its result. A killed trial
is therefore one failed result; in a pool of processes it would end the pool.
"""

import math
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.runner.child import ProcessConditions
from unrolled.ablations.runner.gpus import GpuSlots
from unrolled.ablations.runner.process import run_in_process
from unrolled.ablations.runner.supervisor import RunSupervisor
from unrolled.ablations.runner.trial_queue import TrialQueue
from unrolled.bench.hardware.devices import Gpu
from unrolled.bench.trial import Result, Trial

LONGEST_PAUSE = 60.0
"""Seconds that this process may stand still before its supervisor is told."""


@dataclass(frozen=True, kw_only=True)
class TrialConditions(ProcessConditions):
    """How trials are run, side by side or on a cluster."""

    workers: int = 1  # trials at a time on this machine
    run_token: str = ""  # stored in the results: see `Result`
    gpus: Sequence[Gpu] = ()  # shared by trials of device cuda: see `ablations.runner.gpus`
    cluster: str = ""  # address of the Dask scheduler on whose workers they run; "" to run them here


def run_trials(
    trials: Sequence[Trial],
    ledger: Ledger,
    conditions: TrialConditions = TrialConditions(),
    supervisor: RunSupervisor = RunSupervisor(),
    *,
    fail_fast: bool = False,
) -> bool:
    """Run the trials that the ledger has no result for, in this order, as far as the supervisor wants them.

    `fail_fast` lets no trial start after the first failure. After Ctrl-C no trial starts; a second Ctrl-C, or
    SIGTERM, also ends the running trials, without recording them. Returns True after either signal.

    Raises BadInput if the ledger cannot be written, if a trial's code, text or versions have changed since it
    was planned, or if the cluster fails; and whatever the supervisor raises, once all trials are stopped.
    """
    trials_by_id = {trial.id: trial for trial in trials}
    results = ledger.read_results(trials_by_id)
    missing_trials = [
        trial
        for id, trial in trials_by_id.items()
        if id not in results or supervisor.should_retrain(results[id])
    ]
    queue = TrialQueue(missing_trials, ledger, supervisor, fail_fast=fail_fast)
    try:
        with queue.shutdown.handle_signals():
            if conditions.cluster and missing_trials:
                from unrolled.ablations.runner.cluster import run_on_cluster  # requires the extra `cluster`

                run_on_cluster(conditions.cluster, conditions, missing_trials, queue)
            else:
                _run_here(missing_trials, conditions, queue)
    finally:
        queue.unlock_all()
    return queue.shutdown.interrupted


def run_in_temporary_ledger(
    trials: Sequence[Trial],
    conditions: TrialConditions,
    supervisor: RunSupervisor = RunSupervisor(),
    *,
    fail_fast: bool = False,
) -> tuple[dict[str, Result], bool]:
    """Run trials as `run_trials` does, into a ledger that is removed.

    Returns their results by id, and whether Ctrl-C ended the run.
    """
    with TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder))
        interrupted = run_trials(trials, ledger, conditions, supervisor, fail_fast=fail_fast)
        results = {trial.id: result for trial in trials if (result := ledger.read_result(trial.id))}
    return results, interrupted


def _run_here(trials: Sequence[Trial], conditions: TrialConditions, queue: TrialQueue) -> None:
    """Run the trials of a queue on this machine. If a worker raises an error, stop all and raise it."""
    workers = min(conditions.workers, len(trials))
    gpus_in_use = workers * max((trial.gpu_count for trial in trials), default=0)
    slots = GpuSlots(conditions.gpus, math.ceil(gpus_in_use / max(len(conditions.gpus), 1)))

    def run_queue() -> None:
        try:
            while trial := queue.wait_for_trial():
                with slots.hold_gpus(trial.gpu_count) as gpus:
                    result = run_in_process(
                        trial,
                        conditions,
                        checkpoints=queue.checkpoints,
                        stop=queue.shutdown.stop_signal,
                        gpus=gpus,
                    )
                if result is not None:
                    provenance = {"trials_at_a_time": workers, **result.provenance}
                    queue.record_result(
                        replace(result, provenance=provenance, run_token=conditions.run_token)
                    )
        except BaseException:
            queue.shutdown.stop_trials()
            raise

    with ThreadPoolExecutor(max(workers, 1)) as pool:
        futures = [pool.submit(run_queue) for _ in range(workers)]
        try:
            _wait_for_all(futures, queue)
        finally:
            queue.shutdown.stop_trials()
    for future in futures:
        future.result()


def _wait_for_all(futures: Sequence[Future[None]], queue: TrialQueue) -> None:
    """Wait until all futures are done, and tell the queue of pauses."""
    is_done = False
    last_time = time.time()
    while not is_done:
        is_done = not wait(futures, 0.1).not_done  # a signal received by another thread does not end a wait
        now = time.time()
        if now - last_time > LONGEST_PAUSE:
            queue.receive_pause()
        last_time = now
