"""Tell MLflow of trials while others train: one thread that takes all the waiting and all the trouble."""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from ablations.tracking.arms import ArmFacts
from ablations.tracking.entry import StudyFacts
from ablations.tracking.projection import Projection
from ablations.tracking.store import one_line
from bench.trial import Result, counted

LONGEST_PAUSE = 30.0  # seconds between two attempts to reach MLflow

Job = Callable[[Projection], object]


class Recorder:
    """Writes behind the training; nothing that happens to MLflow reaches the caller.

    The import of mlflow and the creation of the database happen on the thread, while trials train. What
    fails is tried again, first after `pause` seconds, then ever more rarely. One write waits at most 20 s
    for a locked SQLite file (MLflow's busy_timeout) and 10 s for an answer of a server (`settings`).
    """

    def __init__(self, study: StudyFacts, where: str, *, pause: float = 1.0) -> None:
        self.problem = ""  # why MLflow is behind, one line
        self._study, self._where, self._pause = study, where, pause
        self._started = time.time()
        self._begun = self._closing = self._given_up = False
        self._projection: Projection | None = None
        self._jobs: deque[Job] = deque()  # in any order: each stands for itself
        self._trials: set[Job] = set()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
        self._thread.start()

    def record(self, arm: str, read: Callable[[], Result | None]) -> None:
        """Queue one trial, which is read when its turn comes: a queue may be thousands long.

        Returns at once and never raises.
        """

        def job(projection: Projection) -> None:
            if (result := read()) is not None:
                projection.record(arm, result)

        self._put(job, trial=True)

    def publish(self, folder: Path, answers: tuple[str, ...] = (), arms: tuple[ArmFacts, ...] = ()) -> None:
        """Queue the report's folder, the sentences that answer the study's question, and the arms' means."""
        self._put(lambda projection: projection.publish(folder, answers, arms))

    def wait(self, patience: float) -> bool:
        """Wait until everything is written, as long as `patience` seconds bring one more job to its end.

        Returns whether everything is.
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
        """Write the rest in at most `patience` seconds. Returns "" or one line that says what is missing."""
        self._put(lambda projection: projection.finish(status))
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(patience)
        with self._changed:
            self._given_up = True
            self._changed.notify_all()
            if not self._jobs:
                return ""
            n = len(self._trials)
        lacking = f"by {counted(n, 'trial')}" if n else "with the study's own page"
        why = self.problem or f"no answer within {patience:g} s"
        return f"MLflow is behind {lacking} ({why}): run `unrolled sync`"

    def _put(self, job: Job, *, trial: bool = False) -> None:
        with self._changed:
            self._jobs.append(job)
            if trial:
                self._trials.add(job)
            self._changed.notify_all()

    def _work(self) -> None:
        pause, troubled = self._pause, False
        while not self._given_up:
            try:
                self._projection = self._projection or self._open()
                if (job := self._next()) is None:
                    break
                job(self._projection)
            except Exception as error:  # whatever it is, training goes on
                self._postpone(error, pause)
                pause, troubled = min(2 * pause, LONGEST_PAUSE), True
            else:
                pause = self._pause
                self._done(job)
        if troubled and not self._given_up:  # an answer that came too late may have left a second copy
            with contextlib.suppress(Exception):
                Projection(self._study, self._where)

    def _open(self) -> Projection:
        projection = Projection(self._study, self._where)
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
        """Put the job behind the others, in case the trouble is its own, and wait."""
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
            self._trials.discard(job)
            self._changed.notify_all()
