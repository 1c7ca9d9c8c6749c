"""The order in which arms were trained, where a time, a speed or memory is judged.

What one trial leaves to the next, such as a filled cache, would favour an arm that always comes second.
"""

from unrolled.bench.metric import judges_clock
from unrolled.reports.comparison import Comparison
from unrolled.reports.formats import listed_up_to, short

LISTED = 5  # arms that a sentence lists before it counts the others


def turns(c: Comparison) -> str:
    """A sentence on which arm of each pair was trained first; "" where no clock is judged."""
    counts = [f"{short(name)} on {first} of {n}" for name, (first, n) in _count_first(c).items()]
    if not counts:
        return ""
    more = f" and {len(counts) - LISTED} more" if len(counts) > LISTED else ""
    return (
        f"Arms take turns within a {c.design.noun}, as a trial may leave the next one a filled cache. "
        f"Trained before the arm that it is compared with: {', '.join(counts[:LISTED])}{more}."
    )


def without_turns(c: Comparison) -> str:
    """A sentence on arms that always, or never, came before the one they are compared with; "" for none.

    Their results may be of an earlier study, or of a version that trained arms in one order.
    """
    arms = [name for name, (first, n) in _count_first(c).items() if n > 1 and first in (0, n)]
    if not arms:
        return ""
    return (
        f"one side was trained first on every {c.design.noun}, and what it left to the other, such as a "
        f"filled cache, may be the difference: {listed_up_to(arms, LISTED)}"
    )


def _count_first(c: Comparison) -> dict[str, tuple[int, int]]:
    """By arm, on how many seeds it was trained before the arm that it is compared with, and of how many."""
    counts: dict[str, tuple[int, int]] = {}
    if not judges_clock(c.design.metrics):
        return counts
    for row in c.rows_with_contrast:
        ours, theirs = row.arm.results, c.base(row).arm.results
        pairs = [(ours[seed].started, theirs[seed].started) for seed in ours.keys() & theirs.keys()]
        known = [arm < base for arm, base in pairs if arm != base]
        if known:
            counts[row.arm.name] = sum(known), len(known)
    return counts
