"""Trials on the workers of a Dask cluster. The worker's side is in `worker`, without Dask.

The driver alone writes the ledger. Dask could place the trials itself, but it counts the death of a worker
against every task that waits there, and after a few deaths fails trials that never began. So the driver gives
every slot (a thread of a worker, a GPU where the worker declares some) one trial at a time: a death counts
against one trial, a worker with other code gets none, and no more trials are under way than there are slots.

Workers answer with sealed text. Nothing that comes from the cluster is unpickled: see `unpickling`.
"""

import asyncio
import logging
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from ablations.ledger import seal
from ablations.trials import unpickling, worker
from ablations.trials.answers import Worker, answered, described
from ablations.trials.runner import Shutdown
from ablations.trials.worker import TaskSpec
from bench import plugins
from bench.trial import BadInput, Result, Trial, counted, failure, visible

try:
    from distributed import Client, Future, Security, Status, get_worker
    from distributed.comm import connect
except ImportError as error:
    raise BadInput(
        f"Dask is missing ({error})", cure=".venv/bin/pip install -e '.[cluster]' installs it"
    ) from error

CONNECT = 10.0  # seconds for a scheduler to answer
PATIENCE = 60.0  # seconds without a single worker, or without an answer from one that has just joined
POLL = 0.1  # seconds between two checks of the connection and of Ctrl-C
SCHEDULER_LOST = "the scheduler was lost", "start it again"  # and its cure


def prepare(facts: Mapping[str, str], files: Mapping[str, bytes], device: str) -> bytes:
    """On a worker: check its code, store the user's files, and describe it.

    A worker that declares a resource GPU has as many slots as GPUs, and at most one a thread. One without a
    GPU that can be used refuses trials of device "cuda". Answers, sealed, {"refused": why or "", "slots":
    number, "gpu": whether each slot is a GPU, "idle": which GPUs have no thread, or ""}.
    """
    here = get_worker()
    try:
        refused = worker.unfit(facts) or (worker.without_gpu() if device == "cuda" else "")
        refused = refused or worker.stage(Path(here.local_directory), files)
    except Exception as error:
        refused = f"failed: {error!r}"
    gpus, threads = here.state.total_resources.get("GPU"), here.state.nthreads
    slots = threads if gpus is None else min(threads, int(gpus))
    idle = ""
    if gpus is not None and gpus > threads:
        idle = (
            f"declares {counted(int(gpus), 'GPU')} and has {counted(threads, 'thread')}, so it runs "
            f"{counted(slots, 'trial')} at a time: start one worker a GPU, --nthreads 1 --resources GPU=1"
        )
    return seal({"refused": refused, "slots": slots, "gpu": gpus is not None, "idle": idle})


def perform(trial: Trial, spec: TaskSpec) -> bytes:
    """On a worker: run a trial until it ends or its task is cancelled.

    Returns the answer of `worker.run`, or {"fault": why}. The scheduler cancels the tasks of a dead driver.
    """
    here = get_worker()
    key = here.get_current_task()

    def cancelled() -> bool:
        task = here.state.tasks.get(key)
        closing = here.status in (Status.closing, Status.closed, Status.failed)
        return closing or task is None or task.state not in ("executing", "long-running")

    try:
        return worker.run(trial, spec, Path(here.local_directory), cancelled)
    except Exception as error:
        return seal({"fault": f"its worker failed: {error!r}"})


def slots(address: str) -> int:
    """The number of threads of a cluster's workers, at least 1. Raises BadInput if no scheduler answers."""
    with _connected(address) as client:
        return sum(client.nthreads().values()) or 1


def send(
    address: str,
    spec: TaskSpec,
    todo: Sequence[Trial],
    queue: Iterator[Trial],
    keep: Callable[[Result], None],
    shutdown: Shutdown,
    warn: Callable[[str], None],
) -> None:
    """Run the trials of a queue on a cluster and keep each result as it comes, until the shutdown.

    Raises BadInput if there is no cluster, if a worker has other code or other versions (before the first
    trial; one that joins later gets no trials and a line of warning), and if the scheduler is lost.
    """
    files, there = worker.shipment(todo, spec.preload)
    setup = worker.facts(), files, todo[0].device
    spec = replace(spec, code=worker.digest())
    with _connected(address) as client:
        dispatch = _Dispatch(client, address, spec, there, setup, queue, keep, shutdown, warn)
        client.subscribe_topic("all", dispatch.on_event)
        try:
            dispatch.run()
        finally:
            if client.status == "running":  # a lost scheduler cannot answer
                client.unsubscribe_topic("all")


