"""Running studies: train what is missing of each, log it to MLflow, render its page, print the outcome.

For each study `_run_study` calls, in this order: `_train_study`, `_publish_results`, `print_outcome`.
`_train_study` calls `_prepare_training`, `_train_first_trials` (of a program) and `_train_wanted_trials`.
"""

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from unrolled.ablations import run_folder
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.mlflow.database import find_tracking_uri
from unrolled.ablations.mlflow.writer import Writer
from unrolled.ablations.options import RunOptions
from unrolled.ablations.plans import plan_store, retraining
from unrolled.ablations.plans.plan import Plan, awaits_repetition
from unrolled.ablations.plans.planning import make_plan
from unrolled.ablations.plans.seen_results import describe_seen_pairs, warn_of_shared_seeds
from unrolled.ablations.publishing.plan_comparison import compare_plan
from unrolled.ablations.publishing.plan_page import (
    make_mlflow_report,
    prepare_folder,
    read_page_results,
    render_page,
)
from unrolled.ablations.runner.process import remove_checkpoints
from unrolled.ablations.study.checkouts import find_checked_out_commits
from unrolled.ablations.study.study import Study
from unrolled.ablations.terminal import print_line
from unrolled.ablations.training.budget import Budget
from unrolled.ablations.training.device import DeviceChoice, choose_device
from unrolled.ablations.training.earlier_verdicts import add_earlier_verdicts
from unrolled.ablations.training.estimates import describe_costs
from unrolled.ablations.training.first_batches import check_first_batches, find_unchecked_arms
from unrolled.ablations.training.first_trials import refuse_stored_failures, train_first_trials
from unrolled.ablations.training.remeasuring import Remeasuring
from unrolled.ablations.training.seed_scheduler import SeedScheduler
from unrolled.ablations.training.study_outcome import StudyOutcome, print_outcome
from unrolled.ablations.training.study_run import StudyRun, read_final_results
from unrolled.bench.errors import BadInput
from unrolled.bench.hardware.devices import check_gpus
from unrolled.bench.metric import judges_cost
from unrolled.bench.phrases import plural
from unrolled.bench.trial import ResultInStudy, Trial
from unrolled.reports.page.summary import find_page, read_summary

if TYPE_CHECKING:
    from unrolled.reports.compare.comparison import Comparison


@dataclass(frozen=True, kw_only=True)
class RunOutcome:
    """The outcome of running studies."""

    comparisons: "Mapping[str, Comparison]"  # comparisons by study; a study that ran out of time has none
    has_faults: bool  # whether trials failed, or have no result without a reason
    interrupted: bool  # whether Ctrl-C ended the run


@run_folder.use_run_folder()
def run_studies(studies: Iterable[Study], options: RunOptions, command: str = "") -> RunOutcome:
    """Run each study until Ctrl-C or the end of the budget. `command` is what was typed."""
    comparisons: dict[str, Comparison] = {}
    has_faults = False
    interrupted = False
    end = time.monotonic() + options.budget
    studies = [*studies]  # a mistake in the last study is found before the first is trained
    prepare_folder(options.out)
    ledger = Ledger(options.results)
    if not (ledger.root / "plans").exists():
        lines = filter(None, [f"a new ledger begins in {ledger.root.absolute()}", ledger.nearest_ledger_hint])
        print_line("; ".join(lines))
    for study in studies:
        budget = Budget(end)
        if budget.is_over:
            print_line(f"{study.name}: not run: no time was left")
            continue
        outcome = _run_study(study, options, ledger, budget, command)
        comparisons[study.name] = outcome.comparison
        interrupted = outcome.interrupted
        if interrupted:
            break
        has_faults = has_faults or outcome.fault_count > 0
    if len(comparisons) > 1:
        contrasts = [arm for comparison in comparisons.values() for arm in comparison.judged_arms]
        decided_count = sum(arm.state.has_ended for arm in contrasts)
        page = options.out / "index.html"
        print_line(f"{decided_count} of {plural(len(contrasts), 'contrast')} decided; all reports: {page}")
    return RunOutcome(comparisons=comparisons, has_faults=has_faults, interrupted=interrupted)


