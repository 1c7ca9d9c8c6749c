"""What arms reach: their means in words, the best first, and whether they keep their order on every task."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import PurePath

from markupsafe import Markup

from unrolled.bench.errors import plural, visible
from unrolled.bench.trial import Scalar
from unrolled.reports.compared_arm import ComparedArm
from unrolled.reports.comparison import Comparison
from unrolled.reports.statistics.power import CLAIM_SEEDS
from unrolled.reports.statistics.verdicts import Direction

NAMED = 8  # arms of each verdict that the answer names before it counts the others
Key = frozenset[tuple[str, Scalar]]  # an arm's other settings, by which it is found again on another task
Arms = Mapping[Key, ComparedArm]


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
        k: format_name(arm.title if titles.count(arm.title) == 1 else arm.name) for k, arm in arms.items()
    }
    directions = _judge_order(tasks, list(names), c)
    sure = {Direction.BETTER, Direction.WORSE}
    stable = [pair for pair, by_task in directions.items() if any(by_task == [d] * len(tasks) for d in sure)]
    reversed_pairs = [pair for pair, by_task in directions.items() if sure <= set(by_task)]
    unclear = [pair for pair in directions if pair not in (*stable, *reversed_pairs)]
    verb = "keeps its" if len(stable) == 1 else "keep their"
    provisional = " (provisional)" if stable and len(c.design.first_look) < CLAIM_SEEDS else ""
    phrases = [
        Markup(f"{len(stable)} of {plural(len(directions), 'pair')} of arms {verb} order{provisional}")
    ]
    unsure = Markup("Which is better is not shown on every task for {}")
    for pairs, phrase in ((reversed_pairs, Markup("{} change places")), (unclear, unsure)):
        if pairs:
            pair_names = [Markup("{} and {}").format(names[first], names[second]) for first, second in pairs]
            phrases.append(phrase.format(Markup("; ").join(list_first(pair_names))))
    levels = [
        Markup("On {} {}").format(
            task, list_levels(rank_arms([(names[key], rows[key]) for key in names], c), c)
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


def rank_all_arms(c: Comparison) -> Iterator[Markup]:
    """Yield the arms of each task by their means, the best first; the A/A check is left out."""
    for rows in c.arms_by_task:
        arms = [row for row in rows if row.index == 0 or not row.arm.is_aa_arm]
        if ranked := rank_arms([(format_name(row.arm.name), row) for row in arms], c):
            other_task = "" if rows[0].index == 0 else "On another task "
            yield Markup("{}{}").format(other_task, list_levels(ranked, c))


def find_grid_lines(c: Comparison) -> Sequence[Sequence[tuple[Markup, ComparedArm]]]:
    """Return the lines of a grid: an arm that is compared with none, and all that are compared with it."""
    lines: dict[str, list[ComparedArm]] = {}
    for row in c.arms:
        if row.contrast and not row.arm.is_aa_arm:
            lines.setdefault(c.find_base(row).arm.name, [c.find_base(row)]).append(row)
    grid = len(lines) > 1 and all(
        len(line) > 2 and not line[0].has_contrast_to_decide for line in lines.values()
    )
    return [[(format_name(row.arm.name), row) for row in line] for line in lines.values()] if grid else []


def rank_arms(rows: Sequence[tuple[Markup, ComparedArm]], c: Comparison) -> list[tuple[Markup, ComparedArm]]:
    """Return the arms that have a mean, the best first."""
    names = {row.index: name for name, row in rows}
    ranked = c.rank_arms(row for _, row in rows if row.summary.mean is not None)
    return [(names[row.index], row) for row in ranked]


def list_levels(
    rows: Sequence[tuple[Markup, ComparedArm]], c: Comparison, *, count_seeds: bool = False
) -> Markup:
    """Return arms with their means: "A predicts 98 % of the words, B 95 % (3 of 40 diverged)".

    Where they are over unequal numbers of seeds, or with `count_seeds`, each says over how many.
    """
    digits = 0 if c.scale.reaches else None
    numbers = [row.summary.n - row.summary.diverged for _, row in rows]
    levels = [c.scale.format_level(row.summary.mean, digits) for _, row in rows]
    levels[:1] = [phrase_level(x, c) for x in levels[:1]]
    if len(set(numbers)) > 1 or count_seeds:
        levels = [
            f"{level} over {plural(n, c.design.noun)}" for level, n in zip(levels, numbers, strict=True)
        ]
    diverged = [
        f" ({s.diverged} of {s.n} diverged)" if (s := row.summary).diverged else "" for _, row in rows
    ]
    phrases = zip(rows, levels, diverged, strict=True)
    return Markup(", ").join(Markup("{} {}{}").format(name, *texts) for (name, _), *texts in phrases)


def phrase_level(level: str, c: Comparison) -> str:
    """Return a level with its verb: "predicts 98 % of the words", "has a loss of 1.2"."""
    article = "an" if c.title[:1] in "aeiou" else "a"
    return c.scale.reaches.format(level) if c.scale.reaches else f"has {article} {c.title} of {level}"


def format_name(name: str) -> Markup:
    """Return the name of an arm or a part, in bold type."""
    return Markup("<b>{}</b>").format(visible(name))


def list_first(names: Sequence[Markup]) -> list[Markup]:
    """Return the first names, and the number of the others in place of these."""
    listed = count_listed(names)
    others = [Markup(f"{len(names) - listed} others")] if len(names) > listed else []
    return [*names[:listed], *others]


def count_listed(things: Sequence[object]) -> int:
    """Return how many things are listed before the others are counted. There is never one other."""
    return NAMED + (len(things) == NAMED + 1)
