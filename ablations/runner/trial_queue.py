"""The trials that a run has not started yet. Another run may be training some of them.

Studies may share trials. A run locks a trial before it starts it (flock, of a file beside the trial's
checkpoints), and the kernel frees the lock however the run ends. A trial that another run has locked waits
until that run has its result.
"""

import fcntl
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from unrolled.ablations.runner.child import LOCK
from unrolled.ablations.runner.shutdown import Shutdown
from unrolled.bench.atomic_files import explain_file_errors, make_folder
from unrolled.bench.phrases import plural
from unrolled.bench.trial import Trial

RETRY_SECONDS = 0.2  # seconds between two attempts to lock the trials that another run has locked


class TrialQueue:
    """The trials of a run in their order, for one thread or several.

    `is_wanted` is called for a trial when there is a slot for it, and again while it waits for another run;
    `is_missing` is called once it is locked. `guard` is held during these calls.
    """

    def __init__(
        self,
        trials: Iterable[Trial],
        checkpoints: Path,
        is_wanted: Callable[[Trial], bool],
        is_missing: Callable[[Trial], bool],
        warn: Callable[[str], None],
        shutdown: Shutdown,
        guard: threading.Lock,
    ) -> None:
        self._trials = deque(trials)
        self._locked_elsewhere: list[Trial] = []
        self._retry_time = 0.0  # time of the next attempt, by the monotonic clock
        self._descriptors: dict[str, int] = {}  # descriptors of the held locks, by trial
        self._checkpoints = checkpoints
        self._warn = warn
        self._is_wanted = is_wanted
        self._is_missing = is_missing
        self._shutdown = shutdown
        self._guard = guard

    @property
    def is_exhausted(self) -> bool:
        """Whether no trial is left, not even one that another run is training."""
        return not self._trials and not self._locked_elsewhere

    def take_next_trial(self) -> Trial | None:
        """Return the next trial to start, locked. None if none can start yet: see `is_exhausted`."""
        with self._guard:
            self._retry_locked_trials()
            while self._trials and not self._shutdown.is_draining:
                trial = self._trials.popleft()
                if not self._is_wanted(trial):
                    continue
                if not self._lock_trial(trial):
                    self._locked_elsewhere.append(trial)
                elif self._is_missing(trial):
                    return trial
                else:
                    self.unlock_trial(trial.id)
            return None

    def wait_for_trial(self) -> Trial | None:
        """Return the next trial to start, locked. None if there will be none."""
        while (trial := self.take_next_trial()) is None and not (
            self.is_exhausted or self._shutdown.is_draining
        ):
            self._warn(f"waiting for {plural(len(self._locked_elsewhere), 'trial')} that another run trains")
            time.sleep(RETRY_SECONDS)
        return trial

    def unlock_all(self) -> None:
        """Unlock the trials that were stopped."""
        for id in list(self._descriptors):
            self.unlock_trial(id)

    def unlock_trial(self, id: str) -> None:
        """Unlock a trial and remove the file. A run that has opened the file meanwhile opens it again."""
        descriptor = self._descriptors.pop(id)
        self._lock_path(id).unlink(missing_ok=True)
        os.close(descriptor)

    def _retry_locked_trials(self) -> None:
        """Move the trials that another run had locked back to the front, every `RETRY_SECONDS`."""
        if self._locked_elsewhere and time.monotonic() >= self._retry_time:
            self._retry_time = time.monotonic() + RETRY_SECONDS
            self._trials.extendleft(reversed(self._locked_elsewhere))
            self._locked_elsewhere.clear()

    def _lock_trial(self, trial: Trial) -> bool:
        """Lock a trial. Returns False if another run may be training it."""
        path = self._lock_path(trial.id)
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

    def _lock_path(self, id: str) -> Path:
        return self._checkpoints / f"{id}{LOCK}"
