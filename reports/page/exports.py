"""The tables beside a page: the comparison as text, CSV and Markdown, and the trials as CSV."""

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from unrolled.bench.phrases import make_visible
from unrolled.bench.table_columns import IS_COUNTED, OTHER_TASK, STANDING
from unrolled.reports.compare.compared_arm import ComparedArm
from unrolled.reports.compare.comparison import Comparison
from unrolled.reports.formats import (
    align_columns,
    end_sentences,
    format_csv_cell,
    format_markdown_cell,
    format_p,
    format_pipe_table,
    shorten,
    shorten_name,
    skip_none,
)
from unrolled.reports.statistics.seed_values import Interval
from unrolled.reports.words.sentences import (
    describe_remarks,
    describe_too_few_pairs,
    explain_open,
    name_bases,
)
from unrolled.reports.words.study_state import (
    describe_repeated_plans,
    describe_seen_data,
    list_earlier_plan_lines,
)
from unrolled.reports.words.table_notes import UNBIASED, list_notes


def make_tables(comparison: Comparison) -> dict[str, str]:
    """Return the tables by the name of their file. A table from elsewhere is not written again."""
    tables = {
        "comparison.csv": write_comparison_csv(comparison),
        "comparison.md": write_comparison_markdown(comparison),
    }
    if comparison.design.is_study:
        tables["trials.csv"] = write_trials_csv(comparison)
    return tables


def write_screen(comparison: Comparison) -> str:
    """Return the verdicts by every metric for a terminal."""
    lines = [
        shorten(comparison.design.rules.question or comparison.design.rules.name, 200),
        *end_sentences(describe_too_few_pairs(comparison)),
    ]
    for view in comparison.views:
        lines += ["", _name_metric(view), *align_columns([_shorten_cells(row) for row in _format_rows(view)])]
    return "\n".join([*lines, "", *map(make_visible, list_notes(comparison))]) + "\n"


def _shorten_cells(row: Sequence[str]) -> list[str]:
    """Return the cells of a row with long names, verdicts and remarks shortened; numbers stay whole."""
    arm, against, *numbers, word, remarks = row
    numbers = [shorten(cell, 80) for cell in numbers]
    names = [shorten_name(name, 40) for name in (arm, against)]
    return [*names, *numbers, shorten(word, 40), shorten(remarks, 160)]


def write_comparison_markdown(comparison: Comparison) -> str:
    """Return the verdicts by every metric as Markdown: a caption, a table for each metric, and notes."""
    too_few_pairs = end_sentences(describe_too_few_pairs(comparison))
    paragraphs = [format_markdown_cell(text) for text in (write_caption(comparison), *too_few_pairs)]
    for view in comparison.views:
        if comparison.other_views:
            paragraphs.append(format_markdown_cell(_name_metric(view)))
        rows = [[format_markdown_cell(cell) for cell in row] for row in _format_rows(view)]
        paragraphs.append(format_pipe_table(rows).rstrip())
    plans = end_sentences(describe_seen_data(comparison), describe_repeated_plans(comparison))
    sentences = [*list_notes(comparison), *plans, *list_earlier_plan_lines(comparison)]
    return "\n\n".join([*paragraphs, *map(format_markdown_cell, sentences)]) + "\n"


def _name_metric(view: Comparison) -> str:
    better = f"{view.metric.better} is better"
    return f"{view.scale.title} ({better}, δ {view.scale.format_measured_delta(view.metric.zone)})"


def _format_rows(view: Comparison) -> list[tuple[str, ...]]:
    """Return the table of a metric as text: a row of heads, and a row for each arm, the baseline first."""
    head = (
        "arm",
        "against",
        f"{view.design.noun}s",
        "geometric mean ± SD" if view.scale.log_factor else "mean ± SD",
        "Δ [interval] level",
        UNBIASED,
        "better in",
        "p",
        "p of ±δ",
        "verdict",
        "remarks",
    )
    rows = [head, *(_format_row(arm, view) for arm in view.arms)]
    if view.stops_contrasts:
        return rows
    column = head.index(UNBIASED)
    return [row[:column] + row[column + 1 :] for row in rows]


