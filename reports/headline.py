"""The answer to a study's question: a few sentences in everyday words, made from means and verdicts."""

from collections.abc import Mapping, Sequence
from itertools import combinations, takewhile
from pathlib import PurePath
from typing import NamedTuple

from markupsafe import Markup

from bench.errors import plural, visible
from bench.trial import Scalar
from reports.answer import Claim, claims, size
from reports.arms import is_self_check, select_seeds, task_differences, trial_of
from reports.comparison import ComparedArm, Comparison
from reports.factorial import VIEWS, Part
from reports.formats import listed, quoted
from reports.statistics.verdicts import Verdict, Word, verdicts

NAMED = 3
"""Arms of each verdict that the answer names before it counts the others."""
TASKS = ("corpus", "split", "target")
"""The settings that decide which words are asked for."""
Key = frozenset[tuple[str, Scalar]]
"""An arm's other settings, by which it is found again on another task."""
Arms = Mapping[Key, ComparedArm]


class Finding(NamedTuple):
    """The verdict on an arm or a switch."""

    name: Markup
    against: str  # the arm that it is held against, if not the baseline
    verdict: Verdict
    other_task: bool = False  # than the baseline's


def answer(c: Comparison, parts: Sequence[Part] = ()) -> Markup:
    """The study's question answered in a few sentences, from means and verdicts by the first metric.

    `parts` are the switches of a study that asks for the effect of each; without, every contrast has a part.
    A study with the same arms on several tasks asks for their order.
    """
    return order(c) or sentences([_levels(c), *effects(c, parts)])


def effects(c: Comparison, parts: Sequence[Part] = ()) -> list[Markup]:
    """The sentences of `answer` on what changes, without their full stops."""
    view = next((v for v in VIEWS if any(part.views[v] for part in parts)), None)
    phrases = tell_view(c, parts, view) if view else _tell_verdicts([_finding(x, c) for x in claims(c)], c)
    if differ := [_name(part.switch.name) for part in parts if part.differs]:
        phrases.append(Markup("The verdict depends on the other parts for {}").format(_few(differ)))
    return phrases


def tell_view(c: Comparison, parts: Sequence[Part], view: str) -> list[Markup]:
    """The sentences on what the parts bring in one of `VIEWS`; none where it has no verdict."""
    findings = [Finding(_name(part.switch.name), "", v) for part in parts if (v := part.views[view])]
    return _tell_verdicts(findings, c, view)


def _tell_verdicts(findings: Sequence[Finding], c: Comparison, view: str = "") -> list[Markup]:
    phrases = _tell_effects(findings, c)
    undecided = [x for x in findings if x.verdict.word is Word.INCONCLUSIVE]
    if view and phrases:
        phrases[0] = Markup("{}, {}").format(view.capitalize(), phrases[0])
    if undecided:
        phrases.append(Markup("Undecided: {}").format(_few([_undecided(x, c) for x in undecided])))
    return phrases


def _undecided(x: Finding, c: Comparison) -> Markup:
    k = x.verdict.contrast
    if not k.paired:
        return x.name
    return Markup("{} (better on {} of {})").format(x.name, k.wins, plural(k.pairs, c.design.noun))


def order(c: Comparison) -> Markup:
    """Whether arms keep their order from task to task; "" unless a study has two arms or more on several."""
    tasks = _tasks(c)
    shared = set.intersection(*map(set, tasks.values())) if len(tasks) > 1 else set()
    if len(shared) < 2:
        return Markup("")
    arms = {key: row.arm for key, row in next(iter(tasks.values())).items() if key in shared}
    titles = [arm.title for arm in arms.values()]
    names = {k: _name(arm.title if titles.count(arm.title) == 1 else arm.name) for k, arm in arms.items()}
    words, sure = _words(tasks, list(names), c), {Word.IMPROVES, Word.WORSENS}
    kept = [pair for pair, by_task in words.items() if any(by_task == [word] * len(tasks) for word in sure)]
    turned = [pair for pair, by_task in words.items() if sure <= set(by_task)]
    rest = [pair for pair in words if pair not in (*kept, *turned)]
    verb = "keeps its" if len(kept) == 1 else "keep their"
    unsure = f"differ for certain on at most {len(tasks) - 1} of {len(tasks)} tasks"
    phrases = [Markup(f"{len(kept)} of {plural(len(words), 'pair')} of arms {verb} order")]
    for pairs, what in ((turned, "change places"), (rest, unsure)):
        if pairs:
            named = [Markup("{} and {}").format(names[first], names[second]) for first, second in pairs]
            phrases.append(Markup("{} {}").format(_few(named), what))
    levels = [
        Markup("On {} {}").format(task, _list_levels(_best([(names[key], rows[key]) for key in names], c), c))
        for task, rows in tasks.items()
    ]
    return sentences([Markup("; ").join(phrases), *levels])


