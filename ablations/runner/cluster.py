"""Trials on the workers of a Dask cluster, which places them. The worker's side is in `worker`, without Dask.

Only the driver writes the ledger. It submits no more trials than the workers have slots, for two reasons:
results decide which trial is wanted next, and Dask blames a worker's death on every task that waits there.
"""

import asyncio
import hashlib
import logging
import platform
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path

from unrolled.ablations.ledger import MALFORMED_DATA_ERRORS, seal, unseal
from unrolled.ablations.runner import sent_files, worker
from unrolled.ablations.runner.child import ProcessConditions
from unrolled.ablations.runner.process import check_result
from unrolled.ablations.runner.sent_files import store_files
from unrolled.ablations.runner.trial_queue import TrialQueue
from unrolled.bench.errors import BadInput, require
from unrolled.bench.files.canonical_json import canonical_json
from unrolled.bench.phrases import make_visible, plural
from unrolled.bench.trial import Result, Trial, make_failed_result

try:
    from distributed import (
        Client,
        Future,
        KilledWorker,
        Security,
        Status,
        Worker,
        WorkerPlugin,
        as_completed,
        get_worker,
    )
    from distributed.comm import connect
except ImportError as error:
    raise BadInput(
        f"Dask is missing ({error})", cure=".venv/bin/pip install -e '.[cluster]' installs it"
    ) from error

CONNECT_SECONDS = 10.0  # seconds to wait for a scheduler's answer
NO_WORKER_SECONDS = 60.0  # seconds without a worker after which the run ends
COUNT_SECONDS = 2.0  # seconds between two counts of the workers' slots
SCHEDULER_LOST = "the scheduler was lost", "start it again"  # rule and cure
POLL_SECONDS = 0.005  # seconds between two checks for results and for Ctrl-C


