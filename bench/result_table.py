"""How results are written: the columns of their tables, and a witness and a standing in words.

The source of `bench.trial` is part of a trial's identity; that of this module is not, so that
editing it does not retrain any trial.
"""

from collections.abc import Mapping, Sequence
from typing import Any

ROWS_AVERAGED = "rows averaged"
"""The column with the number of rows of which a row is the mean."""
FIRST_LOOK = "first_look"
"""The column that says which trials of a study belong to its first look."""
STANDING = "standing"
"""The column with the standing of a trial's arm, as "exploratory, attempt 2": see `phrase_standing`."""
OTHER_TASK = "other_task"
"""The column with the settings in which the task of a trial's arm differs from the baseline's: "vocab"."""
IS_COUNTED = "counts"
"""The column that is true for the trials that verdicts and means use."""
TABLE_COLUMNS = ("arm", "seed", "status", "reason", IS_COUNTED, ROWS_AVERAGED)
"""Columns of every table from which arms are compared."""
STUDY_COLUMNS = (
    *TABLE_COLUMNS,
    "study",
    "design",
    "baseline",
    "trial",
    "attempts",
    FIRST_LOOK,
    STANDING,
    OTHER_TASK,
)
"""Columns of a study's tables and MLflow runs: no setting and no judged metric may be called so."""


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
