"""The means of arms in words, the best first, and whether arms keep their order on every task."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import PurePath

from markupsafe import Markup

from unrolled.bench.phrases import choose_form, make_visible, plural, select_phrases
from unrolled.bench.trial import Scalar
from unrolled.reports.compare.compared_arm import ComparedArm, merge_standings
from unrolled.reports.compare.comparison import Comparison
from unrolled.reports.formats import format_brackets
from unrolled.reports.statistics.power import CLAIM_SEEDS
from unrolled.reports.statistics.verdicts import Direction

MOST_NAMES = 8  # most arms or parts that a line of the answer names before it counts the rest
Key = frozenset[tuple[str, Scalar]]  # the settings of an arm without those of its task
Arms = Mapping[Key, ComparedArm]  # the arms of one task


def list_order_lines(comparison: Comparison) -> tuple[Markup, ...]:
    """Return sentences on whether arms keep their order from task to task.

    There are none unless a study has at least two arms on several tasks.
    """
    tasks = _group_by_task(comparison)
    shared = set.intersection(*map(set, tasks.values())) if len(tasks) > 1 else set()
    if len(shared) < 2:
        return ()
    arms = {key: arm.counted_arm for key, arm in next(iter(tasks.values())).items() if key in shared}
    titles = [measured.title for measured in arms.values()]
    names = {}
    for key, measured in arms.items():
        has_own_title = titles.count(measured.title) == 1
        names[key] = format_name(measured.title if has_own_title else measured.name)
    directions = _judge_order(tasks, list(names), comparison)
    directed = {Direction.BETTER, Direction.WORSE}
    stable = [
        pair
        for pair, by_task in directions.items()
        if any(by_task == [direction] * len(tasks) for direction in directed)
    ]
    reversed_pairs = [pair for pair, by_task in directions.items() if directed <= set(by_task)]
    unclear = [pair for pair in directions if pair not in (*stable, *reversed_pairs)]
    verb = choose_form(len(stable), "is shown to keep its", "are shown to keep their")
    marks = _list_order_marks(tasks, comparison, makes_claim=bool(stable))
    kept_order = Markup(
        f"{len(stable)} of {plural(len(directions), 'pair')} of arms {verb} order on every task"
        f"{format_brackets(', '.join(marks))}"
    )
    phrases = {
        kept_order: True,
        Markup("{} change places").format(_join_pairs(reversed_pairs, names)): reversed_pairs,
        Markup("Which is better is not shown on every task for {}").format(
            _join_pairs(unclear, names)
        ): unclear,
    }
    means = []
    for task, by_key in tasks.items():
        ranked = rank_named_arms([(names[key], by_key[key]) for key in names], comparison)
        means.append(Markup("On {} {}").format(task, describe_means(ranked, comparison)))
    return *select_phrases(phrases), *means


def _list_order_marks(tasks: Mapping[str, Arms], comparison: Comparison, *, makes_claim: bool) -> list[str]:
    """Return what is said of the evidence of an order: "exploratory, provisional"."""
    arms = [arm for by_key in tasks.values() for arm in by_key.values()]
    is_short = len(comparison.design.rules.first_look_seeds) < CLAIM_SEEDS
    is_provisional = is_short or any(arm.verdict.is_provisional for arm in arms if arm.verdict)
    return [*merge_standings(arms), *select_phrases({"provisional": makes_claim and is_provisional})]


def _join_pairs(pairs: Sequence[tuple[Key, Key]], names: Mapping[Key, Markup]) -> Markup:
    """Return pairs of arms by name: "A and B; A and C"; after the first few, the number of the others."""
    pair_names = [Markup("{} and {}").format(names[first], names[second]) for first, second in pairs]
    return Markup("; ").join(list_first(pair_names))


def list_single_task_arms(comparison: Comparison) -> list[ComparedArm]:
    """Return the arms whose other settings are not on every task, so that no sentence has their order."""
    tasks = _group_by_task(comparison)
    shared = set.intersection(*map(set, tasks.values()))
    return [arm for by_key in tasks.values() for key, arm in by_key.items() if key not in shared]


def _judge_order(
    tasks: Mapping[str, Arms], keys: Sequence[Key], comparison: Comparison
) -> dict[tuple[Key, Key], list[Direction]]:
    """Return the direction of each pair of arms on each task, the first against the second."""
    directions = {pair: list[Direction]() for pair in combinations(keys, 2)}
    sides = {
        (task, pair): (by_key[pair[0]], by_key[pair[1]])
        for task, by_key in tasks.items()
        for pair in directions
    }
    for (_, pair), verdict in comparison.judge_pairs(sides).items():
        directions[pair].append(verdict.direction)
    return directions


def _group_by_task(comparison: Comparison) -> Mapping[str, Arms]:
    """Return, by task in words ("corpus text8"), its arms by their other settings, without the A/A check."""
    arms = [arm for arm in comparison.arms if not arm.is_aa_check]
    trials = [(arm, arm.counted_arm.example_trial) for arm in arms if arm.summary.n]
    trained = [(arm, trial.flat_settings()) for arm, trial in trials if trial and trial.task]
    task_settings = dict.fromkeys(key for _, trial in trials if trial for key in trial.task_settings)
    differing = [key for key in task_settings if len({settings[key] for _, settings in trained}) > 1]
    tasks: dict[str, dict[Key, ComparedArm]] = {}
    for arm, settings in trained:
        task = ", ".join(f"{key} {PurePath(str(settings[key])).name}" for key in differing)
        other_settings = frozenset(
            (key, value) for key, value in settings.items() if key not in task_settings
        )
        tasks.setdefault(task, {})[other_settings] = arm
    return tasks


def list_mean_lines(comparison: Comparison) -> Iterator[Markup]:
    """Yield the arms of each task by their means, the best first; the A/A check is left out."""
    for group in comparison.task_groups:
        arms = [arm for arm in group if not arm.is_aa_check]
        if ranked := rank_named_arms([(format_name(arm.name), arm) for arm in arms], comparison):
            other_task = "" if group[0].index == 0 else "On another task "
            yield Markup("{}{}").format(other_task, describe_means(ranked, comparison))


def find_grid_lines(comparison: Comparison) -> Sequence[Sequence[tuple[Markup, ComparedArm]]]:
    """Return the lines of a grid, [] if there is none: each is a base, and the arms compared with it."""
    lines: dict[str, list[ComparedArm]] = {}
    for arm in comparison.arms:
        if arm.contrast and not arm.is_aa_check:
            lines.setdefault(comparison.find_base(arm).name, [comparison.find_base(arm)]).append(arm)
    is_grid = len(lines) > 1 and all(
        len(line) > 2 and not line[0].state.has_contrast for line in lines.values()
    )
    if not is_grid:
        return []
    return [[(format_name(arm.name), arm) for arm in line] for line in lines.values()]


def rank_named_arms(
    named_arms: Sequence[tuple[Markup, ComparedArm]], comparison: Comparison
) -> list[tuple[Markup, ComparedArm]]:
    """Return the arms that have a mean, the best first."""
    names = {arm.index: name for name, arm in named_arms}
    ranked = comparison.rank_arms(arm for _, arm in named_arms if arm.summary.mean is not None)
    return [(names[arm.index], arm) for arm in ranked]


def describe_means(
    named_arms: Sequence[tuple[Markup, ComparedArm]], comparison: Comparison, *, count_seeds: bool = False
) -> Markup:
    """Return arms with their means: "A predicts 98 % of the words, B 95 % (3 of 40 diverged)".

    If the numbers of seeds differ, or with `count_seeds`, each mean is given with its number.
    """
    decimals = 0 if comparison.scale.mean_phrase else None
    numbers = [arm.summary.n - arm.summary.diverged_count for _, arm in named_arms]
    means = [comparison.scale.format_value(arm.summary.mean, decimals) for _, arm in named_arms]
    means[:1] = [describe_arm_mean(mean, comparison) for mean in means[:1]]
    if len(set(numbers)) > 1 or count_seeds:
        means = [
            f"{mean} over {plural(n, comparison.design.noun)}" for mean, n in zip(means, numbers, strict=True)
        ]
    phrases = []
    for (name, arm), mean in zip(named_arms, means, strict=True):
        diverged = ""
        if arm.summary.diverged_count:
            diverged = f" ({arm.summary.diverged_count} of {arm.summary.n} diverged)"
        phrases.append(Markup("{} {}{}").format(name, mean, diverged))
    return Markup(", ").join(phrases)


def describe_arm_mean(mean: str, comparison: Comparison) -> str:
    """Return a mean with its verb: "predicts 98 % of the words", "has a loss of 1.2"."""
    if comparison.scale.mean_phrase:
        return comparison.scale.mean_phrase.format(mean)
    article = "a "
    if re.search("[^s]s$", comparison.scale.title):  # hits, but not loss
        article = ""
    elif comparison.scale.title.startswith(tuple("aeiou")):
        article = "an "
    return f"has {article}{comparison.scale.title} of {mean}"


def format_name(name: str) -> Markup:
    """Return the name of an arm or a part, in bold type."""
    return Markup("<b>{}</b>").format(make_visible(name))


def list_first(names: Sequence[Markup]) -> list[Markup]:
    """Return the first names and, in place of the others, their number: [a, b, …, "3 others"]."""
    listed = count_listed(names)
    if listed >= len(names):
        return [*names]
    return [*names[:listed], Markup(f"{len(names) - listed} others")]


def count_listed(things: Sequence[object], most: int = MOST_NAMES) -> int:
    """Return how many things are listed before the others are counted; "1 other" is listed instead."""
    return most + (len(things) == most + 1)
