"""`unrolled compare`: one source has arms inside it, two are before and after, models are trained."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pandas.api.types import is_numeric_dtype

from unrolled.ablations.commands import result_sets, study_tables, tables
from unrolled.ablations.commands.plan import print_plans
from unrolled.ablations.commands.run import run_studies, typed
from unrolled.ablations.mlflow.database import public
from unrolled.ablations.options import TRAINING, CompareOptions, refuse
from unrolled.ablations.study.loading import declare, load_plugins, load_studies
from unrolled.ablations.training.comparison import render
from unrolled.bench.chapter.models.registry import ZOO, spec_of
from unrolled.bench.errors import BadInput, plural, require, suggestion
from unrolled.bench.files import save
from unrolled.bench.metric import Metric
from unrolled.bench.table_files import FORMATS
from unrolled.reports import comparison, elsewhere
from unrolled.reports.before_after import BeforeAfter, ResultSet, compare_results, compare_timings
from unrolled.reports.before_after_screen import markdown
from unrolled.reports.before_after_screen import screen as screen_of_both
from unrolled.reports.comparison import Comparison
from unrolled.reports.tables import screen

FAILED = 3  # the exit code if an arm is worse or, after a change, not shown to be less than δ worse


def compare(sources: Sequence[str], options: CompareOptions) -> int:
    """Print verdicts: on the arms of one source, on a source before and after, or on models.

    Returns 0, or `FAILED` if an arm is worse; of before and after also where that is not ruled out.
    """
    for source in sources:
        is_file = Path(source).suffix.lower() in FORMATS
        exists = not is_file or result_sets.holds_results(source)
        require(exists, "there is no such file", place=source, cure=_nearest(source, _files()))
    if len(sources) == 2 and any(map(result_sets.holds_results, sources)):
        refuse(options, _NOT_OF_TWO, "is not for results before and after", "leave it out")
        return _before_after(sources, options)
    refuse(options, _OF_TWO, "is for results before and after", "leave it out, or name two result sets")
    if sources[1:]:
        return _of_models(sources, options)
    (source,) = sources
    require(
        source not in ZOO,
        "is a model, and one alone has nothing to be compared with",
        place=source,
        cure="name two models",
    )
    refuse(options, TRAINING, "is for models that are trained", "leave it out, or name two models")
    if not source.startswith("mlflow:"):
        refuse(options, ("experiment",), "is for mlflow:URI", "leave it out")
        cure = "write mlflow: before it" if "://" in source else _nearest(source, [*ZOO, *_files()])
        require(Path(source).exists(), "there is no such file", place=public(source), cure=cure)
        alone, cure = "is one results folder", "name two, BEFORE and AFTER; `unrolled report` judges one"
        require(not result_sets.is_ledger(Path(source)), alone, place=source, cure=cure)
    return _of_table(source, options)


def _files() -> list[str]:
    """The files and folders of this folder that can be compared."""
    paths = Path().iterdir()
    return sorted(
        str(path) for path in paths if path.suffix.lower() in FORMATS or result_sets.is_ledger(path)
    )


def _nearest(source: str, known: list[str]) -> str:
    return suggestion(source, known) if known else "give the path of one"


def _of_table(source: str, options: CompareOptions) -> int:
    """The verdicts on the arms of one table, a study's as its file says; of any other a page, too."""
    frame = tables.read(source, options.experiment, tables.metric_names(options))
    if study_tables.is_study(frame) and not (options.arm or options.metric):
        refuse(options, _ELSEWHERE, "a study's table is judged as its file says", _BY_COLUMNS)
        return _print_verdicts(study_tables.compare(frame))
    if tables.of_page(frame, source):
        options = replace(options, arm=options.arm or "arm", pair=options.pair or "seed")
        frame["arm"] = frame.arm.replace(r"^'(?=[=+@-])", "", regex=True)  # see reports.formats.csv_cell
    columns, name = tables.columns(options), public(source)
    if study_tables.is_study(frame):
        if answer := study_tables.answer_own_question(frame, columns):
            return _print_verdicts(answer)
        frame = study_tables.mark_first_look(frame)
    unnamed = elsewhere.unnamed_failures(frame, columns, name)
    if unnamed.any():
        runs = plural(int(unnamed.sum()), "failed run")
        print(f"{name}: {runs} without {' and '.join(columns.arm)}: of no arm, and left out", file=sys.stderr)
    frame = frame[~unnamed]
    table = elsewhere.arrange(frame, columns, name)
    page = f"compare-{options.experiment or Path(source).stem}"
    compared = comparison.compare(table, elsewhere.design_of(frame, table, columns, name, page))
    code, folder = _print_verdicts(compared), render(compared, options.out).parent
    for file in ("index.html", "comparison.csv", "comparison.md"):
        print(folder / file)
    return code


def _print_verdicts(compared: Comparison) -> int:
    """Print the verdicts. Returns 0, or `FAILED` if an arm is worse by the first metric."""
    print(screen(compared), end="")
    worse = any(row.verdict and row.verdict.harmful for row in compared.rows_to_decide)
    return FAILED if worse else 0


_METRICS = ("metric", "kind", "lower", "higher")
_ELSEWHERE = ("arm", "pair", "folds", "test_share", "baseline", "seedless", "experiment", *_METRICS)
_OF_TWO = ("study", "markdown", "speed_margin", "require_speed")
_NOT_OF_TWO = ("baseline", "seedless", "experiment", "out", *TRAINING)
_BY_COLUMNS = "leave it out, or name columns with --arm, --pair and --metric"


