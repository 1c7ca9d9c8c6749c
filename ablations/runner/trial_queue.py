"""The trials that a run has yet to start, some of which another run may be training.

Studies may share trials. A run locks a trial before it starts it (flock, of a file beside the trial's
checkpoints), and the kernel frees the lock however the run ends. A trial that another run has locked waits,
and then that run's result is taken.
"""

import fcntl
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from unrolled.ablations.runner.process import LOCK
from unrolled.ablations.runner.shutdown import Shutdown
from unrolled.bench.errors import plural
from unrolled.bench.files import explaining_errors, make_folder
from unrolled.bench.trial import Trial

LOOK_AGAIN_SECONDS = 0.2  # between two looks at the trials that another run has locked


class TrialQueue:
    """The trials of a run in their order, for one thread or several.

    `is_wanted` is asked of a trial when there is a slot for it, and again while it waits for another run;
    `is_missing` once it is locked. `guard` is held meanwhile.
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
        self._next_look = 0.0  # at these, by the monotonic clock
        self._descriptors: dict[str, int] = {}  # of the locks that are held, by trial
        self._checkpoints, self._warn = checkpoints, warn
        self._is_wanted, self._is_missing = is_wanted, is_missing
        self._shutdown, self._guard = shutdown, guard

    @property
    def exhausted(self) -> bool:
        """Whether no trial is left, also none that another run is training."""
        return not self._trials and not self._locked_elsewhere

    def next(self) -> Trial | None:
        """Return the next trial to start, under its lock. None if there is none now: see `exhausted`."""
        with self._guard:
            self._look_again()
            while self._trials and not self._shutdown.drained:
                trial = self._trials.popleft()
                if not self._is_wanted(trial):
                    continue
                if not self._lock(trial):
                    self._locked_elsewhere.append(trial)
                elif self._is_missing(trial):
                    return trial
                else:
                    self.unlock(trial)
            return None

    def wait_for_next(self) -> Trial | None:
        """Return the next trial to start, under its lock. None if there will be none."""
        while (trial := self.next()) is None and not (self.exhausted or self._shutdown.drained):
            self._warn(f"waiting for {plural(len(self._locked_elsewhere), 'trial')} that another run trains")
            time.sleep(LOOK_AGAIN_SECONDS)
        return trial

    def unlock(self, trial: Trial) -> None:
        """Unlock a trial that has ended, and remove the file: who has opened it meanwhile opens it again."""
        descriptor = self._descriptors.pop(trial.id)
        self._lock_file(trial).unlink(missing_ok=True)
        os.close(descriptor)

    def unlock_all(self) -> None:
        """Unlock the trials that were stopped."""
        while self._descriptors:
            id, descriptor = self._descriptors.popitem()
            (self._checkpoints / f"{id}{LOCK}").unlink(missing_ok=True)
            os.close(descriptor)

    def _look_again(self) -> None:
        """Move the trials that another run had locked back to the front, now and then."""
        now = time.monotonic()
        if self._locked_elsewhere and now >= self._next_look:
            self._next_look = now + LOOK_AGAIN_SECONDS
            self._trials.extendleft(reversed(self._locked_elsewhere))
            self._locked_elsewhere.clear()

    def _lock(self, trial: Trial) -> bool:
        """Lock a trial. Returns whether that was possible: another run may be training it."""
        path = self._lock_file(trial)
        with explaining_errors(path):
            make_folder(path.parent)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            locked = os.path.samestat(os.fstat(descriptor), path.stat())
        except (BlockingIOError, FileNotFoundError):  # another run has locked it, or has just removed it
            locked = False
        if locked:
            self._descriptors[trial.id] = descriptor
        else:
            os.close(descriptor)
        return locked

    def _lock_file(self, trial: Trial) -> Path:
        return self._checkpoints / f"{trial.id}{LOCK}"
