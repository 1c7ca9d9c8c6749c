"""Designs: from a few words to the cells that a study compares.

A cell is what it changes against the baseline. Every design is counted by arithmetic before it is built,
and may name a cell that another one names too: the study merges them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ablations.design.errors import at
from ablations.design.settings import (
    FACTORS,
    Factor,
    Settings,
    check_key,
    complete,
    inherit,
    label,
    resolve,
)
from bench.models.registry import spec_of, suggestion
from bench.trial import BadInput

Levels = dict[str, Annotated[list[Any], Field(min_length=1)]]


@dataclass(frozen=True)
class Cell:
    """One cell of a design: the settings it changes, and its name where the design has one for it."""

    changes: Settings
    name: str = ""


class Table(BaseModel):
    """A table of a study's file: unknown keys and loose types are refused."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class AddOne(Table):
    """Each factor put on alone. `base` is what it is added to: changes against the baseline."""

    factors: list[str]
    base: dict[str, Any] = {}


class Design(Table):
    """The [design] table. Factors are named as in `FACTORS`; `one_at_a_time` and `grid` name settings."""

    leave_one_out: list[str] = []
    add_one: AddOne = AddOne(factors=[])
    factorial: list[str] = []
    fraction: str = ""
    one_at_a_time: Levels = {}
    grid: Levels = {}
    include: list[dict[str, Any]] = []
    exclude: list[dict[str, Any]] = []

    @field_validator("add_one", mode="before")
    @classmethod
    def _bare_list(cls, value: Any) -> Any:
        return {"factors": value} if isinstance(value, list) else value

    @property
    def count(self) -> int:
        """How many cells at most, by arithmetic: nothing is built, and no cell is merged or excluded."""
        added = len(self.add_one.factors)
        return (
            len(self.leave_one_out)
            + added
            + (1 if added and self.add_one.base else 0)
            + (2 ** (len(self.factorial) - bool(self.fraction)) if self.factorial else 0)
            + sum(len(levels) for levels in self.one_at_a_time.values())
            + (prod(len(levels) for levels in self.grid.values()) if self.grid else 0)
            + len(self.include)
        )


def parts(design: Design, baseline: Settings) -> Iterator[tuple[str, list[Cell]]]:
    """The cells in declared order, with the place in the file that asked for them.

    A part that leaves every setting at the baseline's changes nothing, and the study refuses it. `baseline`
    is what the study wrote in [baseline]. Raises BadInput for unknown or idle factors and levels.
    """
    for name in _distinct("leave_one_out", design.leave_one_out):
        yield f"leave_one_out {name!r}", [_without(_factor("leave_one_out", name))]
    if design.add_one.factors:
        yield "add_one", list(_added(design.add_one, baseline))
    if design.factorial or design.fraction:
        yield "factorial", list(_factorial(design, baseline))
    for key, levels in design.one_at_a_time.items():
        _distinct(f"one_at_a_time.{key}", levels)
        yield f"one_at_a_time.{key}", [Cell({key: level}) for level in levels]
    if design.grid:
        for key, levels in design.grid.items():
            _distinct(f"grid.{key}", levels)
        cross = product(*design.grid.values())
        yield "grid", [Cell(dict(zip(design.grid, levels, strict=True))) for levels in cross]
    for changes in design.include:
        yield "include", [Cell(changes)]


def matches(pattern: Settings, trial_fields: Settings) -> bool:
    """Whether a cell has every setting of an `exclude` pattern."""
    settings = {**trial_fields, **trial_fields["options"]}
    written = {key: tuple(value) if isinstance(value, list) else value for key, value in pattern.items()}
    return all(key in settings and settings[key] == value for key, value in written.items())


def title(changes: Settings) -> str:
    """The name of a cell that was given none: 'LMModel5, lr 0.003'. The settings must be sound."""
    return ", ".join(label(key, value) for key, value in changes.items())


def _without(factor: Factor) -> Cell:
    return Cell({factor.key: factor.off})


def _added(added: AddOne, baseline: Settings) -> Iterator[Cell]:
    """The base itself, then the base and each factor alone."""
    with at("add_one.base"):
        base = inherit(baseline, added.base)
        resolve(base)
    settings = complete(base)
    prefix = f"{title(added.base)} " if added.base else ""
    if added.base:
        yield Cell(added.base)
    for name in _distinct("add_one", added.factors):
        factor = _factor("add_one", name)
        if _level(factor, base, settings) != factor.off:
            level = settings[factor.key]
            raise BadInput(f"add_one: {name!r} changes nothing: its base already has {factor.key} = {level}")
        yield Cell({**added.base, factor.key: factor.on}, f"{prefix}+ {factor.title}")


def _factorial(design: Design, baseline: Settings) -> Iterator[Cell]:
    """Every combination of off and on, or the half of them that `fraction` keeps.

    On is the baseline's own level where that is not off, so that the baseline is one of the cells.
    """
    settings = complete(baseline)
    names = _distinct("factorial", design.factorial)
    factors = [_factor("factorial", name) for name in names]
    before = [_level(factor, baseline, settings) for factor in factors]
    kept = _generator(design.fraction, names)
    for signs in product((True, False), repeat=len(factors)):
        if kept and not _in_half(kept, dict(zip(names, signs, strict=True))):
            continue
        words, changes = [], {}
        for factor, on, old in zip(factors, signs, before, strict=True):
            new = (factor.on if old == factor.off else old) if on else factor.off
            if new != old:
                words.append(f"+ {factor.title}" if on else label(factor.key, new))
                changes[factor.key] = new
        yield Cell(changes, ", ".join(words))


def _generator(fraction: str, names: list[str]) -> tuple[str, list[str]] | None:
    """'tar = tying * dropout * ar' → ('tar', ['tying', 'dropout', 'ar']): a half of resolution IV or more.

    With fewer than three on the right a main effect would be confounded with a pair: refused.
    """
    if not fraction:
        return None
    left, _, right = fraction.partition("=")
    product_of = [word.strip() for word in right.split("*")]
    words = [left.strip(), *product_of]
    if len(set(words)) < len(words) or not set(words) <= set(names):
        raise BadInput(
            f"fraction {fraction!r:.60}: write one factor = others of factorial, as in a = b * c * d"
        )
    if len(product_of) < 3:
        raise BadInput(
            f"fraction {fraction!r:.60}: a product of fewer than three confounds main effects with pairs"
        )
    return words[0], product_of


def _in_half(generator: tuple[str, list[str]], signs: dict[str, bool]) -> bool:
    left, product_of = generator
    return signs[left] == (sum(not signs[name] for name in product_of) % 2 == 0)


def _level(factor: Factor, written: Settings, settings: Settings) -> Any:
    if factor.key not in settings:
        check_key(spec_of(written["model"]), factor.key)
    return settings[factor.key]


def _factor(design: str, name: str) -> Factor:
    if name not in FACTORS:
        raise BadInput(f"{design}: unknown factor {name!r}{suggestion(name, FACTORS)}")
    return FACTORS[name]


def _distinct(place: str, values: list[Any]) -> list[Any]:
    for i, value in enumerate(values):
        if value in values[:i]:
            raise BadInput(f"{place}: {value!r} is given twice; keep one")
    return values
