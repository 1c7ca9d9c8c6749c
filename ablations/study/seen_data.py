"""Results that were there before a plan was declared: what they suggested, they cannot confirm."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ablations.ledger import Ledger
from bench.trial import Trial, canonical

if TYPE_CHECKING:
    from ablations.study.plan import PlannedArm


def seen_pairs(arms: Sequence["PlannedArm"], trials: Iterable[Trial], ledger: Ledger) -> dict[str, int]:
    """By arm, the number of its seeds of which results of both it and its baseline are in the ledger.

    The first arm is the baseline. A result counts for every trial of its settings, data and seed, whatever
    study and code it is of: an edited comment makes no seed fresh. `trials` are those of the arms; without
    them only results of the same code are recognised.
    """
    results = list(ledger.trials_with_results())
    contents = set(map(_content, results))
    seen = {trial.id for trial in results} | {trial.id for trial in trials if _content(trial) in contents}
    by_name, pairs = {arm.name: arm for arm in arms}, {}
    for arm in arms[1:]:
        base = by_name.get(arm.against, arms[0])
        count = sum(id in seen and base.trials.get(seed) in seen for seed, id in arm.trials.items())
        if count:
            pairs[arm.name] = count
    return pairs


def _content(trial: Trial) -> bytes:
    """What is trained, and on what, without the code that does it."""
    return canonical({**trial.declared, "data": trial.data})
