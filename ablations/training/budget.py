"""The time that a run may take."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from unrolled.ablations.runner.supervisor import RunSupervisor
from unrolled.bench.trial import ResultInStudy, Trial


class Budget:
    """The time of a run: no trial starts that is expected to end after `end` (monotonic).

    Expected seconds are multiplied by the pace: Σ measured / Σ expected seconds of the trials so far.
    """

    def __init__(self, end: float) -> None:
        self._end = end
        self._expected_seconds = 0.0  # expected seconds of the trials that have ended
        self._measured_seconds = 0.0
        self.has_refused = False  # whether the budget kept a trial from starting

    @property
    def is_over(self) -> bool:
        """Whether no time is left."""
        return time.monotonic() >= self._end

    @property
    def has_measurement(self) -> bool:
        """Whether a trial has been measured."""
        return self._expected_seconds > 0

    def halve(self) -> "Budget":
        """Return a budget of half of the time that is left."""
        start = time.monotonic()
        return Budget(start + (self._end - start) / 2)

    def add_trial(self, result: ResultInStudy) -> None:
        """Count the seconds of a finished trial; one that did not finish may have ended early."""
        if result.is_done:
            self._expected_seconds += result.trial.expected_seconds
            self._measured_seconds += result.total_seconds

    def allows_trial(self, expected_seconds: float) -> bool:
        """Return True if a trial that starts now is expected to end in time. A refusal sets `has_refused`."""
        pace = self._measured_seconds / self._expected_seconds if self.has_measurement else 1.0
        fits = time.monotonic() + expected_seconds * pace <= self._end
        self.has_refused = self.has_refused or not fits
        return fits


@dataclass(frozen=True, kw_only=True)
class BudgetSupervisor(RunSupervisor):
    """A supervisor that lets trials start until a budget is over."""

    budget: Budget
    show_result: Callable[[ResultInStudy], None] = lambda _: None

    def is_wanted(self, trial: Trial) -> bool:
        """Return True if time is left."""
        return not self.budget.is_over

    def receive_result(self, result: ResultInStudy) -> None:
        """Show the result."""
        self.show_result(result)
