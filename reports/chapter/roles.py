"""Accuracy by token role, and which roles make up the difference of two arms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

from unrolled.bench.metric import FEWEST_SEEDS
from unrolled.bench.trial import ResultInStudy
from unrolled.reports.compare.compared_arm import ComparedArm
from unrolled.reports.compare.comparison import Comparison
from unrolled.reports.compare.design import DesignArm
from unrolled.reports.scale import Scale
from unrolled.reports.statistics.estimators import t_interval
from unrolled.reports.statistics.power import ALPHA
from unrolled.reports.statistics.verdicts import Direction

SUMS = {"valid_loss": 0, "valid_accuracy": 1}  # index of the metric's sum in [nats, hits, targets]
TITLES = {
    "separator": "stops after numbers",
    "lead digit": "first digits",
    "digit": "later digits",
    "tens": "twenty to ninety",
    "teen": "ten to nineteen",
    "hundred": "“hundred”",
    "thousand": "“thousand”",
}
"""The roles of Human Numbers, as sentences, pictures and tables name them."""
MOST_ROLES = 3  # most roles that a sentence names
LEAST_SHARE = 0.1  # a role with a smaller share of the difference is not named

Accuracies = tuple[ComparedArm, tuple[float | None, ...]]  # an arm, and its accuracy on each token role


@dataclass(frozen=True, kw_only=True)
class RolePart:
    """A token role's part in the difference of two arms: its share of the tokens times its own difference."""

    role: str
    before: float  # mean of the base on this role
    after: float  # mean of the arm on this role
    part: float  # the parts of all roles add up to the difference of the arms
    is_consistent: bool  # whether its interval over seeds does not hold 0


def average_roles(comparison: Comparison) -> tuple[tuple[str, ...], tuple[Accuracies, ...]] | None:
    """Return the titles of the roles, and each arm's accuracies, pooled over finished seeds; or None."""
    names = tuple(
        dict.fromkeys(
            name
            for arm in comparison.arms
            for r in arm.counted_arm.finished_results
            for name in _read_sums(r)
        )
    )
    lines = [
        (arm, tuple(_average_accuracy(arm.counted_arm, name) for name in names))
        for arm in comparison.arms
        if arm.counted_arm.finished_results
    ]
    return (names, tuple(lines)) if names else None


def _read_sums(result: ResultInStudy) -> Mapping[str, Sequence[float]]:
    """Return nats, hits and targets of each role, by the role's title."""
    return {TITLES.get(role, role): sums for role, sums in result.records.get("roles", {}).items()}


def _average_accuracy(arm: DesignArm, role: str) -> float | None:
    pooled = [sums[role] for r in arm.finished_results if role in (sums := _read_sums(r))]
    targets = sum(n for _, _, n in pooled)
    return sum(hits for _, hits, _ in pooled) / targets if targets else None


def explain_differences(comparison: Comparison) -> dict[int, Markup]:
    """Return, by the arm's index, in which roles a shown difference lies: a strip of bars and a sentence.

    The metric is the one that decides. If it is neither the loss nor the accuracy, return {}.
    """
    if comparison.metric.name not in SUMS:
        return {}
    explanations = {}
    for arm in comparison.arms_with_contrast:
        if arm.verdict and arm.verdict.direction is not Direction.NONE:
            parts = split_difference(arm, comparison)
            if sentence := describe_parts(parts, comparison.scale):
                strip = _draw_parts(parts, comparison)
                explanations[arm.index] = Markup("{} Where: {}").format(strip, sentence)
    return explanations


def describe_strips(roles: Sequence[str], title: str) -> Markup:
    """Return how to read the strips of roles; `title` is the metric's."""
    return Markup(
        "Small bars show where a decided difference lies, one for each token role, in the order {}. Up is "
        "better. A bar is the role's share of the tokens times its own difference; all bars add up to the "
        "difference by {}. A bar is coloured if its 95 % t interval over the seeds, corrected for the number "
        "of roles, leaves out 0. The sentence beside them names up to three coloured bars of at least a "
        "tenth of the difference. Bars describe a verdict and are no verdicts themselves."
    ).format(", ".join(roles), title)


