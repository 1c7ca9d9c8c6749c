"""The word `benchmarks`: a page, MLflow and the README's table from what `make bench` has stored."""

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

from ablations.ledger import Ledger, fetch, save
from ablations.words import reporting
from bench.trial import BadInput

STORED = Path(".benchmarks")
"""Where pytest-benchmark keeps its runs: a folder a machine, a numbered file a run."""


def benchmarks(args: Namespace) -> int:
    """Show one stored run: the latest, unless another is named."""
    from ablations.tracking import projection
    from ablations.tracking.store import uri
    from reports.benchmarks.page import metrics, readme, render
    from reports.render import render_index

    file = args.file or _latest(STORED)
    stored = _read(file)
    reporting.writable(args.out)
    page = render(stored, args.out)
    if args.readme:
        text = (fetch(args.readme) or b"").decode()
        save(args.readme, readme(text, stored).encode())
    render_index(reporting.comparisons(Ledger(args.results)), args.out)
    projection.timings(str(stored.get("datetime", file.stem)), metrics(stored), [page, file], uri())
    print(f"page: {page}")
    return 0


def _latest(folder: Path) -> Path:
    """The run that was stored last."""
    runs = sorted(folder.glob("*/*.json"), key=lambda path: (path.stat().st_mtime, path.name))
    if not runs:
        raise BadInput(
            f"{folder}: no benchmarks have been stored here; `make bench` measures and stores them"
        )
    return runs[-1]


def _read(file: Path) -> dict[str, Any]:
    try:
        stored = json.loads(fetch(file) or b"")
        if not isinstance(stored["benchmarks"], list):
            raise TypeError("no list of benchmarks")
    except (ValueError, TypeError, KeyError) as error:
        raise BadInput(f"{file}: is not a file of pytest-benchmark; `make bench` writes them") from error
    return dict(stored)
