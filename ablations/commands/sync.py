"""`unrolled sync`: write to MLflow the results that it lacks."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from unrolled.ablations import run_folder
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.mlflow.database import find_tracking_uri, translate_errors
from unrolled.ablations.mlflow.mlflow_runs import MlflowRuns
from unrolled.ablations.plans import plan_store
from unrolled.ablations.publishing.plan_comparison import compare_plan
from unrolled.ablations.publishing.plan_page import make_mlflow_report, read_page_results, render_page
from unrolled.ablations.terminal import print_line


@run_folder.use_run_folder()
def sync(studies: Sequence[str], folder: Path) -> int:
    """Write to MLflow the ledger's results that it lacks, and the reports. Raises BadInput if it cannot."""
    ledger = Ledger(folder)
    uri = find_tracking_uri()
    for plan in plan_store.require_plans(studies, ledger):
        with (
            ledger.lock_study(plan.study_name),
            TemporaryDirectory() as pages,
            translate_errors(uri, "written", command="sync"),
        ):
            written = 0
            results = read_page_results(plan, ledger)
            if results:
                runs = MlflowRuns(plan, uri)
                arm_names = plan.arm_names_by_id
                trials = ((arm_names[id], result) for id in results if (result := ledger.read_result(id)))
                written = sum(runs.write_trial(arm, result) for arm, result in trials)
                comparison = compare_plan(plan, results)
                page = render_page(comparison, Path(pages))
                runs.publish_report(*make_mlflow_report(page, plan, comparison))
        print_line(f"{plan.study_name}: {written} written, {len(results) - written} there already")
    return 0
