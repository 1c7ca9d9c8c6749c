"""The thread that writes to MLflow while trials train."""

import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from unrolled.ablations.mlflow.database import one_line, prepare
from unrolled.ablations.mlflow.study_runs import ArmRun, StudyRuns
from unrolled.ablations.study.plan import Plan
from unrolled.bench.trial import Result

PATIENCE = 30.0  # a run gives up waiting when no job has ended for so many seconds


class Writer:
    """Writes a study's trials to MLflow on a thread of its own; no error of MLflow reaches the caller.

    After an error nothing is attempted until `write_missing`, at the end of the run. One write waits at most
    20 s for a locked SQLite file (MLflow's busy_timeout) and 10 s for an answer of a server.
    """

    def __init__(self, where: str) -> None:
        """Import mlflow and create its database on the thread. No study is written before `open`."""
        self.error: Exception | None = None  # why nothing is written
        self._where = where
        self._plan: Plan | None = None
        self._runs: StudyRuns | None = None
        self._at_end = False
        self._jobs: deque[Callable[[], object]] = deque()  # the first is under way
        self._closed = False
        self._changed = threading.Condition()
        threading.Thread(target=self._work, name="mlflow", daemon=True).start()
        self._put(partial(prepare, where))

    def open(self, plan: Plan) -> None:
        """Open the study in MLflow."""
        self._plan = plan
        self._put(self._study_runs)

    def write_trial(self, arm: str, read: Callable[[], Result | None]) -> None:
        """Queue a trial, which is read when its turn comes: a queue may be thousands long."""
        self._put(lambda: self._write_trial(arm, read()))

    def write_missing(self, trials: Iterable[tuple[str, Result]]) -> None:
        """Write the trials, each with its arm, that MLflow lacks, also after an error; wait for each.

        They are taken one by one: thousands may not fit in memory.
        """
        self._at_end = True
        if not self._wait():
            return
        if self.error:  # what was written is unknown: read it again
            self.error, self._runs = None, None
        for arm, result in trials:
            self._put(partial(self._write_trial, arm, result))
            if not self._wait():
                return

    def publish(self, report: Path, answers: tuple[str, ...], arms: tuple[ArmRun, ...]) -> None:
        """Queue `StudyRuns.publish`."""
        self._put(lambda: self._study_runs().publish(report, answers, arms))

    def finish(self) -> str:
        """Wait for what is queued and end the thread. Returns "", or a line if MLflow lacks something."""
        if not self.error:
            self._wait()
        self.close()
        why = one_line(self.error) if self.error else ""
        return why and f"MLflow lacks some of this ({why}): run `unrolled sync`"

    def close(self) -> None:
        """Drop what is queued; the thread ends after the write that is under way."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _put(self, job: Callable[[], object]) -> None:
        with self._changed:
            self._jobs.append(job)
            self._changed.notify_all()

    def _wait(self) -> bool:
        """Wait for every job. Returns False, with an error, once none has ended for `PATIENCE` seconds."""
        with self._changed:
            while self._jobs:
                if not self._changed.wait(PATIENCE):
                    self.error = TimeoutError(f"no answer within {PATIENCE:g} s")
                    return False
        return True

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs or self._closed)
                if self._closed:
                    return
                job = self._jobs[0]
            if not self.error:
                self._do(job)
            with self._changed:
                self._jobs.popleft()
                self._changed.notify_all()

    def _do(self, job: Callable[[], object]) -> None:
        try:
            job()
        except Exception as error:  # whatever it is, training goes on
            self.error = error
            if not self._at_end and not self._closed:
                then = "training goes on, and the end of the run tries again"
                print(f"MLflow cannot be written ({one_line(error)}); {then}", file=sys.stderr)

    def _write_trial(self, arm: str, result: Result | None) -> None:
        if result is not None:
            self._study_runs().write_trial(arm, result)

    def _study_runs(self) -> StudyRuns:
        if self._runs is None:
            assert self._plan is not None, "a study is opened before it is written"
            self._runs = StudyRuns(self._plan, self._where)
        return self._runs
