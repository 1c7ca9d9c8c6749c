"""A driver in a thread of the test, and what must be true of it afterwards."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from stub_trials import WORK, bits, steady

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.runner.parallel import Counts, TrialConditions, run_trials
from unrolled.bench.chapter.trial import ChapterTrial
from unrolled.bench.errors import BadInput
from unrolled.bench.trial import Result


class Told(list[Result]):
    """What a driver in another thread told, and its tally in the end."""

    tally: Counts
    error: BaseException | None = None


@contextmanager
def running(trials: list[ChapterTrial], ledger: Ledger, address: str, **words) -> Iterator[Told]:
    """Drive trials in a thread for as long as the block lasts, and then to the end."""
    told = Told()

    def drive() -> None:
        try:
            told.tally = run_trials(
                trials,
                ledger,
                TrialConditions(run_function=WORK, cluster=address),
                on_result=told.append,
                **words,
            )
        except BaseException as error:
            told.error = error

    thread = threading.Thread(target=drive, daemon=True)
    thread.start()
    yield told
    thread.join(120)
    assert not thread.is_alive()
    if told.error is not None and not isinstance(told.error, BadInput):
        raise told.error


def every_trial_is_kept_once(told: Told, ledger: Ledger, trials: list[ChapterTrial]) -> None:
    """Each is told once and has one file; those that are done have the local bits."""
    assert sorted(result.trial.id for result in told) == sorted(each.id for each in trials)
    files = sorted(path.stem for path in ledger.root.glob("trials/*/*"))
    assert files == sorted(each.id for each in trials)
    for result in told:
        assert not result.done or bits(result) == bits(steady(result.trial))
