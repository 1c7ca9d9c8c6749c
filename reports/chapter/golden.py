"""The golden rows as one page: what was printed, what we got, and how many digits agree."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from unrolled.reports import render as pages
from unrolled.reports.chapter.book import BOOK
from unrolled.reports.formats import machine

COLUMNS = ("Train loss (nats)", "Validation loss (nats)", "Accuracy")
Row = Mapping[str, Any]
"""An epoch that was played.

It has `model` (its name in the zoo), `epoch`, `ours` (train loss, validation loss, accuracy) and, where the
epoch was printed, `printed` (three texts), `source`, `agree` (three counts of decimals) and `off` (decimals
of the worst number that do not agree), else None or 0.
"""


def render(rows: Iterable[Row], facts: Mapping[str, Any], out: Path) -> Path:
    """Write `out`/golden.html and return its path.

    `facts` describe the machine; `facts["unlike"]` lists its differences from the reference. The same rows
    and facts give the same bytes.
    """
    every = list(rows)
    models = [(_title(name), list(group)) for name, group in groupby(every, key=lambda row: row["model"])]
    context = {"models": models, "answer": answer(every), "columns": COLUMNS, "unlike": facts["unlike"],
               "facts": machine(facts)}  # fmt: skip
    return pages.write_page(out / "golden.html", "golden.html", context)


def answer(rows: Sequence[Row]) -> list[str]:
    """Sentences on how far the printed rows are reproduced."""
    rows = [row for row in rows if row["printed"]]
    if not rows:
        return ["None of the epochs that were played has a printed row."]
    exact, last = (sum(row["off"] == off for row in rows) for off in (0, 1))
    sentences = [
        f"{exact} of {len(rows)} printed rows come out in every digit, {last} more in all but a last digit."
    ]
    parted: dict[str, int] = {}
    for row in rows:
        if row["off"] > 1:
            parted.setdefault(_title(row["model"]), row["epoch"])
    if places := [f"{title} at epoch {epoch}" for title, epoch in parted.items()]:
        sentences.append(f"Rounding takes over in {', '.join(places)}.")
    return sentences


def _title(model: str) -> str:
    return BOOK[model].title if model in BOOK else model
