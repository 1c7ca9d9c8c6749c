"""Replay: train finished trials again in fresh processes and compare the bits."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ablations.design.plan import Plan
from ablations.ledger import Ledger
from ablations.trials.runner import run_trials
from bench.identity import identify
from bench.trial import BadInput, Result


def sample(plan: Plan, ledger: Ledger, number: int) -> list[Result]:
    """At most `number` finished trials of a study, drawn by the plan's hash, so the same ones each time.

    Raises BadInput where there are none, or where today's code or data make other trials of them.
    """
    done = [result for _, _, result in plan.cells(ledger) if result.done]
    if not done:
        raise BadInput(f"study {plan.study!r} has no finished trial; `unrolled run {plan.study}` trains them")
    drawn = random.Random(plan.hash).sample(done, min(number, len(done)))
    chosen = [whole for result in drawn if (whole := ledger.read(result.trial.id))]
    for result in chosen:
        if identify(result.trial).id != result.trial.id:
            raise BadInput(
                f"trial {result.trial.id}: its code or data have changed since; "
                f"`unrolled run {plan.study}` trains what they are now"
            )
    return chosen


def verdicts(results: Sequence[Result], **places: Any) -> Iterator[tuple[Result, str]]:
    """Each result with "", or with where its replay parted from it. `places` as `run_trials` takes them."""
    with TemporaryDirectory() as folder:
        replays = Ledger(Path(folder))
        run_trials([result.trial for result in results], replays, **places)
        for result in results:
            yield result, difference(result, replays.read(result.trial.id))


def difference(result: Result, replay: Result | None) -> str:
    """ "" for the same bits; else the first step and tensor that differ, or why there is no replay."""
    from bench.training.engine import first_difference

    if replay is None or not replay.done:
        return f"could not be replayed: {replay.reason if replay else 'interrupted'}"
    if result.fingerprints == replay.fingerprints:
        return ""
    return f"differs from {first_difference(result.trace, replay.trace) or 'the evaluation on'}"