def _words(
    tasks: Mapping[str, Arms], keys: Sequence[Key], c: Comparison
) -> dict[tuple[Key, Key], list[Word]]:
    """The words of the verdicts on every pair of these arms, a task's each; Holm over all.

    Of the seeds of the first look, whose number no result has chosen.
    """
    seeds = c.design.seeds[: c.design.looks[0]]
    values = {
        (t, key): select_seeds(rows[key].summary.values, seeds) for t, rows in tasks.items() for key in keys
    }
    words = {pair: list[Word]() for pair in combinations(keys, 2)}
    sides = {(t, pair): (values[t, pair[0]], values[t, pair[1]]) for t in tasks for pair in words}
    for (_, pair), v in verdicts(
        sides, delta=c.metric.delta, lower_is_better=c.metric.lower_is_better
    ).items():
        words[pair].append(v.word)
    return words


def _tasks(c: Comparison) -> Mapping[str, Arms]:
    """By task, in words, its arms by their other settings; the A/A check is left out."""
    rows = [row for row in c.rows if row.index == 0 or not is_self_check(row.arm)]
    trained = [(row, trial.factors()) for row in rows if row.summary.n and (trial := trial_of(row.arm))]
    differing = [key for key in TASKS if len({factors[key] for _, factors in trained}) > 1]
    tasks: dict[str, dict[Key, ComparedArm]] = {}
    for row, factors in trained:
        task = ", ".join(f"{key} {PurePath(str(factors[key])).name}" for key in differing)
        rest = frozenset((key, value) for key, value in factors.items() if key not in TASKS)
        tasks.setdefault(task, {})[rest] = row
    return tasks


def _finding(x: Claim, c: Comparison) -> Finding:
    elsewhere = bool(task_differences(x.row.arm, c.rows[0].arm))
    return Finding(_name(x.row.arm.name), x.row.arm.against, x.verdict, elsewhere)


def _name(name: str) -> Markup:
    return Markup("<b>{}</b>").format(visible(name))


def _levels(c: Comparison) -> Markup:
    """What the baseline reaches; in a ladder, what the best arms of its task reach, and the baseline.

    In a grid, what the best arm of each line reaches.
    """
    if lines := _lines(c):
        best = _best([x for line in lines for x in _best(line, c)[:1]], c)
        return _list_levels(best, c)
    rows = [row for row in c.same_task_rows if row.index == 0 or not is_self_check(row.arm)]
    ladder = any(row.arm.against for row in c.rows_with_contrast)
    best = _best([(_name(row.arm.name), row) for row in rows], c)
    return _list_levels([x for i, x in enumerate(best) if x[1].index == 0 or (ladder and i < NAMED)], c)


def _lines(c: Comparison) -> Sequence[Sequence[tuple[Markup, ComparedArm]]]:
    """The lines of a grid: an arm that is held against none, and all that are held against it."""
    lines: dict[str, list[ComparedArm]] = {}
    for row in c.rows:
        if row.contrast and not is_self_check(row.arm):
            lines.setdefault(c.base(row).arm.name, [c.base(row)]).append(row)
    grid = len(lines) > 1 and all(
        len(line) > 2 and not line[0].has_contrast_to_decide for line in lines.values()
    )
    return [[(_name(row.arm.name), row) for row in line] for line in lines.values()] if grid else []


def _best(rows: Sequence[tuple[Markup, ComparedArm]], c: Comparison) -> list[tuple[Markup, ComparedArm]]:
    """The arms that have a mean, the best first."""
    ranked = [(mean, name, row) for name, row in rows if (mean := row.summary.mean) is not None]
    ranked.sort(key=lambda x: x[0], reverse=not c.metric.lower_is_better)
    return [(name, row) for _, name, row in ranked]


