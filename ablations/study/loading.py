"""TOML → a study. Everything is decided and checked before the first trial."""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

from unrolled.ablations.options import PlanOptions, StoredOptions, parse_set, refuse
from unrolled.ablations.study import chapter
from unrolled.ablations.study import seeds as seeds_
from unrolled.ablations.study.arms_by_rule import parts
from unrolled.ablations.study.commits import check_out_commits
from unrolled.ablations.study.errors import error_context, shown
from unrolled.ablations.study.functions import function_tables
from unrolled.ablations.study.merging import merge_arms
from unrolled.ablations.study.program import ProgramSettings
from unrolled.ablations.study.study import Arm, Study
from unrolled.ablations.study.study_file import (
    ArmTable,
    DesignTable,
    StudyFile,
    check,
    check_texts,
    parse,
    read,
    shipped,
)  # fmt: skip
from unrolled.ablations.study.trainer import Settings, Trainer, title
from unrolled.bench import plugins
from unrolled.bench.errors import BadInput, require, suggestion, visible
from unrolled.bench.program.repository import WORK_TREE

LIMIT = 10_000  # trials that are planned without a confirmation

LOOKS = 10, 15, 20, 30, 40  # default looks
FEWEST = 5  # seeds of the earliest look
MOST_LOOKS = 20  # looks of a study: their distribution is simulated, in seconds

AA_NAME = "A/A: the baseline again"
AA_OFFSET = 1000


def load(name_or_path: str | Path, *, confirmed: bool = False) -> Study:
    """A shipped study by its name, or a study file by its path.

    Raises BadInput, naming file and key, for every mistake in it, and for more than `LIMIT` trials, which are
    counted without being built, unless they are `confirmed`.
    """
    path, text = read(str(name_or_path))
    with error_context(path):
        return make_study(place_file(parse(text), Path(path).parent), path, confirmed)


def place_file(file: StudyFile, folder: Path) -> StudyFile:
    """The study's file, which lies in this folder, with its program's folders, which it gives from there."""
    if file.program is None:
        return file
    return file.model_copy(update={"program": file.program.placed(folder)})


def declare(name: str, function: Callable[..., Any] | None = None, **keys: Any) -> Study:
    """A study declared in Python: the keys of a study's file as keywords, those of [design] among them.

        Study("rates", baseline={"model": "lm4"}, one_at_a_time={"lr": [1e-3, 3e-3, 1e-2]})
        Study("mine", train, one_at_a_time={"lr": [1e-3]}, metrics=[{"name": "accuracy", "delta": 0.01}])

    A function is called with a seed and the settings, of which the baseline's are its defaults, and returns
    its metrics by name. It is imported by processes of its own.

    The question is the name unless it is given. Raises BadInput for every mistake, naming the key, and for
    more than 10,000 trials.
    """
    arms = {key: value for key, value in keys.items() if key in DesignTable.model_fields}
    rest = {key: value for key, value in keys.items() if key not in arms}
    if function is not None:
        rest |= function_tables(function, rest.get("baseline", {}), rest.get("program", {}))
    design = {**rest.pop("design", {}), **arms}
    place = f"study {name!r}"
    with error_context(place):
        return make_study(check({"question": name, **rest, "name": name, "design": design}), place, False)


def override(
    study: Study,
    seeds: int | str | Sequence[int] | None = None,
    sets: Sequence[tuple[str, Sequence[Any]]] = (),
    *,
    confirmed: bool = False,
) -> Study:
    """The study with other seeds and settings, as `--seeds` and `--set` give them.

    A single value replaces the baseline's; several values become arms, each with one of them. Seeds that are
    given are all trained, and looked at once. Raises BadInput.
    """
    fixed = {} if seeds is None else {"seeds": seeds_.seeds(seeds), "looks": None}
    with error_context("--set"):
        check_texts(dict(sets))
        changed = study.file.model_copy(update={**fixed, **_changed(study.file, sets)})
    with error_context(study.path):
        return make_study(changed, study.path, confirmed)


