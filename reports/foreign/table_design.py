"""The design of a table from elsewhere: its arms, how they are paired, and the warnings of its page."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from unrolled.bench.errors import BadInput, require
from unrolled.bench.metric import FEWEST_SEEDS, Metric
from unrolled.bench.phrases import join_first, plural
from unrolled.bench.study_rules import StudyRules
from unrolled.bench.table_columns import AA_NAME, FIRST_LOOK, OTHER_TASK, ROWS_AVERAGED, STANDING
from unrolled.reports.compare.design import Design, DesignArm
from unrolled.reports.compare.repeated_numbers import describe_few_numbers
from unrolled.reports.compare.row_matches import read_row_matches
from unrolled.reports.foreign.columns import (
    FOLDS_CURE,
    RUN_COLUMNS,
    SAMPLES,
    Columns,
    find_fold,
    join_labels,
    read_ends,
)
from unrolled.reports.formats import join_first_names, quote_name, shorten_name

FEWEST_TO_CHOOSE = 3  # of so many arms, the best or the worst may have been chosen as the baseline
SMALLEST_POINTS = 0.05  # a smaller δ in points of per cent was probably meant for values from 0 to 1
_REPEATS = {"repeat", "repeats", "repetition", "repetitions"}  # columns that tell repeated validations apart
_STEPS = {"step", "_step", "global_step", "epoch", "iteration", "iter"}


def make_design(frame: pd.DataFrame, table: pd.DataFrame, columns: Columns, source: str, page: str) -> Design:
    """Return how the arms of a table are compared.

    Raises BadInput for a table of one arm, and for an unknown baseline.
    """
    order = list(dict.fromkeys(table.arm))
    require(
        len(order) > 1,
        f"has one arm, {order[0]!r}",
        place=source,
        cure="name with --arm the columns in which arms differ",
    )
    baseline = columns.baseline or order[0]
    if baseline not in order:
        raise BadInput(f"has no arm {baseline!r}", place=source, cure=f"it has: {', '.join(order)}")
    order.sort(key=lambda name: name != baseline)
    labelled = frame[list(columns.arm)].astype(str).set_axis(join_labels(frame, columns.arm, source))
    levels = labelled[~labelled.index.duplicated()].to_dict("index")
    base = levels[baseline].items()
    changes = {
        name: {str(column): x for column, x in arm_levels.items() - base}
        for name, arm_levels in levels.items()
    }
    if FIRST_LOOK in frame and baseline == table.arm.iloc[0]:  # of a study, whose baseline comes first
        changes |= {name: {} for name in levels if changes[name] == {"arm": AA_NAME}}
    compared = plural(len(order) - 1, "arm")
    pairing_column = "fold" if columns.test_share else " and ".join(columns.pair)
    question = f"{source}: {compared} against {quote_name(str(baseline))}, {plural(len(frame), 'row')}"
    return Design(
        rules=StudyRules(name=page, question=question, metrics=columns.metrics),
        arms=tuple(DesignArm(name=name, title=name, changes=changes[name]) for name in order),
        pairing_column=pairing_column,
        test_share=columns.test_share,
        doubts=(*list_doubts(frame, table, columns),),
        averaging_note=_describe_rows(table, columns),
    )


def _describe_rows(table: pd.DataFrame, columns: Columns) -> str:
    """Return a sentence on the rows that were averaged; "" if none were."""
    counts = table[ROWS_AVERAGED][table[ROWS_AVERAGED] > 0]
    smallest = int(counts.min())
    largest = int(counts.max())
    if largest < 2:
        return ""
    number = f"{largest}" if smallest == largest else f"{smallest} to {largest}"
    pair = " and ".join(columns.pair)
    matched = "taken as independent samples"
    if columns.item != (SAMPLES,):
        item = " and ".join(columns.item)
        matched = f"matched with the baseline's by {item}: verdicts are over {pair}s, for these {item}s alone"
    sentence = f"A value is the mean of {number} rows of one arm and {pair}, {matched}"
    matches = read_row_matches(table, columns.metrics[0].name)
    counts_by_arm = {arm: match.missing_row_counts for arm, match in matches.items()}
    lacking = [f"{arm} {of_arm}" for arm, (of_arm, _) in counts_by_arm.items() if of_arm]
    lacking += [
        f"the baseline {of_base} of {arm}'s" for arm, (_, of_base) in counts_by_arm.items() if of_base
    ]
    if not lacking:
        return f"{sentence}."
    return (
        f"{sentence}; rows lacking or failed: {join_first_names(lacking, 5)}. Verdicts allow for the largest "
        "known difference in each of these rows, in either direction. They compare the baseline's mean with "
        "this mean plus the mean difference of the rows that both have."
    )


def list_doubts(frame: pd.DataFrame, table: pd.DataFrame, columns: Columns) -> Iterator[str]:
    """Yield the warnings of a table: dependent rows, odd numbers, a baseline chosen by its result."""
    yield from _list_doubts_of_rows(frame, table, columns)
    yield from _list_doubts_of_metrics(frame, table, columns)
    if not columns.baseline and (extreme := _name_extreme(table, columns.metrics[0].name)):
        baseline = shorten_name(table.arm.iloc[0])
        yield (
            f"the baseline {baseline} is the arm of the first row and has the {extreme} mean: "
            "--baseline names one that no result has chosen"
        )


def _list_doubts_of_rows(frame: pd.DataFrame, table: pd.DataFrame, columns: Columns) -> Iterator[str]:
    """Yield warnings of rows that are not independent, or that were chosen or seen before."""
    seeds = [name for name in columns.item if name.lower() in RUN_COLUMNS]
    if seeds and not columns.test_share:
        cure = f"--pair {seeds[0]}"
        yield f"rows of one {seeds[0]} come from one training, and are not independent: {cure}"
    elif steps := [name for name in columns.pair if name.lower().rsplit("/", 1)[-1] in _STEPS]:
        yield f"rows of one run's {steps[0]}s are not independent: give --pair a column of runs, such as seed"
    elif not columns.test_share and (repeats := [name for name in columns.pair if name.lower() in _REPEATS]):
        cure = "compare the folds of one repeat, with --test-share"
        yield f"if {repeats[0]}s validate on one data set, their means are not independent: {cure}"
    runs = [str(name) for name in frame.columns if str(name).lower() in RUN_COLUMNS]
    has_paired_runs = bool({*runs} & {*columns.pair})
    if runs and not (seeds or has_paired_runs or columns.test_share):
        distinct = frame.drop_duplicates()  # rows that were written twice have a warning of their own
        if distinct.groupby([*columns.arm, runs[0]]).size().max() > 1:
            yield f"rows of one {runs[0]} are not independent: --pair {runs[0]}"
    fold = find_fold([*map(str, frame.columns)])
    if not columns.pair and fold and frame[fold].nunique() > 1:
        yield f"rows of several {fold} values share training rows, and are not independent: {FOLDS_CURE}"
    if (folds := _count_folds(frame, columns)) and columns.test_share < 0.9 / folds:
        share = f"a --test-share of {columns.test_share:g}"
        yield f"each of {folds} folds of a cross-validation tests 1/{folds} of the data: {share} is too small"
    counts = table[ROWS_AVERAGED][table[ROWS_AVERAGED] > 0]
    if columns.item == (SAMPLES,) and counts.nunique() > 1:
        number = f"{counts.min()} to {counts.max()}"
        yield f"pairs are means of {number} rows: no row may be left out or added because of its result"
    names_arms = FIRST_LOOK in frame and "arm" in columns.arm
    if names_arms and AA_NAME in {*frame.arm} and columns.baseline not in ("", table.arm.iloc[0]):
        yield f"{AA_NAME} repeats {table.arm.iloc[0]} with other seeds, and checks no other baseline"
    if arms := list_arms_of_other_tasks(frame, columns):
        names = join_first_names(arms, 5)
        yield f"of another task than the baseline's, so that no difference tells which is better: {names}"
    if marks := _list_standings(frame, columns):
        names = join_first(marks, 5)
        yield f"the study's page marks arms whose results may have been seen or judged before: {names}"


def _count_folds(frame: pd.DataFrame, columns: Columns) -> int:
    """Return the number of folds of a cross-validation whose folds are pairs; 0 for none, or for splits."""
    fold = find_fold(columns.pair)
    return frame[fold].nunique() if columns.test_share and "fold" in fold.lower() else 0


def _list_doubts_of_metrics(frame: pd.DataFrame, table: pd.DataFrame, columns: Columns) -> Iterator[str]:
    """Yield warnings of infinite values, of units, and of numbers that stand in several rows."""
    metrics = [metric.name for metric in columns.metrics]
    if costs := [metric.name for metric in columns.metrics if not metric.is_quality]:
        names = join_first_names(costs, 5)
        yield f"arms that ran on different days may differ in {names} by the machine alone"
    for metric in columns.metrics:
        perfect = pd.to_numeric(frame[metric.name], errors="coerce") == np.inf
        perfect &= read_ends(frame, columns, "") == "done"
        if perfect.any() and not metric.lower_is_better:
            rows = plural(int(perfect.sum()), "row")
            yield f"inf of {metric.name} in {rows} counts as diverged: if it is perfect, write a number"
    yield from filter(None, (_describe_unit(table, metric) for metric in columns.metrics))
    if repeated := [*_list_repeated_arms(table, metrics)]:
        names = join_first_names(repeated, 5)
        yield f"all numbers stand in several rows, which may be copies of fewer runs: {names}"
    if sentence := describe_few_numbers(table, columns.metrics, "row", repeated):
        yield sentence


def _list_standings(frame: pd.DataFrame, columns: Columns) -> list[str]:
    """Return the arms of a study that have a standing, with it: ["a (attempt 2)"]."""
    if not {FIRST_LOOK, STANDING} <= {*frame.columns}:  # no study's trials, or nothing is known
        return []
    marked = frame[frame[STANDING].fillna("").astype(str) != ""]
    labels = join_labels(marked, columns.arm, "")
    return [
        f"{quote_name(shorten_name(arm))} ({words})"
        for arm, words in dict.fromkeys(zip(labels, marked[STANDING], strict=True))
    ]


def list_arms_of_other_tasks(frame: pd.DataFrame, columns: Columns) -> list[str]:
    """Return the arms whose task differs from the baseline's, if the rows are trials of a study."""
    if not {FIRST_LOOK, OTHER_TASK} <= {*frame.columns}:
        return []
    labels = join_labels(frame, columns.arm, "")
    tasks = frame[OTHER_TASK].fillna("").astype(str)
    is_base = labels == (columns.baseline or labels.iloc[0])
    return [*dict.fromkeys(labels[~tasks.isin({*tasks[is_base]})])] if is_base.any() else []


