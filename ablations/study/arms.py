"""The arms of a study's file: the baseline, the design's, the [[arm]] tables' and the A/A check's."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from unrolled.ablations.study.arms_by_rule import make_arm_tables
from unrolled.ablations.study.seeds import LARGEST_SEED
from unrolled.ablations.study.study import Arm
from unrolled.ablations.study.study_errors import name_error_place
from unrolled.ablations.study.study_file import ArmTable, StudyFile
from unrolled.ablations.study.trial_factory import Settings, TrialFactory, title_changes
from unrolled.bench.errors import BadInput, require, suggestion
from unrolled.bench.files.canonical_json import canonical_json
from unrolled.bench.table_columns import AA_NAME

AA_OFFSET = 1000


def make_arms(file: StudyFile, factory: TrialFactory, seeds: tuple[int, ...]) -> list[Arm]:
    """Return every arm in declared order, not yet merged. Raises BadInput, naming the table."""
    with name_error_place("[baseline]"):
        arm_fields = factory.make_arm_fields(file.baseline)
    baseline = Arm(name=name_baseline(file, factory), factory=factory, fields=arm_fields)
    arms = [baseline]
    with name_error_place("[design]"):
        for place, tables in make_arm_tables(file.design, file.baseline, factory):
            with name_error_place(place):
                first_index = len(arms)
                for table in tables:
                    arms.append(_make_arm(file, table, arms))
                is_changed = any(arm.fields != arm_fields for arm in arms[first_index:])
                require(is_changed, "changes nothing: the baseline is set to this already")
    for table in file.arm:
        with name_error_place(f"arm {table.name!r}"):
            arms.append(_make_arm(file, table, arms))
            _refuse_idle_keys(file, arms[-1], table.set)
    if file.aa:
        shifted = {seed + AA_OFFSET for seed in seeds}
        rule = f"needs the seeds {AA_OFFSET} above the study's own to be free"
        is_free = shifted.isdisjoint(seeds) and max(shifted) <= LARGEST_SEED
        require(is_free, rule, key="aa", cure="use lower seeds")
        arms.append(replace(baseline, name=AA_NAME, seed_offset=AA_OFFSET))
    return arms


def name_baseline(file: StudyFile, factory: TrialFactory) -> str:
    """Return the name of the baseline: the file's own, or in a grid that of its cell, as other arms have.

    A baseline that is no cell is named after its settings.
    """
    settings = factory.make_trial(factory.make_arm_fields(file.baseline)).flat_settings()
    cell = {key: settings[key] for key, levels in file.design.grid.items() if settings.get(key) in levels}
    is_cell = cell.keys() == file.design.grid.keys()
    return file.baseline_name or title_changes(factory, (is_cell and cell) or file.baseline)


def _make_arm(file: StudyFile, table: ArmTable, arms: Sequence[Arm]) -> Arm:
    """Return the arm of a table, with its changes against the baseline or one of the `arms` before it."""
    base = arms[0]
    factory = base.factory
    arm_fields = factory.make_arm_fields(factory.inherit_settings(file.baseline, table.set))
    if table.against:
        by_name = {arm.name: arm for arm in arms}
        require(
            table.against in by_name,
            f"no arm {table.against!r} comes before this one",
            key="against",
            cure=suggestion(table.against, by_name),
        )
        base = by_name[table.against]
        require(
            base.fields != arm_fields,
            f"{table.against!r} has the same settings",
            key="against",
            cure="change something",
        )
    return Arm(
        name=table.name or title_changes(factory, table.set),
        factory=factory,
        fields=arm_fields,
        changes=factory.make_trial(arm_fields).find_changes(base.make_unidentified_trial()),
        question=table.question,
        note=table.note,
        exploratory=table.exploratory,
        against=table.against,
        may_be_identical=table.identical,
    )


def _refuse_idle_keys(file: StudyFile, arm: Arm, changes: Settings) -> None:
    """Raise BadInput for a key of an arm's `set` that changes nothing."""
    require(changes, "changes nothing: its `set` is empty")
    factory = arm.factory
    for key in changes:
        fewer = {name: value for name, value in changes.items() if name != key}
        try:
            arm_fields = factory.make_arm_fields(factory.inherit_settings(file.baseline, fewer))
        except BadInput:  # another setting may need this one: detach_every = 64 needs its window
            continue
        require(
            arm_fields != arm.fields,
            f"{key} = {changes[key]!r} changes nothing: without it the arm is the same",
        )


def merge_arms(arms: Sequence[Arm], content: Callable[[Arm], object]) -> tuple[Arm, ...]:
    """Return the arms, with arms of equal `content` merged into the first of them.

    The names of the merged arms become the `other_names` of the first arm, which also takes their place in
    every `against`. An `against` that names the baseline is dropped. An arm may have no name, as the cell of
    a factorial that equals the baseline does. Raises BadInput for two arms of one name.
    """
    merged_arms: dict[bytes, Arm] = {}
    names: dict[str, str] = {}  # name of an arm → name of the arm into which it was merged
    for arm in arms:
        against = arm.against and names[arm.against]
        base = against if against != arms[0].name else ""
        key = canonical_json([content(arm), arm.seed_offset, base])
        first_arm = merged_arms.setdefault(key, replace(arm, against=against))
        names[arm.name] = first_arm.name
        if arm.name and arm.name != first_arm.name:
            merged_arms[key] = replace(
                first_arm,
                other_names=tuple(dict.fromkeys((*first_arm.other_names, arm.name, *arm.other_names))),
                question=first_arm.question or arm.question,
                note=first_arm.note or arm.note,
                exploratory=first_arm.exploratory and arm.exploratory,
                may_be_identical=first_arm.may_be_identical or arm.may_be_identical,
                against=first_arm.against or against,
            )
    for name, count in Counter(arm.name for arm in merged_arms.values()).items():
        require(count == 1, f"two arms are called {name!r}", cure="give one of them another name")
    return tuple(merged_arms.values())
