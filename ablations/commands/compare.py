"""`unrolled compare`: arms of a table, which one or several sources make, or models, which are trained."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from unrolled.ablations.commands.compare_columns import list_metric_names, make_columns
from unrolled.ablations.commands.plan import print_plans
from unrolled.ablations.commands.run import exit_code, format_command_line
from unrolled.ablations.mlflow.database import hide_credentials
from unrolled.ablations.options import TRAINING_FLAGS, CompareOptions, refuse_flags
from unrolled.ablations.study.loading import declare_study, load_plugins, load_studies
from unrolled.ablations.tables import study_tables
from unrolled.ablations.tables.reader import is_trials_table
from unrolled.ablations.tables.sources import (
    SOURCE,
    SourceTable,
    is_results_folder,
    is_results_source,
    read_sources,
    require_one_machine,
)
from unrolled.ablations.training.comparison import render_page
from unrolled.ablations.training.run_studies import run_studies
from unrolled.bench.chapter.models.registry import ZOO, spec_of
from unrolled.bench.errors import BadInput, plural, require, suggestion
from unrolled.bench.metric import judges_clock
from unrolled.bench.table_files import FORMATS
from unrolled.reports import comparison
from unrolled.reports.comparison import Comparison
from unrolled.reports.exports import format_screen
from unrolled.reports.foreign.columns import Columns, arrange_table, find_unnamed_failures
from unrolled.reports.foreign.design import make_design

WORSE = 3  # the exit code if an arm is worse


def compare(sources: Sequence[str], options: CompareOptions) -> int:
    """Print verdicts on the arms of the table that the sources make, or on models, which are trained.

    Returns 0, or `WORSE` if an arm is worse by the first metric. Raises BadInput.
    """
    for source in sources:
        if Path(source).suffix.lower() in FORMATS and not is_results_source(source):
            raise BadInput("there is no such file", place=source, cure=_suggest_source(source))
    if len(sources) > 1 and not any(map(is_results_source, sources)):
        return _compare_models(sources, options)
    require(
        sources[0] not in ZOO or len(sources) > 1,
        "is a model, and one alone has nothing to be compared with",
        place=sources[0],
        cure="name two models",
    )
    refuse_flags(
        options, TRAINING_FLAGS, "is for models that are trained", "leave it out, or name two models"
    )
    for source in sources:
        if not is_results_source(source):
            cure = "write mlflow: before it" if "://" in source else _suggest_source(source, ZOO)
            raise BadInput("there is no such file", place=hide_credentials(source), cure=cure)
        is_unique = [*map(hide_credentials, sources)].count(hide_credentials(source)) == 1
        require(is_unique, "is named twice", place=hide_credentials(source), cure="name each source once")
    if not any(source.startswith("mlflow:") for source in sources):
        refuse_flags(options, ("experiment",), "is for mlflow:URI", "leave it out")
    if not any(map(is_results_folder, sources)):
        refuse_flags(options, ("study",), "is for results folders", "leave it out")
    is_single_folder = len(sources) == 1 and is_results_folder(sources[0])
    cure = "name another one beside it, or `unrolled report`, which judges one"
    require(not is_single_folder, "is one results folder", place=sources[0], cure=cure)
    return _compare_table(sources, options)


def _suggest_source(source: str, models: Iterable[str] = ()) -> str:
    """Return the nearest of these models and of this folder's files and folders that can be compared."""
    paths = [path for path in Path().iterdir() if path.suffix.lower() in FORMATS or is_results_folder(path)]
    names = [*models, *sorted(map(str, paths))]
    return suggestion(source, names) if names else "give the path of one"


def _compare_table(sources: Sequence[str], options: CompareOptions) -> int:
    """Print the verdicts on the arms of a table; write a page, unless it is a study's own."""
    inputs = read_sources(
        sources,
        experiment=options.experiment,
        study=options.study,
        metrics=list_metric_names(options),
    )
    if len(inputs) > 1:
        return _report_comparison(inputs, _columns_of_several(inputs, options), options)
    (source,) = inputs
    if study_tables.is_study_table(source.rows) and not (options.arm or options.metric):
        refuse_flags(options, _TABLE_FLAGS, "a study's table is judged as its file says", _COLUMNS_CURE)
        return _print_verdicts(study_tables.compare_study_table(source.rows))
    if is_trials_table(source.rows, source.name):
        options = replace(options, arm=options.arm or "arm", pair=options.pair or "seed")
    columns = make_columns(options)
    if study_tables.is_study_table(source.rows):
        if answer := study_tables.answer_own_question(source.rows, columns):
            return _print_verdicts(answer)
        source = replace(source, rows=study_tables.mark_first_look(source.rows))
    return _report_comparison([source], columns, options)


