"""From a study's file, or its keys in Python, to a Study. Every mistake is found before the first trial."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

from unrolled.ablations.options import PlanOptions, StoredOptions, parse_set, refuse_flags
from unrolled.ablations.study import chapter_factory
from unrolled.ablations.study.arms import make_arms, merge_arms, name_baseline
from unrolled.ablations.study.checkouts import check_out_commits
from unrolled.ablations.study.functions import make_function_tables
from unrolled.ablations.study.program_factory import ProgramFactory
from unrolled.ablations.study.seeds import parse_seeds
from unrolled.ablations.study.study import Study
from unrolled.ablations.study.study_errors import format_value, name_error_place
from unrolled.ablations.study.study_file import DesignTable, StudyFile
from unrolled.ablations.study.study_reader import (
    check_keys,
    check_texts,
    list_shipped_studies,
    parse_study,
    read_study_text,
)
from unrolled.ablations.study.trial_factory import TrialFactory
from unrolled.bench.chapter import plugins
from unrolled.bench.errors import BadInput, require
from unrolled.bench.git.repository import WORK_TREE
from unrolled.bench.metric import DEFAULT_LOOKS, FEWEST_SEEDS
from unrolled.bench.study_rules import StoppingRule, StudyRules

MOST_TRIALS = 10_000  # most trials of a study without confirmation
MOST_LOOKS = 20  # the distribution of more looks would take seconds to simulate


def load_study(name_or_path: str | Path, *, confirmed: bool = False) -> Study:
    """Return a shipped study by its name, or the study of a file by its path.

    Raises BadInput, naming file and key, for a mistake in it, and for more than `MOST_TRIALS` trials that are
    not `confirmed`.
    """
    path, text = read_study_text(str(name_or_path))
    with name_error_place(path):
        return make_study(parse_study(text).locate(Path(path).parent), path, confirmed)


def declare_study(name: str, function: Callable[..., Any] | None = None, **keys: Any) -> Study:
    """Return a study declared in Python: the keys of a study's file and of its [design] as keywords.

        metrics = [{"name": "accuracy", "delta": 0.01}]
        declare_study("mine", train, one_at_a_time={"lr": [1e-3]}, metrics=metrics)

    `function` takes a seed and the settings, whose defaults are the baseline, and returns its metrics by
    name. Other processes import it, so that it has to lie in a module. `question` is the name by default.
    Raises BadInput for a mistake, and for more than 10,000 trials.
    """
    design_keys = keys.keys() & DesignTable.model_fields.keys()
    design = {**keys.pop("design", {}), **{key: keys.pop(key) for key in design_keys}}
    if function is not None:
        keys |= make_function_tables(function, keys.get("baseline", {}), keys.get("program", {}))
    place = f"study {name!r}"
    with name_error_place(place):
        return make_study(check_keys({"question": name, **keys, "name": name, "design": design}), place)


def override_study(
    study: Study,
    seeds: int | str | Sequence[int] | None = None,
    sets: Sequence[tuple[str, Sequence[Any]]] = (),
    *,
    confirmed: bool = False,
) -> Study:
    """Return the study with the seeds of `--seeds` and the settings of `--set`.

    A setting with one value replaces the baseline's; of several values, each becomes an arm. As many seeds as
    the study has keep its looks. Other numbers of seeds are all trained, and looked at once, at their end.
    Raises BadInput.
    """
    with name_error_place("--set"):
        check_texts(dict(sets))
        updates = _override_settings(study.file, sets)
    declared_seeds = study.declared_seeds
    if seeds is not None:
        new_seeds = parse_seeds(seeds)
        declared_seeds = declared_seeds or study.rules.seeds
        has_same_number = len(new_seeds) == len(study.rules.seeds)
        updates |= {"seeds": new_seeds, "looks": study.rules.looks if has_same_number else None}
    with name_error_place(study.path):
        overridden = make_study(study.file.model_copy(update=updates), study.path, confirmed)
    return replace(overridden, declared_seeds=declared_seeds)


def _override_settings(file: StudyFile, sets: Sequence[tuple[str, Sequence[Any]]]) -> dict[str, Any]:
    """Return the new values of the keys of a study's file that `--set` changes."""
    repeated = next((key for key, count in Counter(key for key, _ in sets).items() if count > 1), None)
    if repeated:
        levels = ",".join(str(value) for key, values in sets if key == repeated for value in values)
        raise BadInput(
            f"{repeated} is given twice", cure=f"write its values side by side: {repeated}={levels}"
        )
    single_values = {key: values[0] for key, values in sets if len(values) == 1}
    swept_levels = {key: list(values) for key, values in sets if key not in single_values}
    factory = make_factory(file)
    baseline = factory.inherit_settings(file.baseline, single_values)
    factory.make_arm_fields(baseline)  # checks all at once: detach_every = 64 is valid with window = 64
    for key, values in swept_levels.items():
        require(values, f"no value for {key}", cure=f"write --set {key}=1 or --set {key}=1,2")
        for value in values:
            factory.make_arm_fields(factory.inherit_settings(baseline, {key: value}))
    name = file.baseline_name
    if name:  # without the corpus, whose path would make the name too long
        titles = [
            factory.describe_setting(key, value) for key, value in single_values.items() if key != "corpus"
        ]
        name = ", ".join([name, *titles])
    updates = {"baseline": baseline, "baseline_name": name}
    old_name = name_baseline(file, factory)
    new_name = name_baseline(file.model_copy(update=updates), factory)
    arms = [
        arm.model_copy(update={"against": new_name}) if arm.against == old_name else arm for arm in file.arm
    ]
    design = file.design.model_copy(update={"one_at_a_time": file.design.one_at_a_time | swept_levels})
    return {**updates, "arm": tuple(arms), "design": design}