def _run_study(
    study: Study, options: RunOptions, ledger: Ledger, budget: Budget, command: str = ""
) -> StudyOutcome:
    """Train the trials that a study needs, publish its results, under the study's lock, and print them."""
    with ledger.lock_study(study.name, alone=judges_cost(study.rules.metrics)):
        device = _announce_device(study, options, ledger)
        study = plan_store.inherit_to_the_end(study, ledger)
        if (warning := warn_of_shared_seeds(study)) and not plan_store.has_plan(study.name, ledger):
            print_line(f"{study.name}: {warning}")
        plan, trials = make_plan(study, command, device.type)
        if stored_plan := plan_store.read_sound_plan(plan.study_name, ledger):
            plan = plan_store.copy_repetition(plan, stored_plan)  # it decides which trials are wanted
        if plan.trainer.runs_user_code:
            refuse_stored_failures(plan, ledger, retry=options.retry)
        with closing(Writer(find_tracking_uri())) as writer:
            study_run = StudyRun(
                plan=plan,
                trials=trials,
                scheduler=SeedScheduler(plan, read_final_results(plan, ledger, retry=options.retry)),
                ledger=ledger,
                writer=writer,
                options=options,
                device=device,
                budget=budget,
                remeasuring=Remeasuring(ledger=ledger),
            )
            has_repeated_baseline = _train_study(study_run)
            plan = study_run.plan  # the last that is stored
            trained_ids = study_run.trained_ids
            interrupted = study_run.interrupted
            del study_run, trials  # frees the results; the ledger is read again, as files may have changed
            comparison, results = _publish_results(plan, ledger, writer, options.out)
            if problem := writer.finish_writing():
                print(problem, file=sys.stderr)
    outcome = StudyOutcome(
        plan=plan,
        comparison=comparison,
        results=results,
        trained_ids=trained_ids,
        has_repeated_baseline=has_repeated_baseline,
        timed_out=budget.has_refused,
        interrupted=interrupted,
    )
    print_outcome(outcome, ledger)
    print_line(f"report: {find_page(plan.study_name, options.out)}")
    return outcome


def _announce_device(study: Study, options: RunOptions, ledger: Ledger) -> DeviceChoice:
    """Choose a study's device. Print it, and the commits that the study compares."""
    device = choose_device(study, options, plan_store.find_stored_device(study.name, ledger))
    print_line(f"{study.name}: {device}")
    for commit in find_checked_out_commits(study.baseline.factory).values():
        print_line(f"{study.name}: {commit.name} is {commit.description}")
    return device


def _train_study(study_run: StudyRun) -> bool:
    """Train the trials that a study needs.

    Returns True if the baseline's first trial was trained a second time, as a check.
    """
    _prepare_training(study_run)
    awaited_repetition = awaits_repetition(study_run.plan)
    if study_run.plan.trainer.runs_user_code:
        _train_first_trials(study_run)
    _announce_replacement(study_run.plan, study_run.options.out)
    if not study_run.interrupted:
        _train_wanted_trials(study_run)
    return awaited_repetition and not awaits_repetition(study_run.plan)


def _train_wanted_trials(study_run: StudyRun) -> None:
    """Train the trials that are wanted, after the first trials of a program, and print where the page is."""
    study_run.forget_outdated_results()  # the first trials may have changed which trials are wanted
    if todo := study_run.list_missing_trials():
        name = study_run.plan.study_name
        page = find_page(name, study_run.options.out)  # not earlier: the first trials may be refused
        print_line(f"{name}: its report, from the first look on: {page}")
        study_run.train_trials(todo)


