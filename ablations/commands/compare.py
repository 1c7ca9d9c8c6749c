"""`unrolled compare`: the verdicts of this project on results that it did not produce."""

from argparse import Namespace
from pathlib import Path
from tempfile import TemporaryDirectory

from ablations import scratch
from ablations.commands import compare_sources
from ablations.commands.gate import FAILED
from ablations.commands.plan import chosen, load_plugins
from ablations.commands.run import run, run_studies
from ablations.design import costs
from ablations.flags import refuse
from ablations.tracking.store import public
from bench.files import save
from bench.models.registry import ZOO, spec_of, suggestion
from bench.trial import BadInput, require
from reports.answer import sentences
from reports.foreign import judgement, tables
from reports.foreign.judgement import Design, Foreign, Measure
from reports.statistics.verdicts import Word


def compare(args: Namespace) -> int:
    """Print a verdict on every arm, and write page and tables. Returns 0, or `FAILED` if an arm is worse."""
    if args.sources[1:]:
        return _of_models(args)
    (source,) = args.sources
    rule, cure = "is a model, and one alone has nothing to be compared with", "name two models"
    require(source not in ZOO, rule, place=source, cure=cure)
    refuse(args, _TRAINED, "is for models that are trained", "leave it out, or name two models")
    if not source.startswith("mlflow:"):
        refuse(args, ("experiment",), "is for mlflow:URI", "leave it out")
        cure = (
            f"write mlflow:{source}"
            if "://" in source
            else suggestion(source, [*ZOO, *map(str, Path().iterdir())])
        )
        require(Path(source).exists(), "there is no such file", place=source, cure=cure)
    design = _design(args)
    found = judgement.compare(compare_sources.rows(source, args.experiment), design, public(source))
    print(tables.screen(found), end="")
    for path in _written(found, args.out):
        print(path)
    return FAILED if found.worse else 0


STUDY = """
name = "{name}"
question = "Which of {listed} is best?"
[baseline]
model = "{first}"
[design.one_at_a_time]
model = {others}
"""
_ELSEWHERE = ("arm", "pair", "metric", "baseline", "lower", "higher", "experiment")
_TRAINED = ("seeds", "set", "corpus", "plugin", "device", "cluster", "dry_run", "retry", "fail_fast",
            "workers", "memory_limit", "yes")  # fmt: skip


@scratch.used()
def _of_models(args: Namespace) -> int:
    """The verdicts on models against the first, from the ledger; what it lacks is trained."""
    refuse(args, _ELSEWHERE, "is for results from elsewhere", "leave it out, or name one file")
    load_plugins(args)
    first, *others = (spec_of(model).name for model in args.sources)
    for model in others:
        once = [first, *others].count(model) == 1
        require(once, "is named twice", place=model, cure="name each model once")
    name, listed = "-".join(["compare", first, *others]), ", ".join(args.sources)
    with TemporaryDirectory() as folder:
        file = Path(folder) / f"{name}.toml"
        file.write_text(STUDY.format(name=name, listed=listed, first=first, others=others))
        args.studies = [str(file)]
        (study,) = chosen(args)
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
            return run(args)
        code, found = run_studies(args)
    if code:
        return code
    print("\n".join(sentences(found[name])))
    worse = any(row.verdict and row.verdict.word is Word.WORSENS for row in found[name].judged)
    return FAILED if worse else 0


def _written(found: Foreign, out: Path) -> list[Path]:
    """The page, and the numbers as CSV and Markdown."""
    files = {"compare.csv": tables.csv(found), "compare.md": tables.markdown(found)}
    for name, table in files.items():
        save(out / name, table.encode(errors="backslashreplace"))
    return [tables.render(found, out), *(out / name for name in files)]


def _design(args: Namespace) -> Design:
    measures = [_measure(given, args.lower, args.higher) for given in args.metric]
    arms = tuple(filter(None, (column.strip() for column in args.arm.split(","))))
    for key, given in (("--metric", measures), ("--arm", arms)):
        if not given:
            raise BadInput("is missing", place=key, cure="name a column" if key == "--arm" else _METRIC)
    for flag, columns, others in (("lower", args.lower, args.higher), ("higher", args.higher, args.lower)):
        for column in columns:
            known = column in {one.name for one in measures} - {*others}
            cure = "give a column of --metric, to --lower or to --higher"
            require(
                known, "names no metric, or one of both directions", place=f"--{flag} {column}", cure=cure
            )
    return Design(arm=arms, pair=args.pair, measures=tuple(measures), baseline=args.baseline)


_METRIC = "write a column and the difference that does not matter: --metric accuracy=0.02"


def _measure(given: str, lower: list[str], higher: list[str]) -> Measure:
    name, _, delta = given.rpartition("=")
    try:
        number = float(delta)
    except ValueError:
        number = 0.0
    if not name or not 0 < number < float("inf"):
        raise BadInput("has no δ above 0", place=f"--metric {given}", cure=_METRIC)
    return Measure(name, number, judgement.direction(name, lower, higher))
