"""The effect of each factor of a study: with all other factors on, alone, and averaged over the others.

A factor is a setting with two levels, off and on:

| levels of the baseline and of the other arms | off | on |
|---|---|---|
| 0 (or false) and 0.5 | 0 | 0.5 |
| 0.5 and 0 | 0 | 0.5 |
| 0.5 and 0.8 | 0.5, the baseline's | 0.8 |

Where the baseline has other factors on, which its arms switch off, its 0.5 of the last row is on as well.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from unrolled.bench.trial import Scalar
from unrolled.reports.compare.compared_arm import ComparedArm, merge_standings
from unrolled.reports.compare.comparison import Comparison
from unrolled.reports.formats import format_setting
from unrolled.reports.statistics.factorial_effects import Effect, estimate_effects
from unrolled.reports.statistics.pairs import make_judged_scale
from unrolled.reports.statistics.seed_values import select_seeds
from unrolled.reports.statistics.verdicts import Verdict

BESIDE = "beside all the others"
ALONE = "alone"
AVERAGE = "on average"
CONTEXTS = {
    BESIDE: "leave one out",
    ALONE: "add one",
    AVERAGE: "over all settings of the other parts, factorial",
}
"""Context → name of the method. A context says how the other factors are set while one is switched on."""

Change = tuple[str, Scalar]
"""A setting, and the level that an arm gives it."""


@dataclass(frozen=True)
class MeasuredFactor:
    """A setting, its name in reports, and its two levels."""

    key: str
    name: str
    off: Scalar
    on: Scalar


@dataclass(frozen=True, kw_only=True)
class Factorial:
    """A full 2^k of factors, whose arms have each combination of levels; its effects are one family."""

    factors: tuple[MeasuredFactor, ...]
    effects: tuple[Effect, ...]
    standing: tuple[str, ...] = ()  # see `ComparedArm.standing`; all that weakens one of its arms

    @property
    def interactions(self) -> tuple[Effect, ...]:
        """The effects of two factors together, beyond the sum of their two effects."""
        return tuple(effect for effect in self.effects if len(effect.factors) == 2)

    @property
    def shown_interactions(self) -> tuple[Effect, ...]:
        """The interactions that are shown to be better or worse, without those of less than δ."""
        return tuple(
            effect for effect in self.interactions if effect.verdict.kind_beyond_delta in ("better", "worse")
        )

    def partners(self, effect: Effect) -> tuple[str, ...]:
        """Return the factors on which a main effect depends, as its interactions show."""
        return tuple(
            next(name for name in interaction.factors if name not in effect.factors)
            for interaction in self.shown_interactions
            if set(effect.factors) < set(interaction.factors)
        )


@dataclass(frozen=True, kw_only=True)
class Part:
    """One factor, with the verdict on switching it on in each context; None if no arms show it."""

    factor: MeasuredFactor
    verdicts: Mapping[str, Verdict | None]  # by context, of `CONTEXTS`
    standings: Mapping[str, tuple[str, ...]]  # by context: see `ComparedArm.standing`


def make_factorial(comparison: Comparison) -> Factorial | None:
    """Return the largest full 2^k of factors, k ≥ 2, that the baseline and its arms form, or None.

    Its effects are judged once the first look has ended, like contrasts that the study does not declare.
    """
    arms_by_changes: dict[frozenset[Change], ComparedArm] = {}
    for arm in comparison.same_task_arms:
        if not arm.against:  # the baseline comes first, so that an A/A arm does not take its place
            arms_by_changes.setdefault(frozenset(arm.counted_arm.changes.items()), arm)
    arm_count = len(arms_by_changes)
    corners = [changes for changes in arms_by_changes if len(changes) > 1 and 2 ** len(changes) <= arm_count]
    corners.sort(key=lambda corner: (-len(corner), arms_by_changes[corner].index))
    for corner in corners:  # the arm at a corner changes all of its factors
        factorial_arms = {changes: arm for changes, arm in arms_by_changes.items() if changes <= corner}
        if len(factorial_arms) == 2 ** len(corner):
            return _measure_factorial(comparison, corner, factorial_arms)
    return None


def _measure_factorial(
    comparison: Comparison, corner: frozenset[Change], arms: Mapping[frozenset[Change], ComparedArm]
) -> Factorial | None:
    """Return a full factorial with its effects. Each of its arms has some of the corner's changes.

    If an arm is one run, copied for every seed, the variance of its cell is unknown: there are no effects.
    """
    if not comparison.has_first_look(arms.values()) or any(arm.is_one_run for arm in arms.values()):
        return None
    ordered = sorted(corner, key=lambda change: arms[frozenset([change])].index)
    by_key = _make_factors(comparison, dict(ordered))
    factors = {change: by_key[change[0]] for change in ordered}
    seeds = comparison.design.rules.first_look_seeds
    values_by_cell = {}
    failed = set[int]()
    for changes, arm in arms.items():
        levels = tuple((change in changes) is (change[1] == factor.on) for change, factor in factors.items())
        values_by_cell[levels] = select_seeds(arm.summary.values, seeds)
        failed |= {seed for seed in arm.seeds if seed in seeds} - values_by_cell[levels].keys()
    names = [factor.name for factor in factors.values()]
    try:
        effects = estimate_effects(values_by_cell, names, make_judged_scale(comparison.metric), failed)
    except ValueError:  # fewer than two seeds converged in every cell
        return None
    return Factorial(
        factors=tuple(factors.values()), effects=effects, standing=merge_standings(arms.values())
    )


def find_parts(comparison: Comparison, factorial: Factorial | None) -> tuple[Part, ...]:
    """Return the factors that have a verdict in more than one context.

    Declared contrasts keep their verdict. The p of the others is adjusted by Holm within their context, that
    of effects on average together with the interactions.
    """
    baseline = comparison.arms[0]
    neighbours = _find_neighbours(comparison, baseline)
    factors = _make_factors(comparison, {key: _read_settings(arm)[key] for key, arm in neighbours.items()})
    pairs = {
        BESIDE: _find_pairs(comparison, factors, {key: factor.on for key, factor in factors.items()}),
        ALONE: _find_pairs(comparison, factors, {key: factor.off for key, factor in factors.items()}),
    }
    if len(factors) == 1:  # the same two arms: there is nothing beside a single factor
        pairs[BESIDE] = {}
    by_context = {context: comparison.judge_pairs(arm_pairs) for context, arm_pairs in pairs.items()}
    standings = {
        context: {key: merge_standings(pair) for key, pair in arm_pairs.items()}
        for context, arm_pairs in pairs.items()
    }
    if factorial:
        standings[AVERAGE] = {factor.key: factorial.standing for factor in factorial.factors}
        by_context[AVERAGE] = {
            factor.key: effect.verdict
            for factor, effect in zip(factorial.factors, factorial.effects, strict=False)
        }
    verdicts = {
        key: {context: by_context.get(context, {}).get(key) for context in CONTEXTS} for key in factors
    }
    return tuple(
        Part(
            factor=factors[key],
            verdicts=verdicts_on_switch,
            standings={context: by_factor.get(key, ()) for context, by_factor in standings.items()},
        )
        for key, verdicts_on_switch in verdicts.items()
        if sum(verdict is not None for verdict in verdicts_on_switch.values()) > 1
    )


def _find_pairs(
    comparison: Comparison, factors: Mapping[str, MeasuredFactor], levels: Mapping[str, Scalar]
) -> dict[str, tuple[ComparedArm, ComparedArm]]:
    """Return, by factor, the arms with it on and with it off whose other factors have these levels."""
    baseline = comparison.arms[0]
    arms = [arm for arm in comparison.same_task_arms if _is_same_implementation(arm, baseline)]
    pairs = {}
    for key, factor in factors.items():
        sides = []
        for level in (factor.on, factor.off):
            settings = {**_read_settings(baseline), **levels, key: level}
            sides += [arm for arm in arms if not _list_differences(arm, settings)][:1]
        if len(sides) == 2 and sides[0] is not sides[1]:  # not a model that lacks the setting
            pairs[key] = sides[0], sides[1]
    return pairs


def _read_settings(arm: ComparedArm) -> dict[str, Scalar]:
    """Return an arm's settings without the model's name, as models of one class differ in settings alone."""
    return {key: value for key, value in arm.settings.items() if key != "model"}


def _is_same_implementation(arm: ComparedArm, other: ComparedArm) -> bool:
    trials = [arm.counted_arm.example_trial, other.counted_arm.example_trial]
    return len({trial and trial.configured_class for trial in trials}) == 1


def _list_differences(arm: ComparedArm, settings: Mapping[str, Scalar]) -> list[str]:
    """Return the names of the settings that both have with different values."""
    return [key for key, value in _read_settings(arm).items() if settings.get(key, value) != value]


def _find_neighbours(comparison: Comparison, arm: ComparedArm) -> dict[str, ComparedArm]:
    """Return, by setting, the arm that differs from this one in that setting alone.

    A setting is left out if arms differ in it at several levels.
    """
    settings = _read_settings(arm)
    arms_by_level: dict[str, dict[Scalar, ComparedArm]] = {}
    for neighbour in comparison.same_task_arms:
        differing = _list_differences(neighbour, settings)
        if len(differing) == 1 and _is_same_implementation(neighbour, arm):
            level = _read_settings(neighbour)[differing[0]]
            arms_by_level.setdefault(differing[0], {}).setdefault(level, neighbour)
    return {key: next(iter(arms.values())) for key, arms in arms_by_level.items() if len(arms) == 1}


def _make_factors(comparison: Comparison, levels: Mapping[str, Scalar]) -> dict[str, MeasuredFactor]:
    """Return the factor of each setting: its two levels are the baseline's and the one in `levels`.

    0 or false is off. Where neither level is 0 or false, the baseline's is on if the baseline has another
    factor on, and off otherwise. Its name then has the level that is on: "lr 0.2".
    """
    settings = _read_settings(comparison.arms[0])
    baseline = {key: settings.get(key, level) for key, level in levels.items()}
    switches = [key for key, level in levels.items() if bool(level) is not bool(baseline[key])]
    has_parts_off = not any(baseline[key] for key in switches)
    titles = comparison.design.setting_titles
    factors = {}
    for key, level in levels.items():
        is_off = not baseline[key] if key in switches else has_parts_off
        off, on = (baseline[key], level) if is_off else (level, baseline[key])
        plain_name = key.replace("_", " ")
        name = titles.get(key, plain_name)
        if key not in switches and name == plain_name:
            name += f" {format_setting(on)}"
        factors[key] = MeasuredFactor(key, name, off, on)
    return factors
