"""Times of an earlier run, which are no evidence beside those of today."""

from collections.abc import Set

from unrolled.ablations.plans.plan import Plan
from unrolled.ablations.training.seed_scheduler import SeedScheduler
from unrolled.bench.metric import judges_cost
from unrolled.bench.phrases import name_seeds, plural


def find_outdated_starts(plan: Plan, scheduler: SeedScheduler, missing_ids: Set[str]) -> dict[str, float]:
    """Return the stored results that are trained again with others of their seed: trial → its start.

    If a time, a speed or memory is judged, both sides of a pair are trained one after the other: on another
    day a machine may be faster. Where a seed lacks a trial, all its results are therefore outdated, and so
    are those of a seed that several runs measured. A trial is lacking if it failed and is retried, if a run
    was stopped, or if an arm goes on to later looks. Failures that are not retried stay.
    """
    if not judges_cost(plan.rules.metrics):
        return {}
    seeds = [*_find_seeds(plan, missing_ids), *plan.find_mixed_seeds(scheduler.results)]
    ids = {arm.trial_ids[seed] for seed in seeds for arm in plan.arms}
    return {
        id: result.started
        for id, result in scheduler.results.items()
        if id in ids and result.status != "failed"
    }


def explain_outdated(plan: Plan, outdated_ids: Set[str]) -> str:
    """Return a line on results that are trained again."""
    seeds = _find_seeds(plan, outdated_ids)
    results = plural(len(outdated_ids), "result")
    return (
        f"{name_seeds(seeds, 5)}: up to {results} of an earlier run are measured again, "
        "as a time of another day is no evidence"
    )


def _find_seeds(plan: Plan, ids: Set[str]) -> list[int]:
    """Return the seeds of a plan for which at least one arm has one of these trials."""
    return [seed for seed in plan.rules.seeds if any(arm.trial_ids[seed] in ids for arm in plan.arms)]
