"""Designs: from a few words to the arms that a study compares, as [[arm]] tables would give them.

Designs may ask for the same arm: the study merges equal ones.
"""

from collections.abc import Iterator
from itertools import product
from typing import Any

from unrolled.ablations.study.errors import error_context
from unrolled.ablations.study.study_file import AddOneTable, ArmTable, DesignTable
from unrolled.ablations.study.trainer import Factor, Settings, Trainer, title
from unrolled.bench.errors import BadInput, require, suggestion
from unrolled.bench.trial import canonical


def parts(design: DesignTable, baseline: Settings, trainer: Trainer) -> Iterator[tuple[str, list[ArmTable]]]:
    """The arms in declared order, with the place in the file that asks for them.

    `baseline` is the [baseline] table. Raises BadInput for unknown factors, for one that its base has
    already, and for a level that is given twice.
    """
    require(design.grid or not design.within, "needs a grid", key="within", cure="add grid = { … }")
    for name in _distinct("leave_one_out", design.leave_one_out):
        factor = _factor("leave_one_out", name, baseline, trainer)
        yield f"leave_one_out {name!r}", [_arm({factor.key: factor.off})]
    if design.add_one.factors:
        yield "add_one", list(_added(design.add_one, baseline, trainer))
    if design.factorial:
        yield "factorial", list(_factorial(design.factorial, baseline, trainer))
    for key, levels in design.one_at_a_time.items():
        place = f"one_at_a_time.{key}"
        yield place, [_arm({key: level}) for level in _distinct(place, levels)]
    if design.grid:
        axes = [_distinct(f"grid.{key}", levels) for key, levels in design.grid.items()]
        cells = [_arm(dict(zip(design.grid, levels, strict=True))) for levels in product(*axes)]
        yield "grid", list(_within(design.within, cells, baseline, trainer)) if design.within else cells


def _added(added: AddOneTable, baseline: Settings, trainer: Trainer) -> Iterator[ArmTable]:
    """The base itself, then the base and each factor alone."""
    with error_context("add_one.base"):
        base = trainer.inherit(baseline, added.base)
        trainer.resolve(base)
    prefix = f"{title(trainer, added.base)} " if added.base else ""
    if added.base:
        yield _arm(added.base)
    for name in _distinct("add_one", added.factors):
        factor = _factor("add_one", name, base, trainer)
        level = trainer.complete(base)[factor.key]
        require(
            level == factor.off,
            f"{name!r} changes nothing: its base already has {factor.key} = {level}",
            key="add_one",
        )
        yield _arm({**added.base, factor.key: factor.on}, f"{prefix}+ {factor.title}")


def _factorial(names: list[str], baseline: Settings, trainer: Trainer) -> Iterator[ArmTable]:
    """Every combination of off and on.

    On is the baseline's own level where that is not off, so that the baseline is one of the combinations.
    """
    old = trainer.complete(baseline)
    factors = [_factor("factorial", name, baseline, trainer) for name in _distinct("factorial", names)]
    levels = [(f.on if old[f.key] == f.off else old[f.key], f.off) for f in factors]
    for combination in product(*levels):
        moved = [(f, new) for f, new in zip(factors, combination, strict=True) if new != old[f.key]]
        words = [trainer.label(f.key, new) if new == f.off else f"+ {f.title}" for f, new in moved]
        yield _arm({f.key: new for f, new in moved}, ", ".join(words))


def _within(
    keys: list[str], cells: list[ArmTable], baseline: Settings, trainer: Trainer
) -> Iterator[ArmTable]:
    """The cells that others are compared with, and then these."""
    for key in _distinct("within", keys):
        require(
            key in cells[0].set,
            f"{key!r} is no setting of the grid",
            key="within",
            cure=suggestion(key, cells[0].set),
        )

    def content(changes: Settings) -> bytes:
        return canonical(trainer.resolve(trainer.inherit(baseline, changes)))

    named = {content(cell.set): title(trainer, cell.set) for cell in cells}
    others = []
    for cell in cells:
        wanted = {key: cell.set[key] for key in keys}
        base = named.get(content(wanted))
        if base is None:
            raise BadInput(
                f"no cell has {title(trainer, wanted)} and the baseline's levels otherwise",
                key="within",
                cure="add them",
            )
        if base == title(trainer, cell.set):
            yield cell
        else:
            others.append(cell.model_copy(update={"against": base}))
    yield from others


def _arm(changes: Settings, name: str = "") -> ArmTable:
    return ArmTable.model_construct(name=name, set=changes)  # a name of any length, or none


def _factor(design: str, name: str, settings: Settings, trainer: Trainer) -> Factor:
    with error_context(design):
        return trainer.factor(name, settings)


def _distinct(place: str, values: list[Any]) -> list[Any]:
    for i, value in enumerate(values):
        require(value not in values[:i], f"{value!r} is given twice", place=place, cure="keep one")
    return values
