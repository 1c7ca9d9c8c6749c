"""`unrolled prune`: remove results and files that belong to no current plan."""

import shutil
from argparse import Namespace
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path

from ablations.design import plan as plans
from ablations.design.plan import Plan
from ablations.ledger import Ledger
from bench.trial import BadInput, visible


def prune(args: Namespace) -> int:
    """Print what results, checkpoints and files set aside belong to no plan; remove them with --yes."""
    ledger = Ledger(args.results)
    if not ledger.root.is_dir():
        raise BadInput(
            "there is no such folder", place=f"--results {ledger.root}", cure="name that of a ledger"
        )
    with ledger.alone() if args.yes else nullcontext():  # no study that runs loses a result
        found, unreadable = plans.read_all(ledger)
        if unreadable:
            raise BadInput(
                "nothing is removed, as results may belong to it",
                place=unreadable[0],
                cure="run its study again, which sets it aside, or delete it",
            )
        results = unplanned(ledger, found)
        rest = {
            "checkpoint": _checkpoints(ledger, found),
            "set-aside file": sorted((ledger.root / "set-aside").glob("*")),
        }
        if results:
            print(f"{summary(results, 'result')}: {_origins(results, found)}")
        for what, paths in rest.items():
            if paths:
                print(summary(paths, what))
        leftovers = [*results, *(path for paths in rest.values() for path in paths)]
        if not leftovers:
            print("nothing to remove: every result belongs to a plan")
        elif args.yes:
            _remove(leftovers)
            print("removed")
        else:
            print("nothing was removed: `unrolled prune --yes` removes them")
    return 0


def unplanned(ledger: Ledger, found: Iterable[Plan]) -> list[Path]:
    """The results of trials that none of these plans has; by their names, without reading them."""
    planned = _planned(found)
    return [path for id, path in ledger.files().items() if id not in planned]


def _checkpoints(ledger: Ledger, found: Iterable[Plan]) -> list[Path]:
    planned = _planned(found)
    return [
        file for file in sorted(ledger.checkpoints.glob("*")) if file.name.partition(".")[0] not in planned
    ]


def _planned(found: Iterable[Plan]) -> set[str]:
    return {id for plan in found for id in plan.ids}


def summary(paths: Sequence[Path], noun: str) -> str:
    """How many there are, and their size, as "1,234 results, 61 MB"."""
    size = sum(_size(path) for path in paths) / 1e6
    shown = f"{size:,.0f}" if size >= 10 else f"{size:.2g}"
    return f"{len(paths):,} {noun}{'s' * (len(paths) != 1)}, {shown} MB"


def _size(path: Path) -> int:
    """Bytes of a file, or of all in a folder; 0 of what has gone."""
    with suppress(OSError):
        if path.is_dir():
            return sum(map(_size, path.iterdir()))
        return path.stat().st_size
    return 0


def _origins(results: Iterable[Path], found: Iterable[Plan]) -> str:
    """Whose the results were: 9 of earlier plans of models, 3 of no plan that is known."""
    earlier = {id: plan.study for plan in found for id in plans.planned_ever(plan)}
    of = Counter(earlier.get(path.stem) for path in results)
    unknown = of.pop(None, 0)
    said = [
        f"{number:,} of earlier plans of {visible(study)}" for study, number in sorted(of.items(), key=str)
    ]
    return ", ".join([*said, *([f"{unknown:,} of no plan that is known"] if unknown else [])])


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        with suppress(OSError):  # a folder that holds others stays
            path.parent.rmdir()
