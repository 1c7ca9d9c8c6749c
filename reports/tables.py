"""The comparison as a screen, CSV and Markdown, and every trial as CSV, beside the page."""

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from unrolled.bench.errors import plural, visible
from unrolled.reports.caveats import count_attempts, earlier_attempts, one_run, seen_data, skewness
from unrolled.reports.comparison import ComparedArm, Comparison
from unrolled.reports.foreign_table import FIRST_LOOK
from unrolled.reports.formats import (
    columns,
    csv_cell,
    listed_up_to,
    markdown_cell,
    p_value,
    pipe_table,
    short,
)
from unrolled.reports.sentences import open_because, remark, self_check
from unrolled.reports.statistics.interval import Interval
from unrolled.reports.statistics.power import FEWEST_SEEDS

LISTED = 20  # rows without a partner, of one arm


def tables(c: Comparison) -> dict[str, str]:
    """The tables by the name of their file. What a table from elsewhere holds is not written again."""
    both = {"comparison.csv": comparison_csv(c), "comparison.md": comparison_markdown(c)}
    return {**both, "trials.csv": trials_csv(c)} if c.design.plan_hash else both


def screen(c: Comparison) -> str:
    """The verdicts by every metric for a terminal."""
    lines = [short(c.design.question or c.design.study, 200)]
    for view in c.per_metric:
        lines += ["", _name_metric(view), *columns([_fit(row) for row in _print_rows(view)])]
    return "\n".join([*lines, "", *map(visible, notes(c))]) + "\n"


def _fit(row: Sequence[str]) -> list[str]:
    """The cells of a line, shortened: names and verdicts, but no number in a reasonable unit."""
    arm, against, *numbers, word, remarks = row
    numbers = [short(cell, 80) for cell in numbers]
    return [short(arm, 40), short(against, 40), *numbers, short(word, 40), short(remarks, 160)]


def comparison_markdown(c: Comparison) -> str:
    """The same as pipe tables."""
    parts = [markdown_cell(caption(c))]
    for view in c.per_metric:
        rows = [[markdown_cell(cell) for cell in row] for row in _print_rows(view)]
        parts += [markdown_cell(_name_metric(view))] if c.others else []
        parts.append(pipe_table(rows).rstrip())
    behind = [f"{sentence}." for sentence in (seen_data(c), count_attempts(c)) if sentence]
    sentences = [*notes(c), *behind, *earlier_attempts(c)]
    return "\n\n".join([*parts, *map(markdown_cell, sentences)]) + "\n"


def _name_metric(view: Comparison) -> str:
    way = "lower" if view.metric.lower_is_better else "higher"
    return f"{view.title} ({way} is better, δ {view.scale.delta(view.metric.zone)})"


def _print_rows(view: Comparison) -> list[tuple[str, ...]]:
    """The head, and the printed digits of every arm, baseline first."""
    ends, seeds = "Δ [interval] level", f"{view.design.noun}s"
    head = (
        "arm",
        "against",
        seeds,
        "mean ± SD",
        ends,
        UNBIASED,
        "better in",
        "p",
        "p of ±δ",
        "verdict",
        "remarks",
    )
    rows = [head, *(_line(row, view) for row in view.rows)]
    column = head.index(UNBIASED)
    return rows if view.stops_contrasts else [row[:column] + row[column + 1 :] for row in rows]


def _line(row: ComparedArm, view: Comparison) -> tuple[str, ...]:
    k, v, s, scale = row.contrast, row.verdict, row.summary, view.scale
    seeds = f"{row.seeds_of_mean} {row.state if view.stops_contrasts else ''}".rstrip()
    seeds += f", {row.diverged} diverged" if row.diverged else ""
    seeds += f", {row.failed} failed" if row.failed else ""
    mean = f"{scale.cell(s.mean)} ± {scale.cell_by(s.sd)}"
    alone = row.arm.name, row.arm.against or "–", seeds, mean
    if k is None:
        return *alone, "–", "–", "–", "–", "–", row.note or "baseline", "–"
    median = "median " if k.by_median else ""
    ends = f"{scale.cell_ends(row.interval)} {row.interval.percent}" if row.interval else ""
    effect = f"{median}{scale.cell_by(k.estimate, sign=True)} {ends}".rstrip()
    better = f"{k.wins} of {k.pairs}" if k.paired else "–"
    if v is None:
        return *alone, effect, "–", better, "–", "–", "–", "–"
    p = p_value(v.difference_p), p_value(v.equivalence_p)
    remarks = "; ".join((*row.standing, *filter(None, [remark(row)])))
    word = f"{v.symbol} {v.label}", remarks or "–"
    return *alone, effect, scale.cell_by(v.unbiased, sign=True), better, *p, *word


