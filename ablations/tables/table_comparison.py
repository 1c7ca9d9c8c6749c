"""Comparing the arms of a table that one or several sources make, by the options of `unrolled compare`."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from unrolled.ablations.options import CompareOptions, refuse_flags
from unrolled.ablations.tables import study_tables
from unrolled.ablations.tables.column_options import list_metric_names, make_columns
from unrolled.ablations.tables.sources import SOURCE, SourceTable, read_sources, require_one_machine
from unrolled.ablations.tables.table_reader import is_trials_table
from unrolled.bench.errors import require
from unrolled.bench.metric import judges_cost
from unrolled.bench.phrases import plural
from unrolled.reports.compare import comparison
from unrolled.reports.compare.comparison import Comparison
from unrolled.reports.foreign.columns import Columns, arrange_table, find_unnamed_failures, join_labels
from unrolled.reports.foreign.table_design import list_arms_of_other_tasks, make_design
from unrolled.reports.formats import join_first_names

_METRIC_FLAGS = ("metric", "kind", "lower", "higher")
MOST_LISTED_ARMS = 5  # arms that a line names before it counts the rest
TABLE_FLAGS = ("arm", "pair", "item", "test_share", "baseline", "experiment", "study", *_METRIC_FLAGS)
_COLUMNS_CURE = "leave it out, or name columns with --arm, --pair and --metric"


def compare_sources(sources: Sequence[str], options: CompareOptions) -> Comparison:
    """Return the comparison of the arms of the table that the sources make. Raises BadInput.

    The table of a study that ships is compared as the study file says, unless the options name columns and
    ask something else.
    """
    tables = read_sources(
        sources,
        experiment=options.experiment,
        study=options.study,
        metrics=list_metric_names(options),
    )
    if len(tables) > 1:
        return _compare_columns(tables, _find_columns_of_several(tables, options), options)
    (source,) = tables
    is_study_table = study_tables.is_study_table(source.rows)
    if is_study_table and not (options.arm or options.metric):
        refuse_flags(options, TABLE_FLAGS, "a study's table is judged as its file says", _COLUMNS_CURE)
        return study_tables.compare_study_table(source.rows)
    if is_trials_table(source.rows, source.name):
        options = replace(options, arm=options.arm or "arm", pair=options.pair or "seed")
    columns = make_columns(options)
    if is_study_table:
        if answer := study_tables.answer_own_question(source.rows, columns):
            return answer
        source = replace(source, rows=study_tables.mark_trials(source.rows))
    return _compare_columns([source], columns, options)


def _find_columns_of_several(sources: Sequence[SourceTable], options: CompareOptions) -> Columns:
    """Return the columns of the table that several sources make.

    Without --arm, each source is an arm. Without --pair, trials are paired by seed. Without --metric, results
    folders are judged by the metrics of the first one's plan.
    """
    if not options.arm:
        for source in sources:
            has_several = "arm" in source.rows.columns and source.rows.arm.nunique() > 1
            cure = f"--arm arm,{SOURCE} compares each arm of each source"
            require(not has_several, "has several arms", place=source.name, cure=cure)
        options = replace(options, arm=SOURCE)
    if not options.pair and all(is_trials_table(source.rows, source.name) for source in sources):
        options = replace(options, pair="seed")
    are_folders = all(source.metrics for source in sources)
    columns = make_columns(options, sources[0].metrics if are_folders else ())
    if judges_cost(columns.metrics):
        require_one_machine(sources)
    return columns


def _compare_columns(sources: Sequence[SourceTable], columns: Columns, options: CompareOptions) -> Comparison:
    """Return the comparison of the table that the sources make, by these columns."""
    rows_by_source = {source.name: _drop_unnamed(source, columns) for source in sources}
    if len(sources) > 1:
        for name, rows in rows_by_source.items():  # so that an error names a source and one of its rows
            arrange_table(rows, columns, name)
    frame = pd.concat(rows_by_source.values(), ignore_index=len(sources) > 1)
    name = " and ".join(rows_by_source)
    frame = _drop_other_tasks(frame, columns, name)
    table = arrange_table(frame, columns, name)
    page = f"compare-{options.experiment or '-'.join(Path(name).stem for name in rows_by_source)}"
    return comparison.compare(table, make_design(frame, table, columns, name, page))


def _drop_unnamed(source: SourceTable, columns: Columns) -> pd.DataFrame:
    """Return the rows without failed runs that name no arm. A line on stderr counts the dropped runs."""
    is_unnamed = find_unnamed_failures(source.rows, columns, source.name)
    if is_unnamed.any():
        runs = f"{source.name}: left out {plural(int(is_unnamed.sum()), 'failed run')}"
        print(f"{runs} without a value of {' and '.join(columns.arm)}", file=sys.stderr)
    return source.rows[~is_unnamed]


def _drop_other_tasks(frame: pd.DataFrame, columns: Columns, name: str) -> pd.DataFrame:
    """Return the rows without the arms of studies whose task differs from the baseline's.

    No study compares such arms. A line on stderr names them. If --arm does not name the column `arm`, all
    rows are kept, and the page warns.
    """
    other_arms = list_arms_of_other_tasks(frame, columns) if "arm" in columns.arm else []
    if not other_arms:
        return frame
    count = f"{plural(len(other_arms), 'arm')} of another task than the baseline's"
    print(f"{name}: {count}, left out: {join_first_names(other_arms, MOST_LISTED_ARMS)}", file=sys.stderr)
    return frame[~join_labels(frame, columns.arm, name).isin(other_arms)]
