"""`unrolled plan`: print the trials of studies, their costs and power. Nothing is trained."""

from collections.abc import Collection, Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.options import PlanOptions
from unrolled.ablations.plans import plan_store
from unrolled.ablations.plans.plan import Plan
from unrolled.ablations.plans.planning import make_plan
from unrolled.ablations.plans.retraining import explain_retraining
from unrolled.ablations.plans.seen_results import warn_of_shared_seeds
from unrolled.ablations.study.checkouts import find_checked_out_commits
from unrolled.ablations.study.loading import load_studies
from unrolled.ablations.study.seeds import format_seeds
from unrolled.ablations.study.study import Study
from unrolled.ablations.terminal import print_line, print_rows
from unrolled.ablations.training.device import DeviceChoice, choose_device
from unrolled.ablations.training.estimates import (
    SPREAD,
    TRUTHS,
    count_missing_trials,
    count_workers,
    describe_costs,
    estimate_chances,
    estimate_seeds,
    find_spread,
    format_estimate,
    read_measurements,
)
from unrolled.bench.metric import FEWEST_SEEDS
from unrolled.bench.phrases import choose_form, plural
from unrolled.bench.study_rules import StoppingRule
from unrolled.bench.trial import Result, Trial

if TYPE_CHECKING:
    from unrolled.reports.statistics.expected_seeds import ExpectedContrast

HOUR = 3600.0


def print_plans(studies: Sequence[str | Study], options: PlanOptions) -> int:
    """Print the arms of studies, and what it takes to decide them."""
    for study in load_studies(studies, options):
        ledger = Ledger(options.results)
        device = choose_device(study, options, plan_store.find_stored_device(study.name, ledger))
        print_plan(plan_store.inherit_to_the_end(study, ledger), device, ledger)
    return 0


def print_plan(study: Study, device: DeviceChoice, ledger: Ledger) -> None:
    """Print one study's arms, the seeds that each may need, its trials, the expected time and the device."""
    has_plan = study.trainer.runs_user_code or ledger.find_result_files()
    plan, planned_trials = make_plan(study, "", device.type) if has_plan else (None, [])
    results = ledger.read_results(plan.ids) if plan else {}
    spreads, measured_seconds = read_measurements(study, ledger, plan, device.type)
    seconds = _expect_seconds(study, measured_seconds)
    chances = estimate_chances(study, spreads, study.rules.stopping_rule == StoppingRule.SIZE)
    print_line(f"{study.name}: {study.rules.question}")
    print_line("")
    _print_table(_make_rows(study, seconds, spreads, chances))
    _explain_columns(study, device, has_spreads=bool(spreads), measured_arms=measured_seconds.keys())
    looks = ", ".join(map(str, study.rules.looks))
    print_line(f"{plural(len(study.arms), 'arm')}, looks after {looks} seeds, plan {study.study_hash[:12]}")
    print_line(f"{choose_form(len(study.rules.seeds), 'seed', 'seeds')}: {format_seeds(study.rules.seeds)}")
    if (warning := warn_of_shared_seeds(study)) and not plan_store.has_plan(study.name, ledger):
        print_line(warning)
    if plan:
        plan = _print_retraining(plan, [trial for trial in planned_trials if trial.id not in results], ledger)
    if plan and study.trainer.runs_user_code:
        trial = study.baseline.make_unidentified_trial(device=device.type)
        mean = fmean(measured_seconds.values()) if measured_seconds else None
        for line in describe_costs(plan, trial, len(results), mean, device):
            print_line(line)
    if commits := find_checked_out_commits(study.baseline.factory):
        print_line("commits, each with the packages that are installed now:")
        for commit in commits.values():
            print_line(f"  {commit.name}  {commit.description}")
    if plan and not study.trainer.runs_user_code:
        remark = f"{len(results):,} are in {ledger.root} already"
        print_line(f"of {len(plan.ids):,} trials at most, {remark}")
    if plan and results and _has_ended(plan, results):
        print_line("nothing is left to train: each contrast is decided, or gets no more seeds")
    else:
        arms = plan.arms if plan else ()
        result_counts = {arm.name: sum(id in results for id in arm.trial_ids.values()) for arm in arms}
        _print_costs(
            study, device, [estimate_seeds(study, by_arm) for by_arm in chances], result_counts, seconds
        )
    print_line(device)
    if len(study.rules.seeds) < FEWEST_SEEDS:
        print_line(f"WARNING: nothing will be decided: a verdict needs at least {FEWEST_SEEDS} seeds")


def _expect_seconds(study: Study, measured_seconds: Mapping[str, float]) -> dict[str, float]:
    """Return the seconds of a trial on one core by arm, measured or expected; {} if nothing is known yet.

    An arm of a program that was not measured is expected to take as long as the others.
    """
    expected_seconds = {arm.name: arm.make_unidentified_trial().expected_seconds for arm in study.arms}
    if not study.trainer.estimate_seconds:
        if not measured_seconds:
            return {}
        expected_seconds = dict.fromkeys(expected_seconds, fmean(measured_seconds.values()))
    return {**expected_seconds, **measured_seconds}