class Shipment(WorkerPlugin):  # type: ignore[misc]
    """The user's texts and plug-ins, stored on each worker before its first trial, whenever it joins.

    Each driver's shipment has its own name, because another driver may send the same files and end earlier.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = files
        self.name = f"unrolled-{uuid.uuid4().hex}"

    def setup(self, worker: Worker) -> None:
        """Write the files. Dask calls it on the worker."""
        store_files(Path(worker.local_directory), self.files)


def check_worker(facts: Mapping[str, str], gpu_count: int, with_torch: bool, dask_worker: Worker) -> str:
    """Return, on a worker, why it cannot run the trials of a driver with these `facts`, or ""."""
    if fault := worker.find_difference(facts):
        return fault
    if dask_worker.state.total_resources.get("GPU", 0) < gpu_count:
        return ""  # this worker is sent no trial
    return worker.find_gpu_fault(gpu_count, with_torch=with_torch)


def run_on_worker(trial: Trial, conditions: ProcessConditions, ledger: str) -> bytes:
    """Run, on a worker, a trial of a ledger until it ends or its task is cancelled. Returns a sealed answer.

    The scheduler cancels the tasks of a driver that is gone.
    """
    dask_worker = get_worker()
    key = dask_worker.get_current_task()

    def is_cancelled() -> bool:
        task = dask_worker.state.tasks.get(key)
        closing = dask_worker.status in (Status.closing, Status.closed, Status.failed)
        return closing or task is None or task.state not in ("executing", "long-running")

    answer = worker.run_trial(trial, conditions, ledger, Path(dask_worker.local_directory), is_cancelled)
    return seal({**answer, "worker": dask_worker.address})


def run_on_cluster(
    address: str,
    conditions: ProcessConditions,
    trials: Sequence[Trial],
    queue: TrialQueue,
) -> None:
    """Run the trials of a queue on a cluster and record each result as it comes, until the shutdown.

    A worker keeps the checkpoints of each ledger apart. Raises BadInput if there is no cluster, if a worker
    has other code or other versions, and if the scheduler or, for a while, every worker is lost.
    """
    files, worker_names = sent_files.read_files_to_send(trials, conditions.plugins)
    with _connect_client(address) as client:
        _check_workers(client, address, trials[0])
        with _send_files(client, files):
            place = canonical_json([platform.node(), str(queue.checkpoints.resolve())])
            _Driver(
                client=client,
                address=address,
                conditions=conditions,
                gpu_count=trials[0].gpu_count,
                ledger=hashlib.sha256(place).hexdigest()[:16],
                worker_names=worker_names,
                queue=queue,
            ).run_queue()


@contextmanager
def _connect_client(address: str) -> Iterator[Client]:
    for name in ("distributed", "distributed.client"):  # the driver reports relevant messages itself
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        asyncio.run(_reach_scheduler(address))  # a client without a scheduler would take long to close
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False, direct_to_workers=False)
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise BadInput(
            f"no scheduler answers ({error})",
            place=f"--cluster {address}",
            cure="start one (`make cluster` starts one on this machine) or correct the address; "
            "tls:// needs certificates, see docs/cluster.md",
        ) from error
    try:
        yield client
    finally:
        client.close(timeout=5)


async def _reach_scheduler(address: str) -> None:
    comm = await connect(address, timeout=CONNECT_SECONDS, **Security().get_connection_args("client"))
    await comm.close()


def _check_workers(client: Client, address: str, trial: Trial) -> None:
    """Raise BadInput if a worker differs from the driver, or if workers are there and none has the GPUs."""
    needs = trial.gpu_count, trial.uses_torch
    faults = client.run(check_worker, worker.collect_facts(), *needs, on_error="return")
    for worker_address, fault in faults.items():
        if isinstance(fault, Exception):
            fault = f"cannot load unrolled ({fault}): install the same there"
        require(not fault, make_visible(f"worker {worker_address} {fault}"))
    require(
        not faults or _count_slots(client, trial.gpu_count),
        f"no worker declares {plural(trial.gpu_count, 'GPU')}",
        place=f"--cluster {address}",
        cure=f"start workers that see them, with --nthreads 1 --resources GPU={trial.gpu_count}",
    )


@contextmanager
def _send_files(client: Client, files: Mapping[str, bytes]) -> Iterator[None]:
    """Keep the files on every worker, within the block."""
    if not files:
        yield
        return
    shipment = Shipment(files)
    try:
        client.register_plugin(shipment, shipment.name)
    except OSError as error:
        raise BadInput(f"a worker cannot store your files ({error})") from error
    try:
        yield
    finally:
        if client.status == "running":  # a lost scheduler cannot answer
            client.unregister_worker_plugin(shipment.name)


def _count_slots(client: Client, gpu_count: int) -> int:
    """Return how many trials the workers run at a time: one per thread, as far as their GPUs suffice."""
    slots = 0
    for facts in client.scheduler_info()["workers"].values():
        threads = int(facts["nthreads"])
        gpus = int(facts["resources"].get("GPU", 0))
        slots += min(threads, gpus // gpu_count) if gpu_count else threads
    return slots


def read_worker_answer(trial: Trial, outcome: object) -> Result | str:
    """Return the result in a worker's answer, or why there is none. Raises BadInput for a refused trial."""
    try:
        answer = unseal(outcome)  # type: ignore[arg-type]
        if "refused" not in answer:
            return check_result(answer["result"], trial)
        refusal = f"worker {answer['worker']} {answer['refused']}"
    except MALFORMED_DATA_ERRORS as error:
        return f"its worker answered with something that is not its result: {error!r}"
    raise BadInput(make_visible(refusal))