def _prepare_training(study_run: StudyRun) -> None:
    """Check that the missing trials can be trained; store the plan, and open it in MLflow."""
    study_run.forget_outdated_results()
    todo = study_run.list_missing_trials()
    # before the study is opened in MLflow, where a refused one should not appear
    if todo and not study_run.options.cluster:
        check_gpus(study_run.device.gpus, todo[0].gpu_count, with_torch=todo[0].uses_torch)
    _explain_retraining(todo, study_run)
    _check_arms(todo, study_run)
    study_run.store_plan(add_earlier_verdicts(study_run.plan, study_run.ledger))
    study_run.writer.open_study(study_run.plan)
    if todo and (remark := describe_seen_pairs(study_run.plan)):
        print_line(f"{study_run.plan.study_name}: {remark}")
    if todo and study_run.plan.trainer.runs_user_code:
        _print_costs(study_run)
    _settle_earlier_results(study_run)


def _explain_retraining(todo: Sequence[Trial], study_run: StudyRun) -> None:
    """Print why trials are trained again that the study's stored plan has."""
    if stored_plan := plan_store.read_or_set_aside(study_run.plan.study_name, study_run.ledger):
        for reason in retraining.explain_retraining(stored_plan, study_run.plan, todo, study_run.ledger):
            print_line(reason)


def _check_arms(todo: Sequence[Trial], study_run: StudyRun) -> None:
    """Train the first batch of each arm without results; leave out arms that half of the time did not reach.

    Raises BadInput, naming the arm, for an arm that cannot be trained.
    """
    arms = find_unchecked_arms(todo, study_run.plan, study_run.scheduler.results)
    unreached_arms = check_first_batches(arms, study_run.options, study_run.device, study_run.budget)
    if unreached_arms:
        study_run.leave_out_arms(unreached_arms)
        count = f"{len(arms) - len(unreached_arms)} of {plural(len(arms), 'arm')}"
        print_line(
            f"{study_run.plan.study_name}: the first batch of {count} was checked in half of "
            "the remaining time"
        )


def _settle_earlier_results(study_run: StudyRun) -> None:
    """Give the budget the times of the trials that have results, and remove their checkpoints."""
    for result in study_run.scheduler.results.values():
        study_run.budget.add_trial(result)
        if result.status != "failed":  # another study may be training it again
            # a killed driver may have recorded the result without removing them
            remove_checkpoints(study_run.ledger.checkpoints, result)


def _print_costs(study_run: StudyRun) -> None:
    """Print what the study of a program costs, and what is checked first."""
    results = study_run.scheduler.results
    times = [result.total_seconds for result in results.values() if result.is_done]
    mean = fmean(times) if times else None
    for line in describe_costs(study_run.plan, study_run.trials[0], len(results), mean, study_run.device):
        print_line(f"{study_run.plan.study_name}: {line}")


def _train_first_trials(study_run: StudyRun) -> None:
    """Train a program's first trials, and store with the plan why they stopped the study, if they did.

    Raises BadInput as `train_first_trials` does.
    """
    try:
        train_first_trials(study_run)
    except BadInput as error:
        study_run.store_plan(replace(study_run.plan, stop_reason=str(error)))
        raise


def _announce_replacement(plan: Plan, out: Path) -> None:
    """Print a line if the study has a page already, of other seeds or settings."""
    page = find_page(plan.study_name, out)
    summary = read_summary(page)
    if summary and summary.study_hash != plan.study_hash:
        print_line(f"{page}: will be replaced, as its seeds or settings differ; --out FOLDER keeps it")


def _publish_results(
    plan: Plan, ledger: Ledger, writer: Writer, out: Path
) -> "tuple[Comparison, Mapping[str, ResultInStudy]]":
    """Write a plan's results to MLflow and to its page. Returns their comparison, and the results."""
    arm_names = plan.arm_names_by_id
    results = read_page_results(plan, ledger)
    # before the page is rendered: if that fails, MLflow still has every trial
    writer.write_missing((arm_names[id], result) for id in results if (result := ledger.read_result(id)))
    comparison = compare_plan(plan, results)
    page = render_page(comparison, out)
    writer.publish_report(*make_mlflow_report(page, plan, comparison))
    return comparison, results
