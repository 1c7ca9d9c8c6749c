"""`unrolled gate`: compare two result sets and fail if the second has worse results or speed."""

import math
from argparse import Namespace

from ablations.commands import gate_sources
from ablations.flags import refuse
from ablations.tracking.store import public
from bench.files import save
from bench.trial import BadInput
from reports.gate import messages
from reports.gate.judgement import Gate, judge, judge_timings

FAILED = 3
"""The exit code of a gate that fails."""


def gate(args: Namespace) -> int:
    """Compare two result sets and print one screen. Returns 0 if the gate passes, else `FAILED`."""
    for flag, number in (("--delta", args.delta), ("--speed-margin", args.speed_margin)):
        if number is not None and math.isinf(number):
            raise BadInput("infinite lets everything pass", place=flag, cure="give a number")
    for source in (args.baseline, args.candidate):
        gate_sources.check(source)
    kinds = {gate_sources.is_timings(source) for source in (args.baseline, args.candidate)}
    if len(kinds) == 2:
        raise BadInput(
            f"is not of {public(args.baseline)}'s kind",
            place=public(args.candidate),
            cure="compare results with results, or pytest-benchmark's stored runs with stored runs",
        )
    found = _timings(args) if kinds == {True} else _results(args)
    print(messages.screen(found), end="")
    if args.markdown:
        save(args.markdown, messages.markdown(found).encode(errors="backslashreplace"))
    return 0 if found.passed else FAILED


def _timings(args: Namespace) -> Gate:
    refuse(args, ("study", "metric", "delta"), "is for results, and these are benchmarks", "leave it out")
    sides = (gate_sources.timings(source) for source in (args.baseline, args.candidate))
    return judge_timings(*sides, margin=args.speed_margin, require_speed=args.require_speed)


def _results(args: Namespace) -> Gate:
    """The baseline decides what is asked, unless the command does: a change cannot lower its own bar."""
    baseline = gate_sources.results(args.baseline, args.study or "", args.metric or "")
    candidate = gate_sources.results(args.candidate, args.study or baseline.study, baseline.metric)
    delta = args.delta or baseline.delta
    if not delta or not delta > 0:
        raise BadInput(
            f"has no plan that declares δ of {baseline.metric}",
            place=baseline.name,
            cure="give --delta, such as 0.02",
        )
    return judge(
        baseline,
        candidate,
        metric=baseline.metric,
        delta=delta,
        margin=args.speed_margin,
        require_speed=args.require_speed,
    )
