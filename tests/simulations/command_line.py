"""The command line of a simulation: its numbers, and `--help`, which prints what the simulation does."""

import argparse


def read_numbers(description: str | None, **defaults: int) -> list[int]:
    """Return the numbers of the command line by place, each with its default."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in defaults.items():
        parser.add_argument(name, nargs="?", type=int, default=default, help=f"by default {default}")
    return [*vars(parser.parse_args()).values()]
