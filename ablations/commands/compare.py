"""`unrolled compare`: the verdicts of this project on results that it did not produce."""

from argparse import Namespace
from pathlib import Path

from ablations.commands import compare_sources
from ablations.commands.gate import FAILED
from ablations.tracking.store import public
from bench.files import save
from bench.trial import BadInput
from reports.foreign import judgement, tables
from reports.foreign.judgement import Design, Foreign, Measure


def compare(args: Namespace) -> int:
    """Print a verdict on every arm, and write page and tables. Returns 0, or `FAILED` if an arm is worse."""
    design = _design(args)
    found = judgement.compare(compare_sources.rows(args.source, args.experiment), design, public(args.source))
    print(tables.screen(found), end="")
    for path in _written(found, args.out):
        print(path)
    return FAILED if found.worse else 0


def _written(found: Foreign, out: Path) -> list[Path]:
    """The page, and the numbers as CSV and Markdown."""
    files = {"compare.csv": tables.csv(found), "compare.md": tables.markdown(found)}
    for name, table in files.items():
        save(out / name, table.encode(errors="backslashreplace"))
    return [tables.render(found, out), *(out / name for name in files)]


def _design(args: Namespace) -> Design:
    measures = [_measure(given, args.lower, args.higher) for given in args.metric]
    arms = tuple(filter(None, (column.strip() for column in args.arm.split(","))))
    for key, given in (("--metric", measures), ("--arm", arms)):
        if not given:
            raise BadInput("is missing", place=key, cure="name a column" if key == "--arm" else _METRIC)
    return Design(arm=arms, pair=args.pair, measures=tuple(measures), baseline=args.baseline)


_METRIC = "write a column and the difference that does not matter: --metric accuracy=0.02"


def _measure(given: str, lower: list[str], higher: list[str]) -> Measure:
    name, _, delta = given.rpartition("=")
    try:
        number = float(delta)
    except ValueError:
        number = 0.0
    if not name or not 0 < number < float("inf"):
        raise BadInput("has no δ above 0", place=f"--metric {given}", cure=_METRIC)
    return Measure(name, number, judgement.direction(name, lower, higher))
