"""The thread that writes to MLflow while trials train."""

import sys
import threading
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from queue import Queue

from unrolled.ablations.mlflow.database import prepare_database, shorten_error
from unrolled.ablations.mlflow.mlflow_runs import ArmRun, MlflowRuns
from unrolled.ablations.plans.plan import Plan
from unrolled.bench.trial import Result

PATIENCE = 30.0  # seconds without an ended job after which a run stops waiting


class Writer:
    """Writes a study's trials to MLflow on a thread; no error of MLflow reaches the caller.

    After an error no write is attempted until `write_missing`, at the end of the run. One write waits at most
    20 s for a locked SQLite file (MLflow's busy_timeout) and 10 s for an answer of a server.
    """

    def __init__(self, uri: str) -> None:
        """Import mlflow and create its database on the thread. No study is written before `open_study`."""
        self.error: Exception | None = None  # reason why nothing is written; None if writing works
        self._uri = uri
        self._plan: Plan | None = None
        self._runs: MlflowRuns | None = None
        self._at_end = False
        self._closed = False
        self._jobs: Queue[Callable[[], object] | None] = Queue()  # None ends the thread
        threading.Thread(target=self._run_jobs, name="mlflow", daemon=True).start()
        self._jobs.put(partial(prepare_database, uri))

    def open_study(self, plan: Plan) -> None:
        """Open the study in MLflow."""
        self._plan = plan
        self._jobs.put(self._open_study_runs)

    def write_trial(self, arm: str, read: Callable[[], Result | None]) -> None:
        """Queue a trial, which is read when its turn comes: a queue may be thousands long."""
        self._jobs.put(lambda: self._write_result(arm, read()))

    def write_missing(self, trials: Iterable[tuple[str, Result]]) -> None:
        """Write the trials that MLflow lacks, each with its arm, even after an error; wait for each.

        Trials are taken one by one: thousands may not fit into memory.
        """
        self._at_end = True
        if not self._wait_for_jobs():
            return
        if self.error:  # it is unknown what was written, so the study is read again
            self.error = None
            self._runs = None
        for arm, result in trials:
            self._jobs.put(partial(self._write_result, arm, result))
            if not self._wait_for_jobs():
                return

    def publish_report(self, page_folder: Path, claims: tuple[str, ...], arms: tuple[ArmRun, ...]) -> None:
        """Queue `MlflowRuns.publish_report`."""
        self._jobs.put(lambda: self._open_study_runs().publish_report(page_folder, claims, arms))

    def finish_writing(self) -> str:
        """Wait for the queued jobs and stop. Returns "", or a line if MLflow lacks something."""
        if not self.error:
            self._wait_for_jobs()
        self.close()
        if not self.error:
            return ""
        return f"MLflow lacks some of this ({shorten_error(self.error)}): run `unrolled sync`"

    def close(self) -> None:
        """Drop the queued jobs; the thread ends after the write that is under way."""
        self._closed = True
        self._jobs.put(None)

    def _wait_for_jobs(self) -> bool:
        """Wait for every job. Returns False, with an error, once none has ended for `PATIENCE` seconds."""
        jobs = self._jobs
        with jobs.all_tasks_done:
            while unfinished_jobs := jobs.unfinished_tasks:
                jobs.all_tasks_done.wait(PATIENCE)
                if jobs.unfinished_tasks == unfinished_jobs:
                    self.error = TimeoutError(f"no answer within {PATIENCE:g} s")
                    return False
        return True

    def _run_jobs(self) -> None:
        """Run the jobs until the writer is closed; after an error drop them."""
        for job in iter(self._jobs.get, None):
            try:
                if not (self.error or self._closed):
                    job()
            except Exception as error:  # training goes on whatever the error is
                self.error = error
                if not (self._at_end or self._closed):
                    outlook = "training goes on, and the end of the run tries again"
                    print(f"MLflow cannot be written ({shorten_error(error)}); {outlook}", file=sys.stderr)
            finally:
                self._jobs.task_done()

    def _write_result(self, arm: str, result: Result | None) -> None:
        if result is not None:
            self._open_study_runs().write_trial(arm, result)

    def _open_study_runs(self) -> MlflowRuns:
        if self._runs is None:
            assert self._plan is not None, "a study is opened before it is written"
            self._runs = MlflowRuns(self._plan, self._uri)
        return self._runs
