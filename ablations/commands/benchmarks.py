"""Runs that pytest-benchmark stored, as `make bench` does."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ablations.ledger import needed
from bench.trial import BadInput


def read(file: Path) -> dict[str, Any]:
    """A run that pytest-benchmark stored. Raises BadInput where the file is none."""
    data = needed(file)
    try:
        stored = json.loads(data)
        if not isinstance(stored["benchmarks"], list):
            raise TypeError("no list of benchmarks")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise BadInput(
            "is not a file of pytest-benchmark", place=file, cure="`make bench` writes them"
        ) from error
    return dict(stored)


@contextmanager
def understood(file: Path) -> Iterator[None]:
    """Raise BadInput where the run lacks what is asked of it, as one of another version may."""
    try:
        yield
    except BadInput:
        raise
    except (KeyError, TypeError, AttributeError, IndexError, ValueError, ZeroDivisionError) as error:
        raise BadInput("was stored by another version", place=file, cure="measure anew") from error
