"""`unrolled learner`: train a finished trial again and save its weights."""

from argparse import Namespace

from ablations.commands.plan import load_plugins
from ablations.ledger import Ledger
from ablations.trials.retrained import find, retrained
from bench.files import explained


def learner(args: Namespace) -> int:
    """Train a trial again and save its weights as a plain state_dict, in a file that must not exist."""
    import torch

    load_plugins(args)
    result = find(args.trial, Ledger(args.results))
    found = retrained(result)
    with explained(args.save), args.save.open("xb") as file:
        torch.save(found.learner.model.state_dict(), file)
    print(f"{found}\n{args.save}: load it with torch.load({args.save.name!r}, weights_only=True)")
    return 1 if found.difference else 0
