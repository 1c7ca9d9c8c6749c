"""`unrolled models`: every model and penalty, and what can be set on it."""

from argparse import Namespace

from ablations.commands.plan import load_plugins
from bench.models.registry import ZOO
from bench.models.spec import PENALTIES


def models(args: Namespace) -> int:
    """List the models and the penalties."""
    load_plugins(args)
    for spec in ZOO.values():
        options = ", ".join(f"{key}={value}" for key, value in spec.options.items()) or "no options"
        print(f"{spec.name:<14} {spec.title:<18} {spec.about}\n{'':<14} {options}")
    for penalty in PENALTIES.values():
        print(f"{penalty.name:<14} {penalty.title:<18} {penalty.about}")
        print(f"{'':<14} an option of every trained model: {penalty.name}=0.0")
    return 0