@contextmanager
def _connected(address: str) -> Iterator[Client]:
    quiet()
    with unpickling.refused():
        client = _client(address)
        try:
            for topic in ("print", "warn"):  # Dask would print their text
                client.unsubscribe_topic(topic)
            yield client
        finally:
            if client._handle_report_task.done():  # whose error closing would raise once more
                client._handle_report_task = None
            client.close(timeout=5)


def _client(address: str) -> Client:
    try:
        asyncio.run(_connect(address))  # a client without a scheduler would take half a minute to close
        return Client(address, timeout=CONNECT, set_as_default=False, direct_to_workers=False)
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise BadInput(
            f"no scheduler answers ({error})",
            place=f"--cluster {address}",
            cure="start one (`make cluster` starts one on this machine) or correct the address; "
            "tls:// needs certificates, see docs/cluster.md",
        ) from error


async def _connect(address: str) -> None:
    comm = await connect(address, timeout=CONNECT, **Security().get_connection_args("client"))
    await comm.close()


def quiet() -> None:
    """Silence Dask's logs: the driver reports what matters itself."""
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


@dataclass
class _Task:
    """A trial on a worker; without a trial, the preparation of a worker."""

    address: str
    future: Future
    trial: Trial | None
    sent: float = field(default_factory=time.time)  # unix seconds, by the driver's clock


