"""`unrolled chapter`: run the measurements that are missing and write the page of the chapter's questions."""

import multiprocessing
import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from ablations.commands import plan, shipped_results
from ablations.commands.report import comparisons, writable
from ablations.design.loading import load
from ablations.flags import cores
from ablations.ledger import Ledger, fetch, seal, unseal
from bench.analyses import MEASURED, identity, measure
from bench.files import save
from bench.trial import BadInput


def chapter(args: Namespace) -> int:
    """Answer the chapter's questions on one page: measurements, and studies, run here or shipped."""
    from reports.chapter.page import render
    from reports.chapter.questions import STUDIES
    from reports.render import render_index

    writable(args.out)
    ledger = Ledger(args.results)
    missing = [name for name in MEASURED if stored(name, args.results) is None]
    if missing:
        print(f"measuring {', '.join(missing)} (once for each version of the code)", flush=True)
    for name, seconds in measured(missing, args.results):
        print(f"  {name}: {seconds:.1f} s", flush=True)
    found = {name: stored(name, args.results) for name in MEASURED}
    studies = comparisons(ledger)
    designs = [load(name) for name in STUDIES]
    shipped = [c for study in designs if (c := shipped_results.read(study))]
    minutes = {study.name: plan.minutes(study, cores()) for study in designs}
    measurements = {name: data for name, data in found.items() if data}
    page = render(measurements, studies, args.out, shipped=shipped, minutes=minutes)
    render_index(studies, args.out)  # which now links to the page
    print(f"page: {page}")
    return 0


def measured(names: Iterable[str], results: Path) -> Iterator[tuple[str, float]]:
    """Measure in fresh processes, one a core; yields name and seconds. Raises BadInput if one is killed."""
    fresh = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(cores(), mp_context=fresh, max_tasks_per_child=1) as pool:
        waiting = {pool.submit(measure, name): name for name in names}
        try:
            for done in as_completed(waiting):
                found = done.result()
                save(_path(waiting[done], results), seal({"measured": found}))
                yield waiting[done], found["seconds"]
        except BrokenProcessPool as error:
            raise BadInput(
                "a measurement was killed", cure="see that there is memory, and run it again"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def stored(name: str, results: Path) -> dict[str, Any] | None:
    """A measurement by today's code, or None. A damaged file is named, and counts as none."""
    path = _path(name, results)
    data = fetch(path)
    if data is None:
        return None
    try:
        found: dict[str, Any] = unseal(data)["measured"]
    except (ValueError, TypeError, KeyError, RecursionError):
        print(f"{path}: damaged, so it is measured again", file=sys.stderr)
        return None
    return found


def _path(name: str, results: Path) -> Path:
    return results / "analyses" / f"{name}-{identity(name)}.json"
