"""Trials on the workers of a Dask cluster, which places them. The worker's side is in `worker`, without Dask.

The driver alone writes the ledger. It submits no more trials than the workers have slots, because results
decide which one is wanted next, and because Dask blames a worker's death on every task that waits there.
"""

import asyncio
import hashlib
import logging
import platform
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path

from unrolled.ablations.ledger import MISREAD, seal, unseal
from unrolled.ablations.runner import worker
from unrolled.ablations.runner.child import TaskSpec
from unrolled.ablations.runner.process import check_result
from unrolled.ablations.runner.shutdown import Shutdown
from unrolled.ablations.runner.trial_queue import TrialQueue
from unrolled.ablations.runner.worker import store_files
from unrolled.bench.errors import BadInput, plural, require, visible
from unrolled.bench.trial import Result, Trial, canonical, failure

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

CONNECT_SECONDS = 10.0  # for a scheduler to answer
NO_WORKER_SECONDS = 60.0  # without a single worker
COUNT_SECONDS = 2.0  # between two counts of the workers' slots
SCHEDULER_LOST = "the scheduler was lost", "start it again"  # and its cure
POLL = 0.005  # seconds between two looks for results and for Ctrl-C


class Shipment(WorkerPlugin):  # type: ignore[misc]
    """The user's texts and plug-ins, stored on each worker before its first trial, whenever it joins.

    Its name is of one driver: another one may ship the same files, and ends at another time.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = files
        self.name = f"unrolled-{uuid.uuid4().hex}"

    def setup(self, worker: Worker) -> None:
        """Write the files. Dask calls it on the worker."""
        store_files(Path(worker.local_directory), self.files)


def check_worker(facts: Mapping[str, str], gpu_count: int, with_torch: bool, dask_worker: Worker) -> str:
    """On a worker: why it cannot run the trials of a driver with these `facts`, or ""."""
    # a worker that declares fewer GPUs than a trial gets is sent none
    has_gpus = dask_worker.state.total_resources.get("GPU", 0) >= gpu_count
    return worker.mismatch(facts) or (
        worker.find_gpu_fault(gpu_count, with_torch=with_torch) if has_gpus else ""
    )


def run_on_worker(trial: Trial, spec: TaskSpec, ledger: str) -> bytes:
    """On a worker: run a trial of a ledger until it ends or its task is cancelled. Returns its sealed answer.

    The scheduler cancels the tasks of a driver that is gone.
    """
    here = get_worker()
    key = here.get_current_task()

    def cancelled() -> bool:
        task = here.state.tasks.get(key)
        closing = here.status in (Status.closing, Status.closed, Status.failed)
        return closing or task is None or task.state not in ("executing", "long-running")

    answer = worker.run_trial(trial, spec, ledger, Path(here.local_directory), cancelled)
    return seal({**answer, "worker": here.address})


def run_on_cluster(
    address: str,
    spec: TaskSpec,
    checkpoints: Path,
    todo: Sequence[Trial],
    queue: TrialQueue,
    record: Callable[[Result], None],
    shutdown: Shutdown,
) -> None:
    """Run the trials of a queue on a cluster and record each result as it comes, until the shutdown.

    `checkpoints` is the folder of the ledger here; a worker keeps those of each ledger apart.
    Raises BadInput if there is no cluster, if a worker has other code or other versions, and if the scheduler
    is lost, or all workers for a while.
    """
    files, names = worker.files_to_ship(todo, spec.preload)
    with _connected(address) as client:
        _check_workers(client, address, todo[0])
        with _shipped(client, files):
            ledger = hashlib.sha256(canonical([platform.node(), str(checkpoints.resolve())])).hexdigest()[:16]
            _Driver(client, address, todo[0].gpu_count, spec, ledger, names, record, shutdown).run(queue)


@contextmanager
def _connected(address: str) -> Iterator[Client]:
    for name in ("distributed", "distributed.client"):  # the driver reports what matters itself
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        asyncio.run(_reach(address))  # a client without a scheduler would take long to close
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


async def _reach(address: str) -> None:
    comm = await connect(address, timeout=CONNECT_SECONDS, **Security().get_connection_args("client"))
    await comm.close()


def _check_workers(client: Client, address: str, trial: Trial) -> None:
    """Raise BadInput if a worker differs from the driver, or if there are workers, but none with the GPUs."""
    needs = trial.gpu_count, trial.uses_torch
    answers = client.run(check_worker, worker.facts(), *needs, on_error="return")
    for worker_address, refused in answers.items():
        if isinstance(refused, Exception):
            refused = f"cannot load unrolled ({refused}): install the same there"
        require(not refused, visible(f"worker {worker_address} {refused}"))
    if answers and not _count_slots(client, trial.gpu_count):
        raise BadInput(
            f"no worker declares {plural(trial.gpu_count, 'GPU')}",
            place=f"--cluster {address}",
            cure=f"start workers that see them, with --nthreads 1 --resources GPU={trial.gpu_count}",
        )


@contextmanager
def _shipped(client: Client, files: Mapping[str, bytes]) -> Iterator[None]:
    """Have the files on every worker, for a block."""
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
    """How many trials the workers run at a time: one a thread, as far as they declare GPUs for them."""
    workers = client.scheduler_info()["workers"].values()
    if not gpu_count:
        return sum(int(each["nthreads"]) for each in workers)
    gpus = [int(each["resources"].get("GPU", 0)) for each in workers]
    return sum(min(int(each["nthreads"]), own // gpu_count) for each, own in zip(workers, gpus, strict=True))


def read_worker_answer(trial: Trial, outcome: object) -> Result | str:
    """The result in a worker's answer, or why there is none. Raises BadInput if the trial was refused."""
    try:
        answer = unseal(outcome)  # type: ignore[arg-type]
        if "refused" not in answer:
            return check_result(answer["result"], trial)
        refused = f"worker {answer['worker']} {answer['refused']}"
    except MISREAD as error:
        return f"its worker answered with something that is not its result: {error!r}"
    raise BadInput(visible(refused))