def _list_levels(rows: Sequence[tuple[Markup, ComparedArm]], c: Comparison) -> Markup:
    """Arms with their means: "A predicts 98 % of the words, B 95 %"."""
    of_words = c.metric.name == "valid_accuracy"
    levels = [c.scale.at(row.summary.mean, 0 if of_words else None) for _, row in rows]
    levels[:1] = [f"predicts {x} of the words" if of_words else f"has a {c.title} of {x}" for x in levels[:1]]
    pairs = zip(rows, levels, strict=True)
    return Markup(", ").join(Markup("{} {}").format(name, level) for (name, _), level in pairs)


def sentences(phrases: Sequence[Markup]) -> Markup:
    """As one text, each with its full stop; empty ones are left out."""
    return Markup(" ").join(Markup("{}.").format(sentence) for sentence in phrases if sentence)


def _tell_effects(findings: Sequence[Finding], c: Comparison) -> list[Markup]:
    """A sentence for each kind of verdict that claims something, the one with the largest effect first."""
    ranked = []
    for word in (Word.IMPROVES, Word.WORSENS):
        changed = sorted(
            (x for x in findings if x.verdict.word is word), key=lambda x: (x.other_task, -size(x.verdict))
        )
        if changed:
            ranked.append((-size(changed[0].verdict), _tell_changes(changed, word is Word.IMPROVES, c)))
    phrases = [sentence for _, sentence in sorted(ranked)]
    same = [x for x in findings if x.verdict.word in (Word.EQUIVALENT, Word.NEGLIGIBLE)]
    alike = [x for x in same if x.verdict.contrast.identical]
    equal = Markup("{} equals {}, bit for bit")
    phrases += [
        equal.format(name, _name(against or c.rows[0].arm.name)) for name, against, *_ in alike[:NAMED]
    ]
    within = [_add_opponent(name, against) for name, against, v, _ in same if not v.contrast.identical]
    if within:
        least = f"{c.scale.factor * c.metric.delta:g} {c.scale.difference}".rstrip()
        verb = "changes" if len(within) == 1 else "change"
        phrases.append(Markup("{} {} less than {}").format(_few(within), verb, least))
    return phrases


def _add_opponent(name: Markup, against: str, over: str = "against") -> Markup:
    return Markup("{} {} {}").format(name, over, quoted(visible(against))) if against else name


def _tell_changes(findings: Sequence[Finding], gain: bool, c: Comparison) -> Markup:
    """Arms with their effects, largest first: "A gains 20 points over B, C gains 14 over D"."""
    shown = findings[: NAMED + (len(findings) == NAMED + 1)]
    phrases: list[Markup] = []
    for name, against, v, _ in shown:
        verb, over = _verb(gain, bool(against), c)
        effect = f"{verb} {c.scale.by(size(v))} {c.scale.difference if not phrases else ''}".rstrip()
        effect = "diverges" if v.contrast.mean is None else effect
        given = " where it converges" if v.contrast.given_convergence and v.contrast.mean is not None else ""
        phrases.append(_add_opponent(Markup("{} {}").format(name, effect + given), against, over))
    ks = [x.verdict.contrast for x in shown]
    every = len(list(takewhile(lambda k: max(k.wins, k.losses) == k.pairs, ks)))
    if every:
        some = {1: "the first ", 2: "the first two ", 3: "the first three "}
        which = (some | {len(shown): "each " if every > 1 else ""})[every]
        phrases.append(Markup("{}on every {}").format(which, visible(c.design.noun)))
    listed, sizes = Markup(", ").join(phrases), [size(x.verdict) for x in findings[len(shown) :]]
    if not sizes:
        return listed
    verb, low, high = _verb(gain, False, c)[0].removesuffix("s"), min(sizes), max(sizes)
    return Markup(f"{listed}; {len(sizes)} others {verb} {c.scale.by(low, high)} to {c.scale.by(high)}")


def _verb(gain: bool, rung: bool, c: Comparison) -> tuple[str, str]:
    """A verb and the preposition of the arm that another is held against."""
    if c.metric.lower_is_better:
        return ("saves", "over") if gain else ("costs", "against")
    return ("gains", "over") if gain else ("loses", "against") if rung else ("costs", "against")


def _few(names: Sequence[Markup]) -> Markup:
    """Names as a list, of which all but a few are counted."""
    shown = list(names[: NAMED + (len(names) == NAMED + 1)])
    shown += [Markup(f"{len(names) - len(shown)} others")] if len(names) > len(shown) else []
    return Markup(listed(shown))
