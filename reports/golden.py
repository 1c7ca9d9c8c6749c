"""The golden rows as one page: what was printed, what we got, and how many digits agree."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from bench.trial import counted
from reports import render as pages
from reports.book import BOOK
from reports.formats import machine

COLUMNS = ("Train loss (nats)", "Validation loss (nats)", "Accuracy")


@dataclass(frozen=True)
class PrintedNumber:
    """One number: ours with as many decimals as were printed, and how many of them agree."""

    printed: str
    ours: str
    agree: int

    @property
    def places(self) -> int:
        """Decimals that were printed."""
        return len(self.printed.partition(".")[2])

    @property
    def off(self) -> int:
        """How many of them do not agree: 0 is every digit, 1 all but the last."""
        return self.places - self.agree


@dataclass(frozen=True)
class PrintedRow:
    """One printed row beside ours."""

    epoch: int
    source: str
    cells: tuple[PrintedNumber, ...]
    steps: int  # of single precision, that a last digit hangs on

    @property
    def off(self) -> int:
        """`PrintedNumber.off` of the worst of its numbers."""
        return max(cell.off for cell in self.cells)


@dataclass(frozen=True)
class PrintedModel:
    """What was printed of one model, and every epoch that we played: (epoch, three numbers)."""

    title: str
    lines: tuple[PrintedRow, ...]
    epochs: tuple[tuple[int, Sequence[float]], ...]

    @property
    def parting(self) -> int | None:
        """The first printed epoch that is off by more than its last decimal."""
        return next((line.epoch for line in self.lines if line.off > 1), None)


def render(rows: Iterable[Mapping[str, Any]], facts: Mapping[str, Any], out: Path) -> Path:
    """Write `out`/golden.html and return its path.

    A row has `model` (its name in the zoo), `epoch`, `ours` (train loss, validation loss, accuracy) and,
    where an epoch was printed, `printed` (three texts), `source`, `agree` (three counts of decimals) and
    `steps` (of single precision, to the printed digits), else None or 0 for these. `facts` describe the
    machine; `facts["unlike"]` says in what it differs from the reference. The same rows and facts give the
    same bytes.
    """
    models = [_model(name, list(group)) for name, group in groupby(rows, key=lambda row: row["model"])]
    context = {"models": models, "answer": answer(models), "columns": COLUMNS, "unlike": facts["unlike"],
               "facts": machine(facts)}  # fmt: skip
    return pages.write_page(out / "golden.html", "golden.html", context)


def answer(models: Sequence[PrintedModel]) -> list[str]:
    """How far the printed rows come out again, in a few sentences."""
    lines = [line for model in models for line in model.lines]
    if not lines:
        return ["None of the epochs that were played has a printed row."]
    exact, last = (sum(line.off == off for line in lines) for off in (0, 1))
    away = max(line.steps for line in lines)
    close = f": at most {counted(away, 'step')} of single precision, as this processor rounds" if away else ""
    said = [
        f"{exact} of {len(lines)} printed rows come out in every digit, "
        f"{last} more in all but a last digit{close}."
    ]
    parted = [f"{model.title} at epoch {model.parting}" for model in models if model.parting is not None]
    if parted:
        said.append(f"Rounding takes over in {', '.join(parted)}.")
    return said


def _model(name: str, rows: list[Mapping[str, Any]]) -> PrintedModel:
    return PrintedModel(
        title=BOOK[name].title if name in BOOK else name,
        lines=tuple(_line(row) for row in rows if row["printed"]),
        epochs=tuple((row["epoch"], row["ours"]) for row in rows),
    )


def _line(row: Mapping[str, Any]) -> PrintedRow:
    cells = []
    for printed, ours, agree in zip(row["printed"], row["ours"], row["agree"], strict=True):
        places = len(printed.partition(".")[2])
        cells.append(PrintedNumber(printed, f"{ours:.{places}f}", agree))
    return PrintedRow(row["epoch"], row["source"], tuple(cells), row["steps"])
