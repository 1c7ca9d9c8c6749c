"""What a study answers to a question, in a sentence made from its verdicts or its means."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from reports import answer, factorial, headline
from reports.answer import Claim
from reports.arms import trial_of
from reports.chapter.shown import WINDOW
from reports.comparison import Comparison
from reports.factorial import ALONE
from reports.figures.measurements import lines
from reports.formats import level, listed, number, quoted, scale, when
from reports.statistics.verdicts import Word

WITHIN = {
    Word.IMPROVES: "helps",
    Word.WORSENS: "harms",
    Word.EQUIVALENT: "changes too little to matter",
    Word.NEGLIGIBLE: "changes too little to matter",
    Word.INCONCLUSIVE: "has an undecided effect",
}
"""What a change does in a comparison, by its verdict."""
NAMED = 3
"""Arms of one verdict that a sentence names; one of so few contrasts names what each is held against."""
EACH = ", each arm against its own base,"
GATED = ("LMModel6", "nn.GRU")
Where = tuple[str, Callable[[float], bool]]
"""A setting, and a condition on its level."""


def part(c: Comparison, which: Sequence[str]) -> Comparison:
    """The comparison with the contrasts alone whose arms have such a name, or change such settings alone."""
    rows = (
        row
        if row.arm.name in which or (row.arm.changes and set(row.arm.changes) <= set(which))
        else replace(row, contrast=None, verdict=None, declared=False, note="", proofs=())
        for row in c.rows
    )
    return replace(c, rows=tuple(rows))


def judged(c: Comparison) -> str:
    """The verdicts as a sentence: 'Against A, validation accuracy is higher with B (+0.030).'

    Of a study with the same arms on several tasks, whether they keep their order.
    """
    if ordered := headline.order(c):
        return ordered.striptags()
    found = answer.claims(c)
    bases = {c.base(x.row).arm.name for x in found}
    up, down = ("lower", "higher") if c.lower_is_better else ("higher", "lower")
    groups = {
        f"{up} with": [Word.IMPROVES],
        f"{down} with": [Word.WORSENS],
        f"the same within ±{c.metric.delta:g} with": [Word.EQUIVALENT, Word.NEGLIGIBLE],
        "undecided with": [Word.INCONCLUSIVE],
    }
    said, short = [], len(bases) > 1 and len(found) <= NAMED
    for text, words in groups.items():
        names = [_named(x, c, short) for x in found if x.verdict.word in words]
        if names:
            rest = [f"{len(names) - NAMED} more"] if len(names) > NAMED + 1 else []
            said.append(f"{text} {listed((names[:NAMED] if rest else names) + rest)}")
    against = f"Against {quoted(*bases)}, " if len(bases) == 1 else ""
    each = EACH if len(bases) > 1 and len(found) > NAMED else ""
    whole = f"{against}{c.title}{each} is {'; '.join(said)}.{_opposed(found, c)}"
    return f"{whole[0].upper()}{whole[1:]}" if said else ""


def _opposed(found: Sequence[Claim], c: Comparison) -> str:
    """A sentence on the arms of which another metric has the opposite verdict."""
    turned = {Word.IMPROVES: Word.WORSENS, Word.WORSENS: Word.IMPROVES}
    said = []
    for view in c.others:
        words = {x.row.index: v.word for x in found if (v := view.rows[x.row.index].verdict)}
        names = [
            quoted(x.row.arm.name) for x in found if turned.get(x.verdict.word) is words.get(x.row.index, 0)
        ]
        said += [f" By {view.title} the opposite holds for {listed(names)}."] if names else []
    return "".join(said)


def _named(x: Claim, c: Comparison, base: bool) -> str:
    against = f" against {quoted(c.base(x.row).arm.name)}" if base else ""
    mean = number(x.verdict.contrast.mean, 3, sign=True)
    return f"{quoted(x.row.arm.name)} ({mean}{against})"


def helped(c: Comparison, doing: str, where: Where | None = None, asked: bool = True) -> str:
    """How often a change helps: 'Stacking layers helps in 9 of 12 comparisons and harms in 3.'

    `where` = (setting, condition) counts only the arms whose level of a setting meets a condition. It begins
    with yes or no if that was `asked`.
    """
    named: dict[str, list[str]] = {what: [] for what in WITHIN.values()}
    for x in answer.claims(c):
        if not where or _meets(x, *where):
            named[WITHIN[x.verdict.word]].append(quoted(x.row.arm.name))
    seen = {what: names for what, names in named.items() if names}
    if not (n := sum(map(len, seen.values()))):
        return ""
    verdict = next(iter(seen)) if len(seen) == 1 else WITHIN[Word.INCONCLUSIVE]
    certain = {WITHIN[Word.IMPROVES]: "yes: ", WITHIN[Word.INCONCLUSIVE]: ""}.get(verdict, "no: ")
    said = [f"{what} in {len(names)}" for what, names in seen.items()]
    said[0] += f" of {n} comparisons" if n > 1 else " comparison"
    alone = [f" ({names[0]})" if len(names) == 1 < n else "" for names in seen.values()]
    said = [text + name for text, name in zip(said, alone, strict=True)]
    whole = f"{certain if asked else ''}{doing} {listed(said)}."
    return f"{whole[0].upper()}{whole[1:]}"


def _meets(x: Claim, setting: str, condition: Callable[[float], bool]) -> bool:
    trial = trial_of(x.row.arm)
    return trial is not None and condition(float(trial.factors()[setting]))


def of_parts(c: Comparison) -> str:
    """What each part of a factorial study brings, as the first screen of its report says it, and alone."""
    parts = factorial.parts(c, factorial.factorial(c))
    said = headline.effects(c, parts) + headline.in_view(c, parts, ALONE)
    return headline.sentences(said).striptags()


def clipped(c: Comparison) -> str:
    """How often bounding the gradient's norm helps, and all verdicts of its study."""
    clips = ("clip", lambda norm: norm > 0)
    return f"{helped(c, 'clipping its gradients', clips, asked=False)} {judged(c)}".strip()


