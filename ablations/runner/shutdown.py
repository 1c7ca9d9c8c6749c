"""The end of a run before its time."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import Pipe
from types import FrameType


class Shutdown:
    """The end of a run before its time: Ctrl-C, SIGTERM, or an error.

    It has two steps: `drain` lets no trial start; `stop` also makes `stopped` readable, which ends them.
    """

    def __init__(self) -> None:
        self.drained = self.halted = self.interrupted = False
        self.stopped, self._open = Pipe(duplex=False)

    def drain(self) -> None:
        """Start no more."""
        self.drained = True

    def stop(self) -> None:
        """End the running trials."""
        self.drained = self.halted = True
        self._open.close()

    @contextmanager
    def signals(self, on_drain: Callable[[], None]) -> Iterator[None]:
        """Let Ctrl-C drain, and a second one or SIGTERM stop. Only the main thread can listen to signals."""

        def handle(number: int, _: FrameType | None) -> None:
            again, self.interrupted = self.interrupted, True  # first: the next signal may come at once
            if again or number == signal.SIGTERM:
                self.stop()
            else:
                self.drain()
                on_drain()

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler or signal.SIG_DFL)
