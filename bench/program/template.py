"""A program's command line: a template with settings in braces, "train.py --lr {lr}", and its filling."""

import re
import shlex
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from unrolled.bench.errors import BadInput, require
from unrolled.bench.trial import Scalar

BUILT_IN_FIELDS = "seed", "out", "study"  # names that every template may use beside the settings

_FIELD = re.compile(r"\{(?P<name>[\w.-]+)((?P<star>\*)|\?(?P<on>[^{}:]*):(?P<off>[^{}]*))?\}|\{\{|\}\}|[{}]")


class Field(NamedTuple):
    """A name in braces: {name}, {name?on:off} or {name*}."""

    name: str
    switch: bool = False  # True for {name?on:off}: a boolean chooses one of two texts
    list: bool = False  # True for {name*}: each value of a list becomes a word


def list_fields(key: str, words: Iterable[str]) -> list[Field]:
    """Return the names in braces in these words. Raises BadInput, naming `key`, for a brace without one."""
    fields = []
    for word in words:
        for match in _FIELD.finditer(word):
            if match[0] in "{}":
                rule = f"a brace in {word!r} has no name of a setting: letters, digits, `_`, `-` and `.`"
                cure = "write {name} for a setting's value, and {{ or }} for a brace"
                raise BadInput(rule, key=key, cure=cure)
            require(
                not match["star"] or match[0] == word,
                f"{match[0]} is part of {word!r}",
                key=key,
                cure="let it be a word of its own",
            )
            if match["name"]:
                fields.append(Field(match["name"], match["on"] is not None, bool(match["star"])))
    return fields


def fill_template(template: str, values: Mapping[str, Scalar]) -> list[str]:
    """Return the words of a command line: "train.py --lr {lr}" → ["train.py", "--lr", "0.1"].

    The template is split first, as a shell does, and filled in then, so that a value with a space is one
    word. A list becomes a word for each value. A word that is a switch for the empty text is left out.
    """
    words = []
    for word in split_template(template):
        filled = fill_word(word, values)
        match = _FIELD.fullmatch(word)
        if match and match["star"]:
            words += filled.split()
        elif filled or not match or match["on"] is None:
            words.append(filled)
    return words


def fill_word(word: str, values: Mapping[str, Scalar]) -> str:
    """Return a word with the values in place of its names: "--lr={lr}" → "--lr=0.1"."""
    return _FIELD.sub(lambda match: _fill_field(match, values), word)


def _fill_field(match: re.Match[str], values: Mapping[str, Scalar]) -> str:
    name = match["name"]
    if name is None:
        return match[0][0]  # the match is a doubled brace
    if match["on"] is None:
        return str(values[name])
    return match["on"] if values[name] else match["off"]


def split_template(template: str) -> list[str]:
    """Split `run` into words as a shell does. Raises BadInput for an empty text or an open quote."""
    try:
        words = shlex.split(template)
    except ValueError as error:
        raise BadInput(f"cannot be split into words ({error})", key="run") from error
    require(words, "is empty", key="run", cure='write run = "python train.py --seed {seed}"')
    return words
