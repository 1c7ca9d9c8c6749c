"""Trials on the workers of a Dask cluster. What a worker does is in `worker`, without Dask.

The driver alone writes the ledger. Dask could place the trials itself, but it holds the death of a worker
against everything that waits there, and after a few deaths fails trials that never began. So the driver gives
every place (a thread of a worker, a GPU where the worker declares some) one trial at a time: a death has one
suspect, a worker with other code gets no trial, and no more trials are under way than there are places.

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
from typing import TYPE_CHECKING, Any

from ablations.ledger import seal
from ablations.trials import unpickling, worker
from ablations.trials.answers import Worker, answered, presented
from ablations.trials.worker import Order
from bench import plugins
from bench.trial import BadInput, Result, Trial, counted, failure, visible

try:
    from distributed import Client, Future, Security, Status, get_worker
    from distributed.comm import connect
except ImportError as error:
    raise BadInput(f"Dask is missing ({error}): pip install 'unrolled[cluster]' installs it") from error

if TYPE_CHECKING:
    from ablations.trials.runner import Brake

CONNECT = 10.0  # seconds for a scheduler to answer
PATIENCE = 60.0  # seconds without a single worker, or without an answer from one that has just joined
LOOK = 0.1  # seconds between two looks at the brake


def enlist(facts: bytes, files: Mapping[str, bytes], device: str) -> bytes:
    """On a worker: take the user's files if all else is as the driver has it, and say how many places it has.

    A worker that declares a resource GPU has as many places as GPUs, and at most one a thread. One without a
    GPU that can be used refuses trials of device "cuda". Answers, sealed, {"refused": why or "", "places":
    number, "gpu": whether each place is a GPU, "idle": which GPUs have no thread, or ""}.
    """
    here = get_worker()
    try:
        refused = worker.unfit(facts) or (worker.without_gpu() if device == "cuda" else "")
        refused = refused or worker.stage(Path(here.local_directory), files)
    except Exception as error:
        refused = f"failed: {error!r}"
    gpus, threads = here.state.total_resources.get("GPU"), here.state.nthreads
    places = threads if gpus is None else min(threads, int(gpus))
    idle = ""
    if gpus is not None and gpus > threads:
        idle = (
            f"declares {counted(int(gpus), 'GPU')} and has {counted(threads, 'thread')}, so it runs "
            f"{counted(places, 'trial')} at a time: start one worker a GPU, --nthreads 1 --resources GPU=1"
        )
    return seal({"refused": refused, "places": places, "gpu": gpus is not None, "idle": idle})


def perform(message: bytes) -> bytes:
    """On a worker: run a trial for as long as the driver wants it.

    Answers as `worker.run` does, or {"fault": why}.

    A driver that dies takes its tasks with it: the scheduler frees them, and the worker sees them cancelled.
    """
    here = get_worker()
    key = here.get_current_task()

    def cancelled() -> bool:
        task = here.state.tasks.get(key)
        closing = here.status in (Status.closing, Status.closed, Status.failed)
        return closing or task is None or task.state not in ("executing", "long-running")

    try:
        return worker.run(message, Path(here.local_directory), cancelled)
    except Exception as error:
        return seal({"fault": f"its worker failed: {error!r}"})


def places(address: str) -> int:
    """How many trials a cluster runs at a time, by its threads. Raises BadInput if there is none."""
    with _connected(address) as client:
        return sum(client.nthreads().values()) or 1


def send(
    address: str,
    order: Order,
    todo: Sequence[Trial],
    queue: Iterator[Trial],
    keep: Callable[[Result], None],
    brake: "Brake",
    warn: Callable[[str], None],
) -> None:
    """Run the trials of a queue on a cluster and keep each result as it comes, until the brake is pulled.

    Raises BadInput if there is no cluster, if a worker has other code or other versions (before the first
    trial; one that joins later gets no trials and a line of warning), and if the scheduler is lost.
    """
    files, there = worker.shipment(todo, order.preload)
    facts = worker.facts()
    order = replace(order, code=worker.digest(worker.code()))
    with _connected(address) as client:
        entry = facts, files, todo[0].device
        dispatch = _Dispatch(client, address, order, there, entry, queue, keep, brake, warn)
        client.subscribe_topic("all", dispatch.hear)
        try:
            dispatch.run()
        finally:
            if client.status == "running":  # or the scheduler would tell this client of its own end, in vain
                client.unsubscribe_topic("all")


@contextmanager
def _connected(address: str) -> Iterator[Client]:
    quiet()
    with unpickling.refused():
        client = _client(address)
        try:
            for topic in ("print", "warn"):  # whose text Dask would print as it comes
                client.unsubscribe_topic(topic)
            yield client
        finally:
            if client._handle_report_task.done():  # whose error closing would raise once more
                client._handle_report_task = None
            client.close(timeout=5)


def _client(address: str) -> Client:
    try:
        asyncio.run(_knock(address))  # a client that finds nobody would not go for half a minute
        return Client(address, timeout=CONNECT, set_as_default=False, direct_to_workers=False)
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise BadInput(
            f"--cluster {address}: no scheduler answers ({error}): start one (`make cluster` starts one on "
            "this machine) or correct the address; tls:// needs certificates, see docs/cluster.md"
        ) from error


async def _knock(address: str) -> None:
    comm = await connect(address, timeout=CONNECT, **Security().get_connection_args("client"))
    await comm.close()


def quiet() -> None:
    """Let Dask's library be silent: what matters is told in words of our own."""
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


