"""Tuning: every arm searches its own best level of one setting, with equal budgets and on seeds of its own.

The winners are then trained again on the study's seeds: the luck that chose a level is never judged.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from ablations.design.errors import at
from ablations.design.settings import Settings, check_key, flat, inherit, label, resolve
from ablations.design.study import Arm, Study, Tuning
from bench.models.registry import spec_of
from bench.trial import TASK, BadInput, Result, Scalar, Trial, lower_is_better

SEARCH_OFFSET = 2000
"""The first seed of a search: away from a study's own seeds and, by as much again, from its A/A arm's."""

_TASK = ("corpus", *(name for name in TASK if name != "data"))
"""As settings: the data are named by their corpus."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """One arm at one level of the tuned setting."""

    arm: Arm
    setting: str
    level: Scalar
    name: str
    settings: Settings


def decided(study: Study) -> Study:
    """The study with its [tuning] table checked; the same one where it has none.

    Raises BadInput where the table does not name one numeric setting with two levels or more, where that
    setting decides the task or an arm cannot have a level, where only the baseline would be tuned, and
    where a seed of the search is one of the study's.
    """
    table = study.written.tuning
    if table is None:
        return study
    written = table.model_extra or {}
    if len(written) != 1:
        raise BadInput("name one setting and the levels to try, as in lr = [1e-3, 3e-3, 1e-2]")
    ((setting, values),) = written.items()
    seeds = tuple(range(SEARCH_OFFSET, SEARCH_OFFSET + table.seeds))
    if set(seeds) & {seed + arm.seed_offset for arm in study.arms for seed in study.seeds}:
        raise BadInput(f"seeds: {seeds[0]} to {seeds[-1]} are the search's; give the study lower seeds")
    levels = _levels(study.written.baseline, setting, values)
    study = replace(study, tuning=Tuning(setting=setting, levels=levels, seeds=seeds))
    searches(study)  # every arm can have every level
    return study


def searches(study: Study) -> tuple[Search, ...]:
    """Every tuned arm at every level, arm by arm, baseline first; nothing where the study does not tune.

    Raises BadInput where an arm cannot have a level, and where the baseline would be tuned alone.
    """
    if study.tuning is None:
        return ()
    arms, setting = _tuned(study.arms, study.tuning.setting), study.tuning.setting
    if len(arms) < 2 or arms[0] is not study.baseline:
        raise BadInput(
            "needs a baseline that trains, and another arm that does, on its task and without "
            f"a {setting} of its own"
        )
    return tuple(_search(arm, setting, level) for arm in arms for level in study.tuning.levels)


def trials(study: Study, identify: Callable[[Trial], Trial]) -> list[tuple[Search, Trial]]:
    """Every search with its trials, seed by seed. `identify` fills in the hashes of source and data."""
    found = searches(study)
    return [
        (search, identify(Trial(seed=seed, **search.settings)))
        for seed in (study.tuning.seeds if study.tuning else ())
        for search in found
    ]


def winner(levels: Sequence[Sequence[Result]], metric: str) -> int | None:
    """Which level has the best mean of a metric over its trials; of equal ones the first.

    A trial that diverged, or failed in any other way, is the worst there is. None where every level has one.
    """
    means = [fmean(_badness(result, metric) for result in results) for results in levels]
    best = min(range(len(means)), key=means.__getitem__)
    return best if math.isfinite(means[best]) else None


def _levels(baseline: Settings, setting: str, values: Any) -> tuple[Scalar, ...]:
    """What the baseline would be set to, level by level."""
    check_key(spec_of(baseline["model"]), setting)
    if setting in _TASK:
        raise BadInput(f"{setting}: decides the task, and losses of two tasks do not compare")
    numeric = isinstance(values, list) and all(type(value) in (int, float) for value in values)
    if not numeric or len(values) < 2:
        raise BadInput(f"{setting}: should be an array of two numbers or more, as in lr = [1e-3, 1e-2]")
    levels = tuple(flat(resolve(inherit(baseline, {setting: value})))[setting] for value in values)
    if len(set(levels)) < len(levels):
        raise BadInput(f"{setting} = {values}: a level is given twice; keep one")
    return levels


def _tuned(arms: Sequence[Arm], setting: str) -> list[Arm]:
    """The arms that train, on the baseline's task and at its level: others have no level that is shared."""
    baseline = arms[0].settings
    level = flat(baseline)[setting]
    return [
        arm
        for arm in arms
        if not arm.seed_offset
        and not spec_of(arm.settings["model"]).counted
        and all(arm.settings[key] == baseline[key] for key in _TASK)
        and flat(arm.settings).get(setting) == level
    ]


def _search(arm: Arm, setting: str, level: Scalar) -> Search:
    """The arm with the setting moved. A `detach_every` that equals the window follows it."""
    written = {key: value for key, value in arm.settings.items() if key != "options"}
    if written["detach_every"] == written["window"]:
        written["detach_every"] = 0
    with at(f"arm {arm.name!r}"):
        settings = resolve({**written, **arm.settings["options"], setting: level})
    name = f"{arm.name}, {label(setting, level)} (search)"
    return Search(arm=arm, setting=setting, level=level, name=name, settings=settings)


def _badness(result: Result, metric: str) -> float:
    """The metric as a loss; infinite for a trial without one."""
    value = result.metrics.get(metric, math.nan) if result.done else math.nan
    if not math.isfinite(value):
        return math.inf
    return value if lower_is_better(metric) else -value
