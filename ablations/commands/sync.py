"""`unrolled sync`: write to MLflow the results that it lacks."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ablations import run_folder
from ablations.commands.report import compare_plan, read, render, report_parts
from ablations.ledger import Ledger
from ablations.mlflow import study_runs
from ablations.mlflow.database import tracking_uri
from ablations.mlflow.study_runs import StudyRuns
from ablations.study import plan as plans
from ablations.study.plan import Plan
from bench.errors import visible
from bench.trial import Result

if TYPE_CHECKING:
    from ablations.commands.report import Published


@run_folder.used()
def sync(studies: Sequence[str], folder: Path) -> int:
    """Write to MLflow the ledger's results that it lacks, and the reports."""
    ledger = Ledger(folder)
    for plan in plans.of_studies(studies, ledger):
        with ledger.lock_study(plan.study):
            results, arm_names = read(plan, ledger), plan.arm_names
            trials = [(arm_names[id], result) for id, result in results.items()]
            with TemporaryDirectory() as pages:
                report = partial(_report, plan, results, Path(pages))
                outcome = study_runs.sync(plan, trials, tracking_uri(), report)
            print(f"{visible(plan.study)}: {outcome}")
    return 0


def _report(plan: Plan, results: Mapping[str, Result], out: Path, links: StudyRuns) -> "Published":
    """What `StudyRuns.publish` takes of a plan's report."""
    comparison = compare_plan(plan, results, links)
    return report_parts(render(comparison, out), plan, comparison)
