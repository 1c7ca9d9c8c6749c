"""An entry of the zoo: how a model is built, and from which sources. Imports no torch."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from unrolled.bench.sources.module_sources import Sources
from unrolled.bench.trial import Scalar


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """One entry of the zoo.

    `options` are the keywords that the class takes, with their defaults; no other option can be set.
    `choices` are the allowed values of the options whose default is a string. `settings` are the
    ChapterTrial's fields in the chapter's set-up. `chapter_seconds` is the measured cost of one trial in that
    set-up (engine loop, one core), from which the cost of a plan is estimated.
    """

    name: str
    title: str
    description: str
    module: str
    builder: str
    options: Mapping[str, Scalar] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    chapter_seconds: float = 10.0
    is_counting_model: bool = False  # fitted by counting: it has no seed, gradient or learning rate
    packages: tuple[str, ...] = ()  # packages that provide the model, except torch
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    file: str = ""  # file of the plug-in; "" for a built-in model
    sources: Sources = field(default_factory=Sources)

    def build_model(self, vocab: int, **options: Scalar) -> Any:
        """Return a new model for a vocabulary of `vocab` tokens. `options` override the entry's defaults.

        Imports the module of the model.
        """
        keywords = {**self.options, **options}
        keywords = {name: value for name, value in keywords.items() if name not in PLUGIN_PENALTIES}
        build = getattr(importlib.import_module(self.module), self.builder)
        return build(vocab, **keywords)


@dataclass(frozen=True, kw_only=True)
class Penalty:
    """A plugged-in regulariser.

    Its name is an option of every trained model: the strength by which the value of `function` is multiplied.
    """

    name: str
    title: str
    description: str
    function: Callable[[Any], Any]  # an Output → a tensor ()
    file: str  # file that defines it
    sources: Sources = field(default_factory=Sources)


PLUGIN_PENALTIES: dict[str, Penalty] = {}
"""The penalties that plug-ins have registered, by name."""


PLUGIN_PARTS: dict[str, list[ModelSpec | Penalty]] = {}
"""The models and penalties that each plug-in has registered, by its name on the command line."""


def select_needed_plugins(model: str, options: Mapping[str, Scalar], plugins: Sequence[str]) -> list[str]:
    """Return the plug-ins that a model with these options uses, and those that are not loaded here."""
    used = {model, *find_active_penalties(options)}
    return [
        name
        for name in plugins
        if name not in PLUGIN_PARTS or used.intersection(part.name for part in PLUGIN_PARTS[name])
    ]


def find_active_penalties(options: Mapping[str, Scalar]) -> dict[str, float]:
    """Return the strengths above 0 of the plugged-in penalties among a trial's options."""
    return {name: float(options[name]) for name in sorted(PLUGIN_PENALTIES) if options.get(name)}
