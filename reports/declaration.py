"""What a plan's contrasts had behind them when it was declared: results, and earlier plans of the same."""

from unrolled.bench.errors import plural
from unrolled.reports.comparison import Comparison
from unrolled.reports.formats import when

OWN_LEVEL = "Each attempt has its own .05, so that among several one is wrong more often"


def declaration(c: Comparison) -> str:
    """A sentence on when the plan was declared, and whether that was before its contrasts had results."""
    design = c.design
    declared = f"declared on {when(design.planned)}"
    if design.first is not None:
        declared = f"first declared on {when(design.first)} and in this form on {when(design.planned)}"
    if design.seen:
        seen, contrasts = len(design.seen), plural(len(c.rows_to_decide), "contrast")
        return f"{declared}, after results of both sides of {seen} of its {contrasts}"
    if design.ships:
        return f"{declared}; it ships with Unrolled, whose own studies were declared before all results"
    return f"{declared}, before any of its contrasts had results of both sides in this ledger"


def earlier_attempts(c: Comparison) -> list[str]:
    """A line on each earlier plan of one of the contrasts, in the order of the arms."""
    return [line for row in c.rows_to_decide for line in c.design.attempts.get(row.arm.name, ())]


def count_attempts(c: Comparison) -> str:
    """Sentences on how many contrasts were planned before, and what that means; "" where none was."""
    again = [row for row in c.rows_to_decide if c.design.attempts.get(row.arm.name)]
    if not again:
        return ""
    were = "was" if len(again) == 1 else "were"
    contrasts = plural(len(c.rows_to_decide), "contrast")
    return f"{len(again)} of {contrasts} {were} planned before in this ledger. {OWN_LEVEL}"
