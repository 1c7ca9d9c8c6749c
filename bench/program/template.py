"""A program's command line: a template with the names of settings in braces, and what fills it."""

import re
import shlex
from collections.abc import Mapping
from typing import NamedTuple

from bench.errors import BadInput, require
from bench.trial import Scalar

PLACES = "seed", "out"  # names that every template may use beside those of the settings

_FIELD = re.compile(r"\{(\w+)(?:\?([^{}:]*):([^{}]*))?\}|\{\{|\}\}|[{}]")


class Field(NamedTuple):
    """A name in braces. A switch has two texts, of which a boolean chooses one."""

    name: str
    switch: bool


def fields_of(template: str) -> list[Field]:
    """The names in braces. Raises BadInput for a template that cannot be split or read."""
    fields = []
    for word in _split(template):
        for match in _FIELD.finditer(word):
            rule = f"a brace of {word!r} belongs to no {{name}}"
            require(match[0] not in "{}", rule, key="run", cure="write {{ or }} for a brace")
            if match[1]:
                fields.append(Field(match[1], match[2] is not None))
    return fields


def fill(template: str, values: Mapping[str, Scalar]) -> list[str]:
    """The words of a command line. A word that is a switch and chooses the empty text is left out.

    The template is split as a shell would before it is filled in: no value becomes two words.
    """
    words = []
    for word in _split(template):
        filled = _FIELD.sub(lambda match: _text(match, values), word)
        if filled or not (match := _FIELD.fullmatch(word)) or match[2] is None:
            words.append(filled)
    return words


def _text(match: re.Match[str], values: Mapping[str, Scalar]) -> str:
    name, on, off = match.groups()
    if name is None:
        return match[0][0]  # a doubled brace
    if on is None:
        return str(values[name])
    return on if values[name] else off


def _split(template: str) -> list[str]:
    try:
        words = shlex.split(template)
    except ValueError as error:
        raise BadInput(f"cannot be split into words ({error})", key="run") from error
    require(words, "is empty", key="run", cure='write run = "python train.py --seed {seed}"')
    return words
