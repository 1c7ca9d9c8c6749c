"""The answer to a study's question: a few sentences in everyday words, made from means and verdicts."""

from collections.abc import Sequence
from itertools import takewhile
from typing import NamedTuple

from markupsafe import Markup

from bench.trial import counted, visible
from reports.answer import Claim, claims, size
from reports.arms import apart, is_self_check
from reports.comparison import Comparison
from reports.factorial import VIEWS, Part
from reports.formats import scale
from reports.statistics.verdicts import Verdict, Word

NAMED = 3
"""Arms of each verdict that the answer names before it counts the others."""


class Finding(NamedTuple):
    """The verdict on an arm or a switch."""

    name: Markup
    against: str  # the arm that it is held against, if not the baseline
    verdict: Verdict
    apart: bool = False  # of another task than the baseline


def answer(c: Comparison, parts: Sequence[Part] = ()) -> Markup:
    """The study's question answered in a few sentences, from means and verdicts by the first metric.

    `parts` are the switches of a study that asks for the effect of each; without, every contrast has a part.
    """
    view = next((v for v in VIEWS if any(part.views[v] for part in parts)), None)
    found = [Finding(_name(part.switch.name), "", v) for part in parts if view and (v := part.views[view])]
    found = found or [_finding(x, c) for x in claims(c)]
    said, undecided = _effects(found, c), [x for x in found if x.verdict.word is Word.INCONCLUSIVE]
    if view and said:
        said[0] = Markup("{}, {}").format(view.capitalize(), said[0])
    if undecided:
        better = Markup("{} (better on {} of {})").format
        seeds = [(x.name, x.verdict.contrast.wins, x.verdict.contrast.pairs) for x in undecided]
        said.append(
            Markup("Undecided: {}").format(_few([better(n, k, counted(p, "seed")) for n, k, p in seeds]))
        )
    if differ := [_name(part.switch.name) for part in parts if part.differs]:
        said.append(Markup("The verdict depends on the other parts for {}").format(_few(differ)))
    return Markup(" ").join(Markup("{}.").format(sentence) for sentence in [_levels(c), *said] if sentence)


def _finding(x: Claim, c: Comparison) -> Finding:
    elsewhere = bool(apart(x.row.arm, c.rows[0].arm))
    return Finding(_name(x.row.arm.name), x.row.arm.against, x.verdict, elsewhere)


def _name(name: str) -> Markup:
    return Markup("<b>{}</b>").format(visible(name))


def _levels(c: Comparison) -> Markup:
    """What the baseline reaches; in a ladder, what the best arms of its task reach, and the baseline."""
    rows = [row for row in c.entrants if row.index == 0 or not is_self_check(row.arm)]
    rows = [row for row in rows if row.summary.mean is not None]
    rows.sort(key=lambda row: (row.summary.mean or 0.0) * (1 if c.lower_is_better else -1))
    ladder = any(row.arm.against for row in c.compared)
    shown = [row for i, row in enumerate(rows) if row.index == 0 or (ladder and i < NAMED)]
    how, of_words = scale(c.metric.name), c.metric.name == "valid_accuracy"
    levels = [how.at(row.summary.mean, 0 if of_words else None) for row in shown]
    levels[:1] = [f"predicts {x} of the words" if of_words else f"has a {c.title} of {x}" for x in levels[:1]]
    pairs = zip(shown, levels, strict=True)
    return Markup(", ").join(Markup("{} {}").format(_name(row.arm.name), level) for row, level in pairs)


def _effects(found: Sequence[Finding], c: Comparison) -> list[Markup]:
    """A sentence for each kind of verdict that claims something, the one with the largest effect first."""
    how = scale(c.metric.name)
    moved = []
    for word in (Word.IMPROVES, Word.WORSENS):
        of = sorted((x for x in found if x.verdict.word is word), key=lambda x: (x.apart, -size(x.verdict)))
        if of:
            moved.append((-size(of[0].verdict), _moved(of, word is Word.IMPROVES, c)))
    said = [sentence for _, sentence in sorted(moved)]
    same = [x for x in found if x.verdict.word in (Word.EQUIVALENT, Word.NEGLIGIBLE)]
    alike = [x for x in same if x.verdict.contrast.identical]
    equal = Markup("{} equals {}, bit for bit")
    said += [equal.format(name, _name(against or c.rows[0].arm.name)) for name, against, *_ in alike[:NAMED]]
    within = [_against(name, against) for name, against, v, _ in same if not v.contrast.identical]
    if within:
        least = f"{how.factor * c.metric.delta:g} {how.difference}".rstrip()
        verb = "changes" if len(within) == 1 else "change"
        said.append(Markup("{} {} less than {}").format(_few(within), verb, least))
    return said


def _against(name: Markup, against: str, over: str = "against") -> Markup:
    return Markup("{} {} {}").format(name, over, visible(against)) if against else name


def _moved(of: Sequence[Finding], gain: bool, c: Comparison) -> Markup:
    """Arms with their effects, largest first: "A gains 20 points over B, C gains 14 over D"."""
    how = scale(c.metric.name)
    shown = of[: NAMED + (len(of) == NAMED + 1)]
    said: list[Markup] = []
    for name, against, v, _ in shown:
        verb, over = _verb(gain, bool(against), c)
        effect = f"{verb} {how.by(size(v))} {how.difference if not said else ''}".rstrip()
        effect = "diverges" if v.contrast.mean is None else effect
        given = " where it converges" if v.contrast.given_convergence and v.contrast.mean is not None else ""
        said.append(_against(Markup("{} {}").format(name, effect + given), against, over))
    ks = [x.verdict.contrast for x in shown]
    every = len(list(takewhile(lambda k: max(k.wins, k.losses) == k.pairs, ks)))
    if every:
        some = {1: "the first ", 2: "the first two ", 3: "the first three "}
        which = (some | {len(shown): "each " if every > 1 else ""})[every]
        said.append(Markup(f"{which}on every seed"))
    listed, sizes = Markup(", ").join(said), [size(x.verdict) for x in of[len(shown) :]]
    if not sizes:
        return listed
    verb, low, high = _verb(gain, False, c)[0].removesuffix("s"), min(sizes), max(sizes)
    return Markup(f"{listed}; {len(sizes)} others {verb} {how.by(low, high)} to {how.by(high)}")


def _verb(gain: bool, rung: bool, c: Comparison) -> tuple[str, str]:
    """A verb and the preposition of the arm that another is held against."""
    if c.lower_is_better:
        return ("saves", "over") if gain else ("costs", "against")
    return ("gains", "over") if gain else ("loses", "against") if rung else ("costs", "against")


def _few(names: Sequence[Markup]) -> Markup:
    """Names as a list, of which all but a few are counted."""
    shown = list(names[: NAMED + (len(names) == NAMED + 1)])
    shown += [Markup(f"{len(names) - len(shown)} others")] if len(names) > len(shown) else []
    return Markup(" and ").join(filter(None, [Markup(", ").join(shown[:-1]), shown[-1]]))