def _columns_of_several(sources: Sequence[SourceTable], options: CompareOptions) -> Columns:
    """Return the columns of the table that several sources make.

    Arms are the sources, unless --arm names columns. Trials are paired by seed, and those of results folders
    judged as the first one's plan says, unless --pair and --metric say otherwise.
    """
    if not options.arm:
        for source in sources:
            several = "arm" in source.rows.columns and source.rows.arm.nunique() > 1
            cure = f"--arm arm,{SOURCE} compares each arm of each source"
            require(not several, "has several arms", place=source.name, cure=cure)
        options = replace(options, arm=SOURCE)
    if not options.pair and all(is_trials_table(source.rows, source.name) for source in sources):
        options = replace(options, pair="seed")
    if not all(source.metrics for source in sources):
        return make_columns(options)
    columns = make_columns(options, sources[0].metrics)
    if judges_clock(columns.metrics):
        require_one_machine(sources)
    return columns


def _report_comparison(sources: Sequence[SourceTable], columns: Columns, options: CompareOptions) -> int:
    """Print the verdicts on the arms of the table that the sources make, and write its page."""
    rows_by_source = {source.name: _drop_unnamed(source, columns) for source in sources}
    if len(sources) > 1:
        for name, rows in rows_by_source.items():  # so that an error names a source and a row of it
            arrange_table(rows, columns, name)
    frame = pd.concat(rows_by_source.values(), ignore_index=len(sources) > 1)
    name = " and ".join(rows_by_source)
    table = arrange_table(frame, columns, name)
    page = f"compare-{options.experiment or '-'.join(Path(name).stem for name in rows_by_source)}"
    compared = comparison.compare(table, make_design(frame, table, columns, name, page))
    code = _print_verdicts(compared)
    folder = render_page(compared, options.out).parent
    for file in ("index.html", "comparison.csv", "comparison.md"):
        print(folder / file)
    return code


def _drop_unnamed(source: SourceTable, columns: Columns) -> pd.DataFrame:
    """Return the rows without failed runs that tell no arm; a line on stderr counts these."""
    unnamed = find_unnamed_failures(source.rows, columns, source.name)
    if unnamed.any():
        runs = f"{source.name}: {plural(int(unnamed.sum()), 'failed run')}"
        print(f"{runs} without {' and '.join(columns.arm)}: of no arm, and left out", file=sys.stderr)
    return source.rows[~unnamed]


def _print_verdicts(compared: Comparison) -> int:
    """Print the verdicts. Returns 0, or `WORSE` if an arm is worse by the first metric."""
    print(format_screen(compared), end="")
    return WORSE if any(row.verdict and row.verdict.harmful for row in compared.arms_to_decide) else 0


_METRIC_FLAGS = ("metric", "kind", "lower", "higher")
_TABLE_FLAGS = ("arm", "pair", "item", "test_share", "baseline", "experiment", "study", *_METRIC_FLAGS)
_COLUMNS_CURE = "leave it out, or name columns with --arm, --pair and --metric"


def _compare_models(sources: Sequence[str], options: CompareOptions) -> int:
    """Print the verdicts on models against the first; train what the ledger lacks."""
    refuse_flags(options, _TABLE_FLAGS, "is for results from elsewhere", "leave it out, or name one file")
    load_plugins(options.plugin)
    if not ZOO.keys() & {*sources}:
        rule = "there is no such folder, file or model"
        cure = _suggest_source(sources[0], ZOO)
        raise BadInput(rule, place=hide_credentials(sources[0]), cure=cure)
    titles = [spec_of(model).title for model in sources]
    baseline, *candidates = sources
    for model in candidates:
        require(sources.count(model) == 1, "is named twice", place=model, cure="name each model once")
    question = f"Which of {', '.join(titles)} is best?"
    if len(titles) == 2:
        question = f"Is {titles[1]} better than {titles[0]}?"
    declaration = declare_study(
        "-".join(["compare", baseline, *candidates]),
        question=question,
        baseline={"model": baseline},
        one_at_a_time={"model": candidates},
    )
    (study,) = load_studies([declaration], options)
    for arm in study.arms[1:]:
        differences = study.task_differences(arm)
        require(
            not differences,
            f"cannot be compared with {baseline}, as it is of another task: {', '.join(differences)}",
            place=arm.name,
            cure="name models of one task, and give its settings one value: --set KEY=VALUE",
        )
    if options.dry_run:
        return print_plans([declaration], options)
    outcome = run_studies([study], options, format_command_line())
    require(outcome.comparisons, "no time was left", place="--budget", cure="give more")
    return exit_code(outcome) or _print_verdicts(outcome.comparisons[study.name])
