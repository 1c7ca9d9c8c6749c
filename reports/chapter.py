"""The chapter's questions, in its order, each answered by a measurement, by a study, or by both."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from markupsafe import Markup

from reports import answer, chapter_figures, forest, measurements, mechanics
from reports import render as pages
from reports.answer import Claim
from reports.comparison import Comparison, compare
from reports.evidence import Evidence
from reports.golden import FACTS
from reports.measurements import Shown
from reports.verdicts import Word

CLAIMS = 5
"""Claims of a study that stand on the page; its report has them all."""

Data = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question, and its short title.

    `show` turns the data of the `measured` into an answer; `study` names a study.

    `along` draws a study's arms along a factor, a line for each level of another: (factor, lines, label);
    without it the forest plot is drawn. `setup` says what the study holds equal: it claims nothing.
    """

    id: str
    title: str
    asked: str
    measured: tuple[str, ...] = ()
    show: Callable[..., Shown] | None = None
    study: str = ""
    setup: str = ""
    along: tuple[str, str, str] | None = None


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


QUESTIONS = (
    Question(
        id="read",
        title="The first batches",
        asked="What do the first batches of the validation set say, in words?",
        measured=("batches",),
        show=measurements.batches,
    ),
    Question(
        id="context",
        title="Third word from two",
        asked="Can the third word be told from the two before it, and would more words help?",
        study="context",
        setup=(
            "One to five words in, no state, the same number of updates for each; beside each, what "
            "counting the same words reaches."
        ),
        along=("window", "model", "words read"),
    ),
    Question(
        id="order",
        title="Order and reset",
        asked="Why must the text be read in order, and when should the state be forgotten?",
        study="order",
        setup=(
            "A kept state is of use only where the next batch goes on with the same text. Three orders "
            "of the windows, three habits of forgetting."
        ),
        along=("order", "reset", "order of the windows"),
    ),
    Question(
        id="targets",
        title="One word in three",
        asked="What is lost by asking for one word after every three?",
        measured=("targets",),
        show=measurements.targets,
    ),
    Question(
        id="stability",
        title="Why LMModel4 is unstable",
        asked="Why is the training of LMModel4 unstable?",
        measured=("stability",),
        show=measurements.stability,
        study="stability",
        setup="The study changes one thing of LMModel4 at a time.",
    ),
    Question(
        id="depth",
        title="Deeper RNNs",
        asked="Unrolled, an RNN has many layers already: does stacking more help?",
        study="depth",
        setup=(
            "The layers of time share one matrix; stacked layers have matrices of their own. One to four "
            "of them, with ReLU and with tanh."
        ),
        along=("layers", "nonlinearity", "layers"),
    ),
    Question(
        id="detach",
        title="Detaching less often",
        asked="Should the state be detached less often, and for which cell?",
        study="detach",
        setup=(
            "Every arm reads windows of 64 words and makes the same updates; only how far gradients flow "
            "back differs."
        ),
        along=("horizon", "model", "tokens that gradients flow back"),
    ),
    Question(
        id="growth",
        title="Growing activations",
        asked="How do many steps make activations very large or very small?",
        measured=("cells",),
        show=measurements.growth,
    ),
    Question(
        id="spacing",
        title="Precise numbers",
        asked="Where are a computer's numbers the most precise?",
        measured=("spacing",),
        show=mechanics.spacing,
    ),
    Question(
        id="precision",
        title="Half the precision",
        asked="What does a number format of half the size cost?",
        measured=("precision", "cells"),
        show=mechanics.precision,
    ),
    Question(
        id="gradients",
        title="Vanishing gradients",
        asked="Why do vanishing gradients keep a network from learning?",
        measured=("cells",),
        show=measurements.gradients,
    ),
    Question(
        id="tanh",
        title="tanh and sigmoid",
        asked="How is tanh related to the sigmoid?",
        measured=("tanh",),
        show=mechanics.tanh,
    ),
    Question(
        id="lstm",
        title="LSTM from scratch",
        asked="Is an LSTM written from scratch the same as nn.LSTM?",
        measured=("same",),
        show=mechanics.same,
        study="lstm",
        setup="In the study each form draws its own initial weights and is trained.",
    ),
    Question(
        id="gru",
        title="GRU from scratch",
        asked="And a GRU, in either of its published forms?",
        study="gru",
        setup="The reset gate acts after the matrix product (cuDNN, nn.GRU) or before it (Cho et al.).",
    ),
    Question(
        id="rate",
        title="Higher learning rates",
        asked="Why does the LSTM bear a higher learning rate?",
        study="learning-rate",
        setup="Five models at the same four learning rates, everything else as in the chapter.",
        along=("lr", "model", "learning rate"),
    ),
    Question(
        id="scale",
        title="Dropout's scale",
        asked="Why does dropout divide by 1−p, and when?",
        measured=("dropout",),
        show=mechanics.dropout,
    ),
    Question(
        id="parts",
        title="What each part brings",
        asked="What do dropout, AR, TAR, weight tying, weight decay and momentum each bring?",
        study="regularization",
        setup=(
            "AR adds α times the mean square of the activations after dropout, TAR β times that of their "
            "change from step to step before it. One part left out of LMModel7, one added to LMModel6, "
            "and all sixteen combinations of four."
        ),
    ),
    Question(
        id="split",
        title="Another split",
        asked="Would other validation text tell another story?",
        measured=("coverage",),
        show=measurements.coverage,
        study="split",
        setup="Contrasts are among arms on the blocks; losses on two validation sets do not compare.",
        along=("split", "model", "validation text"),
    ),
    Question(
        id="anatomy",
        title="AWD-LSTM, line by line",
        asked="What does the chapter call each line of AWD-LSTM?",
        measured=("anatomy",),
        show=mechanics.anatomy,
    ),
)


def render(measured: Mapping[str, Data], studies: Sequence[Evidence], out: Path) -> Path:
    """Write `out`/chapter.html and return its path.

    `measured` has measurements by name, as `bench.analyses.measure` gives them and JSON gives them back; what
    is missing is said to be missing. The same measurements and studies give the same bytes.
    """
    compared = {c.evidence.study: c for c in map(compare, studies)}
    answers = [_answered(q, measured, compared) for q in QUESTIONS]
    waiting = [a.question.study for a in answers if a.question.study and not a.comparison]
    context = {
        "answers": answers,
        "most": CLAIMS,
        "waiting": waiting,
        "complete": sum(a.complete for a in answers),
        "facts": _facts(measured),
        "seconds": sum(m["seconds"] for m in measured.values()),
    }
    out.mkdir(parents=True, exist_ok=True)
    page = out / "chapter.html"
    page.write_text(pages.page_of("chapter.html", context), encoding="utf-8", newline="\n")
    return page


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
        facts = {**one["environment"], **one["environment"].get("packages", {})}
        if facts.get("dirty"):
            facts["commit"] = f"{facts['commit']}, edited"
        for name, title in {**FACTS, "torch": "torch", "fastai": "fastai"}.items():
            if facts.get(name):
                seen.setdefault(title, {})[str(facts[name])] = None
    return {title: " | ".join(values) for title, values in seen.items()}
