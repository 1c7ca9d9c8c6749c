"""`unrolled compare`: one source has arms inside it, two are before and after, models are trained."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from ablations import scratch
from ablations.commands import compare_sources, study_tables
from ablations.commands.before_after import FAILED, compare_before_after
from ablations.commands.gate_sources import is_stored
from ablations.commands.plan import chosen, load_plugins, print_plans
from ablations.commands.run import run_studies
from ablations.mlflow.database import public
from ablations.options import CompareOptions, refuse
from ablations.study import costs
from bench.chapter.models.registry import ZOO, spec_of, suggestion
from bench.files import save
from bench.trial import require
from reports.answer import sentences
from reports.comparison import Comparison
from reports.foreign import judgement, tables
from reports.foreign.judgement import Foreign
from reports.statistics.verdicts import Word


def compare(sources: Sequence[str], args: CompareOptions) -> int:
    """Print verdicts: on the arms of one source, on a source before and after, or on models.

    Returns 0, or `FAILED` if an arm is worse; of before and after also where that is not ruled out.
    """
    for source in sources:
        is_file = Path(source).suffix.lower() in (*compare_sources.TABLES, ".json")
        there = not is_file or is_stored(source)
        require(there, "there is no such file", place=source, cure=_nearest(source, _files()))
    if len(sources) == 2 and any(map(is_stored, sources)):
        refuse(args, _NOT_OF_TWO, "is not for results before and after", "leave it out")
        return compare_before_after(sources, args)
    refuse(args, _OF_TWO, "is for results before and after", "leave it out, or name two result sets")
    if sources[1:]:
        return _of_models(sources, args)
    (source,) = sources
    rule, cure = "is a model, and one alone has nothing to be compared with", "name two models"
    require(source not in ZOO, rule, place=source, cure=cure)
    refuse(args, _TRAINED, "is for models that are trained", "leave it out, or name two models")
    if not source.startswith("mlflow:"):
        refuse(args, ("experiment",), "is for mlflow:URI", "leave it out")
        cure = f"write mlflow:{source}" if "://" in source else _nearest(source, [*ZOO, *_files()])
        require(Path(source).exists(), "there is no such file", place=source, cure=cure)
    table = compare_sources.rows(source, args.experiment)
    if study_tables.is_study(table) and not (args.arm or args.metric):
        return _told(study_tables.judge(table))
    found = judgement.compare(table, compare_sources.design(args), public(source))
    print(tables.screen(found), end="")
    for path in _written(found, args.out):
        print(path)
    return FAILED if found.worse else 0


def _files() -> list[str]:
    """The files of this folder that can be compared."""
    kinds = (*compare_sources.TABLES, ".json")
    return sorted(str(path) for path in Path().iterdir() if path.suffix.lower() in kinds)


def _nearest(source: str, known: list[str]) -> str:
    return suggestion(source, known) if known else "give the path of one"


STUDY = """
name = "{name}"
question = "Which of {listed} is best?"
[baseline]
model = "{first}"
[design.one_at_a_time]
model = {others}
"""
_ELSEWHERE = ("arm", "pair", "metric", "baseline", "lower", "higher", "experiment")
_OF_TWO = ("study", "markdown", "speed_margin", "require_speed")
_TRAINED = ("seeds", "set", "corpus", "plugin", "device", "cluster", "dry_run", "retry", "fail_fast",
            "workers", "memory_limit", "yes")  # fmt: skip
_NOT_OF_TWO = ("baseline", "experiment", *_TRAINED)


@scratch.used()
def _of_models(sources: Sequence[str], args: CompareOptions) -> int:
    """The verdicts on models against the first, from the ledger; what it lacks is trained."""
    refuse(args, _ELSEWHERE, "is for results from elsewhere", "leave it out, or name one file")
    load_plugins(args.plugin)
    first, *others = (spec_of(model).name for model in sources)
    for model in others:
        once = [first, *others].count(model) == 1
        require(once, "is named twice", place=model, cure="name each model once")
    name, listed = "-".join(["compare", first, *others]), ", ".join(sources)
    with TemporaryDirectory() as folder:
        file = Path(folder) / f"{name}.toml"
        file.write_text(STUDY.format(name=name, listed=listed, first=first, others=others))
        (study,) = chosen([str(file)], args)
        for arm in study.arms[1:]:
            other = costs.other_task(study, arm)
            rule = f"cannot be compared with {first}, as it is of another task: {', '.join(other)}"
            require(
                not other,
                rule,
                place=arm.name,
                cure="name models of one task, and give its settings one value: --set KEY=VALUE",
            )
        if args.dry_run:
            return print_plans([str(file)], args)
        code, found = run_studies([study], args)
    return code or _told(found[name])


def _told(found: Comparison) -> int:
    """Print a study's verdicts. Returns 0, or `FAILED` if an arm is worse."""
    print("\n".join(sentences(found)))
    worse = any(row.verdict and row.verdict.word is Word.WORSENS for row in found.judged)
    return FAILED if worse else 0


def _written(found: Foreign, out: Path) -> list[Path]:
    """The page, and the numbers as CSV and Markdown."""
    files = {"compare.csv": tables.csv(found), "compare.md": tables.markdown(found)}
    for name, table in files.items():
        save(out / name, table.encode(errors="backslashreplace"))
    return [tables.render(found, out), *(out / name for name in files)]
