"""What a study answers to a question, in a sentence made from its verdicts or its means."""

from collections.abc import Sequence
from dataclasses import replace

from reports import answer
from reports.answer import Claim
from reports.chapter.shown import listed
from reports.comparison import Comparison
from reports.figures.measurements import lines
from reports.formats import level, number, when
from reports.statistics.verdicts import Word

NAMED = 4  # arms of one verdict


def part(c: Comparison, which: Sequence[str]) -> Comparison:
    """The comparison with the contrasts alone whose arms have such a name, or change such settings alone."""
    rows = (
        row
        if row.arm.name in which or (row.arm.changes and set(row.arm.changes) <= set(which))
        else replace(row, contrast=None, verdict=None, declared=False, note="", proofs=())
        for row in c.rows
    )
    return replace(c, rows=tuple(rows))


def judged(c: Comparison) -> str:
    """The verdicts as a sentence: 'Against A, validation accuracy is higher with B (+0.030).'"""
    found = answer.claims(c)
    bases = {c.base(x.row).arm.name for x in found}
    up, down = ("lower", "higher") if c.lower_is_better else ("higher", "lower")
    groups = {
        f"{up} with": [Word.IMPROVES],
        f"{down} with": [Word.WORSENS],
        f"the same within ±{c.metric.delta:g} with": [Word.EQUIVALENT, Word.NEGLIGIBLE],
        "undecided with": [Word.INCONCLUSIVE],
    }
    said = []
    for text, words in groups.items():
        names = [_named(x, c, len(bases) > 1) for x in found if x.verdict.word in words]
        if names:
            rest = [f"{len(names) - NAMED} more"] if len(names) > NAMED else []
            said.append(f"{text} {listed(names[:NAMED] + rest)}")
    against = (
        f"Against {next(iter(bases))}, {c.title}"
        if len(bases) == 1
        else f"{c.title[:1].upper()}{c.title[1:]}"
    )
    return f"{against} is {'; '.join(said)}." if said else ""


def _named(x: Claim, c: Comparison, base: bool) -> str:
    name = x.row.arm.name.strip()
    name = f"“{name}”" if "," in name else name
    against = f" against {c.base(x.row).arm.name}" if base else ""
    return f"{name} ({number(x.verdict.contrast.mean, 3, sign=True)}{against})"


def best_levels(c: Comparison, factor: str, by: str, label: str) -> str:
    """For each line of the figure the levels whose mean is the best, or within δ of it."""
    said = []
    for name, line in lines(c, factor, by).items():
        means = {x: row.summary.mean for x, row in line.items() if row.summary.mean is not None}
        if len(means) > 1:
            best = (min if c.lower_is_better else max)(means.values())
            near = [level(x) for x, mean in means.items() if abs(mean - best) <= c.metric.delta]
            said.append(f"{name} at {' or '.join(near)} ({number(best, 3)})")
    return (
        f"Best mean {c.title} by {label}, ties within {c.metric.delta:g}: {'; '.join(said)}." if said else ""
    )


def origin(c: Comparison) -> str:
    """Where shipped results come from: their day and machine."""
    result = next(r for row in c.rows for r in row.arm.results.values())
    facts = result.environment
    return f"{when(result.started)[:10]}, {facts['cpu']}, torch {facts['packages']['torch']}"