def _format_row(arm: ComparedArm, view: Comparison) -> tuple[str, ...]:
    contrast = arm.contrast
    v = arm.verdict
    scale = view.scale
    seeds = arm.describe_seeds_of_mean()
    if view.stops_contrasts and arm.state.has_contrast:
        seeds += f" {arm.state.text}"
    lost_counts = {"diverged": arm.diverged_count, "failed": arm.failed_count}
    seeds = ", ".join([seeds, *(f"{count} {end}" for end, count in lost_counts.items() if count)])
    mean = f"{scale.format_cell(arm.summary.mean)} ± {scale.format_difference_cell(arm.summary.sd)}"
    cells = arm.name, arm.against or "–", seeds, mean
    if contrast is None:
        return *cells, "–", "–", "–", "–", "–", arm.reason_not_compared or "baseline", "–"
    effect = scale.format_difference_cell(contrast.estimate, sign=True)
    if contrast.uses_median:
        effect = f"median {effect}"
    effect = f"{effect} {scale.format_interval_cell(arm.interval)}".rstrip()
    better_in = "–"
    if contrast.is_paired and not contrast.is_all_tied:
        better_in = f"{contrast.better_count} of {contrast.pair_count}"
        better_in += f" ({contrast.equal_count} equal)" if contrast.equal_count else ""
    if v is None:
        return *cells, effect, "–", better_in, "–", "–", "A/A check", "–"
    return (
        *cells,
        effect,
        scale.format_difference_cell(v.unbiased_difference, sign=True),
        better_in,
        format_p(v.difference_p),
        format_p(v.equivalence_p),
        f"{v.symbol} {v.label}",
        "; ".join(filter(None, (*arm.standing, describe_remarks(arm, view)))) or "–",
    )


def write_comparison_csv(comparison: Comparison) -> str:
    """Return a row for each arm with all digits of its numbers; a cell without a number is empty."""
    table = pd.DataFrame([_make_record(arm, comparison) for arm in comparison.arms], dtype=object)
    if not comparison.design.is_study:
        table = table.loc[:, table.map(lambda cell: cell not in (None, "")).any()]
    return _write_csv(table)


def write_trials_csv(comparison: Comparison) -> str:
    """Return a row for each trial that counts, failures included, with its settings and metrics.

    `seed` is the seed of the pair. If an A/A arm was trained with other seeds, these are in `trained_seed`.
    """
    rows = comparison.table[comparison.table[IS_COUNTED]].drop(columns=IS_COUNTED)
    arms = comparison.design.arms_by_name
    pairs = zip(rows.arm, rows.seed, strict=True)
    trained_seeds = [arms[arm].find_trained_seed(seed) for arm, seed in pairs]
    if trained_seeds != [*rows.seed]:
        rows.insert([*rows.columns].index("seed") + 1, "trained_seed", trained_seeds)
    standings = {name: ", ".join(comparison.design.find_standing(arm)) for name, arm in arms.items()}
    tasks = {name: comparison.design.describe_other_task(arm) for name, arm in arms.items()}
    for column, texts in ((STANDING, standings), (OTHER_TASK, tasks)):
        if any(texts.values()):
            rows[column] = rows.arm.map(texts)
    if len(rows):
        is_absent = rows.map(lambda cell: cell != cell).all()  # NaN: no trial has the column; None is a value
        rows = rows.loc[:, ~is_absent]
    return _write_csv(rows)


def write_caption(comparison: Comparison) -> str:
    """Return the caption: metrics, units, directions, and the meaning of intervals and Δ."""
    judged_by = "; ".join(
        f"{', '.join(filter(None, (view.scale.title, view.scale.unit)))}, {view.metric.better} is better"
        for view in comparison.views
    )
    bases = name_bases(comparison)
    if bases == comparison.arms[0].name:
        bases = "the baseline"
    design = comparison.design
    replicates = f"{design.noun}s{design.presentation.interval_clause}"
    return f"{design.rules.name}: {judged_by}; intervals are over {replicates}; Δ is the arm minus {bases}"


