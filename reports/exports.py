"""The comparison as a screen, CSV and Markdown, and every trial as CSV, beside the page."""

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from unrolled.bench.errors import plural, visible
from unrolled.bench.metric import FEWEST_SEEDS
from unrolled.bench.trial import FIRST_LOOK
from unrolled.reports.caveats import (
    describe_attempts,
    describe_copied_arms,
    describe_perfect_arms,
    describe_seen_data,
    list_earlier_attempts,
    list_skewed_contrasts,
)
from unrolled.reports.compared_arm import ComparedArm
from unrolled.reports.comparison import Comparison
from unrolled.reports.formats import (
    align_columns,
    csv_cell,
    format_p,
    join_first_names,
    markdown_cell,
    pipe_table,
    shorten,
)
from unrolled.reports.sentences import (
    describe_aa_check,
    describe_state,
    describe_too_few_pairs,
    explain_open,
)
from unrolled.reports.statistics.types import Interval

LISTED = 20  # rows without a partner, of one arm


def make_tables(c: Comparison) -> dict[str, str]:
    """Return the tables by the name of their file. What a table from elsewhere holds is not written again."""
    tables = {"comparison.csv": comparison_csv(c), "comparison.md": comparison_markdown(c)}
    if c.design.plan_hash:
        tables["trials.csv"] = trials_csv(c)
    return tables


def format_screen(c: Comparison) -> str:
    """Return the verdicts by every metric for a terminal."""
    lines = [shorten(c.design.question or c.design.study, 200)]
    if few := describe_too_few_pairs(c):
        lines.append(f"{few}.")
    for view in c.per_metric:
        lines += ["", _name_metric(view), *align_columns([_shorten_cells(row) for row in _format_rows(view)])]
    return "\n".join([*lines, "", *map(visible, list_notes(c))]) + "\n"


def _shorten_cells(row: Sequence[str]) -> list[str]:
    """Return the cells of a line, shortened: names and verdicts, but no number in a reasonable unit."""
    arm, against, *numbers, word, remarks = row
    numbers = [shorten(cell, 80) for cell in numbers]
    return [shorten(arm, 40), shorten(against, 40), *numbers, shorten(word, 40), shorten(remarks, 160)]


def comparison_markdown(c: Comparison) -> str:
    """Return the same as pipe tables."""
    paragraphs = [markdown_cell(write_caption(c))]
    if few := describe_too_few_pairs(c):
        paragraphs.append(markdown_cell(f"{few}."))
    for view in c.per_metric:
        if c.other_views:
            paragraphs.append(markdown_cell(_name_metric(view)))
        rows = [[markdown_cell(cell) for cell in row] for row in _format_rows(view)]
        paragraphs.append(pipe_table(rows).rstrip())
    attempts = [f"{sentence}." for sentence in (describe_seen_data(c), describe_attempts(c)) if sentence]
    sentences = [*list_notes(c), *attempts, *list_earlier_attempts(c)]
    return "\n\n".join([*paragraphs, *map(markdown_cell, sentences)]) + "\n"


def _name_metric(view: Comparison) -> str:
    direction = _name_direction(view)
    return f"{view.title} ({direction} is better, δ {view.scale.format_measured_delta(view.metric.zone)})"


def _name_direction(view: Comparison) -> str:
    return "lower" if view.metric.lower_is_better else "higher"


def _format_rows(view: Comparison) -> list[tuple[str, ...]]:
    """Return the head, and the printed digits of every arm, baseline first."""
    head = (
        "arm",
        "against",
        f"{view.design.noun}s",
        "mean ± SD",
        "Δ [interval] level",
        UNBIASED,
        "better in",
        "p",
        "p of ±δ",
        "verdict",
        "remarks",
    )
    rows = [head, *(_format_row(row, view) for row in view.arms)]
    if view.stops_contrasts:
        return rows
    column = head.index(UNBIASED)
    return [row[:column] + row[column + 1 :] for row in rows]


def _format_row(row: ComparedArm, view: Comparison) -> tuple[str, ...]:
    contrast = row.contrast
    v = row.verdict
    scale = view.scale
    seeds = row.seeds_of_mean
    if view.stops_contrasts and row.state:
        seeds += f" {row.state}"
    if row.diverged:
        seeds += f", {row.diverged} diverged"
    if row.failed:
        seeds += f", {row.failed} failed"
    mean = f"{scale.format_cell(row.summary.mean)} ± {scale.format_difference_cell(row.summary.sd)}"
    cells = row.arm.name, row.arm.against or "–", seeds, mean
    if contrast is None:
        return *cells, "–", "–", "–", "–", "–", row.note or "baseline", "–"
    effect = scale.format_difference_cell(contrast.estimate, sign=True)
    if contrast.by_median:
        effect = f"median {effect}"
    if row.interval:
        effect += f" {scale.format_interval_cell(row.interval)} {row.interval.percent}"
    wins = f"{contrast.wins} of {contrast.pairs}" if contrast.paired else "–"
    if v is None:
        return *cells, effect, "–", wins, "–", "–", "A/A check", "–"
    return (
        *cells,
        effect,
        scale.format_difference_cell(v.unbiased, sign=True),
        wins,
        format_p(v.difference_p),
        format_p(v.equivalence_p),
        f"{v.symbol} {v.label}",
        "; ".join(filter(None, (*row.standing, describe_state(row, view)))) or "–",
    )


