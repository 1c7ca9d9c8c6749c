"""Measuring seeds again, where a time, a speed or memory is judged.

Both sides of a pair are trained one after the other: on another day, or after the computer slept, a machine
may be faster. The results of a seed therefore count together, or are outdated together.
"""

import secrets
from collections import deque
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from functools import partial

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.plans.plan import Plan
from unrolled.bench.metric import judges_cost
from unrolled.bench.phrases import name_seeds, plural
from unrolled.bench.trial import Result, Trial


@dataclass(kw_only=True)
class Remeasuring:
    """The stored results that a run measures again, and the results of its own that count."""

    ledger: Ledger
    run_token: str = field(default_factory=partial(secrets.token_hex, 8))  # see `Result`
    current_ids: set[str] = field(default_factory=set)  # trials that this run measured, without a pause
    outdated_starts: dict[str, float] = field(
        default_factory=dict
    )  # by trial, when the result's training began
    last_started: deque[Trial] = field(default_factory=partial(deque, maxlen=2))
    paused_ids: set[str] = field(default_factory=set)  # trials of the seeds in which the run stood still

    def find_outdated_starts(
        self, plan: Plan, results: Mapping[str, Result], missing_ids: Set[str]
    ) -> dict[str, float]:
        """Return the stored results that are outdated: trial → its start; {} if no cost is judged.

        They are those of seeds that lack a trial, that several runs measured, or in which this run stood
        still. A trial is lacking if it failed and is retried, if a run was stopped, or if an arm goes on to
        later looks. Failures that are not retried, and results of this run, stay.
        """
        if not judges_cost(plan.rules.metrics):
            return {}
        seeds = [*_find_seeds(plan, missing_ids | self.paused_ids), *plan.find_mixed_seeds(results)]
        ids = {arm.trial_ids[seed] for seed in seeds for arm in plan.arms}
        return {
            id: result.started
            for id, result in results.items()
            if id in ids and result.status != "failed" and id not in self.current_ids
        }

    def mark_outdated(self, starts: Mapping[str, float]) -> None:
        """Take these results, with their starts, for outdated: among them those of the seeds with a pause."""
        self.outdated_starts |= starts
        self.paused_ids = set()

    def is_outdated(self, stored: Result) -> bool:
        """Return True for a stored result that is outdated."""
        return self.outdated_starts.get(stored.trial.id) == stored.started

    def receive_start(self, trial: Trial, plan: Plan) -> None:
        """Remove the outdated results of a starting trial's seed, as this run may be stopped within the seed.

        The next run would find one result of each run, and take them for a pair.
        """
        self.last_started.append(trial)
        if self.outdated_starts:
            for id, stored in self.ledger.read_results(_list_seed_ids(trial, plan)).items():
                if self.is_outdated(stored):
                    self.ledger.remove_result(id)

    def receive_result(self, id: str) -> None:
        """Count a result of this run, unless the run stood still within its seed."""
        if id not in self.paused_ids:
            self.current_ids.add(id)

    def receive_pause(self, plan: Plan) -> None:
        """Take into account that the run stood still: the seeds of the last two trials are outdated.

        The last trial may have started only after the pause.
        """
        if judges_cost(plan.rules.metrics):
            self.paused_ids = {id for trial in self.last_started for id in _list_seed_ids(trial, plan)}
            self.current_ids -= self.paused_ids


def explain_outdated(plan: Plan, outdated_ids: Set[str]) -> str:
    """Return a line on results that are measured again."""
    seeds = _find_seeds(plan, outdated_ids)
    results = plural(len(outdated_ids), "result")
    return (
        f"{name_seeds(seeds, 5)}: measured again (up to {results}), as the times of a seed count together, "
        "from one run without a pause"
    )


def _find_seeds(plan: Plan, ids: Set[str]) -> list[int]:
    """Return the seeds of a plan for which at least one arm has one of these trials."""
    return [seed for seed in plan.rules.seeds if any(arm.trial_ids[seed] in ids for arm in plan.arms)]


def _list_seed_ids(trial: Trial, plan: Plan) -> list[str]:
    """Return the trials of all arms of a trial's seed."""
    _, seed = plan.arm_and_seed_by_id[trial.id]
    return [arm.trial_ids[seed] for arm in plan.arms]
