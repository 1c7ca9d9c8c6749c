"""The golden rows as one page: what was printed, what we got, and how many digits agree."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from bench.trial import counted
from reports import render as pages
from reports.book import BOOK
from reports.formats import machine

COLUMNS = ("Train loss (nats)", "Validation loss (nats)", "Accuracy")


class PrintedRow(NamedTuple):
    """One printed row beside ours: of each number both, its decimals, and how many of them agree."""

    epoch: int
    source: str
    numbers: tuple[tuple[str, str, int, int], ...]
    steps: int  # of single precision, that a last digit hangs on

    @property
    def off(self) -> int:
        """Decimals of the worst number that do not agree: 0 is every digit, 1 all but the last."""
        return max(places - agree for *_, places, agree in self.numbers)


class PlayedModel(NamedTuple):
    """The printed rows of one model, and every epoch that was trained here: (epoch, three numbers)."""

    title: str
    rows: tuple[PrintedRow, ...]
    epochs: tuple[tuple[int, Sequence[float]], ...]


def render(rows: Iterable[Mapping[str, Any]], facts: Mapping[str, Any], out: Path) -> Path:
    """Write `out`/golden.html and return its path.

    A row has `model` (its name in the zoo), `epoch`, `ours` (train loss, validation loss, accuracy) and,
    where an epoch was printed, `printed` (three texts), `source`, `agree` (three counts of decimals) and
    `steps` (of single precision, to the printed digits), else None or 0 for these. `facts` describe the
    machine; `facts["unlike"]` lists its differences from the reference. The same rows and facts give the
    same bytes.
    """
    models = [_model(name, list(group)) for name, group in groupby(rows, key=lambda row: row["model"])]
    context = {"models": models, "answer": answer(models), "columns": COLUMNS, "unlike": facts["unlike"],
               "facts": machine(facts)}  # fmt: skip
    return pages.write_page(out / "golden.html", "golden.html", context)


def answer(models: Sequence[PlayedModel]) -> list[str]:
    """Sentences on how far the printed rows are reproduced."""
    rows = [row for model in models for row in model.rows]
    if not rows:
        return ["None of the epochs that were played has a printed row."]
    exact, last = (sum(row.off == off for row in rows) for off in (0, 1))
    away = max(row.steps for row in rows)
    close = f": at most {counted(away, 'step')} of single precision, as this processor rounds" if away else ""
    said = [
        f"{exact} of {len(rows)} printed rows come out in every digit, "
        f"{last} more in all but a last digit{close}."
    ]
    parted = {model.title: next((row.epoch for row in model.rows if row.off > 1), None) for model in models}
    if places := [f"{title} at epoch {epoch}" for title, epoch in parted.items() if epoch is not None]:
        said.append(f"Rounding takes over in {', '.join(places)}.")
    return said


def _model(name: str, rows: list[Mapping[str, Any]]) -> PlayedModel:
    return PlayedModel(
        title=BOOK[name].title if name in BOOK else name,
        rows=tuple(_row(row) for row in rows if row["printed"]),
        epochs=tuple((row["epoch"], row["ours"]) for row in rows),
    )


def _row(row: Mapping[str, Any]) -> PrintedRow:
    numbers = []
    for printed, ours, agree in zip(row["printed"], row["ours"], row["agree"], strict=True):
        places = len(printed.partition(".")[2])
        numbers.append((printed, f"{ours:.{places}f}", places, agree))
    return PrintedRow(row["epoch"], row["source"], tuple(numbers), row["steps"])
