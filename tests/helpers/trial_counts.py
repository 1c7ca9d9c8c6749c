"""Trials run as a study runs them, and counted by their outcome."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.runner.parallel import TrialConditions, run_trials
from unrolled.ablations.runner.supervisor import RunSupervisor
from unrolled.bench.trial import ResultInStudy, Trial


@dataclass(frozen=True, kw_only=True)
class Counts:
    """The trials of a run by outcome; the four numbers add up to all of them."""

    measured_count: int = 0  # trials that are done or diverged
    failed_count: int = 0
    stored_count: int = 0  # trials with a result that this run did not measure
    left_count: int = 0  # trials without a result
    interrupted: bool = False


class _Counter:
    """A supervisor that counts the results of this run, and leaves the rest to another supervisor."""

    def __init__(self, supervisor: RunSupervisor) -> None:
        self.supervisor = supervisor
        self.statuses = Counter[str]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.supervisor, name)

    def receive_result(self, result: ResultInStudy) -> None:
        self.statuses[result.status] += 1
        self.supervisor.receive_result(result)


def run_and_count(
    trials: Sequence[Trial],
    ledger: Ledger,
    conditions: TrialConditions = TrialConditions(),
    supervisor: RunSupervisor = RunSupervisor(),
    **options,
) -> Counts:
    """Run trials as `run_trials` does and return how many there are of each outcome."""
    counter = _Counter(supervisor)
    interrupted = run_trials(trials, ledger, conditions, counter, **options)  # type: ignore[arg-type]
    ids = {trial.id for trial in trials}
    ended_count = counter.statuses.total()
    stored_count = len(ledger.read_results(ids))
    return Counts(
        measured_count=ended_count - counter.statuses["failed"],
        failed_count=counter.statuses["failed"],
        stored_count=stored_count - ended_count,
        left_count=len(ids) - stored_count,
        interrupted=interrupted,
    )
