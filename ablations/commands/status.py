"""`unrolled status`: how far each study is, and how many results belong to none."""

from argparse import Namespace
from collections import Counter

from ablations.commands.prune import summary, unplanned
from ablations.commands.report import read
from ablations.commands.until_decided import UntilDecided
from ablations.design import plan as plans
from ablations.flags import cores
from ablations.ledger import Ledger
from bench.trial import visible


def status(args: Namespace) -> int:
    """Print how far each study is and, where none is named, how many results belong to none."""
    ledger = Ledger(args.results)
    for plan in plans.of_studies(args.studies, ledger):
        until = UntilDecided(plan, read(plan, ledger))
        results = until.results.values()
        kinds = Counter(result.status for result in results)
        counts = ", ".join(f"{kinds[kind]} {kind}" for kind in ("done", "failed", "diverged"))
        print(f"{visible(plan.study)}: {counts}, {len(until.pending)} missing; {until.ahead(cores())}")
        for result in results:
            if not result.done:
                print(f"  {result.trial.id} seed {result.trial.seed}: {visible(result.reason)}")
    if not args.studies:
        found, unreadable = plans.read_all(ledger)
        if old := unplanned(ledger, found):
            cure = "that can be read" if unreadable else "of today: `unrolled prune` removes them"
            print(f"{summary(old, 'result')}, belong to no plan {cure}")
    return 0