def detached(c: Comparison) -> str:
    """How often it helps to detach less often than once a window, and more often."""
    less = helped(c, "detaching less often than once a window", ("detach_every", lambda n: n > WINDOW))
    more = helped(c, "detaching more often", ("detach_every", lambda n: n < WINDOW), asked=False)
    gone = [x.row.arm.name for x in answer.claims(c) if x.verdict.contrast.arm_diverged]
    return " ".join(filter(None, [less, more, f"Trainings diverged with {listed(gone)}." if gone else ""]))


def bears(c: Comparison) -> str:
    """What each model loses at the highest learning rate against its own best one, the smallest loss first.

    And whether the baseline's model loses least. "" where a model has no mean at the highest rate.
    """
    how, ours, found = scale(c.metric.name), c.rows[0].arm.title, lines(c, "lr", "model")
    top = max((lr for line in found.values() for lr in line), default=0)
    lost: dict[str, float] = {}
    for model, line in found.items():
        means = {lr: row.summary.mean for lr, row in line.items() if row.summary.mean is not None}
        if top not in means:
            return ""
        best = (min if c.lower_is_better else max)(means.values())
        lost[model] = abs(means[top] - best)
    if ours not in lost or len(lost) < 2:
        return ""
    least = "least" if lost[ours] < min(x for name, x in lost.items() if name != ours) else "not the least"
    said = [f"{model} {how.by(loss)}" for model, loss in sorted(lost.items(), key=lambda x: x[1])]
    said[0] += f" {how.difference}".rstrip()
    against = f"{ours} loses {least} against its own best rate"
    whole = f"At the highest rate, {level(top)}, {against}: {listed(said)}."
    return " ".join(
        filter(None, [whole, "These means are not tested against each other.", _gated(lost, ours)])
    )


def _gated(lost: Mapping[str, float], ours: str) -> str:
    """A sentence where another cell with gates loses more than a cell without; else ""."""
    least = min((loss for model, loss in lost.items() if model not in GATED), default=math.inf)
    more = [model for model in GATED if model != ours and lost.get(model, 0) > least]
    return f"Gates alone do not explain it: {listed(more)} loses more than a cell without." if more else ""


def best_levels(c: Comparison, factor: str, by: str, label: str) -> str:
    """For each line of the figure the levels whose mean is the best, or within δ of it."""
    said = []
    for name, line in lines(c, factor, by).items():
        means = {x: row.summary.mean for x, row in line.items() if row.summary.mean is not None}
        if len(means) > 1:
            best = (min if c.lower_is_better else max)(means.values())
            near = [x for x, mean in means.items() if abs(mean - best) <= c.metric.delta]
            at = "any" if len(near) == len(means) else " or ".join(map(level, sorted(near)))
            said.append(f"{name} at {at} ({number(best, 3)})")
    best_of = f"Best mean {c.title} by {label}, ties within {c.metric.delta:g}"
    return f"{best_of}: {'; '.join(said)}." if said else ""


def origin(c: Comparison) -> str:
    """Where shipped results come from: their day and machine."""
    result = next(r for row in c.rows for r in row.arm.results.values())
    facts = result.environment
    return f"{when(result.started)[:10]}, {facts['cpu']}, torch {facts['packages']['torch']}"
