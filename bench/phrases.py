"""Words and marks of lines that people read: in a terminal, on a page and in Markdown."""

import html
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

Text = TypeVar("Text", bound=str)


def plural(number: int, noun: str) -> str:
    """Return a number with its noun in the singular or plural: '1 seed', '2 seeds'."""
    return f"{number} {noun}{'s' * (number != 1)}"


def choose_form(number: int, singular: str, several: str) -> str:
    """Return the form of a word that agrees with a number: "is" of 1, "are" of 0 or 2."""
    return singular if number == 1 else several


def name_seeds(seeds: Sequence[int], limit: int) -> str:
    """Return the first of many seeds, and how many more there are: "seed 3", "seeds 1, 2 and 8 more"."""
    return f"{choose_form(len(seeds), 'seed', 'seeds')} {join_first([*map(str, seeds)], limit)}"


def select_phrases(conditions: Mapping[Text, object]) -> list[Text]:
    """Return the phrases whose condition holds: {"provisional": True, "skewed": False} → ["provisional"]."""
    return [phrase for phrase, condition in conditions.items() if phrase and condition]


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


def phrase_standing(is_exploratory: bool, attempt: int) -> tuple[str, ...]:
    """Return the standing of a contrast: ("exploratory", "attempt 2"); () for a declared first attempt."""
    words = ("exploratory",) if is_exploratory else ()
    return (*words, f"attempt {attempt}") if attempt > 1 else words


def describe_witness(setting: str, witness: Mapping[str, Any]) -> str:
    """Return what a witness saw: "✓ tying seen: true", "✕ tying seen: false, not true".

    For a penalty, whose strength is declared, it says that there is one: "✓ AR penalty seen: 0.91 > 0".
    """
    declared, observed = (_format_value(witness.get(key)) for key in ("declared", "seen"))
    subject = setting
    if title := witness.get("penalty"):
        penalty = float(witness["seen"])
        subject = f"{title} penalty"
        observed = f"{penalty:.2g}{' > 0' if penalty > 0 else ''}"
        declared = "> 0" if float(witness["declared"]) > 0 else "0"
    if witness.get("ok"):
        return f"✓ {subject} seen: {observed}"
    return f"✕ {subject} seen: {observed}, not {declared}"


def _format_value(value: object) -> str:
    """Return a witness's value, short: 0.4003, true, 0.8, 0.7, 0.8."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_format_value, value))
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value).lower() if isinstance(value, bool) else str(value)
