"""`unrolled compare BEFORE AFTER`: fail if the second of two result sets has worse results or speed."""

import math
from collections.abc import Sequence
from pathlib import Path

from ablations.commands import compare_sources, gate_sources
from ablations.mlflow.database import public
from ablations.options import CompareOptions, refuse
from bench.files import save
from bench.trial import BadInput, lower_is_better, require
from reports.foreign import judgement as tables
from reports.gate import messages
from reports.gate.judgement import Gate, judge, judge_timings
from reports.gate.sides import ArmResults, Outcome, ResultSet

FAILED = 3
"""The exit code of a comparison in which something is worse, or not shown to be no worse."""
COLUMNS = ("arm", "pair", "lower", "higher")
KINDS = "results folders or MLflow addresses, two tables, or pytest-benchmark's stored runs"


def compare_before_after(sources: Sequence[str], args: CompareOptions) -> int:
    """Compare two result sets arm by arm and print one screen. Returns 0 if none is worse, else `FAILED`."""
    finite = not math.isinf(args.speed_margin)
    require(finite, "infinite lets everything pass", place="--speed-margin", cure="give a number")
    for source in sources:
        gate_sources.check(source)
    kinds = [_kind(source) for source in sources]
    before, after = map(public, sources)
    cure = f"compare {KINDS}"
    require(kinds[0] == kinds[1], f"is not of {before}'s kind", place=after, cure=cure)
    require(len(args.metric) < 2, "is given twice: before and after are judged by one", place="--metric")
    found = {"timings": _timings, "tables": _tables, "results": _results}[kinds[0]](sources, args)
    print(messages.screen(found), end="")
    if args.markdown:
        save(args.markdown, messages.markdown(found).encode(errors="backslashreplace"))
    return 0 if found.passed else FAILED


def _kind(source: str) -> str:
    if Path(source).suffix.lower() in compare_sources.TABLES:
        return "tables"
    return "timings" if gate_sources.is_timings(source) else "results"


def _timings(sources: Sequence[str], args: CompareOptions) -> Gate:
    refuse(args, ("study", "metric", *COLUMNS), "is for results, and these are benchmarks", "leave it out")
    sides = (gate_sources.timings(source) for source in sources)
    return judge_timings(*sides, margin=args.speed_margin, require_speed=args.require_speed)


def _results(sources: Sequence[str], args: CompareOptions) -> Gate:
    """The baseline decides what is asked, unless the command does: a change cannot lower its own bar."""
    refuse(args, COLUMNS, "is for tables", "leave it out")
    name, delta = split_metric(args.metric[0]) if args.metric else ("", None)
    before = gate_sources.results(sources[0], args.study, name)
    after = gate_sources.results(sources[1], args.study or before.study, before.metric)
    delta = delta or before.delta
    if not delta or not delta > 0:
        rule, cure = f"has no plan that declares δ of {before.metric}", f"give --metric {before.metric}=0.02"
        raise BadInput(rule, place=before.name, cure=cure)
    lower = lower_is_better(before.metric)
    return _judge(args, before, after, delta, lower)


def _tables(sources: Sequence[str], args: CompareOptions) -> Gate:
    """Two tables with the same columns: rows of one arm and pair are before and after."""
    refuse(args, ("study",), "is for results folders and MLflow", "leave it out")
    design = compare_sources.design(args)
    require(
        design.pair,
        "is missing",
        place="--pair",
        cure="name the column that tells which rows belong together",
    )
    (measure,) = design.measures
    values = [tables.values(compare_sources.rows(source, ""), design, measure, source) for source in sources]
    before, after = (
        ResultSet(name=source, study=measure.name, metric=measure.name, arms=_arms(found))
        for source, found in zip(sources, values, strict=True)
    )
    return _judge(args, before, after, measure.delta, measure.lower_is_better)


def _arms(values: tables.Values) -> dict[str, ArmResults]:
    return {
        arm: ArmResults(outcomes={label: Outcome(value=value) for label, value in pairs.items()})
        for arm, pairs in values.items()
    }


def _judge(args: CompareOptions, before: ResultSet, after: ResultSet, delta: float, lower: bool) -> Gate:
    return judge(
        before,
        after,
        metric=before.metric,
        delta=delta,
        lower=lower,
        margin=args.speed_margin,
        require_speed=args.require_speed,
    )


def split_metric(given: str) -> tuple[str, float | None]:
    """A metric's name, and its δ where it has one: "valid_loss" or "valid_loss=0.02"."""
    return compare_sources.metric_and_delta(given) if "=" in given else (given, None)