@dataclass
class _Flight:
    """A trial on its way; without a trial, a worker that is being asked for its code."""

    address: str
    future: Future
    trial: Trial | None
    sent: float = field(default_factory=time.time)  # unix seconds, by the driver's clock


@dataclass
class _Dispatch:
    """The driver's side: which places are free, which trials are where, and what is to be done about news."""

    client: Client
    scheduler: str
    order: Order
    there: Mapping[str, str]  # the modules to load, by the driver's name, as a worker knows them
    entry: tuple[bytes, Mapping[str, bytes], str]  # what `enlist` is called with
    queue: Iterator[Trial]
    keep: Callable[[Result], None]
    brake: "Brake"
    warn: Callable[[str], None]

    news: SimpleQueue[tuple[str, Any]] = field(default_factory=SimpleQueue)
    workers: dict[str, Worker] = field(default_factory=dict)  # by address
    free: deque[str] = field(default_factory=deque)  # an address a free place
    flights: dict[str, _Flight] = field(default_factory=dict)
    again: deque[Trial] = field(default_factory=deque)  # lost with their worker
    lost: Counter[str] = field(default_factory=Counter)  # attempts, by trial
    began: float = field(default_factory=time.monotonic)
    alone: float = field(default_factory=time.monotonic)  # since when there is no worker, if there is none
    begun: bool = False

    def run(self) -> None:
        """Until every trial of the queue is kept, or the brake is pulled and the places are empty."""
        for address in self.client.nthreads():
            self.on_worker_added(address)
        while not self.brake.halted:
            self.fill()
            if self.finished():
                return
            try:
                what, about = self.news.get(timeout=LOOK)
            except Empty:
                self.look()
                continue
            match what:
                case "add-worker":
                    self.on_worker_added(about["worker"])
                case "remove-worker":
                    self.on_worker_removed(about["worker"], died=not about.get("expected"))
                case key:
                    self.on_task_done(key, about)

    def hear(self, event: tuple[float, Any]) -> None:
        """Of the events that the scheduler and the workers log, pass on who came and who went.

        Called in Dask's thread. Workers may log what they like.
        """
        about = event[1] if isinstance(event[1], dict) else {}
        what, known = about.get("action"), isinstance(about.get("worker"), str)
        if known and what in ("add-worker", "remove-worker"):
            self.news.put((str(what), about))

    def fill(self) -> None:
        """Give every free place a trial, once all the workers that were there at first have answered."""
        asked = any(flight.trial is None for flight in self.flights.values())
        waiting = asked and time.monotonic() - self.began < PATIENCE
        self.begun = self.begun or (bool(self.workers) and not waiting)
        while self.begun and self.free and not self.brake.drained:
            trial = self.again.popleft() if self.again else next(self.queue, None)
            if trial is None:
                return
            preload = tuple(self.there[name] for name in plugins.needed(trial, self.order.preload))
            order = replace(self.order, preload=preload)
            self.submit(self.free.popleft(), perform, worker.message(trial, order), trial=trial)

    def finished(self) -> bool:
        """Whether nothing is under way and nothing waits: a place still free found the queue empty."""
        flying = any(flight.trial for flight in self.flights.values())
        return not flying and (self.brake.drained or (self.begun and bool(self.free)))

    def look(self) -> None:
        """Raises BadInput if the scheduler is gone, every worker for too long, or Dask no longer listens."""
        listening = self.client._handle_report_task  # which ends at what it cannot read, without a word
        if self.client.status == "running" and listening.done():
            raise BadInput(
                f"--cluster {self.scheduler}: sent something that is not read ({listening.exception()}): see "
                "the logs of its workers, then run the same command; everything recorded so far is kept"
            )
        if self.client.status != "running":
            raise self.gone()
        if not self.workers and time.monotonic() - self.alone > PATIENCE:
            raise BadInput(
                f"--cluster {self.scheduler}: no worker for {PATIENCE:g} s: start some, then run the same "
                "command; everything recorded so far is kept"
            )

    def gone(self) -> BadInput:
        return BadInput(
            f"--cluster {self.scheduler}: the scheduler was lost: start it again, then run the same command; "
            "everything recorded so far is kept"
        )

    def submit(self, address: str, function: Callable[..., Any], *words: Any, trial: Trial | None) -> None:
        """Send a task to one worker and to no other."""
        key = f"{function.__name__}-{uuid.uuid4().hex}"
        resources = self.workers[address].resources if trial else None
        future = self.client.submit(
            function, *words, key=key, workers=[address], resources=resources, pure=False
        )
        self.flights[key] = _Flight(address, future, trial)
        asyncio.run_coroutine_threadsafe(self.follow(key, future), self.client.loop.asyncio_loop)

    async def follow(self, key: str, future: Future) -> None:
        """Report what comes of a task. Called in Dask's loop.

        Dask's own callbacks share one thread in a process, and one that asks for a result while its client is
        closed hangs there, and with it every callback after it.
        """
        try:
            outcome: object = await future
        except (Exception, asyncio.CancelledError) as error:
            outcome = error
        self.news.put((key, outcome))

    def on_worker_added(self, address: str) -> None:
        """Ask a worker for its code, unless that was done."""
        if address not in self.workers and all(f.address != address for f in self.flights.values()):
            self.submit(address, enlist, *self.entry, trial=None)

    def on_worker_removed(self, address: str, *, died: bool) -> None:
        """Give up a worker, and take back what it had: a late answer is to a question that nobody asks."""
        if self.workers.pop(address, None):
            self.alone = time.monotonic()
        self.free = deque(place for place in self.free if place != address)
        for key in [key for key, flight in self.flights.items() if flight.address == address]:
            flight = self.flights.pop(key)
            flight.future.cancel()
            if flight.trial and died:
                self.retry(flight.trial, "its worker died or was cut off", flight.sent)
            elif flight.trial:
                self.again.append(flight.trial)

    def on_task_done(self, key: str, outcome: object) -> None:
        """Take what came of a task."""
        flight = self.flights.pop(key, None)
        if flight is None:
            return
        if isinstance(outcome, asyncio.CancelledError):  # by nobody here
            raise self.gone()
        if flight.trial is None:
            self.register(flight.address, outcome)
            return
        if flight.address in self.workers:
            self.free.append(flight.address)
        answer = answered(outcome, flight.trial)
        if isinstance(answer, Result):
            if answer.done:
                self.fill()  # a place does not wait for the disk; after a failure the brake may be pulled
            attempts = answer.attempts + self.lost[answer.trial.id]
            self.keep(replace(answer, attempts=attempts, started=flight.sent))
        elif "refused" in answer:
            self.on_worker_removed(flight.address, died=False)
            self.again.append(flight.trial)
            self.warn(f"worker {flight.address} {visible(answer['refused'])}; it gets no more trials")
        else:
            self.retry(flight.trial, answer["fault"], flight.sent)

    def register(self, address: str, outcome: object) -> None:
        """Use a worker, or do not. Raises BadInput if one of the first is not as the driver is."""
        refused, found = presented(outcome)
        if refused:
            word = f"worker {address} {visible(refused)}"
            if not self.begun:
                raise BadInput(word)
            self.warn(f"{word}; it gets no trials")
            return
        if found.idle:
            self.warn(f"worker {address} {visible(found.idle)}")
        self.workers[address] = found
        self.free.extend([address] * found.places)

    def retry(self, trial: Trial, reason: str, sent: float) -> None:
        """Another attempt on another place, or the end of a trial that takes every worker with it."""
        self.lost[trial.id] += 1
        if (attempts := self.lost[trial.id]) < self.order.limits.attempts:
            self.again.append(trial)
        else:
            reason = f"{reason} ({counted(attempts, 'attempt')})"
            self.keep(failure(trial, reason, attempts=attempts, started=sent))
