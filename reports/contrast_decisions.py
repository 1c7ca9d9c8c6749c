"""The verdicts on the contrasts of a table: look by look as a plan says, or on all rows at once."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from bench.metric import Metric
from reports.arms import is_self_check
from reports.design import Design
from reports.statistics.contrasts import Contrast, benjamini_hochberg, contrast, holm
from reports.statistics.decisions import Decisions, decide
from reports.statistics.sequential import Looks
from reports.statistics.unpaired import welch
from reports.statistics.verdicts import Verdict, judge_contrasts
from reports.trials import Statuses, Values


def decide_contrasts(
    contrasts: Sequence[str], ended: Statuses, values: Values, design: Design
) -> Decisions[str]:
    """The verdicts on these arms, each against the arm that it names, by every metric."""
    if not design.looks:
        return _at_once(contrasts, values, design)
    arms = {arm.name: arm for arm in design.arms}
    named = [name for name in contrasts if not is_self_check(arms[name])]
    families = [
        _look_by_look([n for n in named if arms[n].exploratory is exploratory], ended, values, design, adjust)
        for exploratory, adjust in ((False, holm), (True, benjamini_hochberg))
    ]
    return Decisions(
        verdicts={name: v for family in families for name, v in family.verdicts.items()},
        seeds_requested={name: n for family in families for name, n in family.seeds_requested.items()},
        looks_taken=min(
            (family.looks_taken for family in families if any(family.seeds_requested.values())),
            default=len(design.looks),
        ),
    )


def _look_by_look(
    family: Sequence[str], ended: Statuses, values: Values, design: Design, adjust: Any
) -> Decisions[str]:
    """The contrasts that are corrected together: those of the plan, or the exploratory ones."""
    bases, lost = design.bases, {name: dict[int, str]() for name in family}
    for name in family:
        for numbers in values.values():
            for side in (name, bases[name]):
                lost[name] |= dict.fromkeys(ended[side].keys() - numbers[side].keys(), "failed")
    return decide(
        {name: {m: (by_arm[name], by_arm[bases[name]]) for m, by_arm in values.items()} for name in family},
        seeds=design.seeds,
        looks=Looks(design.looks),
        metrics=design.metrics,
        lost=lost,
        adjust=adjust,
    )


def _at_once(contrasts: Sequence[str], values: Values, design: Design) -> Decisions[str]:
    """Verdicts on all rows that there are, corrected within each metric."""
    verdicts: dict[str, dict[str, Verdict]] = {}
    for metric in design.metrics:
        by_arm, bases, size = values[metric.name], design.bases, len(contrasts)
        family = {x: _contrast(by_arm[x], by_arm[bases[x]], metric, size, design) for x in contrasts}
        for name, v in judge_contrasts(family).items():
            verdicts.setdefault(name, {})[metric.name] = replace(v, decided=v.claims)
    return Decisions(verdicts=verdicts, seeds_requested=dict.fromkeys(verdicts, 0), looks_taken=1)


def _contrast(
    arm: Mapping[Any, float], base: Mapping[Any, float], metric: Metric, family: int, design: Design
) -> Contrast:
    options: dict[str, Any] = {"delta": metric.delta, "lower_is_better": metric.lower_is_better}
    if not design.pair:
        return welch([*arm.values()], [*base.values()], family=family, **options)
    return contrast(arm, base, family=family, **options)


def seeds_of_sides(contrasts: Mapping[str, int], design: Design) -> dict[str, int]:
    """By arm, the most seeds that a contrast wants of which it is a side; the first look's at least."""
    most = dict.fromkeys((arm.name for arm in design.arms), design.looks[0])
    for name, number in contrasts.items():
        for side in (name, design.bases[name]):
            most[side] = max(most[side], number)
    return most
