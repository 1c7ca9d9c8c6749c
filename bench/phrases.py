"""Words and marks of lines that people read: in a terminal, on a page and in Markdown."""

import html
import re
import unicodedata
from collections.abc import Sequence


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


def make_visible(value: object) -> str:
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