def list_notes(c: Comparison) -> list[str]:
    """Return how arms were compared, and what cannot be known of the results in a foreign table."""
    correction = f"Holm's over all {'declared ' if c.design.plan_hash else ''}contrasts"
    if any(row.arm.exploratory for row in c.arms):
        correction += ", of exploratory arms Benjamini–Hochberg's"
    test = f"p is {correction}, of the difference and of the equivalence within ±δ."
    few_or_copied = []
    if not c.has_too_few_pairs and any(row.contrast.pairs < FEWEST_SEEDS for row in c.arms if row.contrast):
        few_or_copied.append(FEW)
    if any(row.copied for row in c.arms):
        few_or_copied.append(f"WARNING: {describe_copied_arms(c)}.")
    if perfect := describe_perfect_arms(c):
        few_or_copied.append(f"WARNING: {perfect}.")
    if not c.design.plan_hash:
        return _list_foreign_notes(c, test, few_or_copied)
    notes = [test, *few_or_copied]
    if c.sequential:
        notes.append(STOPPED)
    if not c.has_too_few_pairs:
        aa_contrasts = [row.contrast for row in c.arms if row.contrast and not row.verdict]
        notes += [f"{describe_aa_check(contrast)}." for contrast in aa_contrasts]
    return notes


def _list_foreign_notes(c: Comparison, test: str, few_or_copied: Sequence[str]) -> list[str]:
    """Return the notes on a table from elsewhere, from the first, on the test, to what cannot be known."""
    unpaired = {row.arm.name: _rows_without_partner(row, c) for row in c.arms}
    notes = [test + (f" Pairs are rows of the same {c.design.pair}." if c.design.pair else UNPAIRED)]
    if c.design.averaging_note:
        notes.append(c.design.averaging_note)
    if c.design.test_share:
        notes.append(FOLDS)
    if FIRST_LOOK in c.table:
        notes.append(FIRST_SEEDS)
    notes += few_or_copied
    if any(row.diverged for row in c.arms):
        notes.append(DIVERGED if c.design.pair and not c.design.test_share else DIVERGED_DEPENDENT)
    if any(row.failed or unpaired[row.arm.name] for row in c.arms):
        notes.append(LOSSES)
    notes += [f"WARNING: {sentence}." for sentence in (*c.design.doubts, *list_skewed_contrasts(c))]
    notes += [_describe_unpaired(name, labels, c) for name, labels in unpaired.items() if labels]
    return [*notes, NOT_KNOWN]


def _describe_unpaired(arm: str, labels: Sequence[Any], c: Comparison) -> str:
    number = plural(len(labels), "row")
    return f"{arm}: {number} without a partner: {c.design.pair} {join_first_names(labels, LISTED)}"


def _rows_without_partner(row: ComparedArm, c: Comparison) -> Sequence[Any]:
    """Return the seeds that one side of a contrast lacks; none where a side is one run under all seeds."""
    is_one_run = row.copied or c.find_base(row).copied
    return row.contrast.unpaired if row.contrast and not is_one_run else ()


