"""From a plan and its results to the comparison of its arms, and its page."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from pkgutil import resolve_name
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

import numpy as np

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.study.plan import Plan, PlannedArm
from unrolled.ablations.study.seen_results import count_pairs, fingerprint_numbers
from unrolled.bench.atomic_files import PARTIAL, make_output_folder, remove_abandoned_drafts
from unrolled.bench.errors import BadInput
from unrolled.bench.trial import Result, StudyResult, trial_type
from unrolled.reports.design import Design, MeasuredArm
from unrolled.reports.formats import join_names, quote_name
from unrolled.reports.presentation import Presentation

if TYPE_CHECKING:
    from unrolled.ablations.mlflow.mlflow_runs import ArmRun
    from unrolled.reports.comparison import Comparison


def prepare_folder(out: Path) -> None:
    """Make the reports' folder and remove drafts of killed processes. Raises BadInput if it is read-only."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=out).close()
        remove_abandoned_drafts([*out.glob(f".*{PARTIAL}"), *out.glob(f"*/.*{PARTIAL}")])
    except OSError as error:
        raise BadInput(
            f"cannot be written ({error.strerror})", place=f"--out {out}", cure="choose another folder"
        ) from error
    make_output_folder(out)


def render_page(comparison: "Comparison", out: Path) -> Path:
    """Render a study's page, and the index over the pages of its folder. Returns the page's path."""
    # imports matplotlib and pandas, which take two seconds, and training does not need them
    from unrolled.reports.render import render, write_index

    page = render(comparison, out)
    write_index(out)
    return page


def collect_report_parts(
    page: Path, plan: Plan, comparison: "Comparison"
) -> "tuple[Path, tuple[str, ...], tuple[ArmRun, ...]]":
    """Return what MLflow shows of a report: its folder, one sentence for each contrast, the arms' means."""
    from unrolled.ablations.training.mlflow_arms import summarise_arms  # imports scipy
    from unrolled.reports.words.claims import write_claims

    return page.parent, write_claims(comparison), summarise_arms(plan, comparison)


def compare_plan(plan: Plan, results: Mapping[str, StudyResult]) -> "Comparison":
    """Compare a plan's arms, by the results of its trials. A page needs those of `read_page_results`."""
    from unrolled.reports.comparison import compare  # imports scipy and pandas
    from unrolled.reports.trial_frame import tabulate_results

    design = design_of_plan(plan, results)
    return compare(tabulate_results(design), design)


def read_page_results(plan: Plan, ledger: Ledger) -> dict[str, StudyResult]:
    """Read the stored results of a plan's trials, by id, with the details that pages and arms show.

    The details are records, and the curves that are drawn (of a program, all). Thousands of results are in
    memory at once, so that a curve is an array of shape (points, 2). Records that pages show of one trial per
    arm are kept only of its first finished trial.
    """
    drawn_curves = plan.mlflow_metrics.curve_metrics
    single_records = _find_presentation(plan).sample_records
    sampled_arms: set[str] = set()
    results: dict[str, StudyResult] = {}
    for arm_name, id in [(arm.name, id) for arm in plan.arms for id in arm.trial_ids.values()]:
        stored_result = ledger.read_result(id) if id not in results else None
        if stored_result is None:
            continue
        result = plan.make_study_result(stored_result)
        curves: Any = {
            name: np.array(curve, dtype=float).reshape(-1, 2)
            for name, curve in result.curves.items()
            if not drawn_curves or name in drawn_curves
        }
        records = {key: record for key, record in result.records.items() if key not in single_records}
        if result.done and arm_name not in sampled_arms and len(records) < len(result.records):
            records = dict(result.records)
            sampled_arms.add(arm_name)
        results[id] = replace(result, records=records, curves=curves, trace={})
    return {id: results[id] for id in plan.ids if id in results}


def design_of_plan(plan: Plan, results: Mapping[str, StudyResult]) -> Design:
    """Return what a plan's arms are compared by, and each arm with its results."""
    earlier_dates = [
        earlier.planned
        for earlier in plan.earlier_declarations
        if not set(earlier.trial_ids).isdisjoint(plan.ids)
    ]
    earlier_attempts = {
        arm: [verdict.describe(plan.template) for verdict in verdicts]
        for arm, verdicts in plan.earlier_verdicts.items()
    }
    earlier_seeds = [
        seed for verdicts in plan.earlier_verdicts.values() for verdict in verdicts for seed in verdict.seeds
    ]
    return Design(
        study=plan.study,
        question=plan.question,
        about=plan.about,
        metrics=plan.metrics,
        arms=tuple(_make_measured_arm(arm, plan, results) for arm in plan.arms),
        seeds=plan.seeds,
        looks=plan.looks,
        stopping_rule=plan.decide,
        to_the_end=plan.to_the_end,
        level=plan.level,
        simpler_level=plan.simpler_level,
        plan_hash=plan.hash,
        planned=plan.planned,
        command=plan.command,
        ships=plan.ships,
        first_declared=min(earlier_dates, default=None),
        seen_pairs={**_count_pairs_of_other_command(plan, results), **plan.seen_pairs},
        earlier_attempts=earlier_attempts,
        first_fresh_seed=1 + max(earlier_seeds, default=-1),
        setting_titles=plan.setting_titles,
        presentation=_find_presentation(plan),
        audit=plan.audit,
        nondeterminism=plan.nondeterminism if plan.of_program else {},
        irreproducible=plan.irreproducible,
    )


def _count_pairs_of_other_command(plan: Plan, results: Mapping[str, Result]) -> dict[str, int]:
    """Count, by arm, the pairs that had results under another command line when the plan was declared.

    The count is 0 if a new result has other numbers than the earlier ones, because it is then another
    program.
    """
    earlier = {id: prints for id, prints in plan.earlier_fingerprints.items() if id in results}
    if not all(fingerprint_numbers(results[id]) in prints for id, prints in earlier.items()):
        return {}
    return count_pairs(plan.arm_pairs, earlier)


def _find_presentation(plan: Plan) -> Presentation:
    """Return how pages show the plan's trials."""
    presentation: Presentation = resolve_name(trial_type(plan.trainer_name).presentation_import)
    return presentation


def _make_measured_arm(arm: PlannedArm, plan: Plan, results: Mapping[str, Result]) -> MeasuredArm:
    return MeasuredArm(
        name=arm.name,
        model=arm.model,
        title=arm.title,
        question=arm.question,
        note=" ".join(filter(None, [arm.note, _describe_commit(arm)])),
        changes=arm.changes,
        results={seed: results[id] for seed, id in arm.trial_ids.items() if id in results},
        marked_exploratory=arm.exploratory,
        against=arm.against,
        uses_seed=plan.make_planned_trial(arm, plan.seeds[0]).uses_seed,
    )


def _describe_commit(arm: PlannedArm) -> str:
    """Return a note on the commit of an arm and on other commits with the same files; "" for no commit."""
    if arm.commit is None:
        return ""
    note = f"Commit {arm.commit.description}, with the packages that were installed."
    if arm.other_names:
        note += f" {join_names([quote_name(name) for name in arm.other_names])} have the same files."
    return note
