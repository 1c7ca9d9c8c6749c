"""The trials of a run: which of them starts next, and the results of those that have ended.

Studies may share trials. A run locks a trial before it starts it (flock, of a file beside the trial's
checkpoints), and the kernel frees the lock however the run ends. A trial that another run has locked waits
until that run has its result.
"""

import fcntl
import os
import threading
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.runner.child import LOCK
from unrolled.ablations.runner.process import remove_checkpoints
from unrolled.ablations.runner.shutdown import Shutdown
from unrolled.ablations.runner.supervisor import RunSupervisor
from unrolled.bench.files.atomic_files import explain_file_errors, make_folder
from unrolled.bench.phrases import plural
from unrolled.bench.trial import Result, Trial

RETRY_SECONDS = 0.2  # seconds between two tries to lock the trials that another run has locked


class TrialQueue:
    """The trials of a run in their order, for one thread or several: which starts next, and its result.

    The supervisor is asked and told one thing at a time, while a lock is held.
    """

    def __init__(
        self, trials: Iterable[Trial], ledger: Ledger, supervisor: RunSupervisor, *, fail_fast: bool
    ) -> None:
        self.shutdown = Shutdown()
        self.checkpoints = ledger.checkpoints
        self._trials = deque(trials)
        self._locked_elsewhere: list[Trial] = []
        self._retry_time = 0.0  # time of the next try, by the monotonic clock
        self._descriptors: dict[str, int] = {}  # descriptors of the held locks, by trial
        self._ledger = ledger
        self._supervisor = supervisor
        self._fail_fast = fail_fast
        self._guard = threading.Lock()

    @property
    def is_exhausted(self) -> bool:
        """Whether no trial is left, not even one that another run is training."""
        return not self._trials and not self._locked_elsewhere

    def take_next_trial(self) -> Trial | None:
        """Return the next trial to start, locked. None if none can start yet: see `is_exhausted`."""
        with self._guard:
            self._retry_locked_trials()
            while self._trials and not self.shutdown.is_draining:
                trial = self._trials.popleft()
                if not self._supervisor.is_wanted(trial):
                    continue
                if not self._lock_trial(trial):
                    self._locked_elsewhere.append(trial)
                elif self._is_missing(trial):
                    self._supervisor.receive_start(trial)
                    return trial
                else:
                    self._unlock_trial(trial.id)
            return None

    def wait_for_trial(self) -> Trial | None:
        """Return the next trial to start, locked. None if there will be none."""
        while (trial := self.take_next_trial()) is None and not (
            self.is_exhausted or self.shutdown.is_draining
        ):
            self._ledger.warn_once(
                f"waiting for {plural(len(self._locked_elsewhere), 'trial')} that another run trains"
            )
            time.sleep(RETRY_SECONDS)
        return trial

    def record_result(self, result: Result) -> None:
        """Store a result in the ledger, remove what its trial left, and hand it to the supervisor.

        Raises BadInput if the ledger cannot be written.
        """
        self._ledger.record_result(result)
        remove_checkpoints(self.checkpoints, result)
        self._unlock_trial(result.trial.id)
        result_in_study = self._supervisor.make_result_in_study(result)
        with self._guard:
            self._supervisor.receive_result(result_in_study)
        if self._fail_fast and result_in_study.status == "failed":
            self.shutdown.drain_trials()

    def receive_pause(self) -> None:
        """Tell the supervisor that this process stood still."""
        with self._guard:
            self._supervisor.receive_pause()

    def unlock_all(self) -> None:
        """Unlock the trials that were stopped."""
        for id in list(self._descriptors):
            self._unlock_trial(id)

    def _unlock_trial(self, id: str) -> None:
        """Unlock a trial and remove the file. A run that has opened the file meanwhile opens it again."""
        descriptor = self._descriptors.pop(id)
        self._find_lock_path(id).unlink(missing_ok=True)
        os.close(descriptor)

    def _retry_locked_trials(self) -> None:
        """Move the trials that another run had locked back to the front, every `RETRY_SECONDS`."""
        if self._locked_elsewhere and time.monotonic() >= self._retry_time:
            self._retry_time = time.monotonic() + RETRY_SECONDS
            self._trials.extendleft(reversed(self._locked_elsewhere))
            self._locked_elsewhere.clear()

    def _is_missing(self, trial: Trial) -> bool:
        """Return True if the ledger still lacks a locked trial. Hand over a result of another run."""
        result = self._ledger.read_results([trial.id]).get(trial.id)
        if result is None or self._supervisor.should_retrain(result):
            return True
        self._supervisor.receive_foreign_result(self._supervisor.make_result_in_study(result))
        return False

    def _lock_trial(self, trial: Trial) -> bool:
        """Lock a trial. Returns False if another run may be training it."""
        path = self._find_lock_path(trial.id)
        with explain_file_errors(path):
            make_folder(path.parent)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_locked = os.path.samestat(os.fstat(descriptor), path.stat())
        except (BlockingIOError, FileNotFoundError):  # another run has locked the file, or just removed it
            is_locked = False
        if is_locked:
            self._descriptors[trial.id] = descriptor
        else:
            os.close(descriptor)
        return is_locked

    def _find_lock_path(self, id: str) -> Path:
        return self.checkpoints / f"{id}{LOCK}"
