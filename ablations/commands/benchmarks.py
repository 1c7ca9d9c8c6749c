"""`unrolled benchmarks`: a page, MLflow and the README's table from what `make bench` has stored."""

import json
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ablations.commands.report import index, writable
from ablations.design.errors import at
from ablations.ledger import Ledger, needed
from ablations.tracking import projection
from ablations.tracking.store import uri
from bench.files import save
from bench.trial import BadInput

STORED = Path(".benchmarks")
"""Where pytest-benchmark keeps its runs: a folder a machine, a numbered file a run."""


def benchmarks(args: Namespace) -> int:
    """Show one stored run: the latest, unless another is named."""
    from reports.benchmarks.page import metrics, render  # matplotlib and pandas: two seconds

    file = args.file or _latest(STORED)
    stored = read(file)
    writable(args.out)
    with understood(file):
        page, found = render(stored, args.out), metrics(stored)
        if args.readme:
            save(args.readme, _filled(args.readme, stored).encode())
    index(Ledger(args.results), args.out)
    projection.timings(str(stored.get("datetime", file.stem)), found, [page, file], uri())
    print(f"page: {page}")
    return 0


def _filled(file: Path, stored: Mapping[str, Any]) -> str:
    """The README with its table from this run. Raises BadInput where it has no place for it."""
    from reports.benchmarks.page import readme

    data = needed(file)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise BadInput(
            f"byte {error.start} is not UTF-8", place=file, cure="save the file as UTF-8"
        ) from error
    with at(str(file)):
        return readme(text, stored)


def _latest(folder: Path) -> Path:
    """The run that was stored last."""
    runs = sorted(folder.glob("*/*.json"), key=lambda path: (path.stat().st_mtime, path.name))
    if not runs:
        raise BadInput(
            "no benchmarks have been stored here", place=folder, cure="`make bench` measures and stores them"
        )
    return runs[-1]


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
