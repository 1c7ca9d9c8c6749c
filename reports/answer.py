"""The answer to a study's question: a short list in everyday words, made from means and verdicts."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import PurePath
from typing import NamedTuple

from markupsafe import Markup

from unrolled.bench.errors import plural, visible
from unrolled.bench.metric import FEWEST_SEEDS
from unrolled.bench.trial import Scalar
from unrolled.reports.compared_arm import ComparedArm
from unrolled.reports.comparison import Comparison
from unrolled.reports.factorial import VIEWS, Factorial, Part
from unrolled.reports.formats import join_names, phrase_all, quote_name
from unrolled.reports.sentences import (
    Claim,
    describe_diverged,
    describe_divergence,
    describe_too_few_pairs,
    effect_size,
    list_claims,
)
from unrolled.reports.statistics.verdicts import Direction, Size, Verdict

NAMED = 8  # arms of each verdict that the answer names before it counts the others
LEVELS = 3  # steps of a ladder whose levels it tells
Key = frozenset[tuple[str, Scalar]]  # an arm's other settings, by which it is found again on another task
Arms = Mapping[Key, ComparedArm]


class Finding(NamedTuple):
    """The verdict on an arm or a switch."""

    name: Markup
    against: str  # the arm that it is compared with, if not the baseline
    verdict: Verdict
    other_task: bool = False  # than the baseline's
    disagreement: str = ""  # where another metric disagrees
    standing: Sequence[str] = ()  # exploratory, or one of several attempts

    @property
    def diverged(self) -> str:
        """How often each side diverged; "" if no seed did."""
        return describe_diverged(self.verdict.contrast)

    @property
    def state(self) -> str:
        """Its standing, whether it is provisional, and what keeps it open beside its numbers."""
        v = self.verdict
        skewed = "the pairs are skewed" if v.open_by_skewness else ""
        provisional = "provisional" if v.provisional else ""
        return ", ".join(filter(None, (*self.standing, provisional, v.blocked_reason or skewed)))

    @property
    def remarks(self) -> str:
        """In brackets its state, how often each side diverged, and where another metric disagrees."""
        return _bracket(self.state, self.diverged, self.disagreement)


def write_answer(
    c: Comparison, parts: Sequence[Part] = (), grid: Factorial | None = None
) -> tuple[Markup, ...]:
    """Return the study's question answered by the first metric: a sentence on levels, then a line each.

    First the arms that are better, best first; then those that are worse, worst first; what differs by less
    than δ; what is open. `parts` are the switches of a study that asks for the effect of each, and `grid`
    their factorial; without them every contrast has its own line. A study with the same arms on several
    tasks asks for their order. Where nothing is decided, as there are too few seeds, all arms are ranked.
    """
    if few := describe_too_few_pairs(c):
        return Markup(visible(few)), *_rank_all_arms(c)
    return describe_order(c) or tuple(
        filter(None, [_describe_levels(c), *list_effects(c, parts), *_describe_interactions(grid, c)])
    )


def list_effects(c: Comparison, parts: Sequence[Part] = ()) -> list[Markup]:
    """Return the lines of `write_answer` on what changes."""
    view = next((v for v in VIEWS if any(part.views[v] for part in parts)), None)
    if view:
        findings = [
            Finding(_format_name(part.switch.name), "", v) for part in parts if (v := part.views[view])
        ]
    else:
        findings = [
            Finding(
                name=_format_name(x.row.arm.name),
                against=x.row.arm.against,
                verdict=x.verdict,
                other_task=bool(x.row.arm.find_task_differences(c.arms[0].arm)),
                disagreement=_describe_disagreement(x, c),
                standing=x.row.standing,
            )
            for x in list_claims(c)
        ]
    lines = _describe_effects(findings, c)
    if view and lines:
        lines[:0] = [Markup("{}:").format(view.capitalize())]
    return lines


def _describe_interactions(grid: Factorial | None, c: Comparison) -> Iterator[Markup]:
    """Yield the pairs of switches whose effects do not add up, largest first, and how many are open."""
    if grid is None:
        return
    together = Markup("Together {} and {} are {} {} {} than their two effects add up to, {}")
    for effect in sorted(grid.shown_interactions, key=lambda e: -effect_size(e.verdict)):
        v = effect.verdict
        first, second = map(_format_name, effect.factors)
        size = c.scale.format_size(effect.mean, v.interval)
        ends = c.scale.format_interval(v.interval, sizes=True)
        yield together.format(first, second, size, c.scale.difference_unit, v.direction, ends)
    if undecided := sum(not e.verdict.claims for e in grid.interactions):
        pairs = plural(len(grid.interactions), "pair")
        yield Markup(f"Whether the effects of two parts add up is open for {undecided} of {pairs}")


def describe_order(c: Comparison) -> tuple[Markup, ...]:
    """Return sentences on whether arms keep their order from task to task.

    There are none unless a study has two arms or more on several tasks.
    """
    tasks = _group_by_task(c)
    shared = set.intersection(*map(set, tasks.values())) if len(tasks) > 1 else set()
    if len(shared) < 2:
        return ()
    arms = {key: row.arm for key, row in next(iter(tasks.values())).items() if key in shared}
    titles = [arm.title for arm in arms.values()]
    names = {
        k: _format_name(arm.title if titles.count(arm.title) == 1 else arm.name) for k, arm in arms.items()
    }
    directions = _judge_order(tasks, list(names), c)
    sure = {Direction.BETTER, Direction.WORSE}
    stable = [pair for pair, by_task in directions.items() if any(by_task == [d] * len(tasks) for d in sure)]
    reversed_pairs = [pair for pair, by_task in directions.items() if sure <= set(by_task)]
    unclear = [pair for pair in directions if pair not in (*stable, *reversed_pairs)]
    verb = "keeps its" if len(stable) == 1 else "keep their"
    phrases = [Markup(f"{len(stable)} of {plural(len(directions), 'pair')} of arms {verb} order")]
    unsure = Markup("Which is better is not shown on every task for {}")
    for pairs, phrase in ((reversed_pairs, Markup("{} change places")), (unclear, unsure)):
        if pairs:
            pair_names = [Markup("{} and {}").format(names[first], names[second]) for first, second in pairs]
            phrases.append(phrase.format(Markup("; ").join(_list_first(pair_names))))
    levels = [
        Markup("On {} {}").format(
            task, _list_levels(_rank_arms([(names[key], rows[key]) for key in names], c), c)
        )
        for task, rows in tasks.items()
    ]
    return *phrases, *levels


def _judge_order(
    tasks: Mapping[str, Arms], keys: Sequence[Key], c: Comparison
) -> dict[tuple[Key, Key], list[Direction]]:
    """Return the direction of every pair of these arms on each task, Holm-corrected together."""
    directions = {pair: list[Direction]() for pair in combinations(keys, 2)}
    sides = {
        (task, pair): (rows[pair[0]], rows[pair[1]]) for task, rows in tasks.items() for pair in directions
    }
    for (_, pair), v in c.judge_undeclared(sides).items():
        directions[pair].append(v.direction)
    return directions


def _group_by_task(c: Comparison) -> Mapping[str, Arms]:
    """Return, by task, in words, its arms by their other settings; the A/A check is left out."""
    rows = [row for row in c.arms if row.index == 0 or not row.arm.is_aa_arm]
    trials = [(row, row.arm.example_trial) for row in rows if row.summary.n]
    trained = [(row, trial.flat_settings()) for row, trial in trials if trial and trial.task]
    keys = c.design.presentation.task
    differing = [key for key in keys if len({factors[key] for _, factors in trained}) > 1]
    tasks: dict[str, dict[Key, ComparedArm]] = {}
    for row, factors in trained:
        task = ", ".join(f"{key} {PurePath(str(factors[key])).name}" for key in differing)
        settings = frozenset((key, value) for key, value in factors.items() if key not in keys)
        tasks.setdefault(task, {})[settings] = row
    return tasks


def _describe_disagreement(x: Claim, c: Comparison) -> str:
    """Return the effects by other metrics that point elsewhere, such as "perplexity × 1.13"."""
    phrases = []
    for view in c.other_views:
        v = view.arms[x.row.index].verdict
        if v and v.direction is not Direction.NONE and v.kind != x.verdict.kind:
            how = view.scale.second_scale or view.scale
            phrases.append(f"{how.title} {how.describe_difference(v.contrast.estimate or 0.0, v.interval)}")
    return ", ".join(phrases)


def _format_name(name: str) -> Markup:
    return Markup("<b>{}</b>").format(visible(name))


def _rank_all_arms(c: Comparison) -> Iterator[Markup]:
    """Yield the arms of each task by their means, the best first; the A/A check is left out."""
    for rows in c.arms_by_task:
        arms = [row for row in rows if row.index == 0 or not row.arm.is_aa_arm]
        if ranked := _rank_arms([(_format_name(row.arm.name), row) for row in arms], c):
            other_task = "" if rows[0].index == 0 else "On another task "
            yield Markup("{}{}").format(other_task, _list_levels(ranked, c))


def _describe_levels(c: Comparison) -> Markup:
    """Return what the baseline reaches; in a ladder, what the best arms of its task reach, and the baseline.

    In a grid, what the best arm of each line reaches. Arms are ranked only once a contrast is decided.
    """
    ranked = any(row.verdict and row.verdict.claims for row in c.arms_with_contrast)
    if ranked and (lines := _find_grid_lines(c)):
        best = _rank_arms([x for line in lines for x in _rank_arms(line, c)[:1]], c)
        return _list_levels(best, c)
    rows = [row for row in c.same_task_arms if row.index == 0 or not row.arm.is_aa_arm]
    ladder = ranked and any(row.arm.against for row in c.arms_with_contrast)
    best = _rank_arms([(_format_name(row.arm.name), row) for row in rows], c)
    return _list_levels([x for i, x in enumerate(best) if x[1].index == 0 or (ladder and i < LEVELS)], c)


def _find_grid_lines(c: Comparison) -> Sequence[Sequence[tuple[Markup, ComparedArm]]]:
    """Return the lines of a grid: an arm that is compared with none, and all that are compared with it."""
    lines: dict[str, list[ComparedArm]] = {}
    for row in c.arms:
        if row.contrast and not row.arm.is_aa_arm:
            lines.setdefault(c.find_base(row).arm.name, [c.find_base(row)]).append(row)
    grid = len(lines) > 1 and all(
        len(line) > 2 and not line[0].has_contrast_to_decide for line in lines.values()
    )
    return [[(_format_name(row.arm.name), row) for row in line] for line in lines.values()] if grid else []


def _rank_arms(rows: Sequence[tuple[Markup, ComparedArm]], c: Comparison) -> list[tuple[Markup, ComparedArm]]:
    """Return the arms that have a mean, the best first."""
    names = {row.index: name for name, row in rows}
    ranked = c.rank_arms(row for _, row in rows if row.summary.mean is not None)
    return [(names[row.index], row) for row in ranked]


def _list_levels(rows: Sequence[tuple[Markup, ComparedArm]], c: Comparison) -> Markup:
    """Return arms with their means: "A predicts 98 % of the words, B 95 % (3 of 40 diverged)"."""
    reaches = c.scale.reaches
    levels = [c.scale.format_level(row.summary.mean, 0 if reaches else None) for _, row in rows]
    article = "an" if c.title[:1] in "aeiou" else "a"
    levels[:1] = [reaches.format(x) if reaches else f"has {article} {c.title} of {x}" for x in levels[:1]]
    diverged = [
        f" ({s.diverged} of {s.n} diverged)" if (s := row.summary).diverged else "" for _, row in rows
    ]
    phrases = zip(rows, levels, diverged, strict=True)
    return Markup(", ").join(Markup("{} {}{}").format(name, *texts) for (name, _), *texts in phrases)


def _describe_effects(findings: Sequence[Finding], c: Comparison) -> list[Markup]:
    """Return lines on large effects, on equal arms, on differences of less than δ, and on what is open."""
    lines: list[Markup] = []
    for direction in (Direction.BETTER, Direction.WORSE):
        changed = [x for x in findings if x.verdict.effect == direction]
        changed.sort(key=lambda x: (x.other_task, -effect_size(x.verdict)))
        lines += _describe_changes(changed, c)
    equal = [x for x in findings if x.verdict.contrast.identical and not x.verdict.blocked_reason]
    settled = [x for x in equal if x.verdict.contrast.pairs >= FEWEST_SEEDS]
    for x in equal:
        base = _format_name(x.against or c.arms[0].arm.name)
        everywhere = phrase_all(x.verdict.contrast.pairs, c.design.noun)
        equals = Markup("{} equals {} in {} {}{}")
        lines.append(equals.format(x.name, base, c.title, everywhere, x.remarks))
    small = [x for x in findings if x.verdict.size is Size.LESS and x not in equal]
    if small:
        least = c.scale.format_delta(c.metric.zone)
        verb = "changes" if len(small) == 1 else "change"
        lines.append(Markup("{} {} less than {}").format(_list_findings(small), verb, least))
    if undecided := [x for x in findings if not x.verdict.claims and x not in settled]:
        lines.append(Markup("Open: {}").format(_list_findings(undecided)))
    return lines


def _list_findings(findings: Sequence[Finding]) -> Markup:
    """Return findings by name, each with what it is compared with; of many the last are counted."""
    names = []
    for x in findings:
        against = f" against {quote_name(visible(x.against))}" if x.against else ""
        names.append(Markup("{}{}{}").format(x.name, against, x.remarks))
    return Markup(join_names(_list_first(names))) + _describe_diverged(findings[_count_listed(findings) :])


def _describe_diverged(others: Sequence[Finding]) -> str:
    """Return how many of those that are only counted have diverged seeds, in brackets; "" for none."""
    diverged = sum(bool(x.diverged) for x in others)
    return f" (seeds of {diverged} diverged)" if diverged else ""


def _bracket(*remarks: str) -> str:
    text = "; ".join(filter(None, remarks))
    return f" ({text})" if text else ""


def _describe_changes(findings: Sequence[Finding], c: Comparison) -> list[Markup]:
    """Return arms with their effects, largest first: "A gains 20 points over B"; many are counted."""
    listed = _count_listed(findings)
    lines = []
    for x in findings[:listed]:
        verb, over = _choose_verb(x.verdict, bool(x.against), c)
        against = f" {over} {quote_name(visible(x.against))}" if x.against else ""
        if _has_effect(x):
            change = c.scale.format_size(x.verdict.contrast.estimate or 0.0, x.verdict.interval)
            effect = f"{verb} {change} {c.scale.difference_unit}".rstrip()
            effect += " in the median" if x.verdict.contrast.by_median else ""
            interval = c.scale.format_interval(x.verdict.interval, sizes=True)
            line = Markup("{} {}{}, {}{}").format(x.name, effect, against, interval, x.remarks)
        else:
            remarks = _bracket(x.state, x.disagreement)
            line = Markup("{} {}{}{}").format(x.name, describe_divergence(x.verdict), against, remarks)
        lines.append(line)
    lines += _summarise_changes(findings[listed:], c)
    return lines


def _summarise_changes(findings: Sequence[Finding], c: Comparison) -> Iterator[Markup]:
    """Yield how many arms differ in one direction: those with an effect, and those that only diverge."""
    changed = [x for x in findings if _has_effect(x)]
    effects = sorted((x.verdict.contrast.estimate or 0.0 for x in changed), key=abs)
    if effects:
        verb = _choose_verb(findings[0].verdict, False, c)[0]
        ends = dict.fromkeys((c.scale.format_size(effects[0]), c.scale.format_size(effects[-1])))
        line = f"{_format_count(len(effects), verb)} {' to '.join(ends)} {c.scale.difference_unit}".rstrip()
        yield Markup(f"{line}{_describe_diverged(changed)}")
    if diverged := len(findings) - len(effects):
        yield Markup(f"{_format_count(diverged, 'differs')} by how often seeds diverge")


def _format_count(number: int, verb: str) -> str:
    """Return a number of arms with their verb: "1 other gains", "3 others gain"."""
    return f"1 other {verb}" if number == 1 else f"{number} others {verb.removesuffix('s')}"


def _has_effect(x: Finding) -> bool:
    return x.verdict.direction is not Direction.NONE and math.isfinite(effect_size(x.verdict))


def _choose_verb(v: Verdict, rung: bool, c: Comparison) -> tuple[str, str]:
    """Return a verb and the preposition of the arm that another is compared with."""
    gain = v.kind == Direction.BETTER
    if c.metric.lower_is_better:
        return ("saves", "over") if gain else ("costs", "against")
    return ("gains", "over") if gain else ("loses", "against") if rung else ("costs", "against")


def _list_first(names: Sequence[Markup]) -> list[Markup]:
    """Return the first names, and the number of the others in place of these."""
    listed = _count_listed(names)
    others = [Markup(f"{len(names) - listed} others")] if len(names) > listed else []
    return [*names[:listed], *others]


def _count_listed(things: Sequence[object]) -> int:
    """Return how many things are listed before the others are counted. There is never one other."""
    return NAMED + (len(things) == NAMED + 1)
