"""Tuning: every arm searches its own best level of one setting, with equal budgets and on seeds of its own.

The winners are then trained again on the study's seeds, so that no seed that chose a level also judges it.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from unrolled.ablations.study.errors import error_context
from unrolled.ablations.study.study import Arm
from unrolled.ablations.study.study_file import StudyFile
from unrolled.ablations.study.trainer import Settings, Trainer
from unrolled.bench.errors import require
from unrolled.bench.metric import Metric
from unrolled.bench.trial import Result, Scalar

SEARCH_OFFSET = 2000
"""The first seed of a search: away from a study's own seeds and, by as much again, from its A/A arm's."""

SEARCH = " (search)"  # how the name of a search ends


def searches(file: StudyFile, arms: Sequence[Arm]) -> tuple[Arm, ...]:
    """The searches that the [tuning] table declares: each tuned arm at each level, baseline first.

    Raises BadInput where the table does not name one numeric setting with two levels or more, where that
    setting decides the task or an arm cannot have a level, where only the baseline would be tuned, and
    where a seed of the search is one of the study's.
    """
    if file.tuning is None:
        return ()
    require(
        len(file.tuning.levels) == 1, "name one setting and the levels to try, as in lr = [1e-3, 3e-3, 1e-2]"
    )
    ((setting, values),) = file.tuning.levels.items()
    own = tuple(range(SEARCH_OFFSET, SEARCH_OFFSET + file.tuning.seeds))
    taken = {seed + arm.seed_offset for arm in arms for seed in arm.seeds}
    require(
        taken.isdisjoint(own),
        f"{own[0]} to {own[-1]} are the search's",
        key="seeds",
        cure="give the study lower seeds",
    )
    trainer = arms[0].trainer
    levels = _levels(file.baseline, setting, values, trainer)
    tuned = [arm for arm in arms if _is_tuned(arm, arms[0], setting)]
    require(
        len(tuned) > 1 and tuned[0] is arms[0],
        "needs a baseline that trains, and another arm that does, on its task and without "
        f"a {setting} of its own",
    )
    return tuple(_search(arm, own, setting, level) for arm in tuned for level in levels)


def winner(levels: Sequence[Sequence[Result]], metric: Metric) -> int | None:
    """The index of the level with the best mean of a metric over its trials; the first of equal ones.

    A level with a trial that diverged or failed cannot win. None if every level has such a trial.
    """
    means = [fmean(_badness(result, metric) for result in results) for results in levels]
    best = min(range(len(means)), key=means.__getitem__)
    return best if math.isfinite(means[best]) else None


def winner_name(search: str, arm: str) -> str:
    """The name of an arm at its best level, from that of its search: 'LMModel6, its best lr 0.01'."""
    return f"{arm}, its best {search.removeprefix(f'{arm}, ').removesuffix(SEARCH)}"


def _levels(baseline: Settings, setting: str, values: Any, trainer: Trainer) -> tuple[Scalar, ...]:
    """What the baseline would be set to, level by level."""
    trainer.check_key(baseline, setting)
    task = trainer.task(trainer.resolve(baseline))
    require(setting not in task, "decides the task, and losses of two tasks do not compare", place=setting)
    numeric = isinstance(values, list) and all(type(value) in (int, float) for value in values)
    require(
        numeric and len(values) > 1,
        "should be an array of two numbers or more, as in lr = [1e-3, 1e-2]",
        place=setting,
    )
    settings = [trainer.resolve(trainer.inherit(baseline, {setting: value})) for value in values]
    levels = tuple(trainer.trial(fields).factors()[setting] for fields in settings)
    once = len(set(levels)) == len(levels)
    require(once, "a level is given twice", key=f"{setting} = {values}", cure="keep one")
    return levels


def _is_tuned(arm: Arm, baseline: Arm, setting: str) -> bool:
    """Whether an arm trains, on the baseline's task and at its level: others have no level that is shared."""
    return (
        not arm.seed_offset
        and not arm.seedless
        and arm.task == baseline.task
        and arm.flat.get(setting) == baseline.flat[setting]
    )


def _search(arm: Arm, seeds: tuple[int, ...], setting: str, level: Scalar) -> Arm:
    """The arm with the setting moved."""
    with error_context(f"arm {arm.name!r}"):
        settings = arm.trainer.move(arm.settings, setting, level)
    return replace(
        arm,
        name=f"{arm.name}, {arm.trainer.label(setting, level)}{SEARCH}",
        settings=settings,
        seeds=seeds,
        also=(),
        tunes=arm.name,
        setting=setting,
        level=level,
    )


def _badness(result: Result, metric: Metric) -> float:
    """The metric as a loss; infinite for a trial without one."""
    value = result.metrics.get(metric.name, math.nan) if result.done else math.nan
    if not math.isfinite(value):
        return math.inf
    return value if metric.lower_is_better else -value
