"""Trials run as a study runs them, and counted by their outcome."""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.runner.parallel import TrialConditions, run_trials
from unrolled.ablations.runner.supervisor import RunSupervisor
from unrolled.bench.trial import ResultInStudy, Trial


@dataclass(frozen=True, kw_only=True)
class RunCounts:
    """The trials of a run by outcome; the four numbers add up to all of them."""

    measured_count: int = 0  # trials that are done or diverged
    failed_count: int = 0
    stored_count: int = 0  # trials with a result that this run did not measure
    left_count: int = 0  # trials without a result
    interrupted: bool = False


def run_and_count(
    trials: Sequence[Trial],
    ledger: Ledger,
    conditions: TrialConditions = TrialConditions(),
    supervisor: RunSupervisor = RunSupervisor(),
    **options,
) -> RunCounts:
    """Run trials as `run_trials` does and return how many there are of each outcome."""
    statuses: list[str] = []

    def receive_result(result: ResultInStudy) -> None:
        statuses.append(result.status)
        supervisor.receive_result(result)

    counting_supervisor = copy(supervisor)
    vars(counting_supervisor)["receive_result"] = receive_result
    interrupted = run_trials(trials, ledger, conditions, counting_supervisor, **options)
    ids = {trial.id for trial in trials}
    stored_count = len(ledger.read_results(ids))
    return RunCounts(
        measured_count=len(statuses) - statuses.count("failed"),
        failed_count=statuses.count("failed"),
        stored_count=stored_count - len(statuses),
        left_count=len(ids) - stored_count,
        interrupted=interrupted,
    )
