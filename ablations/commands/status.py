"""`unrolled status`: how far each study is, and how many results belong to none."""

from argparse import Namespace

from ablations.commands.prune import summary, unplanned
from ablations.commands.report import comparison, read
from ablations.commands.until_decided import UntilDecided
from ablations.design import plan as plans
from ablations.flags import cores
from ablations.ledger import Ledger
from bench.trial import visible
from reports.answer import tally


def status(args: Namespace) -> int:
    """Print how far each study is and, where none is named, how many results belong to none."""
    ledger = Ledger(args.results)
    for plan in plans.of_studies(args.studies, ledger):
        results = read(plan, ledger)
        compared = comparison(plan, results)
        until = UntilDecided(plan, results, compared)
        print(f"{visible(plan.study)}: {tally(compared)}; {until.ahead(cores())}")
        for result in results.values():
            if not result.done:
                print(f"  {result.trial.id} seed {result.trial.seed}: {visible(result.reason)}")
    if not args.studies:
        found, unreadable = plans.read_all(ledger)
        if old := unplanned(ledger, found):
            cure = "that can be read" if unreadable else "of today: `unrolled prune` removes them"
            print(f"{summary(old, 'result')}, belong to no plan {cure}")
    return 0
