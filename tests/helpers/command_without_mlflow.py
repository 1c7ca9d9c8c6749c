"""`unrolled` without MLflow, which takes three seconds to import; as a program, the command itself."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from unrolled.ablations import cli
from unrolled.ablations.training import run_studies


class SilentWriter:
    """Stands in for the thread that writes to MLflow."""

    def __init__(self, *_: object) -> None:
        pass

    def __getattr__(self, name: str) -> object:
        return lambda *_: ""


@contextmanager
def silence_mlflow() -> Iterator[None]:
    """Have `run` write nothing to MLflow within the block."""
    with patch.object(run_studies, "Writer", SilentWriter):
        yield


if __name__ == "__main__":
    with silence_mlflow():
        sys.exit(cli.main())
