"""Ending a run early: at once, or after the running trials."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import Pipe
from types import FrameType


class Shutdown:
    """The early end of a run: Ctrl-C, SIGTERM, or an error.

    It has two steps: `drain_trials` lets no trial start; `stop_trials` also makes `stop_signal` readable,
    which ends the running trials.
    """

    def __init__(self) -> None:
        self.is_draining = False
        self.is_stopping = False
        self.interrupted = False  # whether a signal ended the run
        self.stop_signal, self._writer = Pipe(duplex=False)

    def drain_trials(self) -> None:
        """Start no more trials."""
        self.is_draining = True

    def stop_trials(self) -> None:
        """End the running trials."""
        self.is_draining = True
        self.is_stopping = True
        self._writer.close()

    @contextmanager
    def handle_signals(self) -> Iterator[None]:
        """Drain on Ctrl-C; stop on a second one, or on SIGTERM. Only the main thread can handle signals."""

        def handle_signal(number: int, _: FrameType | None) -> None:
            is_second = self.interrupted
            self.interrupted = True  # set first, because the next signal may come at once
            if is_second or number == signal.SIGTERM:
                self.stop_trials()
            else:
                self.drain_trials()
                print("finishing the running trials; Ctrl-C again stops them", file=sys.stderr, flush=True)

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handlers = {
            number: signal.signal(number, handle_signal) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler or signal.SIG_DFL)
