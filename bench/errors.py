"""Errors that a user can correct, and functions for lines that people read."""

import difflib
import html
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any


class BadInput(ValueError):
    """An error that the user can correct. `str()` is one line: "place: key: rule; cure".

    `place` is a file, a flag or a study; `key` is the item that is wrong, with its value, as "lr = 2"; `rule`
    is the rule that it breaks; and `cure` is what to do. All but the rule may be "".
    """

    def __init__(self, rule: object, *, place: object = "", key: str = "", cure: str = "") -> None:
        super().__init__(str(rule))
        self.rule = str(rule)
        self.place = str(place)
        self.key = key
        self.cure = cure

    def __str__(self) -> str:
        line = ": ".join(filter(None, (self.place, self.key, self.rule)))
        return f"{line}; {self.cure}" if self.cure else line


def require(holds: object, rule: str, **fields: Any) -> None:
    """Raise BadInput with these fields if the condition does not hold."""
    if not holds:
        raise BadInput(rule, **fields)


def suggestion(word: str, choices: Mapping[str, Any] | list[str]) -> str:
    """Return 'did you mean …?' with the choices nearest to a word, or 'known: …' with all of them."""
    near = " or ".join(map(repr, find_nearest(word, choices)))
    return f"did you mean {near}?" if near else f"known: {', '.join(choices)}"


def find_nearest(word: str, choices: Mapping[str, Any] | list[str]) -> list[str]:
    """Return the choice that is spelt most like a word, or at most three that contain it; [] for none."""
    similar = difflib.get_close_matches(word, list(choices), n=1)
    return similar or [choice for choice in choices if len(word) > 2 and word in choice][:3]


def plural(number: int, noun: str) -> str:
    """Return a number with its noun in the singular or plural: '1 seed', '2 seeds'."""
    return f"{number} {noun}{'s' * (number != 1)}"


def join_first(texts: Sequence[str], limit: int) -> str:
    """Return the first of many texts, and how many more there are: 'a, b and 3 more'."""
    more = f" and {len(texts) - limit} more" if len(texts) > limit else ""
    return ", ".join(texts[:limit]) + more


_PICTURES = (
    {code: chr(0x2400 + code) for code in range(32)}
    | {ord(space): " " for space in "\t\n\r"}
    | {0x7F: "\u2421"}
)


def visible(value: object) -> str:
    """Return `value` as text without invisible characters.

    Control characters become their pictures (NUL is ␀). Characters that reorder or hide text, or that UTF-8
    cannot encode, become the replacement character.
    """
    text = str(value).translate(_PICTURES)
    hidden = ("Cc", "Cf", "Cs", "Cn")  # controls, formats, surrogates, unassigned
    return "".join("\ufffd" if unicodedata.category(letter) in hidden else letter for letter in text)


def escape_markdown(text: str) -> str:
    """Return Markdown that shows a text as it is: no link, mention or HTML in it takes effect."""
    return re.sub(r"([\\`*_\[\]|~#@])", r"\\\1", html.escape(text, quote=False))
