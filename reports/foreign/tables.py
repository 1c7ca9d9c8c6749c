"""A Foreign comparison as a screen, a CSV, a Markdown file and a page."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bench.trial import counted
from reports import render as pages
from reports.figures import forest
from reports.foreign.judgement import Foreign, ForeignArm, Measure
from reports.formats import columns, csv_cell, interval, markdown_cell, number, p_value, pipe_table, short

HEADS = ("arm", "n", "mean", "Δ [95 % interval]", "better in", "p", "p of ±δ", "verdict")
NOT_KNOWN = (
    "Not known, as these results were made elsewhere: whether rows were added after looking at the results, "
    "whether the arms differ in what their names say and in nothing else, and whether the rows are "
    "independent."
)
DIVERGED = (
    "Means and Δ leave out the rows that diverged: they describe the others alone. Where such pairs "
    "differ, how often each side is better decides (sign test); without pairs nothing is decided."
)
MOST = 20  # pairs without a partner that are listed


def screen(found: Foreign) -> str:
    """The verdicts for a terminal."""
    lines = [_title(found)]
    for measure in found.design.measures:
        rows = [[short(cell, 40) for cell in row] for row in cells(found, measure)]
        lines += ["", _asked(measure), *columns([HEADS, *rows])]
    return "\n".join([*lines, "", *notes(found)]) + "\n"


def markdown(found: Foreign) -> str:
    """The same as pipe tables."""
    parts = [f"### {markdown_cell(_title(found))}"]
    for measure in found.design.measures:
        rows = [HEADS, *([markdown_cell(c) for c in row] for row in cells(found, measure))]
        parts += [markdown_cell(_asked(measure)), pipe_table(rows).rstrip()]
    return "\n\n".join([*parts, *map(markdown_cell, notes(found))]) + "\n"


def csv(found: Foreign) -> str:
    """A line for every arm and metric, numbers in full."""
    lines = []
    for measure in found.design.measures:
        for arm in found.arms[measure.name]:
            s, v = arm.summary, arm.verdict
            line = {"metric": measure.name, "delta": measure.delta, "arm": csv_cell(arm.name)}
            line |= {"baseline": csv_cell(found.baseline), "n": s.n, "diverged": s.diverged}
            line |= {"mean": s.mean, "sd": s.sd}
            if v:
                c = v.contrast
                line |= {"pairs": c.pairs, "difference": c.mean, "better": c.wins, "verdict": v.word.value}
                line |= {"p_adjusted": v.p_adjusted, "p_equivalent": v.p_equivalent}
                line |= {"low": c.interval.low, "high": c.interval.high} if c.interval else {}
            lines.append(line)
    return pd.DataFrame(lines).to_csv(index=False)


def render(found: Foreign, out: Path) -> Path:
    """Write `out`/compare.html and return its path."""
    context = {
        "title": _title(found),
        "heads": HEADS[1:],
        "tables": [(_asked(m), f"±{m.delta:g}", *_drawn(found, m)) for m in found.design.measures],
        "notes": notes(found),
    }
    return pages.write_page(out / "compare.html", "compare.html", context)


def _drawn(found: Foreign, measure: Measure) -> tuple[Any, list[tuple[Any, ...]]]:
    """The ticks of a metric's figure, and a row an arm: name, strip, cells."""
    arms = found.arms[measure.name]
    words = [(arm.summary, arm.verdict.word.name.lower() if arm.verdict else "") for arm in arms]
    ticks, strips = forest.samples(words, measure.delta, lower=measure.lower_is_better)
    return ticks, [(row[0], strip, row[1:]) for row, strip in zip(cells(found, measure), strips, strict=True)]


def cells(found: Foreign, measure: Measure) -> Iterator[tuple[str, ...]]:
    """The rows of a metric's table, the baseline first; numbers have two digits beyond δ's."""
    digits, paired = min(12, max(0, 2 - math.floor(math.log10(measure.delta)))), bool(found.design.pair)
    for arm in found.arms[measure.name]:
        s = arm.summary
        n = f"{s.n}, {s.diverged} diverged" if s.diverged else str(s.n)
        yield arm.name, n, number(s.mean, digits), *_against(arm, paired, digits)


def _against(arm: ForeignArm, paired: bool, digits: int) -> Sequence[str]:
    v = arm.verdict
    if v is None:
        return ("–",) * 4 + ("baseline",)
    c = v.contrast
    better = f"{c.wins} of {c.pairs}" if paired else "–"
    effect = f"{number(c.mean, digits, sign=True)} {interval(c.interval, digits, sign=True)}"
    word = f"{v.symbol} {v.word}{'' if paired else ' (unpaired)'}"
    return effect, better, p_value(v.p_adjusted), p_value(v.p_equivalent), word


def notes(found: Foreign) -> list[str]:
    """How it was compared, what has no partner, and what cannot be known."""
    pair = found.design.pair
    how = "p is Holm's over all arms, of the difference and of the equivalence within ±δ. "
    how += f"Pairs are rows of the same {pair}." if pair else (
        "UNPAIRED (Welch): --pair would name the seed, fold or document that rows share, and decide sooner."
    )  # fmt: skip
    lone = [
        f"{name}: {counted(len(labels), 'row')} without a partner: {pair} {', '.join(labels[:MOST])}"
        + (f" and {len(labels) - MOST} more" if len(labels) > MOST else "")
        for name, labels in found.alone.items()
    ]
    diverged = any(arm.summary.diverged for arms in found.arms.values() for arm in arms)
    return [how, *([DIVERGED] if diverged else []), *lone, NOT_KNOWN]


def _title(found: Foreign) -> str:
    arms = len(next(iter(found.arms.values()))) - 1
    return f"{found.source}: {counted(arms, 'arm')} against {found.baseline}, {counted(found.rows, 'row')}"


def _asked(measure: Measure) -> str:
    way = "lower" if measure.lower_is_better else "higher"
    return f"{measure.name} ({way} is better, δ {measure.delta:g})"
