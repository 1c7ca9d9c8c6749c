"""`unrolled` without MLflow, which takes three seconds to import; as a program, the command itself."""

import sys

from unrolled.ablations import cli
from unrolled.ablations.commands import run


class SilentWriter:
    """Stands in for the thread that writes to MLflow."""

    def __init__(self, *_: object) -> None:
        pass

    def __getattr__(self, name: str) -> object:
        return lambda *_: ""


if __name__ == "__main__":
    run.Writer = SilentWriter
    sys.exit(cli.main())