def _changed(file: StudyFile, sets: Sequence[tuple[str, Sequence[Any]]]) -> dict[str, Any]:
    """The fields of a study's file that `--set` changes: its baseline, that one's name, and what is swept."""
    key, count = Counter(key for key, _ in sets).most_common(1)[0] if sets else ("", 0)
    if count > 1:
        every = ",".join(str(value) for one, values in sets if one == key for value in values)
        raise BadInput(f"{key} is given twice", cure=f"write its values side by side: {key}={every}")
    single = {key: values[0] for key, values in sets if len(values) == 1}
    swept = {key: list(values) for key, values in sets if key not in single}
    trainer = trainer_of(file)
    baseline = trainer.inherit(file.baseline, single)
    trainer.resolve(baseline)  # all at once: detach_every = 64 is good where window = 64, in any order
    for key, values in swept.items():
        require(values, f"no value for {key}", cure=f"write --set {key}=1 or --set {key}=1,2")
        for value in values:
            trainer.resolve(trainer.inherit(baseline, {key: value}))
    # a corpus is a path, too long for a name
    named = [trainer.label(key, value) for key, value in single.items() if key != "corpus"]
    name = file.baseline_name and ", ".join([file.baseline_name, *named])
    before, now = file.baseline_name or title(trainer, file.baseline), name or title(trainer, baseline)
    arms = [arm.model_copy(update={"against": now}) if arm.against == before else arm for arm in file.arm]
    return {
        "baseline": baseline,
        "baseline_name": name,
        "arm": tuple(arms),
        "design": file.design.model_copy(update={"one_at_a_time": file.design.one_at_a_time | swept}),
    }


def load_studies(studies: Sequence[str | Study], options: PlanOptions) -> Iterator[Study]:
    """Studies, by name, file or declared, changed by --plugin, --seeds and --set.

    Raises BadInput.
    """
    load_plugins(options.plugin)
    sets = [parse_set(text) for text in options.set]
    for given in shipped() if list(studies) == ["all"] else studies:
        study = load(given, confirmed=options.yes) if isinstance(given, str) else given
        if options.seeds is not None or sets:
            study = override(study, options.seeds, sets, confirmed=options.yes)
        study = replace(study, to_the_end=study.to_the_end or options.to_the_end)
        study = check_out_commits(study, options.results)
        if study.name != given and study.name in shipped():
            message = (
                f"{study.path}: is called {study.name!r} as a shipped study is, and takes its report's place"
            )
            print(f"{visible(message)}; change `name` to keep both", file=sys.stderr)
        if study.of_program:
            refuse_plugins(study.name, options)
        else:
            require_packages(study.name)
        for arm in study.arms:
            with error_context(f"arm {arm.name!r}"):
                arm.trainer.check_data(arm.settings)
        yield study


def require_packages(study: str) -> None:
    """Raise BadInput where the packages of the chapter's models are not installed."""
    missing = [name for name in ("torch", "fastai", "num2words") if find_spec(name) is None]
    rule = f"trains models of the chapter, and {', '.join(missing)} is not installed"
    require(not missing, rule, place=f"study {study!r}", cure="pip install 'unrolled[chapter]'")


def refuse_plugins(study: str, options: StoredOptions) -> None:
    """Raise BadInput if plug-ins are given to a study of a program, which would not use them."""
    with error_context(f"study {study!r}"):
        rule, cure = "is for models of the chapter", "leave it out; `code` in [program] names files"
        refuse(options, ("plugin",), rule, cure)


def load_plugins(files: Sequence[str]) -> None:
    """Load files of the user's, which register models and regularisers."""
    for name in files:
        plugins.load(name)


def trainer_of(file: StudyFile) -> Trainer:
    """What trains the arms of a study. Raises BadInput for a [program] that does not fit its [baseline]."""
    if file.program is None:
        return chapter
    reduction = {metric.name: metric.reduction for metric in file.metrics if metric.reduction != "last"}
    program = ProgramSettings(file.program, file.baseline, reduction)
    with error_context("[baseline]"):
        program.check_baseline()
    with error_context("[program]"):
        program.check()
    return program


def make_study(file: StudyFile, path: str, confirmed: bool = False) -> Study:
    """The study of a file, whose mistakes are at `path`. Raises BadInput."""
    if file.program:
        file = _with_commit(file)
        name = file.baseline_name or file.baseline.get("commit", "baseline")  # all settings: a long name
        file = file.model_copy(update={"baseline_name": name})
    seeds, looks = _looks(file)
    most = file.max_trials(len(seeds))
    if most > LIMIT and not confirmed:
        count = f"{most:,}" if most < 10**18 else "more than 10^18"
        raise BadInput(
            f"plans up to {count} trials, more than {LIMIT:,}",
            cure="take levels out, or run a study's file with --yes",
        )
    arms = merge_arms(_arms(file, seeds), lambda arm: arm.settings)
    metrics = tuple(metric.metric for metric in arms[0].trainer.metrics(file.metrics))
    told = {key: getattr(file, key) for key in ("name", "question", "about", "decide", "to_the_end")}
    return Study(metrics=metrics, seeds=seeds, looks=looks, arms=arms, path=path, file=file, **told)


