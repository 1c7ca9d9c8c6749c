"""`unrolled` without MLflow, which takes three seconds to import; as a program, the command itself."""

import sys

from unrolled.ablations import cli
from unrolled.ablations.training import run_studies


class SilentWriter:
    """Stands in for the thread that writes to MLflow."""

    def __init__(self, *_: object) -> None:
        pass

    def __getattr__(self, name: str) -> object:
        return lambda *_: ""


if __name__ == "__main__":
    run_studies.Writer = SilentWriter
    sys.exit(cli.main())
