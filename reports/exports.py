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
    both = {"comparison.csv": comparison_csv(c), "comparison.md": comparison_markdown(c)}
    return {**both, "trials.csv": trials_csv(c)} if c.design.plan_hash else both


def format_screen(c: Comparison) -> str:
    """Return the verdicts by every metric for a terminal."""
    few = describe_too_few_pairs(c)
    lines = [shorten(c.design.question or c.design.study, 200), *([f"{few}."] if few else [])]
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
    few = describe_too_few_pairs(c)
    parts = [markdown_cell(sentence) for sentence in (write_caption(c), f"{few}." if few else "") if sentence]
    for view in c.per_metric:
        rows = [[markdown_cell(cell) for cell in row] for row in _format_rows(view)]
        parts += [markdown_cell(_name_metric(view))] if c.other_views else []
        parts.append(pipe_table(rows).rstrip())
    behind = [f"{sentence}." for sentence in (describe_seen_data(c), describe_attempts(c)) if sentence]
    sentences = [*list_notes(c), *behind, *list_earlier_attempts(c)]
    return "\n\n".join([*parts, *map(markdown_cell, sentences)]) + "\n"


def _name_metric(view: Comparison) -> str:
    way = "lower" if view.metric.lower_is_better else "higher"
    return f"{view.title} ({way} is better, δ {view.scale.format_measured_delta(view.metric.zone)})"


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
    column = head.index(UNBIASED)
    return rows if view.stops_contrasts else [row[:column] + row[column + 1 :] for row in rows]


def _format_row(row: ComparedArm, view: Comparison) -> tuple[str, ...]:
    k = row.contrast
    v = row.verdict
    scale = view.scale
    seeds = f"{row.seeds_of_mean} {row.state if view.stops_contrasts else ''}".rstrip()
    seeds += f", {row.diverged} diverged" if row.diverged else ""
    seeds += f", {row.failed} failed" if row.failed else ""
    mean = f"{scale.format_cell(row.summary.mean)} ± {scale.format_difference_cell(row.summary.sd)}"
    cells = row.arm.name, row.arm.against or "–", seeds, mean
    if k is None:
        return *cells, "–", "–", "–", "–", "–", row.note or "baseline", "–"
    median = "median " if k.by_median else ""
    ends = f"{scale.format_interval_cell(row.interval)} {row.interval.percent}" if row.interval else ""
    effect = f"{median}{scale.format_difference_cell(k.estimate, sign=True)} {ends}".rstrip()
    wins = f"{k.wins} of {k.pairs}" if k.paired else "–"
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
    correction = "Holm's over all arms"
    if any(row.arm.exploratory for row in c.arms):
        correction += ", of exploratory arms Benjamini–Hochberg's"
    test = f"p is {correction}, of the difference and of the equivalence within ±δ."
    has_few_pairs = any(row.contrast.pairs < FEWEST_SEEDS for row in c.arms if row.contrast)
    copied = [f"WARNING: {describe_copied_arms(c)}."] if any(row.copied for row in c.arms) else []
    if perfect := describe_perfect_arms(c):
        copied.append(f"WARNING: {perfect}.")
    doubtful = [*([FEW] if has_few_pairs and not c.has_too_few_pairs else []), *copied]
    if c.design.plan_hash:
        self_checks = [row.contrast for row in c.arms if row.contrast and not row.verdict]
        checks = [f"{describe_aa_check(k)}." for k in self_checks if not c.has_too_few_pairs]
        return [test, *doubtful, *([STOPPED] if c.sequential else []), *checks]
    pairs = f" Pairs are rows of the same {c.design.pair}." if c.design.pair else UNPAIRED
    diverged = DIVERGED if c.design.pair and not c.design.test_share else DIVERGED_DEPENDENT
    unpaired = {row.arm.name: _rows_without_partner(row, c) for row in c.arms}
    sentences = [
        test + pairs,
        c.design.averaging_note,
        FOLDS if c.design.test_share else "",
        FIRST_SEEDS if FIRST_LOOK in c.table else "",
        *doubtful,
        diverged if any(row.diverged for row in c.arms) else "",
        LOSSES if any(row.failed or unpaired[row.arm.name] for row in c.arms) else "",
        *(f"WARNING: {sentence}." for sentence in (*c.design.doubts, *list_skewed_contrasts(c))),
        *(_describe_unpaired(name, labels, c) for name, labels in unpaired.items() if labels),
        NOT_KNOWN,
    ]
    return [sentence for sentence in sentences if sentence]


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
        f"{', '.join(filter(None, (view.title, view.scale.unit)))}, "
        f"{'lower' if view.metric.lower_is_better else 'higher'} is better"
        for view in c.per_metric
    )
    clause = c.design.presentation.interval_clause
    return (
        f"{c.design.study}: {judged_by}; intervals are over {c.design.noun}s{clause}; Δ is the arm "
        f"minus {'the baseline' if c.bases_phrase == c.arms[0].arm.name else c.bases_phrase}"
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
    k = row.contrast
    v = row.verdict
    second = view.scale.second_scale
    level = _of_known(view.scale.convert_level)
    change = _of_known(view.scale.convert_difference)
    ratio = _of_known(second.convert_level) if second else change
    return {
        "mean": level(row.summary.mean),
        "sd": change(row.summary.sd),
        **_name_ends("mean", row.summary.interval, level),
        "median": level(row.summary.median),
        **({second.title: _of_known(second.convert_level)(row.summary.mean)} if second else {}),
        "pair_mean": level(k and k.arm_mean),
        "pair_baseline": level(k and k.base_mean),
        "delta": change(k and k.estimate),
        **_name_ends("delta", row.interval, change),
        "delta_unbiased": change(v and v.unbiased),
        **({"ratio": ratio(k and k.estimate), **_name_ends("ratio", row.interval, ratio)} if second else {}),
        "p": k and k.p,
        "p_adjusted": v and v.difference_test.p,
        "p_equivalent": v and v.equivalence_test.p,
        "p_divergence": v and v.divergence_test.p,
        "wins": k.wins if k and k.paired else None,
        "r": k and k.r,
        "verdict": v and v.text,
        "provisional": v and v.provisional,
        "open_because": explain_open(row, view.first_title),
    }


def _of_known(read: Callable[[float], float]) -> Callable[[Any], float | None]:
    return lambda x: None if x is None else read(x)


def _name_ends(
    name: str, ends: Interval | None, read: Callable[[Any], float | None]
) -> dict[str, float | None]:
    low = read(ends and ends.low)
    high = read(ends and ends.high)
    return {f"{name}_low": low, f"{name}_high": high, f"{name}_level": ends.level if ends else None}


def _write_csv(table: pd.DataFrame) -> str:
    """Return a table as CSV that a spreadsheet opens as data and never as code; no value is no text."""
    cells = table.astype(object).where(table.notna(), None).map(csv_cell)
    return cells.rename(columns=csv_cell).to_csv(index=False, lineterminator="\n")