def _with_commit(file: StudyFile) -> StudyFile:
    """The file, whose baseline is the work tree where arms are commits and it names none."""
    design = file.design
    sets = (design.one_at_a_time, design.grid, design.add_one.base, *(arm.set for arm in file.arm))
    if "commit" in file.baseline or not any("commit" in each for each in sets):
        return file
    return file.model_copy(update={"baseline": {"commit": WORK_TREE, **file.baseline}})


def _looks(file: StudyFile) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """A study's seeds, and the numbers of them after which verdicts are sought."""
    looks = file.looks
    if looks is None and file.seeds is None:
        looks = LOOKS
    seeds = seeds_.seeds(looks[-1] if looks and file.seeds is None else file.seeds)
    looks = looks or (len(seeds),)
    with error_context(f"looks = {shown(looks)}"):
        n = len(seeds)
        require(looks[-1] == n, f"should end with the number of seeds, {n}", cure="change looks or seeds")
        if len(looks) > 1:
            _check_looks(looks)
    return seeds, looks


def _check_looks(looks: Sequence[int]) -> None:
    require(all(a < b for a, b in pairwise(looks)), f"should rise, as in {list(LOOKS)}")
    require(looks[0] >= FEWEST, f"a verdict needs {FEWEST} seeds", cure=f"begin with {FEWEST} or more")
    most = f"should have at most {MOST_LOOKS} numbers"
    require(len(looks) <= MOST_LOOKS, most, cure="leave some out")


def _arms(file: StudyFile, seeds: Sequence[int]) -> list[Arm]:
    """Every arm in declared order, not yet merged: the baseline, the design's, the [[arm]]s, A/A."""
    trainer = trainer_of(file)
    with error_context("[baseline]"):
        settings = trainer.resolve(file.baseline)
    name = file.baseline_name or title(trainer, file.baseline)
    baseline = Arm(name=name, trainer=trainer, settings=settings, seeds=tuple(seeds))
    arms = [baseline]
    with error_context("[design]"):
        for place, tables in parts(file.design, file.baseline, trainer):
            with error_context(place):
                first = len(arms)
                for table in tables:
                    arms.append(_arm(file, table, arms))
                moved = any(arm.settings != settings for arm in arms[first:])
                require(moved, "changes nothing: the baseline is set to this already")
    for table in file.arm:
        with error_context(f"arm {table.name!r}"):
            arms.append(_arm(file, table, arms))
            _refuse_idle(file, arms[-1], table.set)
    if file.aa:
        above = {seed + AA_OFFSET for seed in seeds}
        rule = f"needs the seeds {AA_OFFSET} above the study's own to be free"
        free = above.isdisjoint(seeds) and max(above) <= seeds_.LAST
        require(free, rule, key="aa", cure="use lower seeds")
        arms.append(replace(baseline, name=AA_NAME, seed_offset=AA_OFFSET))
    return arms


def _arm(file: StudyFile, table: ArmTable, before: Sequence[Arm]) -> Arm:
    """The arm of a table, with its changes against the baseline or the arm `before` it that it names."""
    trainer = before[0].trainer
    settings = trainer.resolve(trainer.inherit(file.baseline, table.set))
    base = before[0]
    if table.against:
        base = _base(table.against, before)
        require(
            base.settings != settings,
            f"{table.against!r} is set to the very same",
            key="against",
            cure="change something",
        )
    old = base.flat
    return Arm(
        name=table.name or title(trainer, table.set),
        trainer=trainer,
        settings=settings,
        seeds=base.seeds,
        changes={
            key: value for key, value in trainer.trial(settings).factors().items() if old.get(key) != value
        },
        **{key: getattr(table, key) for key in ("question", "note", "exploratory", "against", "identical")},
    )


def _base(name: str, before: Iterable[Arm]) -> Arm:
    """The arm that another one is compared with: any that comes before it."""
    arms = {arm.name: arm for arm in before}
    require(
        name in arms, f"no arm {name!r} comes before this one", key="against", cure=suggestion(name, arms)
    )
    return arms[name]


def _refuse_idle(file: StudyFile, arm: Arm, changes: Settings) -> None:
    """Raise BadInput for a key without which the arm would be the same."""
    require(changes, "changes nothing: its `set` is empty")
    for key in changes:
        rest = {other: value for other, value in changes.items() if other != key}
        try:
            without = arm.trainer.resolve(arm.trainer.inherit(file.baseline, rest))
        except BadInput:  # the others need this key: detach_every = 64 needs its window
            continue
        require(
            without != arm.settings,
            f"{key} = {changes[key]!r} changes nothing: without it the arm is the same",
        )
