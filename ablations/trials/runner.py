"""Run trials side by side, each in a fresh process, until every one of them is in the ledger.

A thread of the parent stands for each place: it starts a trial, waits for it and records what came of it.
A killed trial is therefore one failed result and never, as with a pool of processes, the end of the pool.
"""

import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from multiprocessing import Pipe
from types import FrameType
from typing import Any

from ablations.ledger import Ledger
from ablations.trials.gpus import Gpus, Seat
from ablations.trials.process import Limits, forget, run_alone
from ablations.trials.worker import Order
from bench import plugins
from bench.nvidia import Gpu
from bench.trial import BadInput, Result, Trial

WORK = "bench.run:run_trial"
"""The function that a trial's process calls, by its import name: the parent need not import torch."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What became of the planned trials; the four numbers add up to all of them."""

    done: int = 0  # or diverged, which is a result too
    failed: int = 0
    skipped: int = 0  # in the ledger already
    left: int = 0  # not run, or stopped: the next call runs them
    interrupted: bool = False


def missing(trials: Iterable[Trial], done: Mapping[str, bool], retry: bool) -> list[Trial]:
    """The trials still to be run, by what `Ledger.done` says: with `retry` also those that failed."""
    return [trial for trial in trials if trial.id not in done or (retry and not done[trial.id])]


def _nothing(*_: Any) -> None:
    pass


def run_trials(
    trials: Sequence[Trial],
    ledger: Ledger,
    *,
    work: str = WORK,
    preload: Sequence[str] = (),
    workers: int = 1,
    gpus: Sequence[Gpu] = (),
    limits: Limits = Limits(),  # noqa: B008 (frozen)
    cluster: str = "",
    retry: bool = False,
    fail_fast: bool = False,
    on_start: Callable[[Trial], None] = _nothing,
    on_result: Callable[[Result], None] = _nothing,
    on_drain: Callable[[], None] = _nothing,
) -> Counts:
    """Run the trials that the ledger has no result for, in the order given, `workers` at a time.

    With the address of a Dask scheduler as `cluster` they run there, as many at a time as it has places.
    Trials of device "cuda" share `gpus`: see `ablations.trials.gpus`.

    A failed trial is final; `retry` runs the failed ones again. `fail_fast` starts no more after the
    first failure. The first Ctrl-C starts no more either and calls `on_drain`; the second one, or SIGTERM,
    ends the running trials too, unrecorded. The other two are called one at a time, from several threads.

    Raises BadInput if the ledger cannot be written, if a trial's code, text or versions have changed since it
    was planned, if the cluster fails, or if no GPU is left; and whatever the callbacks raise, once all is
    stopped.
    """
    planned = {trial.id: trial for trial in trials}
    todo = missing(planned.values(), ledger.done(planned), retry)
    brake, speaking, ended = Brake(), threading.Lock(), Counter[str]()
    workers = min(workers, len(todo))
    on_gpus = not cluster and any(trial.device != "cpu" for trial in todo)
    if on_gpus and not gpus:
        raise BadInput("device cuda: no GPU was given to train on; see `nvidia-smi`, or use --device cpu")

    def announced() -> Iterator[Trial]:
        for trial in todo:
            on_start(trial)
            yield trial

    def keep(result: Result) -> None:
        ledger.record(result)
        forget(ledger.checkpoints, result.trial)
        with speaking:
            ended[result.status] += 1
            on_result(result)
        if fail_fast and result.status == "failed":
            brake.drain()

    cards = Gpus(gpus, workers, ledger.warn, limits.attempts) if on_gpus else None

    def settle(trial: Trial) -> None:
        def run(seat: Seat | None = None) -> Result | None:
            return run_alone(
                trial,
                work,
                limits,
                preload=plugins.needed(trial, preload),
                checkpoints=ledger.checkpoints,
                stop=brake.stopped,
                seat=seat,
                facts={"trials_at_a_time": workers},
            )

        result = cards.settle(run) if cards and trial.device != "cpu" else run()
        if result is not None:
            keep(result)

    with brake.signals(on_drain), cards or nullcontext():
        if cluster and todo:
            from ablations.trials.cluster import send

            order = Order(work=work, limits=limits, preload=tuple(preload))
            send(cluster, order, todo, announced(), keep, brake, ledger.warn)
        else:
            _side_by_side(settle, announced(), workers, brake, speaking)
    return Counts(
        done=ended["done"] + ended["diverged"],
        failed=ended["failed"],
        skipped=len(planned) - len(todo),
        left=len(todo) - ended.total(),
        interrupted=brake.interrupted,
    )


def _side_by_side(
    settle: Callable[[Trial], None],
    queue: Iterator[Trial],
    workers: int,
    brake: "Brake",
    lock: threading.Lock,
) -> None:
    """Settle the trials of a queue, `workers` at a time; `lock` guards the queue. Raises the first error."""
    errors: list[BaseException] = []

    def place() -> None:
        try:
            while True:
                with lock:
                    trial = None if brake.drained else next(queue, None)
                if trial is None:
                    return
                settle(trial)
        except BaseException as error:
            errors.append(error)
            brake.stop()

    threads = [threading.Thread(target=place) for _ in range(workers)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():  # a signal that another thread receives does not end a join
                thread.join(0.1)
    finally:
        brake.stop()
    if errors:
        raise errors[0]


class Brake:
    """Two steps: `drain` lets no trial start, `stop` also makes `stopped` readable, which ends the others."""

    def __init__(self) -> None:
        self.drained = self.halted = self.interrupted = False
        self.stopped, self._open = Pipe(duplex=False)

    def drain(self) -> None:
        """Start no more."""
        self.drained = True

    def stop(self) -> None:
        """End what runs."""
        self.drained = self.halted = True
        self._open.close()

    @contextmanager
    def signals(self, on_drain: Callable[[], None]) -> Iterator[None]:
        """Let Ctrl-C and SIGTERM pull the brake. Only the main thread can listen to signals."""

        def pull(number: int, _: FrameType | None) -> None:
            again, self.interrupted = self.interrupted, True  # first: the next signal may come at once
            if again or number == signal.SIGTERM:
                self.stop()
            else:
                self.drain()
                on_drain()

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, pull) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler or signal.SIG_DFL)