def notes(c: Comparison) -> list[str]:
    """How arms were compared, which rows have no partner, and what cannot be known of others' results."""
    exploratory = any(row.arm.exploratory for row in c.rows)
    copied = f"WARNING: {one_run(c)}." if any(row.copied for row in c.rows) else ""
    others = ", of exploratory arms Benjamini–Hochberg's" if exploratory else ""
    sentences = [f"p is Holm's over all arms{others}, of the difference and of the equivalence within ±δ."]
    few = FEW if any(k.pairs < FEWEST_SEEDS for row in c.rows if (k := row.contrast)) else ""
    if c.design.plan_hash:
        checks = [f"{self_check(row.contrast)}." for row in c.rows if row.contrast and not row.verdict]
        return [*filter(None, [*sentences, few, copied, STOPPED if c.sequential else ""]), *checks]
    sentences[0] += f" Pairs are rows of the same {c.design.pair}." if c.design.pair else UNPAIRED
    sentences += [c.design.rows, FOLDS if c.design.test_share else ""]
    sentences.append(FIRST_SEEDS if FIRST_LOOK in c.table else "")
    by_signs = c.design.pair and not c.design.test_share
    diverged = DIVERGED if by_signs else DIVERGED_DEPENDENT
    sentences += [few, copied, diverged if any(row.diverged for row in c.rows) else ""]
    unpaired = {row.arm.name: _rows_without_partner(row, c) for row in c.rows}
    lost = any(row.failed or unpaired[row.arm.name] for row in c.rows)
    sentences.append(LOSSES if lost else "")
    sentences += [f"WARNING: {sentence}." for sentence in (*c.design.doubts, *skewness(c))]
    for name, alone in unpaired.items():
        if alone:
            labels = listed_up_to(alone, LISTED)
            sentences.append(
                f"{name}: {plural(len(alone), 'row')} without a partner: {c.design.pair} {labels}"
            )
    return [*filter(None, sentences), NOT_KNOWN]


def _rows_without_partner(row: ComparedArm, c: Comparison) -> Sequence[Any]:
    """The seeds that one side of a contrast lacks; none where a side is one run and has no other seeds."""
    one_run = row.copied or c.base(row).copied
    return row.contrast.unpaired if row.contrast and not one_run else ()


UNBIASED = "unbiased Δ"
FEW = f"With fewer than {FEWEST_SEEDS} pairs nothing is decided, whatever p is."
STOPPED = (
    f"The {UNBIASED} is the median-unbiased estimate, which allows for the looks that were taken. The mean "
    "of an arm is over the seeds of its own contrast. Over these the arm that it is compared with may have "
    "another mean than in its own row, so that two rows need not subtract to Δ."
)
UNPAIRED = (
    " Rows are not paired (Welch's test). Where rows of two arms share what moves both, such as a seed or a "
    "document, --pair COLUMN compares them within it; a column of mere row numbers pairs nothing."
)
FOLDS = (
    "Folds share training rows: the variance of their mean is that of Nadeau and Bengio (2003), "
    "(1/folds + test/train) times that of one."
)
DIVERGED = (
    "Means leave out the rows that diverged. Δ is then the median of all pairs, and how often each side is "
    "better (sign test) has to agree with the means."
)
DIVERGED_DEPENDENT = (
    "Means leave out the rows that diverged. Without independent pairs no difference and no equality is "
    "claimed where an arm or its baseline has any; without any pairs how often they diverge is compared."
)
FIRST_SEEDS = (
    "The rows are trials of a study, which gets seeds until it is decided: only those of its first look are "
    "compared, whose number no result has chosen."
)
LOSSES = (
    "A verdict, its size too, also has to hold with each run that failed or lacks a partner, on either side, "
    "counted against it."
)
NOT_KNOWN = (
    "Not known, as these results were made elsewhere: whether rows were added after looking at the results, "
    "whether the arms differ in what their names say and in nothing else, and whether the rows are "
    "independent."
)


def comparison_csv(c: Comparison) -> str:
    """One line an arm, numbers in full; empty where there is none."""
    table = pd.DataFrame([_record(row, c) for row in c.rows], dtype=object)
    if not c.design.plan_hash:
        table = table.loc[:, table.map(lambda cell: cell not in (None, "")).any()]
    return _csv(table)


