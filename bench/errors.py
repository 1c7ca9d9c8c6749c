"""Errors that a user can correct, and what their lines suggest."""

import difflib
from collections.abc import Mapping
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
    similar_choices = " or ".join(map(repr, find_nearest(word, choices)))
    return f"did you mean {similar_choices}?" if similar_choices else f"known: {', '.join(choices)}"


def find_nearest(word: str, choices: Mapping[str, Any] | list[str]) -> list[str]:
    """Return the choice that is spelt most like a word, or at most three that contain it; [] for none."""
    similar_choices = difflib.get_close_matches(word, list(choices), n=1)
    return similar_choices or [choice for choice in choices if len(word) > 2 and word in choice][:3]
