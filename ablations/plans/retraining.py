"""Stored results and the present code: why a trial is trained again."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.plans.plan import Plan
from unrolled.bench.errors import BadInput
from unrolled.bench.phrases import plural
from unrolled.bench.sources.identity import describe_changes
from unrolled.bench.trial import Trial

NEW_OCCASION = "other arms take turns with it, and a time of another day is no evidence"


def identify_today(trial: Trial) -> tuple[Trial | None, str]:
    """Return a stored trial as present code and data identify it, and what has changed since.

    The trial is None if more than the versions of packages differ: it would be another experiment.
    """
    try:
        present_trial = trial.identify()
    except BadInput as error:
        return None, str(error)
    if present_trial.id == trial.id:
        return present_trial, ""
    is_same_program = replace(present_trial, versions=trial.versions).id == trial.id
    return present_trial if is_same_program else None, ", ".join(describe_changes(trial, present_trial))


def explain_retraining(earlier_plan: Plan, plan: Plan, trials: Sequence[Trial], ledger: Ledger) -> list[str]:
    """Return a line for each reason to train trials of an earlier plan again.

    An example: "torch 2.13.0 → 2.14.0: 400 trials to train again; the earlier results stay in the ledger".

    `trials` are the trials of `plan` to be trained. A trial needs an explanation if it differs from its
    predecessor in `earlier_plan` in its code, data, versions or occasion. Other settings, and a retried
    failure, need none.
    """
    arm_and_seed_by_id = plan.arm_and_seed_by_id
    earlier_results = earlier_plan.read_results(ledger)
    earlier_trials = {
        (arm.name, seed): earlier_results[id].trial
        for id, (arm, seed) in earlier_plan.arm_and_seed_by_id.items()
        if id in earlier_results
    }
    counts = Counter[str]()
    edited_trial = None
    for trial in trials:
        arm, seed = arm_and_seed_by_id[trial.id]
        earlier_trial = earlier_trials.get((arm.name, seed))
        if earlier_trial is None or earlier_trial.id == trial.id:
            continue
        if earlier_trial.declared_fields == trial.declared_fields:
            counts[" and ".join(describe_changes(earlier_trial, trial)) or NEW_OCCASION] += 1
            if earlier_trial.source != trial.source:
                edited_trial = trial
    lines = [
        f"{reason}: {plural(count, 'trial')} to train again; the earlier results stay in the ledger"
        for reason, count in counts.items()
    ]
    if edited_trial and (newest_file := edited_trial.newest_code):
        lines.append(f"its newest file is {newest_file}; `code` in [program] names the files that count")
    return lines
