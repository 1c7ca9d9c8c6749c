"""Background MLflow writer with retries."""

import contextlib
import importlib
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ablations.design.plan import Plan
from ablations.tracking.arms import ArmFacts
from ablations.tracking.projection import Projection
from ablations.tracking.store import create_whole, one_line, settings
from bench.trial import Result, counted

LONGEST_PAUSE = 30.0  # seconds between two attempts to reach MLflow


class Job(NamedTuple):
    """Something to write, and of how many trials."""

    write: Callable[[Projection], object]
    trials: int = 0


class Recorder:
    """Writes while trials train; errors of MLflow never reach the caller.

    The import of mlflow and the creation of the database happen on the thread, while trials train, or on that
    of `warm_up`, which it waits for (`after`). A failed write is tried again, first after `pause` seconds,
    then ever more rarely. One write waits at most 20 s for a locked SQLite file (MLflow's busy_timeout) and
    10 s for an answer of a server (`settings`).
    """

    @staticmethod
    def warm_up(where: str) -> threading.Thread:
        """Import mlflow and create its database on a thread: seconds, in which no study is written."""

        def work() -> None:
            with contextlib.suppress(Exception):  # the Recorder meets it again, and says so
                settings()
                importlib.import_module("mlflow")
                create_whole(where)

        thread = threading.Thread(target=work, name="mlflow", daemon=True)
        thread.start()
        return thread

    def __init__(
        self, plan: Plan, where: str, after: threading.Thread | None = None, *, pause: float = 1.0
    ) -> None:
        self.problem = ""  # why MLflow is behind, one line
        self._plan, self._where, self._after, self._pause = plan, where, after, pause
        self._started = time.time()
        self._begun = self._closing = self._given_up = False
        self._projection: Projection | None = None
        self._jobs: deque[Job] = deque()  # in any order: they are independent
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
        self._thread.start()

    def record(self, arm: str, read: Callable[[], Result | None]) -> None:
        """Queue one trial, which is read when its turn comes: a queue may be thousands long.

        Returns at once and never raises.
        """

        def write(projection: Projection) -> None:
            if (result := read()) is not None:
                projection.record(arm, result)

        self._put(Job(write, trials=1))

    def publish(self, folder: Path, answers: tuple[str, ...] = (), arms: tuple[ArmFacts, ...] = ()) -> None:
        """Queue the report's folder, its answers to the study's question, and the arms' means."""
        self._put(Job(lambda projection: projection.publish(folder, answers, arms)))

    def wait(self, patience: float) -> bool:
        """Wait until everything is written, or until no job has ended for `patience` seconds.

        Returns whether everything is written.
        """
        with self._changed:
            while left := len(self._jobs):
                if not self._changed.wait_for(lambda: len(self._jobs) < left, patience):
                    return False
            return True

    def link(self, arm: str, trial_id: str) -> str | None:
        """`Projection.link`, or None for what is not written yet."""
        projection = self._projection
        return projection.link(arm, trial_id) if projection else None

    def close(self, status: str = "FINISHED", patience: float = 30.0) -> str:
        """Write the rest in at most `patience` seconds. Returns "" or one line that names the rest."""
        self._put(Job(lambda projection: projection.finish(status)))
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(patience)
        with self._changed:
            self._given_up = True
            self._changed.notify_all()
            if not self._jobs:
                return ""
            n = sum(job.trials for job in self._jobs)
        lacking = f"by {counted(n, 'trial')}" if n else "with the study's own page"
        why = self.problem or f"no answer within {patience:g} s"
        return f"MLflow is behind {lacking} ({why}): run `unrolled sync`"

    def _put(self, job: Job) -> None:
        with self._changed:
            self._jobs.append(job)
            self._changed.notify_all()

    def _work(self) -> None:
        pause, failed = self._pause, False
        if self._after:
            self._after.join()
        while not self._given_up:
            try:
                self._projection = self._projection or self._open()
                if (job := self._next()) is None:
                    break
                job.write(self._projection)
            except Exception as error:  # whatever it is, training continues
                self._postpone(error, pause)
                pause, failed = min(2 * pause, LONGEST_PAUSE), True
            else:
                pause = self._pause
                self._done(job)
        if failed and not self._given_up:  # a write that timed out may have succeeded: remove second copies
            with contextlib.suppress(Exception):
                Projection(self._plan, self._where)

    def _open(self) -> Projection:
        projection = Projection(self._plan, self._where)
        if not self._begun:
            projection.begin(self._started)
            self._begun = True
        return projection

    def _next(self) -> Job | None:
        """The first of the queue, where it stays until it is done; None when closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closing)
            return self._jobs[0] if self._jobs else None

    def _postpone(self, error: Exception, pause: float) -> None:
        """Move the job behind the others, in case the error is its own, and wait."""
        with self._changed:
            self._projection, self.problem = None, one_line(error)
            self._jobs.rotate(-1)
            if not self._changed.wait_for(lambda: self._closing, pause):
                return
            self._changed.wait_for(lambda: self._given_up, min(pause, 1.0))

    def _done(self, job: Job) -> None:
        with self._changed:
            self.problem = ""
            self._jobs.remove(job)
            self._changed.notify_all()
