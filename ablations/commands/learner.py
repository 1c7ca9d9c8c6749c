"""`unrolled learner`: train a finished trial again and save its weights."""

from argparse import Namespace

from ablations.commands.plan import load_plugins
from ablations.ledger import Ledger
from ablations.trials.retrained import find, retrained
from bench.trial import BadInput


def learner(args: Namespace) -> int:
    """Train a trial again and save its weights as a plain state_dict, in a file that must not exist."""
    import torch

    load_plugins(args)
    result = find(args.trial, Ledger(args.results))
    if args.save.exists():
        raise BadInput("exists already and is left as it is", place=args.save, cure="choose another name")
    if not args.save.parent.is_dir():
        raise BadInput("there is no such folder", place=args.save, cure="make it, or choose another one")
    found = retrained(result)
    try:
        with args.save.open("xb") as file:
            torch.save(found.learner.model.state_dict(), file)
    except OSError as error:
        raise BadInput(
            f"cannot be written ({error.strerror})", place=args.save, cure="choose another place"
        ) from error
    print(f"{found}\n{args.save}: load it with torch.load({args.save.name!r}, weights_only=True)")
    return 1 if found.difference else 0
