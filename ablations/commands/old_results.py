"""Results and files that belong to no current plan, for `unrolled studies --remove-old`."""

import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from ablations.ledger import Ledger
from ablations.study import plan as plans
from ablations.study.plan import Plan
from bench.errors import BadInput, visible


def remove_unplanned(ledger: Ledger) -> None:
    """Remove the results, checkpoints and files set aside that belong to no plan. Raises BadInput."""
    if not ledger.root.is_dir():
        raise BadInput(
            "there is no such folder", place=f"--results {ledger.root}", cure="name that of a ledger"
        )
    with ledger.alone():  # no study that runs loses a result
        found, unreadable = plans.read_all(ledger)
        if unreadable:
            raise BadInput(
                "nothing is removed, as results may belong to it",
                place=unreadable[0],
                cure="run its study again, which sets it aside, or delete it",
            )
        groups = {
            "result": unplanned(ledger, found),
            "details file": _unplanned(ledger.root.glob("details/*/*"), found),
            "checkpoint": _unplanned(ledger.checkpoints.glob("*"), found),
            "set-aside file": sorted((ledger.root / "set-aside").glob("*")),
        }
        for what, paths in groups.items():
            if paths:
                origins = f": {_origins(paths, found)}" if what == "result" else ""
                print(f"{summary(paths, what)}{origins}")
        leftovers = [path for paths in groups.values() for path in paths]
        _remove(leftovers)
        print("removed" if leftovers else "nothing to remove: every result belongs to a plan")


def unplanned(ledger: Ledger, found: Iterable[Plan]) -> list[Path]:
    """The results of trials that none of these plans has; by their names, without reading them."""
    return _unplanned(ledger.files().values(), found)


def _unplanned(files: Iterable[Path], found: Iterable[Plan]) -> list[Path]:
    """The files of trials that none of these plans has; a name begins with the identity, and then a dot."""
    planned = {id for plan in found for id in plan.ids}
    return [file for file in sorted(files) if file.name.partition(".")[0] not in planned]


def summary(paths: Sequence[Path], noun: str) -> str:
    """How many there are, and their size, as "1,234 results, 61 MB"."""
    size = sum(_size(path) for path in paths) / 1e6
    shown = f"{size:,.0f}" if size >= 10 else f"{size:.2g}"
    return f"{len(paths):,} {noun}{'s' * (len(paths) != 1)}, {shown} MB"


def _size(path: Path) -> int:
    """Bytes of a file, or of all in a folder; 0 of what has gone."""
    with suppress(OSError):
        return sum(map(_size, path.iterdir())) if path.is_dir() else path.stat().st_size
    return 0


def _origins(results: Iterable[Path], found: Iterable[Plan]) -> str:
    """Whose the results were: 9 of earlier plans of models, 3 of no plan that is known."""
    earlier = {id: plan.study for plan in found for id in plans.planned_ever(plan)}
    of = Counter(earlier.get(path.stem, "") for path in results)
    named = {study: f"of earlier plans of {visible(study)}" for study in sorted(of) if study}
    named[""] = "of no plan that is known"
    return ", ".join(f"{of[study]:,} {what}" for study, what in named.items() if of[study])


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        with suppress(OSError):  # a folder that holds others stays
            path.parent.rmdir()
