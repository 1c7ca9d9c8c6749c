"""`unrolled compare`: arms of a table, which one or several sources make, or models, which are trained."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from unrolled.ablations.commands.plan import print_plans
from unrolled.ablations.commands.run import exit_code, format_command_line
from unrolled.ablations.mlflow.database import hide_credentials
from unrolled.ablations.options import TRAINING_FLAGS, CompareOptions, refuse_flags
from unrolled.ablations.publishing.plan_page import prepare_folder, render_page
from unrolled.ablations.study.loading import declare_study, load_plugins, load_studies
from unrolled.ablations.tables.sources import is_results_folder, is_results_source
from unrolled.ablations.tables.table_comparison import TABLE_FLAGS, compare_sources
from unrolled.ablations.terminal import print_line
from unrolled.ablations.training.run_studies import run_studies
from unrolled.bench.chapter.models.registry import ZOO, find_model
from unrolled.bench.errors import BadInput, require, suggestion
from unrolled.bench.formats.file_formats import FORMATS
from unrolled.reports.compare.comparison import Comparison
from unrolled.reports.page.exports import write_screen

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
    _check_sources(sources, options)
    comparison = compare_sources(sources, options)
    if not comparison.design.is_study:
        prepare_folder(options.out)
    code = _print_verdicts(comparison)
    if not comparison.design.is_study:  # a study in the ledger has its own page
        folder = render_page(comparison, options.out).parent
        for file in ("index.html", "comparison.csv", "comparison.md"):
            print_line(folder / file)
    return code


def _check_sources(sources: Sequence[str], options: CompareOptions) -> None:
    """Raise BadInput for a source that does not exist or is named twice, and for flags without effect."""
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


def _suggest_source(source: str, models: Iterable[str] = ()) -> str:
    """Return a cure that names the nearest of these models and of the sources in the working folder."""
    paths = [path for path in Path().iterdir() if path.suffix.lower() in FORMATS or is_results_folder(path)]
    names = [*models, *sorted(map(str, paths))]
    return suggestion(source, names) if names else "give the path of one"


def _print_verdicts(comparison: Comparison) -> int:
    """Print the verdicts. Returns 0, or `WORSE` if an arm is worse by the first metric."""
    for line in write_screen(comparison).splitlines():
        print_line(line)
    return WORSE if any(arm.verdict and arm.verdict.is_harmful for arm in comparison.judged_arms) else 0


def _compare_models(sources: Sequence[str], options: CompareOptions) -> int:
    """Print the verdicts on models against the first; train what the ledger lacks."""
    refuse_flags(options, TABLE_FLAGS, "is for results from elsewhere", "leave it out, or name one file")
    load_plugins(options.plugin)
    if not ZOO.keys() & {*sources}:
        rule = "there is no such folder, file or model"
        cure = _suggest_source(sources[0], ZOO)
        raise BadInput(rule, place=hide_credentials(sources[0]), cure=cure)
    titles = [find_model(model).title for model in sources]
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
        differences = study.find_task_differences(arm)
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
