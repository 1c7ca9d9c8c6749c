"""The first batch of each arm, which is trained before the study to find mistakes in a model."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from unrolled.ablations.options import RunOptions
from unrolled.ablations.plans.plan import Plan
from unrolled.ablations.runner.parallel import run_in_temporary_ledger
from unrolled.ablations.runner.process import format_reason
from unrolled.ablations.training.budget import Budget, BudgetSupervisor
from unrolled.ablations.training.device import DeviceChoice
from unrolled.ablations.training.progress import show_first_batches
from unrolled.ablations.training.study_run import make_trial_conditions
from unrolled.bench.errors import BadInput
from unrolled.bench.trial import Cause, ResultInStudy, Trial

FIRST_BATCH_SECONDS = 120.0  # seconds that the first batch of an arm may take


def find_unchecked_arms(
    trials: Sequence[Trial], plan: Plan, results: Mapping[str, ResultInStudy]
) -> dict[str, Trial]:
    """Return, by arm, one of these trials, if no trial of the arm has finished or diverged.

    Arms whose trainer has no `check_first_batch` are left out.
    """
    names = plan.arm_names_by_id
    trained_arms = {names[id] for id, result in results.items() if result.is_done or result.diverged}
    return {
        names[trial.id]: trial
        for trial in trials
        if trial.trainer.check_first_batch and names[trial.id] not in trained_arms
    }


def check_first_batches(
    arms: Mapping[str, Trial], options: RunOptions, device: DeviceChoice, budget: Budget
) -> frozenset[str]:
    """Train a batch of each arm, within half of the budget. Returns the names of arms that were not reached.

    Raises BadInput, naming the arm, for an arm that cannot be trained in time.
    """
    if not arms:
        return frozenset()
    half = budget.halve()
    conditions = make_trial_conditions(arms.values(), options, device)
    seconds = min(FIRST_BATCH_SECONDS, conditions.limits.time_limit)
    conditions = replace(
        conditions,
        run_import=next(iter(arms.values())).trainer.check_first_batch,
        limits=replace(conditions.limits, time_limit=seconds),
    )
    with show_first_batches(len(arms)) as show_result:
        supervisor = BudgetSupervisor(budget=half, show_result=show_result)
        results, interrupted = run_in_temporary_ledger(
            [*arms.values()], conditions, supervisor, fail_fast=True
        )
    if interrupted:
        raise KeyboardInterrupt
    for name, trial in arms.items():
        if (result := results.get(trial.id)) and not result.is_done:
            reason = format_reason(result)
            if result.cause == Cause.TIME_LIMIT:
                cure = "lower what makes it large (layers, hidden, window, batch, the text)"
                reason = f"its first batch takes more than {seconds:g} s: {cure}"
            raise BadInput(reason, place=f"arm {name!r}")
    return frozenset(name for name, trial in arms.items() if trial.id not in results)
