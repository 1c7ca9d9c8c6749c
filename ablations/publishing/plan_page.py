"""The page of a plan: the results that it shows, its file, and what MLflow shows of it."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

import numpy as np

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.plans.plan import Plan
from unrolled.ablations.publishing.plan_comparison import find_presentation
from unrolled.bench.errors import BadInput
from unrolled.bench.files.atomic_files import PARTIAL, make_output_folder, remove_abandoned_drafts
from unrolled.bench.trial import ResultInStudy

if TYPE_CHECKING:
    from unrolled.ablations.mlflow.mlflow_runs import ArmRun
    from unrolled.reports.compare.comparison import Comparison


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
    from unrolled.reports.page.render import render, render_index

    page = render(comparison, out)
    render_index(out)
    return page


def make_mlflow_report(
    page: Path, plan: Plan, comparison: "Comparison"
) -> "tuple[Path, tuple[str, ...], tuple[ArmRun, ...]]":
    """Return what MLflow shows of a report: its folder, one sentence for each contrast, the arms' means."""
    from unrolled.ablations.publishing.mlflow_arms import make_arm_runs  # imports scipy
    from unrolled.reports.words.contrast_lines import write_claims

    return page.parent, write_claims(comparison), make_arm_runs(plan, comparison)


def read_page_results(plan: Plan, ledger: Ledger) -> dict[str, ResultInStudy]:
    """Read the stored results of a plan's trials, by id, with the details that pages and arms show.

    The details are records, and the curves that its page or MLflow draws; of a program, all curves. Thousands
    of results are in memory at once, so that a curve is an array of shape (points, 2). Records that pages
    show of one trial per arm are kept only of its first finished trial.
    """
    presentation = find_presentation(plan)
    single_records = presentation.sample_records
    drawn_curves = {*presentation.page_curves, *plan.mlflow_metrics.list_curves(plan.rules.metric_names)}
    sampled_arms: set[str] = set()
    results: dict[str, ResultInStudy] = {}
    for arm_name, id in [(arm.name, id) for arm in plan.arms for id in arm.trial_ids.values()]:
        stored_result = ledger.read_result(id) if id not in results else None
        if stored_result is None:
            continue
        result = plan.make_result_in_study(stored_result)
        curves: Any = {
            name: np.array(curve, dtype=float).reshape(-1, 2)
            for name, curve in result.curves.items()
            if not presentation.page_curves or name in drawn_curves
        }
        records = {key: record for key, record in result.records.items() if key not in single_records}
        if result.is_done and arm_name not in sampled_arms and len(records) < len(result.records):
            records = dict(result.records)
            sampled_arms.add(arm_name)
        results[id] = replace(result, records=records, curves=curves, trace={})
    return plan.drop_mixed_seeds({id: results[id] for id in plan.ids if id in results})
