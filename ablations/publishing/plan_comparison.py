"""From a plan and its results to the comparison of its arms."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from unrolled.ablations.plans.plan import Plan, PlannedArm
from unrolled.ablations.plans.seen_results import count_repeated_pairs
from unrolled.bench.phrases import choose_form
from unrolled.bench.trial import ResultInStudy
from unrolled.reports.compare.design import Design, DesignArm
from unrolled.reports.formats import join_names, quote_name
from unrolled.reports.presentation import Presentation

if TYPE_CHECKING:
    from unrolled.reports.compare.comparison import Comparison


def compare_plan(plan: Plan, results: Mapping[str, ResultInStudy]) -> "Comparison":
    """Compare a plan's arms, by the results of its trials. A page needs those of `read_page_results`."""
    from unrolled.reports.compare.comparison import compare  # imports scipy and pandas
    from unrolled.reports.compare.trial_frame import tabulate_results

    design = make_plan_design(plan, results)
    return compare(tabulate_results(design), design)


def make_plan_design(plan: Plan, results: Mapping[str, ResultInStudy]) -> Design:
    """Return the design by which a plan's arms are compared, with the results of each arm."""
    earlier_dates = [
        earlier.declared_at
        for earlier in plan.earlier_plans
        if earlier.declared_at < plan.declared_at and not set(earlier.trial_ids).isdisjoint(plan.ids)
    ]
    earlier_plan_lines = {
        arm: [verdict.describe(plan.command_template) for verdict in verdicts]
        for arm, verdicts in plan.earlier_verdicts.items()
    }
    earlier_seeds = [
        seed for verdicts in plan.earlier_verdicts.values() for verdict in verdicts for seed in verdict.seeds
    ]
    return Design(
        rules=plan.rules,
        arms=tuple(_make_design_arm(arm, plan, results) for arm in plan.arms),
        study_hash=plan.study_hash,
        declared_at=plan.declared_at,
        command=plan.command,
        is_shipped=plan.is_shipped,
        first_declared_at=min(earlier_dates, default=None),
        seen_pairs={**count_repeated_pairs(plan, results), **plan.seen_pairs},
        attempts={arm.name: plan.count_attempts(arm) for arm in plan.arms},
        earlier_plan_lines=earlier_plan_lines,
        first_fresh_seed=1 + max(earlier_seeds, default=-1),
        setting_titles=plan.setting_titles,
        presentation=find_presentation(plan),
        runs_user_code=plan.trainer.runs_user_code,
        repetition_differences=plan.repetition_differences if plan.trainer.runs_user_code else {},
        tolerances=plan.tolerances,
    )


def find_presentation(plan: Plan) -> Presentation:
    """Return how pages show the plan's trials."""
    presentation: Presentation = plan.trainer.presentation.load()
    return presentation


def _make_design_arm(arm: PlannedArm, plan: Plan, results: Mapping[str, ResultInStudy]) -> DesignArm:
    return DesignArm(
        name=arm.name,
        model=arm.model,
        title=arm.title,
        question=arm.question,
        note=" ".join(filter(None, [arm.note, _describe_commit(arm)])),
        changes=arm.changes,
        results={seed: results[id] for seed, id in arm.trial_ids.items() if id in results},
        is_marked_exploratory=arm.exploratory,
        against=arm.against,
        uses_seed=plan.make_planned_trial(arm, plan.rules.seeds[0]).uses_seed,
    )


def _describe_commit(arm: PlannedArm) -> str:
    """Return a note on the commit of an arm and on other commits with the same files; "" for no commit."""
    if arm.commit is None:
        return ""
    note = f"Commit {arm.commit.description}, with the packages that were installed."
    if arm.other_names:
        names = join_names([quote_name(name) for name in arm.other_names])
        note += f" {names} {choose_form(len(arm.other_names), 'has', 'have')} the same files."
    return note