UNBIASED = "unbiased Δ"
FEW = f"With fewer than {FEWEST_SEEDS} pairs nothing is decided, whatever p is."
STOPPED = (
    f"The {UNBIASED} is the median-unbiased estimate, which allows for the looks that were taken. The mean "
    "of an arm is over the seeds of its own contrast, so that two rows may not differ by exactly Δ."
)
UNPAIRED = (
    " Rows are not paired (Welch's test and a permutation test). Where rows of two arms share what moves "
    "both, such as a seed or a document, --pair COLUMN compares them within it; a column of mere row "
    "numbers pairs nothing."
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
    """Return one line an arm, numbers in full; empty where there is none."""
    table = pd.DataFrame([_make_record(row, c) for row in c.arms], dtype=object)
    if not c.design.plan_hash:
        table = table.loc[:, table.map(lambda cell: cell not in (None, "")).any()]
    return _write_csv(table)


def trials_csv(c: Comparison) -> str:
    """Return one line a trial that counts, failures included: its settings, and whatever it measured.

    `seed` is that of the pair. `trained_seed` stands beside it where an A/A arm was trained with others.
    """
    rows = c.table[c.table.counts].drop(columns="counts")
    arms = {arm.name: arm for arm in c.design.arms}
    pairs = zip(rows.arm, rows.seed, strict=True)
    trained_seeds = [arms[arm].find_trained_seed(seed) for arm, seed in pairs]
    if trained_seeds != [*rows.seed]:
        rows.insert([*rows.columns].index("seed") + 1, "trained_seed", trained_seeds)
    absent = rows.map(lambda cell: cell != cell).all()  # NaN: no trial has the column; None is a value
    return _write_csv(rows.loc[:, ~absent] if len(rows) else rows)


def write_caption(c: Comparison) -> str:
    """Return the caption: metrics, units, directions, and the meaning of intervals and Δ."""
    judged_by = "; ".join(
        f"{', '.join(filter(None, (view.title, view.scale.unit)))}, {_name_direction(view)} is better"
        for view in c.per_metric
    )
    bases = "the baseline" if c.bases_phrase == c.arms[0].arm.name else c.bases_phrase
    clause = c.design.presentation.interval_clause
    return (
        f"{c.design.study}: {judged_by}; intervals are over {c.design.noun}s{clause}; Δ is the arm "
        f"minus {bases}"
    )


def _make_record(row: ComparedArm, c: Comparison) -> dict[str, object]:
    """Return the arm's line: what it is, then its numbers by each metric, whose name begins its columns."""
    is_planned = bool(row.verdict and c.design.plan_hash)
    record: dict[str, object] = {
        "arm": row.arm.name,
        "model": row.arm.model,
        "changed": row.changed,
        "against": c.find_base(row).arm.name if row.contrast else "",
        "parameters": row.arm.average_metric("model_parameters"),
        "seeds_ok": row.done,
        "seeds": row.total,
        "diverged": row.diverged,
        "failed": row.failed,
        "verdict": row.verdict and row.verdict.text,
        "exploratory": row.exploratory if is_planned else None,
        "attempt": row.attempt if is_planned else None,
        "state": row.state if c.design.looks else None,
        "pairs": row.contrast and row.contrast.pairs,
        "most_seeds": row.max_seeds if c.design.looks else None,
    }
    for view in c.per_metric:
        cells = list_number_cells(view.arms[row.index], view)
        record |= {f"{view.metric.name}_{cell}": value for cell, value in cells.items()}
    return record | {"note": row.note, "witness": "; ".join(map(str, row.shown_proofs))}


def list_number_cells(row: ComparedArm, view: Comparison) -> dict[str, Any]:
    """Return an arm's numbers by one metric, as that is measured.

    Differences of a metric that is judged by its ratio are in per cent.
    """
    contrast = row.contrast
    verdict = row.verdict
    second = view.scale.second_scale
    level = _skip_none(view.scale.convert_level)
    change = _skip_none(view.scale.convert_difference)
    cells: dict[str, Any] = {
        "mean": level(row.summary.mean),
        "sd": change(row.summary.sd),
        **_name_ends("mean", row.summary.interval, level),
        "median": level(row.summary.median),
    }
    if second:
        cells[second.title] = _skip_none(second.convert_level)(row.summary.mean)
    cells |= {
        "pair_mean": level(contrast and contrast.arm_mean),
        "pair_baseline": level(contrast and contrast.base_mean),
        "delta": change(contrast and contrast.estimate),
        **_name_ends("delta", row.interval, change),
        "delta_unbiased": change(verdict and verdict.unbiased),
    }
    if second:
        ratio = _skip_none(second.convert_level)
        cells["ratio"] = ratio(contrast and contrast.estimate)
        cells |= _name_ends("ratio", row.interval, ratio)
    return cells | {
        "p": contrast and contrast.p,
        "p_adjusted": verdict and verdict.difference_test.p,
        "p_equivalent": verdict and verdict.equivalence_test.p,
        "p_divergence": verdict and verdict.divergence_test.p,
        "wins": contrast.wins if contrast and contrast.paired else None,
        "r": contrast and contrast.r,
        "verdict": verdict and verdict.text,
        "provisional": verdict and verdict.provisional,
        "open_because": explain_open(row, view.first_title),
    }


def _skip_none(convert: Callable[[float], float]) -> Callable[[Any], float | None]:
    """Return the conversion with None for None."""
    return lambda x: None if x is None else convert(x)


def _name_ends(
    name: str, ends: Interval | None, convert: Callable[[Any], float | None]
) -> dict[str, float | None]:
    """Return the cells of an interval's ends and level."""
    low = convert(ends and ends.low)
    high = convert(ends and ends.high)
    return {f"{name}_low": low, f"{name}_high": high, f"{name}_level": ends.level if ends else None}


def _write_csv(table: pd.DataFrame) -> str:
    """Return a table as CSV that a spreadsheet opens as data and never as code; no value is no text."""
    cells = table.astype(object).where(table.notna(), None).map(csv_cell)
    return cells.rename(columns=csv_cell).to_csv(index=False, lineterminator="\n")