def _make_record(arm: ComparedArm, comparison: Comparison) -> dict[str, object]:
    """Return the row of an arm: what it is, then its numbers by each metric, in columns such as loss_mean."""
    base = comparison.find_base(arm).name if arm.contrast or arm.state.has_contrast else ""
    record: dict[str, object] = {
        "arm": arm.name,
        "model": arm.counted_arm.model,
        "changed": arm.describe_changes(),
        "against": base,
        "parameters": arm.counted_arm.average_measured_values("model_parameters"),
        "seeds_ok": arm.done_count,
        "seeds_wanted": arm.wanted_seed_count,
        "diverged": arm.diverged_count,
        "failed": arm.failed_count,
        "verdict": arm.verdict and arm.verdict.text,
        "exploratory": None,
        "attempt": None,
        "state": None,
        "pairs": arm.contrast and arm.contrast.pair_count,
        "most_seeds": None,
    }
    if arm.verdict and comparison.design.is_study:
        record |= {"exploratory": arm.is_exploratory, "attempt": arm.attempt}
    if comparison.design.rules.looks:
        record |= {"state": arm.state.text, "most_seeds": arm.max_seed_count}
    for view in comparison.views:
        cells = make_number_cells(view.arms[arm.index], view)
        record |= {f"{view.metric.name}_{cell}": value for cell, value in cells.items()}
    return record | {"note": arm.reason_not_compared, "witness": "; ".join(map(str, arm.shown_witnesses))}


def make_number_cells(arm: ComparedArm, view: Comparison) -> dict[str, Any]:
    """Return an arm's numbers by one metric, on the metric's scale.

    Differences of a metric that is judged by its ratio are in per cent. `mean` is over `mean_seeds`, and
    `arm_mean` and `baseline_mean` are over `converged_pairs`.
    """
    contrast = arm.contrast
    verdict = arm.verdict
    second = view.scale.second_scale
    of_pairs = contrast if contrast and contrast.is_paired else None
    convert = skip_none(view.scale.convert_value)
    change = skip_none(view.scale.convert_difference)
    cells: dict[str, Any] = {
        "mean": convert(arm.summary.mean),
        "sd": change(arm.summary.sd),
        **_name_ends("mean", arm.summary.interval, convert),
        "mean_seeds": arm.summary.n - arm.summary.diverged_count,
        "median": convert(arm.summary.median),
    }
    if second:
        cells[second.title] = skip_none(second.convert_value)(arm.summary.mean)
    cells |= {
        "arm_mean": convert(contrast and contrast.arm_mean),
        "baseline_mean": convert(contrast and contrast.base_mean),
        "converged_pairs": of_pairs and len(of_pairs.differences),
        "difference": change(arm.estimate),
        **_name_ends("difference", arm.interval, change),
        "unbiased": change(verdict and verdict.unbiased_difference),
    }
    if second:
        ratio = skip_none(second.convert_value)
        cells["ratio"] = ratio(arm.estimate)
        cells |= _name_ends("ratio", arm.interval, ratio)
    return cells | {
        "p_uncorrected": contrast and contrast.p,
        "p": verdict and verdict.difference_p,
        "p_same": verdict and verdict.equivalence_p,
        "p_divergence": verdict and verdict.adjusted_divergence.p,
        "better": of_pairs and of_pairs.better_count,
        "r": contrast and contrast.r,
        "verdict": verdict and verdict.text,
        "provisional": verdict and verdict.is_provisional,
        "open_because": explain_open(arm, view),
    }


def _name_ends(
    name: str, interval: Interval | None, convert: Callable[[Any], float | None]
) -> dict[str, float | None]:
    """Return the cells of an interval: {"mean_low": …, "mean_high": …, "mean_level": 0.95}."""
    level = interval.confidence if interval else None
    return {
        f"{name}_low": convert(interval and interval.low),
        f"{name}_high": convert(interval and interval.high),
        f"{name}_level": level,
    }


def _write_csv(table: pd.DataFrame) -> str:
    """Return a table as CSV that a spreadsheet opens as data and never as code. NaN and None are empty."""
    cells = table.astype(object).where(table.notna(), None).map(format_csv_cell)
    return cells.rename(columns=format_csv_cell).to_csv(index=False, lineterminator="\n")