def _of_models(sources: Sequence[str], options: CompareOptions) -> int:
    """The verdicts on models against the first, from the ledger; what it lacks is trained."""
    refuse(options, _ELSEWHERE, "is for results from elsewhere", "leave it out, or name one file")
    load_plugins(options.plugin)
    if not ZOO.keys() & {*sources}:
        source = next((source for source in sources if not result_sets.holds_results(source)), "")
        require(source, "results are compared two at a time", place=public(sources[0]), cure="name one other")
        cure = _nearest(source, [*ZOO, *_files()])
        raise BadInput("there is no such folder, file or model", place=public(source), cure=cure)
    specs = [spec_of(model) for model in sources]
    first, *others = (spec.name for spec in specs)
    for model in others:
        once = [first, *others].count(model) == 1
        require(once, "is named twice", place=model, cure="name each model once")
    titles = [spec.title for spec in specs]
    question = f"Which of {', '.join(titles)} is best?"
    if len(titles) == 2:
        question = f"Is {titles[1]} better than {titles[0]}?"
    declared = declare(
        "-".join(["compare", first, *others]),
        question=question,
        baseline={"model": first},
        one_at_a_time={"model": others},
    )
    (study,) = load_studies([declared], options)
    for arm in study.arms[1:]:
        other = study.other_task(arm)
        require(
            not other,
            f"cannot be compared with {first}, as it is of another task: {', '.join(other)}",
            place=arm.name,
            cure="name models of one task, and give its settings one value: --set KEY=VALUE",
        )
    if options.dry_run:
        return print_plans([declared], options)
    code, comparisons = run_studies([study], options, typed())
    require(comparisons, "no time was left", place="--budget", cure="give more")
    return code or _print_verdicts(comparisons[study.name])


COLUMNS = ("arm", "pair", "folds", "test_share")
KINDS = "results folders or MLflow addresses, two tables, or pytest-benchmark's stored runs"


def _before_after(sources: Sequence[str], options: CompareOptions) -> int:
    """Compare two result sets arm by arm and print one screen. Returns 0 if none is worse, else `FAILED`."""
    kinds = [result_sets.kind_of(source) for source in sources]
    before, after = map(public, sources)
    require(kinds[0] == kinds[1], f"is not of {before}'s kind", place=after, cure=f"compare {KINDS}")
    require(len(options.metric) < 2, "is given twice: before and after are judged by one", place="--metric")
    compared = {"timings": _timings, "tables": _tables, "results": _results}[kinds[0]](sources, options)
    if sources[0] == sources[1]:
        compared = replace(compared, notes=(*compared.notes, "both sides are the same"))
    print(screen_of_both(compared), end="")
    if options.markdown:
        save(options.markdown, markdown(compared).encode(errors="backslashreplace"))
    return 0 if compared.passed else FAILED


def _timings(sources: Sequence[str], options: CompareOptions) -> BeforeAfter:
    flags = ("study", *_METRICS, *COLUMNS)
    refuse(options, flags, "is for results, and these are benchmarks", "leave it out")
    sides = map(tables.timings, sources)
    return compare_timings(*sides, margin=options.speed_margin, require_speed=options.require_speed)


def _results(sources: Sequence[str], options: CompareOptions) -> BeforeAfter:
    """The baseline decides what is asked, unless the command does: a change cannot lower its own bar."""
    refuse(options, COLUMNS, "is for tables", "leave it out")
    tables.check_metric_flags(options)
    name, delta = (*options.metric, "")[0], 0.0
    if "=" in name:
        name, delta = tables.metric_and_delta(name)
    before = result_sets.results(sources[0], options.study, name)
    name = name or before.metrics[0].name
    after = result_sets.results(sources[1], options.study or before.study, name)
    declared = next(iter(before.metrics), None)
    ratio = declared is not None and declared.ratio and not delta
    delta = delta or (declared.delta if declared else 0.0)
    require(
        delta > 0,
        f"has no plan that declares δ of {name}",
        place=before.name,
        cure=f"give --metric {name}=0.02",
    )
    metric = replace(tables.metric(name, delta, options, declared), ratio=ratio)
    return _of_both(before, after, metric, options)


def _tables(sources: Sequence[str], options: CompareOptions) -> BeforeAfter:
    """Two tables with the same columns: rows of one arm and pair are before and after."""
    refuse(options, ("study",), "is for results folders and MLflow", "leave it out")
    columns = tables.columns(options)
    require(
        columns.pair,
        "is missing",
        place="--pair",
        cure="name the column that tells which rows belong together",
    )
    (metric,) = columns.metrics
    arranged = [elsewhere.arrange(tables.read(source, ""), columns, source) for source in sources]
    if sum(is_numeric_dtype(table.seed) for table in arranged) == 1:
        arranged = [table.astype({"seed": str}) for table in arranged]
    before, after = (
        ResultSet(name=source, study=metric.name, table=table)
        for source, table in zip(sources, arranged, strict=True)
    )
    return _of_both(before, after, metric, options, columns.test_share)


def _of_both(
    before: ResultSet, after: ResultSet, metric: Metric, options: CompareOptions, test_share: float = 0.0
) -> BeforeAfter:
    margin, speed = options.speed_margin, options.require_speed
    return compare_results(before, after, metric, margin=margin, require_speed=speed, test_share=test_share)
