"""What a section of the chapter's page shows: an answer and its evidence; two ways to train, compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from markupsafe import Markup

from reports.figures import measurements as figures
from reports.figures.svg import picture
from reports.formats import number
from reports.statistics.contrasts import contrast
from reports.statistics.verdicts import Verdict, Word, grounds, sentence, verdict

DELTA = 0.02  # of accuracy; as the studies declare it
WINDOW = 16  # words; the chapter's
ONE = "one contrast,"  # in place of the correction of several


class TextTable(NamedTuple):
    """Rows of text under headings; the first column names the row."""

    label: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class JudgedWay:
    """A contrast of two ways to train, as a claim: of what, its verdict, the rest of its sentence."""

    what: str
    verdict: Verdict
    text: str


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A measurement's answer in one sentence, what was done and found, and the evidence for it."""

    text: str
    answer: str = ""
    picture: Markup | None = None
    caption: str = ""
    table: TextTable | None = None
    judged: JudgedWay | None = None


def by_seed(values: Mapping[str, float]) -> dict[int, float]:
    """Values by seed, as JSON gives them back."""
    return {int(seed): float(value) for seed, value in values.items()}


def percent(share: float, digits: int = 0) -> str:
    """A share as a percentage."""
    return f"{number(100 * share, digits)} %"


def two_ways(
    name: str,
    title: str,
    ways: Mapping[str, Mapping[int, float]],
    *,
    answers: Mapping[Word, str],
    text: str,
    caption: str,
) -> Shown:
    """Accuracies by seed of two ways to train, the second judged against the first by `answers`."""
    (first, above), (second, below) = ways.items()
    c = contrast(below, above, delta=DELTA, lower_is_better=False)
    v = verdict(c, c.p)
    about = f"Accuracy by seed: {title}. {sentence(v, second, first, unit='', correction=ONE)}"
    return Shown(
        answer=answers[v.word],
        text=text,
        picture=picture(f"q-{name}", title, about, partial(figures.pairs, above, below, tuple(ways))),
        caption=f"{caption} Each line is one seed; solid where the lower one is better, dashed where it is "
        "worse. Diamonds: means.",
        judged=JudgedWay(what=second, verdict=v, text=grounds(v, unit="", correction=ONE)),
    )
