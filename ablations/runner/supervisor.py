"""What `run_trials` asks its caller, and what it tells it."""

from dataclasses import dataclass

from unrolled.bench.trial import Result, ResultInStudy, Trial


@dataclass(frozen=True, kw_only=True)
class RunSupervisor:
    """Decides which trials of a run start, and receives their results. This one wants every trial.

    `run_trials` calls the methods in its own process: with a cluster in the thread of its caller, else in the
    threads of its workers. One method is called at a time, except `make_result_in_study`: which trials are
    wanted may depend on the results so far. An error in a method stops all trials and is raised.
    """

    retries: bool = False  # whether failed trials are trained again

    def should_retrain(self, stored: Result) -> bool:
        """Return True for a stored result that another training replaces; others are final.

        Called before the first trial for each result in the ledger, in the thread of the caller, and before
        a trial starts if another run has stored its result meanwhile.
        """
        return self.retries and stored.status == "failed"

    def is_wanted(self, trial: Trial) -> bool:
        """Return True for a trial that may start.

        Called for each trial when a slot is free for it, and again while the trial waits for another run that
        is training it. A trial that is not wanted is not asked for again.
        """
        return True

    def receive_start(self, trial: Trial) -> None:
        """Take into account that a trial, which is locked by now, starts."""

    def receive_pause(self) -> None:
        """Take into account that this process stood still, as in a computer that slept: see `run_trials`."""

    def make_result_in_study(self, result: Result) -> ResultInStudy:
        """Return the result with its status in the study. The ledger gets it as it was measured.

        Called for each result before it is received.
        """
        return ResultInStudy(result)

    def receive_result(self, result: ResultInStudy) -> None:
        """Take into account a result of this run, which the ledger has by now."""

    def receive_foreign_result(self, result: ResultInStudy) -> None:
        """Take into account the result of a trial that another run has trained since this one began."""