def trials_csv(c: Comparison) -> str:
    """One line a trial that counts, failures included: its settings, and whatever it measured."""
    rows = c.table[c.table.counts].drop(columns="counts")
    absent = rows.map(lambda cell: cell != cell).all()  # NaN: no trial has the column; None is a value
    return _csv(rows.loc[:, ~absent] if len(rows) else rows)


def caption(c: Comparison) -> str:
    """The caption: metrics, units, directions, and the meaning of intervals and Δ."""
    judged_by = "; ".join(
        f"{', '.join(filter(None, (view.title, view.scale.unit)))}, "
        f"{'lower' if view.metric.lower_is_better else 'higher'} is better"
        for view in c.per_metric
    )
    given = c.design.presentation.given
    return (
        f"{c.design.study}: {judged_by}; intervals are over {c.design.noun}s{given}; Δ is the arm "
        f"minus {'the baseline' if c.bases_phrase == c.rows[0].arm.name else c.bases_phrase}"
    )


def _record(row: ComparedArm, c: Comparison) -> dict[str, object]:
    """The arm, then what it is by each metric, whose name begins its columns."""
    record: dict[str, object] = {"arm": row.arm.name, "model": row.arm.model, "changed": row.changed}
    record |= {"against": c.base(row).arm.name if row.contrast else ""}
    record |= {
        "parameters": row.arm.average_metric("model_parameters"),
        "seeds_ok": row.done,
        "seeds": row.total,
    }
    record |= {"diverged": row.diverged, "failed": row.failed, "verdict": row.verdict and row.verdict.text}
    planned = row.verdict and c.design.plan_hash
    record |= {
        "exploratory": row.exploratory if planned else None,
        "attempt": row.attempt if planned else None,
    }
    record |= {"state": row.state, "pairs": row.contrast and row.contrast.pairs, "most_seeds": row.max_seeds}
    if not c.design.looks:
        record |= dict.fromkeys(("state", "most_seeds"))
    for view in c.per_metric:
        cells = cells_by_metric(view.rows[row.index], view)
        record |= {f"{view.metric.name}_{cell}": value for cell, value in cells.items()}
    return record | {"note": row.note, "witness": "; ".join(map(str, row.shown))}


def cells_by_metric(row: ComparedArm, view: Comparison) -> dict[str, Any]:
    """An arm by one metric, as that is measured; differences of one judged by its ratio are in per cent."""
    k, s, v, ends, also = row.contrast, row.summary, row.verdict, row.interval, view.scale.also
    level, change = (_of_known(read) for read in (view.scale.read, view.scale.read_difference))
    cells: dict[str, Any] = {"mean": level(s.mean), "sd": change(s.sd)}
    cells |= {**_ends("mean", s.interval, level), "median": level(s.median)}
    cells |= {also.title: _of_known(also.read)(s.mean)} if also else {}
    cells |= {"pair_mean": level(k and k.arm_mean), "pair_baseline": level(k and k.baseline_mean)}
    cells |= {"delta": change(k and k.estimate), **_ends("delta", ends, change)}
    cells |= {"delta_unbiased": change(v and v.unbiased)}
    if also:
        ratio = _of_known(also.read_difference)
        cells |= {"ratio": ratio(k and k.estimate), **_ends("ratio", ends, ratio)}
    cells |= {"p": k and k.p, "p_adjusted": v and v.difference.p, "p_equivalent": v and v.equivalence.p}
    cells |= {"p_divergence": v and v.divergence.p, "wins": k.wins if k and k.paired else None}
    cells |= {"r": k and k.r, "verdict": v and v.text, "provisional": v and v.provisional}
    return cells | {"open_because": open_because(row)}


def _of_known(read: Callable[[float], float]) -> Callable[[Any], float | None]:
    return lambda x: None if x is None else read(x)


def _ends(name: str, ends: Interval | None, read: Callable[[Any], float | None]) -> dict[str, float | None]:
    low, high = read(ends and ends.low), read(ends and ends.high)
    return {f"{name}_low": low, f"{name}_high": high, f"{name}_level": ends.level if ends else None}


def _csv(table: pd.DataFrame) -> str:
    """A table as CSV that a spreadsheet opens as data and never as code; a cell without a value is empty."""
    cells = table.astype(object).where(table.notna(), None).map(csv_cell)
    return cells.rename(columns=csv_cell).to_csv(index=False, lineterminator="\n")