@dataclass(kw_only=True)
class _Driver:
    """The driver's side: it submits trials, again if their worker dies, and records their results."""

    client: Client
    address: str
    conditions: ProcessConditions
    gpu_count: int  # number of GPUs that each trial gets
    ledger: str  # the ledger's name on the workers
    worker_names: Mapping[str, str]  # plug-ins: the worker's name by the driver's name
    queue: TrialQueue

    running: dict[str, Trial] = field(default_factory=dict)  # trials by the keys of their tasks
    to_resubmit: list[Trial] = field(default_factory=list)  # trials that are submitted once more
    failures: Counter[str] = field(default_factory=Counter)  # submissions without an answer, by trial
    slots: int = 0
    count_time: float = -inf  # time of the last count of slots
    slot_time: float = field(default_factory=time.monotonic)  # time when there was last a slot

    def run_queue(self) -> None:
        """Run until every trial of the queue is recorded, or the shutdown has let the last one finish."""
        completed = as_completed(loop=self.client.loop, with_results=True, raise_errors=False)
        while not self.queue.shutdown.is_stopping:
            self.refresh_slots()
            while len(self.running) < self.slots and (trial := self.take_next_trial()):
                completed.add(self.submit_trial(trial))
            is_finished = self.queue.is_exhausted and not self.to_resubmit
            if not self.running and (self.queue.shutdown.is_draining or is_finished):
                return
            for future, outcome in completed.next_batch(block=False):
                self.receive_outcome(self.running.pop(future.key), outcome)
            if self.client.status != "running":
                raise self.make_cluster_error(*SCHEDULER_LOST)
            time.sleep(POLL_SECONDS)

    def refresh_slots(self) -> None:
        """Count the workers' slots every `COUNT_SECONDS`. Raises BadInput after a minute without any."""
        clock = time.monotonic()
        if clock - self.count_time < COUNT_SECONDS:
            return
        self.count_time = clock
        self.slots = _count_slots(self.client, self.gpu_count)
        if self.slots:
            self.slot_time = clock
        elif clock - self.slot_time > NO_WORKER_SECONDS:
            raise self.make_cluster_error(f"no worker for {NO_WORKER_SECONDS:g} s", "start some")

    def take_next_trial(self) -> Trial | None:
        """Return the next trial to submit, if there is one."""
        if self.queue.shutdown.is_draining:
            return None
        return self.to_resubmit.pop() if self.to_resubmit else self.queue.take_next_trial()

    def submit_trial(self, trial: Trial) -> Future:
        """Let Dask run a trial where there is a slot."""
        conditions = self.conditions.adapt_to_trial(trial)
        conditions = replace(
            conditions, plugins=tuple(self.worker_names[name] for name in conditions.plugins)
        )
        resources = {"GPU": trial.gpu_count} if trial.gpu_count else {}
        future = self.client.submit(
            run_on_worker, trial, conditions, self.ledger, resources=resources, pure=False
        )
        self.running[future.key] = trial
        return future

    def receive_outcome(self, trial: Trial, outcome: object) -> None:
        """Record the result of a task that has ended, or submit its trial again.

        The future's status is not used: it becomes "lost" if a worker dies after its result was fetched.
        """
        if isinstance(outcome, CancelledError):  # this driver cancels no task: the scheduler was lost
            raise self.make_cluster_error(*SCHEDULER_LOST)
        if isinstance(outcome, tuple):  # type, error and traceback of a failed task
            task_error = outcome[1]
            worker_died = isinstance(task_error, KilledWorker)
            answer: Result | str = "its worker died" if worker_died else f"its worker failed: {task_error!r}"
        else:
            answer = read_worker_answer(trial, outcome)
        attempts = self.failures[trial.id] + 1
        if isinstance(answer, Result):
            # The start is by the driver's clock, because a worker reports only how long the trial took.
            started = time.time() - answer.attempt_seconds
            self.queue.record_result(
                replace(answer, attempts=answer.attempts + attempts - 1, started=started)
            )
        elif attempts < self.conditions.limits.attempts:
            self.failures[trial.id] = attempts
            self.to_resubmit.append(trial)
        else:
            reason = f"{answer} ({plural(attempts, 'attempt')})"
            self.queue.record_result(
                make_failed_result(trial, reason, attempts=attempts, started=time.time())
            )

    def make_cluster_error(self, rule: str, cure: str) -> BadInput:
        """Return an error that ends the run."""
        resumption = "then run the same command; everything recorded so far is kept"
        return BadInput(rule, place=f"--cluster {self.address}", cure=f"{cure}, {resumption}")
