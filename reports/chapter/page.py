"""The chapter's questions, in its order, each answered by a measurement, by a study, or by both."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from markupsafe import Markup

from reports import answer
from reports import render as pages
from reports.answer import Claim
from reports.chapter.measurements import Shown
from reports.chapter.questionnaire import QUESTIONNAIRE
from reports.chapter.questions import QUESTIONS, Question
from reports.comparison import Comparison
from reports.figures import chapter as chapter_figures
from reports.figures import forest
from reports.statistics.verdicts import Word
from reports.text import machine

CLAIMS = 5
"""Claims of a study that stand on the page; its report has them all."""

Data = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Answered:
    """A question with the evidence that there is."""

    question: Question
    shown: Shown | None
    comparison: Comparison | None
    claims: tuple[Claim, ...] = ()
    verdicts: str = ""
    tally: str = ""
    warnings: tuple[str, ...] = ()
    picture: Markup | None = None
    href: str = ""

    @property
    def complete(self) -> bool:
        """Whether everything that the question asks for has been done."""
        q = self.question
        return bool(self.shown or not q.show) and bool(self.comparison or not q.study)


def render(measured: Mapping[str, Data], studies: Sequence[Comparison], out: Path) -> Path:
    """Write `out`/chapter.html and return its path.

    `measured` has measurements by name, as `bench.analyses.measure` gives them and JSON gives them back; what
    is missing is said to be missing. The same measurements and studies give the same bytes.
    """
    compared = {c.evidence.study: c for c in studies}
    answers = [_answered(q, measured, compared) for q in QUESTIONS]
    waiting = [a.question.study for a in answers if a.question.study and not a.comparison]
    context = {
        "answers": answers,
        "questionnaire": QUESTIONNAIRE,
        "titles": {q.id: q.title for q in QUESTIONS},
        "most": CLAIMS,
        "waiting": waiting,
        "complete": sum(a.complete for a in answers),
        "facts": _facts(measured),
        "seconds": sum(m["seconds"] for m in measured.values()),
    }
    return pages.write_page(out / "chapter.html", "chapter.html", context)


def _answered(q: Question, measured: Mapping[str, Data], compared: Mapping[str, Comparison]) -> Answered:
    data = [measured[name]["found"] for name in q.measured if name in measured]
    shown = q.show(*data) if q.show and len(data) == len(q.measured) else None
    c = compared.get(q.study)
    if c is None or not any(row.done or row.diverged for row in c.rows):
        return Answered(question=q, shown=shown, comparison=None)
    found = answer.claims(c)
    return Answered(
        question=q,
        shown=shown,
        comparison=c,
        claims=found,
        verdicts=_verdicts(c, found),
        tally=answer.tally(c),
        warnings=answer.warnings(c),
        picture=_picture(q, c),
        href=f"{pages.folder_name(q.study)}/index.html",
    )


def _verdicts(c: Comparison, found: Sequence[Claim]) -> str:
    """How often each verdict was given: '2 improve on LMModel6, 3 worsen it'."""
    words = {
        Word.IMPROVES: "better",
        Word.WORSENS: "worse",
        Word.EQUIVALENT: "equivalent",
        Word.NEGLIGIBLE: "different by less than matters",
        Word.INCONCLUSIVE: "undecided",
    }
    counts = Counter(claim.verdict.word for claim in found)
    said = ", ".join(f"{counts[word]} {text}" for word, text in words.items() if counts[word])
    base = c.rows[0].arm.name
    return f"Of {len(found)} arms held against {base}: {said}." if found else "No arm can be compared yet."


def _picture(q: Question, c: Comparison) -> Markup | None:
    if q.along:
        return chapter_figures.levels(f"{q.id}-study", c, *q.along)
    if not c.compared:
        return None
    about = f"Difference from {c.rows[0].arm.name} in {c.title}, one row an arm."
    return chapter_figures.draw(f"{q.id}-study", f"Contrasts of {q.study}", about, partial(forest.draw, c))


def _facts(measured: Mapping[str, Data]) -> dict[str, str]:
    """The machines and versions that measured, each with all values seen."""
    seen: dict[str, dict[str, None]] = {}
    for one in measured.values():
        facts = one["environment"]
        commit = f"{facts.get('commit')}, edited" if facts.get("dirty") else facts.get("commit")
        for title, value in machine({**facts, "commit": commit}).items():
            seen.setdefault(title, {})[value] = None
    return {title: " | ".join(values) for title, values in seen.items()}
