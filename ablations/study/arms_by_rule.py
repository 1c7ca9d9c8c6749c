"""The [design] table: it makes the [[arm]] tables of a few usual designs.

Two designs may make the same arm: `merge_arms` merges equal arms.
"""

from collections.abc import Iterator
from itertools import product
from typing import Any

from unrolled.ablations.study.study_errors import name_error_place
from unrolled.ablations.study.study_file import AddOneTable, ArmTable, DesignTable
from unrolled.ablations.study.trial_factory import Factor, Settings, TrialFactory, title_changes
from unrolled.bench.errors import BadInput, require, suggestion
from unrolled.bench.files.canonical_json import canonical_json


def make_arm_tables(
    design: DesignTable, baseline: Settings, factory: TrialFactory
) -> Iterator[tuple[str, list[ArmTable]]]:
    """Yield the arms of each design, in declared order, with the key that declares them.

    `baseline` is the [baseline] table. Raises BadInput for an unknown factor, for a repeated level, and for a
    factor of `add_one` that is on in its base.
    """
    require(design.grid or not design.within, "needs a grid", key="within", cure="add grid = { … }")
    yield from (
        (f"leave_one_out {factor.name!r}", [_make_table({factor.key: factor.off})])
        for factor in _find_factors("leave_one_out", design.leave_one_out, baseline, factory)
    )
    if design.add_one.factors:
        yield "add_one", list(_add_factors(design.add_one, baseline, factory))
    if design.factorial:
        yield "factorial", list(_combine_factors(design.factorial, baseline, factory))
    for key, levels in design.one_at_a_time.items():
        place = f"one_at_a_time.{key}"
        _refuse_repeated(place, levels)
        yield place, [_make_table({key: level}) for level in levels]
    if design.grid:
        for key, levels in design.grid.items():
            _refuse_repeated(f"grid.{key}", levels)
        cells = [
            _make_table(dict(zip(design.grid, levels, strict=True)))
            for levels in product(*design.grid.values())
        ]
        if design.within:
            cells = _compare_within(design.within, cells, baseline, factory)
        yield "grid", cells


def _add_factors(table: AddOneTable, baseline: Settings, factory: TrialFactory) -> Iterator[ArmTable]:
    """Yield the base itself, then the base with each factor alone."""
    with name_error_place("add_one.base"):
        base = factory.inherit_settings(baseline, table.base)
        factory.make_arm_fields(base)
    prefix = ""
    if table.base:
        prefix = f"{title_changes(factory, table.base)} "
        yield _make_table(table.base)
    levels = factory.complete_settings(base)
    for factor in _find_factors("add_one", table.factors, base, factory):
        level = levels[factor.key]
        require(
            level == factor.off,
            f"{factor.name!r} changes nothing: its base already has {factor.key} = {level}",
            key="add_one",
        )
        yield _make_table({**table.base, factor.key: factor.on}, f"{prefix}+ {factor.title}")


def _combine_factors(names: list[str], baseline: Settings, factory: TrialFactory) -> Iterator[ArmTable]:
    """Yield every combination of the factors' levels.

    A factor has two levels: off, and on. If the baseline's level is neither, it takes the place of on, so
    that the baseline is one of the combinations.
    """
    levels = factory.complete_settings(baseline)
    factors = _find_factors("factorial", names, baseline, factory)
    pairs = [
        (factor.on if levels[factor.key] == factor.off else levels[factor.key], factor.off)
        for factor in factors
    ]
    for combination in product(*pairs):
        changes = {}
        words = []
        for factor, level in zip(factors, combination, strict=True):
            if level != levels[factor.key]:
                changes[factor.key] = level
                is_off = level == factor.off
                words.append(factory.describe_setting(factor.key, level) if is_off else f"+ {factor.title}")
        yield _make_table(changes, ", ".join(words))


def _compare_within(
    keys: list[str], cells: list[ArmTable], baseline: Settings, factory: TrialFactory
) -> list[ArmTable]:
    """Return the cells of a grid: first the bases, and then the others, each `against` its base.

    The base of a cell has its levels of `keys`, and the baseline's levels of all other settings. With keys
    ["model"], the cell {model: lm7, lr: 0.003} is compared with {model: lm7, lr: the baseline's}.
    """
    _refuse_repeated("within", keys)
    grid = cells[0].set
    for key in keys:
        require(key in grid, f"{key!r} is no setting of the grid", key="within", cure=suggestion(key, grid))

    def encode_arm(changes: Settings) -> bytes:
        return canonical_json(factory.make_arm_fields(factory.inherit_settings(baseline, changes)))

    titles = {encode_arm(cell.set): title_changes(factory, cell.set) for cell in cells}
    base_cells = []
    compared_cells = []
    for cell in cells:
        levels = {key: cell.set[key] for key in keys}
        base = titles.get(encode_arm(levels))
        if base is None:
            raise BadInput(
                f"no cell has {title_changes(factory, levels)} and the baseline's levels otherwise",
                key="within",
                cure="add them",
            )
        if base == title_changes(factory, cell.set):
            base_cells.append(cell)
        else:
            compared_cells.append(cell.model_copy(update={"against": base}))
    return base_cells + compared_cells


def _make_table(changes: Settings, name: str = "") -> ArmTable:
    return ArmTable.model_construct(name=name, set=changes)  # the name may be of any length, or missing


def _find_factors(place: str, names: list[str], settings: Settings, factory: TrialFactory) -> list[Factor]:
    """Return the factors of these names. Raises BadInput for one that is unknown or repeated."""
    with name_error_place(place):
        factors = [factory.find_factor(name, settings) for name in names]
    _refuse_repeated(place, names)
    return factors


def _refuse_repeated(place: str, values: list[Any]) -> None:
    """Raise BadInput for a value that stands in a list twice."""
    for index, value in enumerate(values):
        require(value not in values[:index], f"{value!r} is given twice", place=place, cure="keep one")
