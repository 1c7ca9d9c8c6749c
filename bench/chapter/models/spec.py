"""An entry of the zoo: how a model is built, and from which sources. Imports no torch."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from unrolled.bench.chapter.trial import ChapterTrial
from unrolled.bench.trial import Scalar


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Files and packages that decide a plug-in's numbers, beside the files that every trial runs through."""

    files: tuple[str, ...] = ()  # its own, the user's modules that it imports, the data that it declares
    families: tuple[str, ...] = ()  # files of the zoo that it builds on
    packages: tuple[str, ...] = ()  # installed ones that it imports, torch apart


@dataclass(frozen=True)
class ModelSpec:
    """One entry of the zoo.

    `options` are the keywords that the class takes, with their defaults; no others can be set. `choices` are
    the values that one of them may have, where its default is a string.
    `settings` are the ChapterTrial's fields in the chapter's set-up. `seconds` is the measured cost of one
    such trial (engine loop, one core), from which plans are estimated.
    """

    name: str
    title: str
    about: str
    module: str
    builder: str
    options: Mapping[str, Scalar] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 10.0
    counted: bool = False  # fitted by counting: no seed, no gradient, no learning rate
    packages: tuple[str, ...] = ()  # that provide the model, torch apart
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    file: str = ""  # a plug-in's own
    sources: Sources = Sources()

    def build(self, vocab: int, **options: Scalar) -> Any:
        """The model for a vocabulary of `vocab` tokens, with the entry's defaults. Imports its family."""
        own = {key: value for key, value in {**self.options, **options}.items() if key not in PENALTIES}
        return getattr(importlib.import_module(self.module), self.builder)(vocab, **own)

    def trial(
        self, seed: int = 0, options: Mapping[str, Scalar] | None = None, **settings: Any
    ) -> ChapterTrial:
        """The model's trial in the chapter's set-up, but for these options and settings."""
        own = {"options": {**self.options, **(options or {})}, **self.settings, **settings}
        return ChapterTrial(model=self.name, seed=seed, **own)


@dataclass(frozen=True, kw_only=True)
class Penalty:
    """A plugged-in regulariser. Its name is an option of every trained model: the factor of `function`."""

    name: str
    title: str
    about: str
    function: Callable[[Any], Any]  # an Output → a tensor ()
    file: str  # where it is defined
    sources: Sources = Sources()


PENALTIES: dict[str, Penalty] = {}
"""The penalties that plug-ins have registered."""


def strengths(options: Mapping[str, Scalar]) -> dict[str, float]:
    """The plugged-in penalties that are on among a trial's options, by name."""
    return {name: float(options[name]) for name in sorted(PENALTIES) if options.get(name)}