def load_studies(studies: Sequence[str | Study], options: PlanOptions) -> Iterator[Study]:
    """Yield the studies of these names and files, and those given, changed by the options.

    --plugin is loaded first; --seeds, --set and --to-the-end change each study. Raises BadInput.
    """
    load_plugins(options.plugin)
    sets = [parse_set(text) for text in options.set]
    for name in list_shipped_studies() if list(studies) == ["all"] else studies:
        study = load_study(name, confirmed=options.yes) if isinstance(name, str) else name
        if options.seeds is not None or sets:
            study = override_study(study, options.seeds, sets, confirmed=options.yes)
        if options.to_the_end:
            study = study.extend_to_the_end()
        study = check_out_commits(study, options.results)
        if study.trainer.plugins:
            _require_packages(study.name)
        else:
            refuse_plugins(study.name, options)
        for arm in study.arms:
            with name_error_place(f"arm {arm.name!r}"):
                arm.factory.check_data(arm.fields)
        yield study


def _require_packages(study: str) -> None:
    """Raise BadInput if a package of the chapter's models is not installed."""
    missing_packages = [name for name in ("torch", "fastai", "num2words") if find_spec(name) is None]
    require(
        not missing_packages,
        f"trains models of the chapter, and {', '.join(missing_packages)} is not installed",
        place=f"study {study!r}",
        cure="pip install 'unrolled[chapter]'",
    )


def refuse_plugins(study: str, options: StoredOptions) -> None:
    """Raise BadInput if plug-ins are given for the study of a program, which does not use them."""
    with name_error_place(f"study {study!r}"):
        refuse_flags(
            options,
            ("plugin",),
            "is for models of the chapter",
            "leave it out; `code` in [program] names files",
        )


def load_plugins(files: Sequence[str]) -> None:
    """Load the user's plug-ins, which register models and regularisers."""
    for name in files:
        plugins.load_plugin(name)


def make_factory(file: StudyFile) -> TrialFactory:
    """Return the factory of a study. Raises BadInput for a [program] that does not fit its [baseline]."""
    if file.program is None:
        return chapter_factory  # the module has the functions of a TrialFactory
    reduction = {metric.name: metric.reduction for metric in file.metrics if metric.reduction != "last"}
    factory = ProgramFactory(file.program, file.baseline, reduction)
    with name_error_place("[baseline]"):
        factory.check_baseline()
    with name_error_place("[program]"):
        factory.check_table()
    return factory


def make_study(file: StudyFile, path: str, confirmed: bool = False) -> Study:
    """Return the study of a parsed file. `path` is its place in messages. Raises BadInput."""
    if file.program:
        file = _complete_baseline(file)
    seeds, looks = _choose_looks(file)
    trials = file.count_trials(len(seeds))
    if trials > MOST_TRIALS and not confirmed:
        count = f"{trials:,}" if trials < 10**18 else "more than 10^18"
        raise BadInput(
            f"plans up to {count} trials, more than {MOST_TRIALS:,}",
            cure="take levels out, or run a study's file with --yes",
        )
    factory = make_factory(file)
    arms = merge_arms(make_arms(file, factory, seeds), lambda arm: arm.fields)
    rules = StudyRules(
        name=file.name,
        question=file.question,
        about=file.about,
        metrics=tuple(table.metric for table in factory.choose_metrics(file.metrics)),
        seeds=seeds,
        looks=looks,
        stopping_rule=StoppingRule(file.decide),
        to_the_end=file.to_the_end,
    )
    return Study(rules=rules, arms=arms, path=path, file=file)


def _complete_baseline(file: StudyFile) -> StudyFile:
    """Return a program's file with a name for its baseline and, if arms are commits, the baseline's commit.

    That is the work tree, if [baseline] names none.
    """
    design = file.design
    changes = (design.one_at_a_time, design.grid, design.add_one.base, *(arm.set for arm in file.arm))
    baseline = file.baseline
    if any("commit" in settings for settings in changes):
        baseline = {"commit": WORK_TREE, **baseline}
    name = file.baseline_name or baseline.get("commit", "baseline")  # a name of all settings would be long
    return file.model_copy(update={"baseline": baseline, "baseline_name": name})


def _choose_looks(file: StudyFile) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return a study's seeds and its looks: the numbers of seeds after which verdicts are sought."""
    if file.seeds is None:
        looks = file.looks or DEFAULT_LOOKS
        seeds = parse_seeds(looks[-1])
    else:
        seeds = parse_seeds(file.seeds)
        looks = file.looks or (len(seeds),)
    with name_error_place(f"looks = {format_value(looks)}"):
        require(
            looks[-1] == len(seeds),
            f"should end with the number of seeds, {len(seeds)}",
            cure="change looks or seeds",
        )
        if len(looks) > 1:
            require(all(a < b for a, b in pairwise(looks)), f"should rise, as in {list(DEFAULT_LOOKS)}")
            require(
                looks[0] >= FEWEST_SEEDS,
                f"a verdict needs {FEWEST_SEEDS} seeds",
                cure=f"begin with {FEWEST_SEEDS} or more",
            )
            require(
                len(looks) <= MOST_LOOKS, f"should have at most {MOST_LOOKS} numbers", cure="leave some out"
            )
    return seeds, looks
