"""Run trials side by side, each in a fresh process, until all of them are in the ledger.

Each worker is a thread of the parent that starts a trial, waits for it and records its result. A killed trial
is therefore one failed result, where it would end a pool of processes.
"""

import math
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.runner.child import ProcessConditions
from unrolled.ablations.runner.gpus import GpuSlots
from unrolled.ablations.runner.process import remove_checkpoints, run_alone
from unrolled.ablations.runner.shutdown import Shutdown
from unrolled.ablations.runner.supervisor import RunSupervisor
from unrolled.ablations.runner.trial_queue import TrialQueue
from unrolled.bench.devices import Gpu
from unrolled.bench.trial import Result, Trial

OF_ANOTHER_RUN = "of another run"
"""Key, in the counts of a run, of the trials whose results another run has stored meanwhile."""


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
    supervisor: RunSupervisor = RunSupervisor(),
    *,
    fail_fast: bool = False,
) -> Counts:
    """Run the trials that the ledger has no result for, in this order, as far as the supervisor wants them.

    `fail_fast` lets no trial start after the first failure. After Ctrl-C no trial starts; a second Ctrl-C, or
    SIGTERM, also ends the running trials, without recording them.

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
    run = _Run(missing_trials, ledger, supervisor, fail_fast=fail_fast)
    try:
        with run.shutdown.handle_signals():
            if conditions.cluster and missing_trials:
                from unrolled.ablations.runner.cluster import run_on_cluster  # requires the extra `cluster`

                run_on_cluster(
                    conditions.cluster,
                    conditions,
                    ledger.checkpoints,
                    missing_trials,
                    run.queue,
                    run.record_result,
                    run.shutdown,
                )
            else:
                _run_here(missing_trials, run, ledger.checkpoints, conditions)
    finally:
        run.queue.unlock_all()
    counts = run.counts
    return Counts(
        measured_count=counts["done"] + counts["diverged"],
        failed_count=counts["failed"],
        stored_count=len(trials_by_id) - len(missing_trials) + counts[OF_ANOTHER_RUN],
        left_count=len(missing_trials) - counts.total(),
        interrupted=run.shutdown.interrupted,
    )


class _Run:
    """A run of the trials that a ledger lacks: those that have not started, and what became of the others."""

    def __init__(
        self, trials: Sequence[Trial], ledger: Ledger, supervisor: RunSupervisor, *, fail_fast: bool
    ) -> None:
        self.shutdown = Shutdown()
        self.counts = Counter[str]()  # ended trials by status in the study, and those OF_ANOTHER_RUN
        self._ledger = ledger
        self._supervisor = supervisor
        self._fail_fast = fail_fast
        self._lock = threading.Lock()
        self.queue = TrialQueue(
            trials,
            ledger.checkpoints,
            supervisor.is_wanted,
            self._is_missing,
            ledger.warn_once,
            self.shutdown,
            self._lock,
        )

    def record_result(self, result: Result) -> None:
        """Store a result in the ledger, remove what its trial left, and hand it to the supervisor."""
        self._ledger.record_result(result)
        remove_checkpoints(self._ledger.checkpoints, result)
        self.queue.unlock_trial(result.trial.id)
        result_in_study = self._supervisor.make_result_in_study(result)
        with self._lock:
            self.counts[result_in_study.status] += 1
            self._supervisor.receive_result(result_in_study)
        if self._fail_fast and result_in_study.status == "failed":
            self.shutdown.drain_trials()

    def _is_missing(self, trial: Trial) -> bool:
        """Return True if the ledger still lacks a trial that the queue has locked. The lock is held."""
        result = self._ledger.read_results([trial.id]).get(trial.id)
        if result is None or self._supervisor.should_retrain(result):
            return True
        self.counts[OF_ANOTHER_RUN] += 1
        self._supervisor.receive_result_of_another_run(self._supervisor.make_result_in_study(result))
        return False


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
        counts = run_trials(trials, ledger, conditions, supervisor, fail_fast=fail_fast)
        results = {trial.id: result for trial in trials if (result := ledger.read_result(trial.id))}
    return results, counts.interrupted


def _run_here(trials: Sequence[Trial], run: _Run, checkpoints: Path, conditions: TrialConditions) -> None:
    """Run the trials on this machine. If a worker raises an error, stop all and raise it."""
    workers = min(conditions.workers, len(trials))
    gpus_in_use = workers * max((trial.gpu_count for trial in trials), default=0)
    slots = GpuSlots(conditions.gpus, math.ceil(gpus_in_use / max(len(conditions.gpus), 1)))

    def run_queue() -> None:
        try:
            while trial := run.queue.wait_for_trial():
                with slots.hold_gpus(trial.gpu_count) as gpus:
                    stop = run.shutdown.stop_signal
                    result = run_alone(trial, conditions, checkpoints=checkpoints, stop=stop, gpus=gpus)
                if result is not None:
                    provenance = {"trials_at_a_time": workers, **result.provenance}
                    run.record_result(replace(result, provenance=provenance))
        except BaseException:
            run.shutdown.stop_trials()
            raise

    with ThreadPoolExecutor(max(workers, 1)) as pool:
        futures = [pool.submit(run_queue) for _ in range(workers)]
        try:
            while wait(futures, 0.1).not_done:  # a signal received by another thread does not end a wait
                pass
        finally:
            run.shutdown.stop_trials()
    for future in futures:
        future.result()