def split_difference(arm: ComparedArm, comparison: Comparison) -> tuple[RolePart, ...]:
    """Return the part of each role in an arm's difference; () unless both sides finished on all seeds.

    A part is consistent if its 95 % t interval over the seeds, corrected for the number of roles, does not
    hold 0.
    """
    seeds = arm.contrast.seeds if arm.contrast else ()
    compared = (comparison.find_base(arm).counted_arm, arm.counted_arm)
    finished = [{seed: _read_sums(r) for seed, r in side.results.items() if r.is_done} for side in compared]
    sides = [[sums_by_seed.get(seed, {}) for seed in seeds] for sums_by_seed in finished]
    names = {name: None for side in sides for sums in side for name in sums}
    is_whole = all(sums.keys() == names.keys() for side in sides for sums in side)
    if len(seeds) < FEWEST_SEEDS or not names or not is_whole:
        return ()
    table = np.array([[[sums[name] for name in names] for sums in side] for side in sides])
    values = table[..., SUMS[comparison.metric.name]]  # (sides, seeds, roles)
    targets = table[..., 2]
    shares = values / targets.sum(axis=-1, keepdims=True)
    differences = shares[1] - shares[0]  # (seeds, roles)
    low, high = t_interval(differences.T, 1 - ALPHA / len(names))
    levels = values.sum(axis=1) / targets.sum(axis=1)
    return tuple(
        RolePart(
            role=name,
            before=float(levels[0, k]),
            after=float(levels[1, k]),
            part=float(differences[:, k].mean()),
            is_consistent=bool(low[k] > 0 or high[k] < 0),
        )
        for k, name in enumerate(names)
    )


def describe_parts(parts: Sequence[RolePart], scale: Scale) -> str:
    """Return the roles with consistent parts, largest first: "60 % on first digits (40 → 55 %), 20 % on …".

    Returns "" if there are none, or if the largest is against the difference.
    """
    total = sum(part.part for part in parts)
    shares = {part.role: part.part / total for part in parts if total}
    largest = [
        part for part in parts if part.is_consistent and abs(shares.get(part.role, 0.0)) >= LEAST_SHARE
    ]
    largest.sort(key=lambda part: -abs(part.part))
    if not largest or shares[largest[0].role] < 0:
        return ""
    phrases = [f"{_format_share(shares[part.role])} {part.role}" for part in largest]
    means = scale.format_values(largest[0].before, largest[0].after).replace(" ", "\u00a0")
    phrases[0] += f" ({means})"
    return ", ".join(phrases[:MOST_ROLES])


def _format_share(share: float) -> str:
    if share < 0:
        return "against it"
    if share < 0.95:
        return f"{100 * share:.0f}\u00a0% on"
    if share <= 1.05:
        return "all on"
    return "more than all on"


def _draw_parts(parts: Sequence[RolePart], comparison: Comparison) -> Markup:
    """Return a bar for each role: up if the arm is better, grey if the part is not consistent."""
    largest = max(abs(part.part) for part in parts)
    width = 100 / len(parts)
    bars = []
    for number, part in enumerate(parts):
        is_better = (part.part < 0) is comparison.metric.lower_is_better
        height = 9 * abs(part.part) / largest
        end = 10 - height if is_better else 10 + height
        css_class = ""
        if part.is_consistent:
            css_class = "better" if is_better else "worse"
        x = f"{(number + 0.5) * width:.4g}%"
        ends = f'x1="{x}" x2="{x}" y1="10" y2="{end:.3g}"'
        title = escape(f"{part.role}: {comparison.scale.format_values(part.before, part.after)}")
        bars.append(f'<line class="part {css_class}" {ends}><title>{title}</title></line>')
    bars.append('<line x2="100%" y1="10" y2="10"/>')
    return Markup(f'<svg class="strip roles" height="20" aria-hidden="true">{"".join(bars)}</svg>')