def _print_retraining(plan: Plan, missing_trials: Sequence[Trial], ledger: Ledger) -> Plan:
    """Print why trials are trained again that the study's earlier plan had.

    Returns the plan with the `repetition_differences` that the earlier plan measured.
    """
    earlier = plan_store.read_sound_plan(plan.study_name, ledger)
    if not earlier:
        return plan
    plan = plan_store.copy_repetition(plan, earlier)
    for reason in explain_retraining(earlier, plan, missing_trials, ledger):
        print_line(reason)
    return plan


def _has_ended(plan: Plan, results: Mapping[str, Result]) -> bool:
    """Return True if no look can need another trial."""
    from unrolled.ablations.training.seed_scheduler import SeedScheduler  # imports numpy

    return not SeedScheduler(plan, plan.make_results_in_study(results)).possible_ids


def _print_costs(
    study: Study,
    device: DeviceChoice,
    needs: Sequence[Mapping[str, float]],
    result_counts: Mapping[str, int],
    seconds: Mapping[str, float],
) -> None:
    """Print, for each of TRUTHS, the expected trials, those without a result, and their time.

    `needs` has the seeds that each arm is expected to need, for each of TRUTHS. `seconds` is the mean of a
    trial, by arm; {} for a program that was not measured yet.
    """
    workers, slots = count_workers(
        device, study.baseline.make_unidentified_trial(device=device.type).gpu_count
    )
    longest = 0.0
    for truth, need in zip(TRUTHS, needs, strict=True):
        missing = count_missing_trials(need, result_counts)
        phrases = [f"about {sum(need.values()):.0f} trials expected"]
        if missing != need:
            phrases.append(f"{sum(missing.values()):.0f} left to train")
        duration = ""
        if seconds:
            total = sum(number * seconds[name] for name, number in missing.items())
            longest = max(longest, total / workers)
            phrases.append(f"{total:.0f} seconds of training")
            duration = f"{format_estimate(total / workers)} "
        print_line(f"if {truth}: {', '.join([*phrases, f'{duration}on {slots}'])}")
    if longest > HOUR:
        print_line(f"WARNING: deciding may take {longest / HOUR:.1f} h; --budget 1h ends a run in time")


def _explain_columns(
    study: Study, device: DeviceChoice, *, has_spreads: bool, measured_arms: Collection[str]
) -> None:
    """Print what the columns of the table mean. Trials of the `measured_arms` have results."""
    metric = study.rules.metrics[0]
    source = "of the results so far" if has_spreads else f"a guess, {SPREAD:g} δ"
    print_line("")
    print_line(f"SD: of the pairs' differences in {metric.name}, {source}; δ = {metric.shown_delta}.")
    print_line(f"seeds: expected number, {study.rules.looks[-1]} at most; what is open then would need more.")
    print_line("chance: of a right verdict by then, at least.")
    if len(study.rules.looks) > 1 and not study.rules.to_the_end:
        print_line(
            "A contrast that is unlikely to be decided gets no more seeds, unless --to-the-end is given."
        )
    explanation = "of a trial, measured where there are results" if measured_arms else "of a trial"
    if not study.trainer.estimate_seconds and not measured_arms:
        explanation += ", unknown until the first has ended"
    if device.type == "cuda" and study.trainer.estimate_seconds and len(measured_arms) < len(study.arms):
        explanation += ", else of one on a core: how long a GPU takes is not known before"
    print_line(f"seconds: {explanation}.")


def _make_rows(
    study: Study,
    seconds: Mapping[str, float],
    spreads: Mapping[str, float],
    chances: "Sequence[Mapping[str, ExpectedContrast]]",
) -> list[list[str]]:
    """Return the table: a heading, and a row for each arm."""
    rows = [["arm", "SD", "0", "δ", "2 δ", "seconds", "what it changes"]]
    for arm in study.arms:
        cells = ["–"] * (1 + len(TRUTHS))
        if arm.name in chances[0]:
            cells = [f"{find_spread(study, spreads, arm.name) * study.rules.metrics[0].zone:.2g}"]
            expectations = [by_arm[arm.name] for by_arm in chances]
            cells += [
                f"{expectation.seeds:.0f} ({100 * expectation.right:.0f} %)" for expectation in expectations
            ]
        changes = ", ".join(f"{key}={value}" for key, value in arm.changes.items()) or "–"
        against = f", against {arm.against}" if arm.against else ""
        if differences := study.find_task_differences(arm):
            against += f"; no contrast, as it is of another task: {', '.join(differences)}"
        duration = f"{seconds[arm.name]:.1f}" if seconds else "–"
        rows.append([arm.name, *cells, duration, changes + against])
        rows += [["", *[""] * (2 + len(TRUTHS)), f"also: {name}"] for name in arm.other_names]
    return rows


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print the table, with a heading over the columns of `TRUTHS`."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    indent = " " * (widths[0] + widths[1] + 4)
    print_line(f"{indent}seeds (chance) if the true difference is")
    print_rows(rows)
