"""`unrolled sync`: bring MLflow level with the ledger."""

from argparse import Namespace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ablations import scratch
from ablations.commands.report import comparison, published
from ablations.design import plan as plans
from ablations.design.plan import Plan
from ablations.ledger import Ledger
from bench.trial import Result, visible

if TYPE_CHECKING:
    from ablations.commands.report import Published
    from ablations.tracking.projection import Projection


@scratch.used()
def sync(args: Namespace) -> int:
    """Bring MLflow level with the ledger."""
    from ablations.tracking import projection, store

    ledger = Ledger(args.results)
    for plan in plans.of_studies(args.studies, ledger):
        with ledger.lock(plan.study):
            by_arm: dict[str, list[Result]] = {}
            for arm, _, result in plan.cells(ledger):
                by_arm.setdefault(arm.name, []).append(result)
            with TemporaryDirectory() as folder:
                report = partial(_report, plan, ledger, Path(folder))
                done = projection.sync(plan, by_arm, store.uri(), report)
            print(f"{visible(plan.study)}: {done}")
    return 0


def _report(plan: Plan, ledger: Ledger, out: Path, links: "Projection") -> "Published":
    """What `Projection.publish` takes of a plan's report."""
    from reports.render import render

    found = comparison(plan, ledger, links)
    return published(render(found, out), plan, found)
