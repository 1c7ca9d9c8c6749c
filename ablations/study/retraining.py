"""The reasons why trials are trained again although an earlier plan has results for their settings."""

from collections import Counter
from collections.abc import Sequence

from ablations.ledger import Ledger
from ablations.study.plan import Plan
from bench.errors import plural
from bench.identity import changes
from bench.trial import Trial


def reasons(before: Plan, plan: Plan, todo: Sequence[Trial], ledger: Ledger) -> list[str]:
    """A line for each reason, with the number of trials: "torch 2.13.0 → 2.14.0: 400 trials to train; …".

    `todo` are trials of `plan` without a result. Those whose settings have changed are not trained again.
    """
    arm_and_seed = plan.arm_and_seed
    earlier = {(arm.name, seed): result.trial for arm, seed, result in before.cells(ledger)}
    found = Counter[str]()
    for trial in todo:
        arm, seed = arm_and_seed[trial.id]
        known = earlier.get((arm.name, seed))
        if known is not None and known.declared == trial.declared:
            found[" and ".join(changes(known, trial))] += 1
    return [
        f"{reason}: {plural(count, 'trial')} to train; the earlier results stay in the ledger"
        for reason, count in found.items()
    ]
