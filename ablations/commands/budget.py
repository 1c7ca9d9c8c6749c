"""The time that `unrolled run --budget` allows."""

import time


class Budget:
    """A monotonic time, `end`: a trial that is expected to end later does not start."""

    def __init__(self, end: float) -> None:
        self._end = end
        self._expected = self._taken = 0.0
        self.short = False  # whether it has kept a trial from starting

    @property
    def over(self) -> bool:
        """Whether no time is left."""
        return time.monotonic() >= self._end

    def learn(self, expected: float, taken: float) -> None:
        """Correct expected seconds by those that a trial took."""
        self._expected, self._taken = self._expected + expected, self._taken + taken

    @property
    def pace(self) -> float:
        """Seconds that trials took, for each that was expected."""
        return self._taken / self._expected if self._expected else 1.0

    def allows(self, expected: float) -> bool:
        """Whether a trial that starts now is expected to end in time."""
        fits = time.monotonic() + expected * self.pace <= self._end
        self.short = self.short or not fits
        return fits
