"""`unrolled sync`: write to MLflow the results that it lacks."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ablations import run_folder
from ablations.commands.report import compare_plan, read, render, report_parts
from ablations.ledger import Ledger
from ablations.mlflow.database import tracking_uri, translate_errors
from ablations.mlflow.writer import Writer
from ablations.study import plan as plans
from ablations.study.plan import Plan
from bench.errors import visible
from bench.trial import Result

if TYPE_CHECKING:
    from reports.comparison import Comparison


@run_folder.used()
def sync(studies: Sequence[str], folder: Path) -> int:
    """Write to MLflow the ledger's results that it lacks, and the reports. Raises BadInput if it cannot."""
    ledger, where = Ledger(folder), tracking_uri()
    for plan in plans.of_studies(studies, ledger):
        with (
            ledger.lock_study(plan.study),
            closing(Writer(where, plan)) as writer,
            TemporaryDirectory() as pages,
        ):
            results = read(plan, ledger)
            if results:
                publish(writer, plan, results, Path(pages))
                writer.finish()
        if writer.error:
            with translate_errors(where, "written", again="sync"):
                raise writer.error
        there = len(results) - writer.written
        print(f"{visible(plan.study)}: {writer.written} written, {there} there already")
    return 0


def publish(
    writer: Writer, plan: Plan, results: Mapping[str, Result], out: Path
) -> "tuple[Comparison, Path]":
    """Write to MLflow what it lacks of a plan's results, render the page, and write that, too."""
    arm_names = plan.arm_names
    writer.write_missing((arm_names[id], result) for id, result in results.items())
    comparison = compare_plan(plan, results)
    page = render(comparison, out)
    writer.publish(*report_parts(page, plan, comparison))
    return comparison, page
