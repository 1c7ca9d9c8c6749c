"""A driver in a thread of the test, and what must be true of it afterwards."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.helpers.stub_trials import WORK, serialize_result, steady
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.runner.parallel import Counts, TrialConditions, run_trials
from unrolled.bench.chapter.trial import ChapterTrial
from unrolled.bench.errors import BadInput
from unrolled.bench.trial import Result


class DriverResults(list[Result]):
    """The results that a driver in another thread passed on, and its final tally."""

    tally: Counts
    error: BaseException | None = None


@contextmanager
def drive_trials(
    trials: list[ChapterTrial], ledger: Ledger, address: str, **words
) -> Iterator[DriverResults]:
    """Drive trials in a thread during the block, and then wait for its end."""
    results = DriverResults()

    def drive() -> None:
        try:
            results.tally = run_trials(
                trials,
                ledger,
                TrialConditions(run_import=WORK, cluster=address),
                on_result=results.append,
                **words,
            )
        except BaseException as error:
            results.error = error

    thread = threading.Thread(target=drive, daemon=True)
    thread.start()
    yield results
    thread.join(120)
    assert not thread.is_alive()
    if results.error is not None and not isinstance(results.error, BadInput):
        raise results.error


def check_every_trial_is_stored_once(
    results: DriverResults, ledger: Ledger, trials: list[ChapterTrial]
) -> None:
    """Check that each was passed on once and has one file, and that finished ones have the local bits."""
    assert sorted(result.trial.id for result in results) == sorted(trial.id for trial in trials)
    files = sorted(path.stem for path in ledger.root.glob("trials/*/*"))
    assert files == sorted(trial.id for trial in trials)
    for result in results:
        assert not result.done or serialize_result(result) == serialize_result(steady(result.trial))
