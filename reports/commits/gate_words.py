"""The outcome of a gate in words: by each metric, whether the head is shown to be less than δ worse."""

import math
from typing import NamedTuple

from unrolled.bench.metric import Metric
from unrolled.bench.phrases import plural
from unrolled.reports.compare.comparison import Comparison
from unrolled.reports.formats import format_markdown_cell, format_pipe_table, join_names
from unrolled.reports.scale import Scale
from unrolled.reports.statistics.gates import GateOutcome
from unrolled.reports.statistics.seed_values import Interval


class GateRow(NamedTuple):
    """The row of one metric at one variant of the other settings; numbers are texts with their units."""

    metric: str
    arm: str  # name of the head's arm
    outcome: GateOutcome
    change: str  # mean change of the head; "–" before the first look
    worst: str  # one-sided 95 % bound, over all looks, on how much worse the head is
    delta: str
    seed_count: int  # seeds that converged on both sides


def list_gate_rows(comparison: Comparison) -> list[GateRow]:
    """Return a row for each metric at each variant of the other settings, in the order of the study."""
    if comparison.gate is None:
        return []
    rows = []
    first_arm = comparison.judged_arms[0].name if comparison.judged_arms else ""
    for (arm, _), bound in comparison.gate.bounds.items():
        scale = comparison.design.find_scale(bound.metric)
        ends = Interval(-abs(bound.upper), abs(bound.upper), 0.95)  # with decimals that tell it from δ
        worst = _describe_change(bound.upper, bound.metric, scale, ends)
        if bound.worse is not None and bound.worse > bound.upper:  # the mean of the last look lies beyond it
            worst += " by an earlier look"
        delta = scale.format_delta(bound.metric.zone)
        if bound.metric.ratio:  # the change for the worse: a speed of δ 25 % may be 20 % lower
            delta = _describe_change(bound.metric.zone, bound.metric, scale)
        rows.append(
            GateRow(
                metric=scale.title,
                arm=arm or first_arm,  # a gate with one variant of the settings does not name it
                outcome=bound.outcome,
                change=_describe_change(bound.worse, bound.metric, scale),
                worst=worst,
                delta=delta,
                seed_count=bound.pair_count,
            )
        )
    return rows


def _describe_change(worse: float | None, metric: Metric, scale: Scale, ends: Interval | None = None) -> str:
    """Return how much higher or lower the head is, from how much worse it is: "0.3 points lower"."""
    if worse is None or not math.isfinite(worse):
        return "–"
    if not worse:
        return "equal"
    return scale.describe_difference(-metric.gain_sign * worse, ends)


def describe_gate(comparison: Comparison) -> str:
    """Return a sentence on the outcome; "" if the study is no gate."""
    gate = comparison.gate
    if gate is None:
        return ""
    looks_taken = comparison.design.rules.looks[: gate.looks_taken]
    seeds = plural(max(looks_taken, default=0), "seed")
    if gate.has_passed:
        titles = [view.scale.title for view in comparison.views]
        diverged_count = max(bound.diverged_count for bound in gate.bounds.values())
        remark = f"{plural(diverged_count, 'seed')} diverged at the base, and showed nothing"
        outcome = f"Passed after {seeds}: {GateOutcome.LESS} in {join_names(titles)}"
        return f"{outcome}; {remark}" if diverged_count else outcome
    if gate.fault:
        return f"Failed: {gate.fault}"
    return f"Not passed: open after {seeds} of {comparison.design.rules.looks[-1]}"


def write_gate_lines(comparison: Comparison) -> list[str]:
    """Return the outcome, and a line for each row, in plain text."""
    rows = list_gate_rows(comparison)
    several = len({row.arm for row in rows}) > 1
    lines = [f"{describe_gate(comparison)}."] if rows else []
    for row in rows:
        name = f"{row.metric} of {row.arm}" if several else row.metric
        numbers = f"{row.change} on average, at worst {row.worst}"
        if row.change == row.worst == "equal":
            numbers = "equal on every seed"
        basis = f"(one-sided 95 % bound; δ {row.delta}; {plural(row.seed_count, 'seed')})"
        lines.append(f"{name}: {row.outcome}: {numbers} {basis}")
    return lines


def write_gate_markdown(comparison: Comparison, sides: str) -> str:
    """Return the outcome as Markdown for a pull request. `sides` is a sentence on what was compared."""
    head = ("Metric", "Arm", "Outcome", "On average", "At worst", "δ", "Seeds")
    table = format_pipe_table(
        [head, *([format_markdown_cell(cell) for cell in row] for row in list_gate_rows(comparison))]
    )
    note = "At worst: the one-sided 95 % bound, which holds at all looks together."
    return f"**{describe_gate(comparison)}.**\n\n{sides}\n\n{table}\n{note}\n"