def _describe_unit(table: pd.DataFrame, metric: Metric) -> str:
    """Return a warning of a δ in per cent for shares from 0 to 1, or the reverse; "" for others."""
    numbers = table[metric.name].where(np.isfinite(table[metric.name]))
    if metric.highest == np.inf or not numbers.notna().any():
        return ""
    largest = numbers.max()
    delta = f"a δ of {metric.delta:g}"
    if largest <= 1 <= metric.delta:
        return f"{metric.name} goes from 0 to 1, and {delta} is all of it: give δ in the unit of the values"
    if largest > 2 and metric.delta < SMALLEST_POINTS:  # a score of 1.01 is not in per cent
        return f"{metric.name} is in per cent, where {delta} is almost 0: give δ in the unit of the values"
    return ""


def _list_repeated_arms(table: pd.DataFrame, metrics: list[str]) -> Iterator[str]:
    """Yield the arms in which the counts of equal rows have a common divisor above 1: 2, 2, 4 or 3, 3, 3.

    Coarse numbers may be equal by chance: an arm needs five different rows, or two if another arm has five
    rows or more that all differ.
    """
    rows = table.dropna(subset=metrics)
    sizes = rows.groupby(["arm", *metrics], sort=False).size().groupby(level="arm", sort=False)
    is_fine = any((of_arm == 1).all() and len(of_arm) >= FEWEST_SEEDS for _, of_arm in sizes)
    fewest_rows = 2 if is_fine else FEWEST_SEEDS
    for arm, of_arm in sizes:
        if len(of_arm) >= fewest_rows and np.gcd.reduce(of_arm.to_numpy()) > 1:
            yield str(arm)


def _name_extreme(table: pd.DataFrame, metric: str) -> str:
    """Return "highest" or "lowest" if the first of several arms has this mean of all; "" otherwise."""
    means = table[metric].where(np.isfinite(table[metric])).groupby(table.arm, sort=False).mean()
    if len(means) < FEWEST_TO_CHOOSE or means.nunique() < FEWEST_TO_CHOOSE:
        return ""
    ranks = {means.max(): "highest", means.min(): "lowest"}
    return ranks.get(means.iloc[0], "")