@dataclass
class _Driver:
    """The driver's side: trials under way, and those whose worker died."""

    client: Client
    address: str
    gpu_count: int  # GPUs of a trial
    spec: TaskSpec
    ledger: str  # its name on the workers
    names: Mapping[str, str]  # of the modules to load: a worker's by the driver's
    record: Callable[[Result], None]
    shutdown: Shutdown

    running: dict[str, Trial] = field(default_factory=dict)  # by the key of its task
    to_resubmit: list[Trial] = field(default_factory=list)  # to be submitted once more
    failures: Counter[str] = field(default_factory=Counter)  # submissions without an answer, by trial
    slots: int = 0
    counted_at: float = -inf  # when the slots were counted last
    had_slots_at: float = field(default_factory=time.monotonic)  # when there was a slot last

    def run(self, queue: TrialQueue) -> None:
        """Run until every trial of the queue is recorded, or the shutdown has let the last one finish."""
        completed = as_completed(loop=self.client.loop, with_results=True, raise_errors=False)
        while not self.shutdown.halted:
            self.refresh_slots()
            while len(self.running) < self.slots and (trial := self.next_trial(queue)):
                completed.add(self.submit(trial))
            finished = queue.exhausted and not self.to_resubmit
            if not self.running and (self.shutdown.drained or finished):
                return
            for future, outcome in completed.next_batch(block=False):
                self.receive(self.running.pop(future.key), outcome)
            if self.client.status != "running":
                raise self.cluster_error(*SCHEDULER_LOST)
            time.sleep(POLL)

    def refresh_slots(self) -> None:
        """Count the workers' slots, now and then. Raises BadInput where there has been none for long."""
        now = time.monotonic()
        if now - self.counted_at < COUNT_SECONDS:
            return
        self.slots, self.counted_at = _count_slots(self.client, self.gpu_count), now
        if self.slots:
            self.had_slots_at = now
        elif now - self.had_slots_at > NO_WORKER_SECONDS:
            raise self.cluster_error(f"no worker for {NO_WORKER_SECONDS:g} s", "start some")

    def next_trial(self, queue: TrialQueue) -> Trial | None:
        """The next trial to submit, if there is one."""
        if self.shutdown.drained:
            return None
        return self.to_resubmit.pop() if self.to_resubmit else queue.next()

    def submit(self, trial: Trial) -> Future:
        """Let Dask run a trial where there is a slot."""
        spec, resources = self.spec.of(trial), {"GPU": trial.gpu_count} if trial.gpu_count else {}
        spec = replace(spec, preload=tuple(self.names[name] for name in spec.preload))
        future = self.client.submit(run_on_worker, trial, spec, self.ledger, resources=resources, pure=False)
        self.running[future.key] = trial
        return future

    def receive(self, trial: Trial, outcome: object) -> None:
        """Record the result of a task that has ended, or submit its trial again.

        The outcome decides: the future's status becomes "lost" if a worker dies after its result was fetched.
        """
        if isinstance(outcome, CancelledError):  # this driver never cancels: the scheduler was lost
            raise self.cluster_error(*SCHEDULER_LOST)
        if isinstance(outcome, tuple):  # type, error and traceback
            died = isinstance(outcome[1], KilledWorker)
            answer: Result | str = "its worker died" if died else f"its worker failed: {outcome[1]!r}"
        else:
            answer = read_worker_answer(trial, outcome)
        before = self.failures[trial.id]
        if isinstance(answer, Result):
            # The driver's clock stamps it: a worker measures only how long it took.
            started = time.time() - answer.seconds
            self.record(replace(answer, attempts=answer.attempts + before, started=started))
        elif (attempts := before + 1) < self.spec.limits.attempts:
            self.failures[trial.id] = attempts
            self.to_resubmit.append(trial)
        else:
            reason = f"{answer} ({plural(attempts, 'attempt')})"
            self.record(failure(trial, reason, attempts=attempts, started=time.time()))

    def cluster_error(self, rule: str, cure: str) -> BadInput:
        """An error that ends the run."""
        again = "then run the same command; everything recorded so far is kept"
        return BadInput(rule, place=f"--cluster {self.address}", cure=f"{cure}, {again}")
