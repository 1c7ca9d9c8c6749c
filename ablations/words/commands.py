"""Words over what was run: replay it, say how far it is, bring MLflow level with it."""

from argparse import Namespace
from collections import Counter
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ablations import scratch
from ablations.design import plan as plans
from ablations.design.plan import Plan
from ablations.ledger import Ledger
from ablations.words import device, looking, pruning, reporting
from ablations.words.running import conditions
from bench.trial import Result, visible

if TYPE_CHECKING:
    from ablations.tracking.projection import Projection


@scratch.used()
def verify(args: Namespace) -> int:
    """Train a sample of the ended trials again, in fresh processes, and compare every number.

    The exit code is 1 where one differs, and where one could not be trained again.
    """
    from ablations.words.verification import replays, sample
    from reports.text import short

    looking.load_plugins(args)
    plan = plans.stored(args.study, Ledger(args.results))
    results = sample(plan, Ledger(args.results), args.number)
    differ, unplayed = 0, Counter[str]()
    on = device.of(results[0].trial.device, args)  # which is that of all trials of a plan
    for replay in replays(results, **conditions(args, on)):
        trial = replay.result.trial
        if replay.unplayed:
            unplayed[short(replay.unplayed, 120)] += 1
        elif replay.differs:
            differ += 1
            print(f"{trial.model} seed {trial.seed} ({trial.id}): {visible(replay.differs)}")
    same = len(results) - differ - unplayed.total()
    said = [f"{same} of {len(results)} bit-identical"]
    said += [f"{differ} not"] if differ else []
    if unplayed:
        why = "; ".join(f"{reason}: {number}" for reason, number in unplayed.most_common())
        said.append(f"{unplayed.total()} could not be replayed ({why})")
    print(", ".join(said))
    return 0 if same == len(results) else 1


def status(args: Namespace) -> int:
    """Print how far each study is and, where none is named, how many results belong to none."""
    ledger = Ledger(args.results)
    for plan in plans.of_studies(args.studies, ledger):
        results = [result for _, _, result in plan.cells(ledger)]
        kinds = Counter(result.outcome for result in results)
        counts = ", ".join(f"{kinds[kind]} {kind}" for kind in ("done", "failed", "diverged"))
        print(f"{visible(plan.study)}: {counts}, {len(plan.ids) - len(results)} missing")
        for result in results:
            if not result.done:
                print(f"  {result.trial.id} seed {result.trial.seed}: {visible(result.reason)}")
    if not args.studies:
        found, unreadable = plans.read_all(ledger)
        if old := pruning.unplanned(ledger, found):
            cure = "that can be read" if unreadable else "of today: `unrolled prune` removes them"
            print(f"{pruning.summary(old, 'result')}, belong to no plan {cure}")
    return 0


@scratch.used()
def sync(args: Namespace) -> int:
    """Bring MLflow level with the ledger."""
    from ablations.tracking import projection, store
    from ablations.tracking.entry import facts

    ledger = Ledger(args.results)
    for plan in plans.of_studies(args.studies, ledger):
        with ledger.lock(plan.study):
            by_arm: dict[str, list[Result]] = {}
            for arm, _, result in plan.cells(ledger):
                by_arm.setdefault(arm.name, []).append(result)
            with TemporaryDirectory() as folder:
                report = partial(_report, plan, ledger, Path(folder))
                done = projection.sync(facts(plan), by_arm, store.uri(), report)
            print(f"{visible(plan.study)}: {done}")
    return 0


def _report(plan: Plan, ledger: Ledger, out: Path, links: "Projection") -> "reporting.Published":
    """What `Projection.publish` takes of a plan's report."""
    from reports.render import render

    found = reporting.comparison(plan, ledger, links)
    return reporting.published(render(found, out), plan, found)
