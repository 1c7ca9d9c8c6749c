"""The chapter's page: its questions, each answered by a measurement, by a study, or by both."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.trial import counted
from reports import answer
from reports import render as pages
from reports.answer import Claim
from reports.chapter.questionnaire import LINES
from reports.chapter.questions import QUESTIONS, Question
from reports.chapter.shown import Shown
from reports.comparison import Comparison
from reports.figures import diagrams, forest
from reports.figures.measurements import Data, levels
from reports.figures.svg import picture
from reports.formats import machine
from reports.statistics.verdicts import Word

CLAIMS = 5
"""Claims of a study that stand on the page; its report has them all."""


STACKED = "Two layers over three words: layer 1 reads the words, layer 2 what layer 1 puts out; each hands "
"on its h."


def render(measured: Mapping[str, Data], studies: Sequence[Comparison], out: Path) -> Path:
    """Write `out`/chapter.html and return its path.

    `measured` has measurements by name, as `bench.analyses.measure` returns them, also after JSON. The page
    marks missing measurements. The same measurements and studies give the same bytes.
    """
    compared = {c.evidence.study: c for c in studies}
    shown = {q.id: _shown(q, measured) for q in QUESTIONS}
    found = {q.id: _study(q, compared.get(q.study)) for q in QUESTIONS}
    context = {
        "questions": QUESTIONS,
        "lines": LINES,
        "sources": measured["sources"]["found"] if "sources" in measured else {},
        "stacked": picture("q-stacked", "A stacked RNN", STACKED, diagrams.stacked),
        "shown": shown,
        "found": found,
        "titles": {q.id: q.title for q in QUESTIONS},
        "most": CLAIMS,
        "waiting": [q.study for q in QUESTIONS if q.study and not found[q.id]],
        "complete": sum(
            bool(shown[q.id] or not q.show) and bool(found[q.id] or not q.study) for q in QUESTIONS
        ),
        "facts": _facts(measured),
        "seconds": sum(m["seconds"] for m in measured.values()),
    }
    return pages.write_page(out / "chapter.html", "chapter.html", context)


def _shown(q: Question, measured: Mapping[str, Data]) -> Shown | None:
    data = [measured[name]["found"] for name in q.measured if name in measured]
    return q.show(*data) if q.show and len(data) == len(q.measured) else None


def _study(q: Question, c: Comparison | None) -> dict[str, Any] | None:
    """The findings of the question's study; None before it has a result."""
    if c is None or not any(row.done or row.diverged for row in c.rows):
        return None
    found, name = answer.claims(c), f"q-{q.id}-study"
    return {
        "c": c,
        "claims": found,
        "verdicts": _verdicts(c, found),
        "standing": answer.standing(c),
        "extension": answer.extension(c),
        "tally": answer.tally(c),
        "warnings": answer.warnings(c),
        "picture": levels(name, c, *q.along) if q.along else forest.arms(c, name),
        "href": f"{pages.folder_name(q.study)}/index.html",
    }


def _verdicts(c: Comparison, found: Sequence[Claim]) -> str:
    """How often each verdict was given: 'Of 5 contrasts: 2 better, 3 worse.'"""
    words = {
        Word.IMPROVES: "better",
        Word.WORSENS: "worse",
        Word.EQUIVALENT: "equivalent",
        Word.NEGLIGIBLE: "different by less than matters",
        Word.INCONCLUSIVE: "undecided",
    }
    counts = Counter(claim.verdict.word for claim in found)
    said = ", ".join(f"{counts[word]} {text}" for word, text in words.items() if counts[word])
    return f"Of {counted(len(found), 'contrast')}: {said}." if found else "No arm can be compared yet."


def _facts(measured: Mapping[str, Data]) -> dict[str, str]:
    """The machines and versions that measured, each with all values seen."""
    seen: dict[str, dict[str, None]] = {}
    for one in measured.values():
        facts = one["environment"]
        commit = f"{facts.get('commit')}, edited" if facts.get("dirty") else facts.get("commit")
        for title, value in machine({**facts, "commit": commit}).items():
            seen.setdefault(title, {})[value] = None
    return {title: " | ".join(values) for title, values in seen.items()}