@dataclass
class _Dispatch:
    """The driver's side: free slots, trials under way, and the handling of events."""

    client: Client
    scheduler: str
    spec: TaskSpec
    there: Mapping[str, str]  # the names on a worker of the modules to load, by the driver's
    setup: tuple[Mapping[str, str], Mapping[str, bytes], str]  # the arguments of `prepare`
    queue: Iterator[Trial]
    keep: Callable[[Result], None]
    shutdown: Shutdown
    warn: Callable[[str], None]

    events: SimpleQueue[tuple[str, Any]] = field(default_factory=SimpleQueue)
    workers: dict[str, Worker] = field(default_factory=dict)  # by address
    free: deque[str] = field(default_factory=deque)  # the address of each free slot
    tasks: dict[str, _Task] = field(default_factory=dict)
    requeued: deque[Trial] = field(default_factory=deque)  # lost with their worker
    lost: Counter[str] = field(default_factory=Counter)  # attempts, by trial
    began: float = field(default_factory=time.monotonic)
    deserted: float = field(default_factory=time.monotonic)  # since when there is no worker, if there is none
    begun: bool = False

    def run(self) -> None:
        """Until every trial of the queue is kept, or the shutdown has let the last one finish."""
        for address in self.client.nthreads():
            self.on_worker_added(address)
        while not self.shutdown.halted:
            self.assign()
            if self.finished():
                return
            try:
                what, about = self.events.get(timeout=POLL)
            except Empty:
                self.check_connection()
                continue
            match what:
                case "add-worker":
                    self.on_worker_added(about["worker"])
                case "remove-worker":
                    self.on_worker_removed(about["worker"], died=not about.get("expected"))
                case key:
                    self.on_task_done(key, about)

    def on_event(self, event: tuple[float, Any]) -> None:
        """Queue the scheduler's events that a worker has come or gone. Called in Dask's thread.

        Workers may log anything under the same topic.
        """
        about = event[1] if isinstance(event[1], dict) else {}
        if about.get("action") in ("add-worker", "remove-worker") and isinstance(about.get("worker"), str):
            self.events.put((about["action"], about))

    def assign(self) -> None:
        """Give every free slot a trial, once all the workers that were there at first have answered."""
        asked = any(task.trial is None for task in self.tasks.values())
        waiting = asked and time.monotonic() - self.began < PATIENCE
        self.begun = self.begun or (bool(self.workers) and not waiting)
        while self.begun and self.free and not self.shutdown.drained:
            trial = self.requeued.popleft() if self.requeued else next(self.queue, None)
            if trial is None:
                return
            preload = tuple(self.there[name] for name in plugins.needed(trial, self.spec.preload))
            self.submit(self.free.popleft(), perform, trial, replace(self.spec, preload=preload), trial=trial)

    def finished(self) -> bool:
        """Whether no trial is under way or waits: a slot that is still free found the queue empty."""
        busy = any(task.trial for task in self.tasks.values())
        return not busy and (self.shutdown.drained or (self.begun and bool(self.free)))

    def check_connection(self) -> None:
        """Raise BadInput if the scheduler is lost, no worker has come for long, or Dask's listener failed."""
        listening = self.client._handle_report_task  # ends, silently, at what it cannot read
        if self.client.status != "running":
            raise self.fault(*SCHEDULER_LOST)
        if listening.done():
            said = f"sent something that is not read ({listening.exception()})"
            raise self.fault(said, "see the logs of its workers")
        if not self.workers and time.monotonic() - self.deserted > PATIENCE:
            raise self.fault(f"no worker for {PATIENCE:g} s", "start some")

    def fault(self, rule: str, cure: str) -> BadInput:
        """An error that ends the run."""
        again = "then run the same command; everything recorded so far is kept"
        return BadInput(rule, place=f"--cluster {self.scheduler}", cure=f"{cure}, {again}")

    def submit(self, address: str, function: Callable[..., Any], *words: Any, trial: Trial | None) -> None:
        """Send a task to one worker and to no other."""
        key = f"{function.__name__}-{uuid.uuid4().hex}"
        resources = self.workers[address].resources if trial else None
        future = self.client.submit(
            function, *words, key=key, workers=[address], resources=resources, pure=False
        )
        self.tasks[key] = _Task(address, future, trial)
        asyncio.run_coroutine_threadsafe(self.follow(key, future), self.client.loop.asyncio_loop)

    async def follow(self, key: str, future: Future) -> None:
        """Queue a task's outcome as an event. Called in Dask's loop.

        Dask's own callbacks share one thread in a process, and one that asks for a result while its client is
        closed hangs there, and with it every callback after it.
        """
        try:
            outcome: object = await future
        except (Exception, asyncio.CancelledError) as error:
            outcome = error
        self.events.put((key, outcome))

    def on_worker_added(self, address: str) -> None:
        """Prepare a worker, unless that is done or under way."""
        if address not in self.workers and all(t.address != address for t in self.tasks.values()):
            self.submit(address, prepare, *self.setup, trial=None)

    def on_worker_removed(self, address: str, *, died: bool) -> None:
        """Forget a worker and requeue its trials. Late results are ignored."""
        if self.workers.pop(address, None):
            self.deserted = time.monotonic()
        self.free = deque(slot for slot in self.free if slot != address)
        for key in [key for key, task in self.tasks.items() if task.address == address]:
            task = self.tasks.pop(key)
            task.future.cancel()
            if task.trial and died:
                self.retry(task.trial, "its worker died or was cut off", task.sent)
            elif task.trial:
                self.requeued.append(task.trial)

    def on_task_done(self, key: str, outcome: object) -> None:
        """Keep a trial's result, or try it again. The outcome of a task that was given up is ignored."""
        task = self.tasks.pop(key, None)
        if task is None:
            return
        if isinstance(outcome, asyncio.CancelledError):  # not by this driver
            raise self.fault(*SCHEDULER_LOST)
        if task.trial is None:
            self.register(task.address, described(outcome))
            return
        if task.address in self.workers:
            self.free.append(task.address)
        answer = answered(outcome, task.trial)
        if isinstance(answer, Result):
            if answer.done:
                self.assign()  # a slot does not wait for the disk; a failure may begin the shutdown
            attempts = answer.attempts + self.lost[answer.trial.id]
            self.keep(replace(answer, attempts=attempts, started=task.sent))
        elif "refused" in answer:
            self.on_worker_removed(task.address, died=False)
            self.requeued.append(task.trial)
            self.warn(f"worker {task.address} {visible(answer['refused'])}; it gets no more trials")
        else:
            self.retry(task.trial, answer["fault"], task.sent)

    def register(self, address: str, found: Worker) -> None:
        """Add a worker's slots. Raises BadInput if one of the first workers differs from the driver."""
        if found.refused:
            line = f"worker {address} {visible(found.refused)}"
            if not self.begun:
                raise BadInput(line)
            self.warn(f"{line}; it gets no trials")
            return
        if found.idle:
            self.warn(f"worker {address} {visible(found.idle)}")
        self.workers[address] = found
        self.free.extend([address] * found.slots)

    def retry(self, trial: Trial, reason: str, sent: float) -> None:
        """Requeue a trial, or fail it after the last attempt."""
        self.lost[trial.id] += 1
        if (attempts := self.lost[trial.id]) < self.spec.limits.attempts:
            self.requeued.append(trial)
        else:
            reason = f"{reason} ({counted(attempts, 'attempt')})"
            self.keep(failure(trial, reason, attempts=attempts, started=sent))
