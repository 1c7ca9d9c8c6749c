"""The chapter's page: its questions, each answered by a measurement, by a study, or by both."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from markupsafe import Markup

from bench.trial import counted
from reports import answer
from reports import render as pages
from reports.answer import Claim
from reports.chapter.questionnaire import LINES
from reports.chapter.questions import QUESTIONS, Question
from reports.chapter.shown import Shown
from reports.chapter.studied import best_levels, judged, origin, part
from reports.comparison import Comparison
from reports.figures import diagrams
from reports.figures.measurements import Data, levels
from reports.figures.svg import picture
from reports.formats import machine, merged
from reports.statistics.power import FEWEST_SEEDS
from reports.statistics.verdicts import Word

CLAIMS = 5
"""Claims of a study that stand on the page; its report has them all."""


STACKED = "Two layers over three words: layer 1 reads the words, layer 2 what layer 1 puts out; each hands "
"on its h."


def render(
    measured: Mapping[str, Data],
    studies: Sequence[Comparison],
    out: Path,
    *,
    shipped: Sequence[Comparison] = (),
    minutes: Mapping[str, str] | None = None,
) -> Path:
    """Write `out`/chapter.html and return its path.

    `measured` has measurements by name, as `bench.analyses.measure` returns them, also after JSON. The page
    marks missing measurements. `shipped` are comparisons by the results that come with Unrolled, shown with
    their day and machine where `studies` has results of fewer than five seeds; `minutes` says how long a
    study takes. The same arguments give the same bytes.
    """
    instead = {c.evidence.study: c for c in shipped}
    own = {c.evidence.study: c for c in studies if _stands(c, c.evidence.study in instead)}
    compared = instead | own
    shown = {q.id: _shown(q, measured) for q in QUESTIONS}
    found = {q.id: _studies(q, compared, own) for q in QUESTIONS}
    studied = {q.id: _studied(q, found[q.id]) for q in QUESTIONS}
    waiting = list(dict.fromkeys(q.study for q in QUESTIONS if q.study and q.study not in own))
    context = {
        "questions": QUESTIONS,
        "lines": LINES,
        "sources": measured["sources"]["found"] if "sources" in measured else {},
        "stacked": picture("q-stacked", "A stacked RNN", STACKED, diagrams.stacked),
        "shown": shown,
        "found": found,
        "said": {q.id: _said(q, shown[q.id], studied[q.id]) for q in QUESTIONS},
        "studied": {"": [], **studied},
        "titles": {q.id: q.title for q in QUESTIONS},
        "most": CLAIMS,
        "minutes": minutes or {},
        "waiting": waiting,
        "complete": sum(bool(shown[q.id] or not q.show) and q.study not in waiting for q in QUESTIONS),
        "facts": _facts(measured),
        "took": {q.id: sum(measured[n]["seconds"] for n in q.measured if n in measured) for q in QUESTIONS},
        "seconds": sum(m["seconds"] for m in measured.values()),
    }
    return pages.write_page(out / "chapter.html", "chapter.html", context)


def _stands(c: Comparison, shipped: bool) -> bool:
    """Whether a reader's own results are shown: any, or where others ship those that can decide something."""
    if shipped:
        return any(x.verdict.contrast.pairs >= FEWEST_SEEDS for x in answer.claims(c))
    return any(row.done or row.diverged for row in c.rows)


def _shown(q: Question, measured: Mapping[str, Data]) -> Shown | None:
    data = [measured[name]["found"] for name in q.measured if name in measured]
    return q.show(*data) if q.show and len(data) == len(q.measured) else None


def _studies(q: Question, compared: Mapping[str, Comparison], own: Collection[str]) -> list[dict[str, Any]]:
    """What the question's study found, and what the default study found that bears on it."""
    default, which, _ = q.default
    found = []
    if c := compared.get(q.study):
        drawn = partial(levels, f"q-{q.id}-study", c, *q.along) if q.along else None
        found.append(_study(c, f"q-{q.id}-study", drawn, c.evidence.study in own))
    if c := compared.get(default):
        slim = _study(part(c, which), f"q-{q.id}-default", None, default in own)
        found += [slim] if slim["claims"] else []
    return found


def _study(c: Comparison, name: str, drawn: Callable[[], Markup | None] | None, own: bool) -> dict[str, Any]:
    found, study = answer.claims(c), c.evidence.study
    return {
        "c": c,
        "claims": found,
        "along": drawn is not None,
        "verdicts": _verdicts(c, found),
        "standing": answer.standing(c),
        "extension": answer.extension(c),
        "tally": answer.tally(c),
        "warnings": answer.warnings(c),
        "picture": drawn() if drawn else pages.figure(c) if found else None,
        "href": f"{pages.folder_name(study)}/index.html" if own else "",
        "origin": "" if own else origin(c),
    }


def _said(q: Question, measured: Shown | None, studied: Sequence[str]) -> list[str]:
    """The section's answer, the sentence or two that stand first, and what is said after it."""
    if measured:
        return [measured.answer, *studied]
    return list(filter(None, [*studied[:1], q.answer, *studied[1:]]))


def _studied(q: Question, found: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the studies answer, a sentence or two each."""
    if not found:
        return []
    c = found[0]["c"]
    if c.evidence.study != q.study:
        return [judged(c)]
    lead = q.lead(c) if q.lead else ""
    said = [lead, best_levels(c, *q.along)] if q.along and q.best else [lead or judged(c)]
    for other in found[1:]:  # it asks some of the same, with other seeds or settings
        text = judged(other["c"])
        said.append(f"In the study {other['c'].evidence.study}, {text[0].lower()}{text[1:]}" if text else "")
    return list(filter(None, said))


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
    """The machines and versions that measured."""
    found = [one["environment"] for one in measured.values()]
    commits = [f"{x.get('commit')}, edited" if x.get("dirty") else x.get("commit") for x in found]
    return merged(machine({**x, "commit": commit}) for x, commit in zip(found, commits, strict=True))
