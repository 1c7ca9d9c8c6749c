"""The main figure: a table with a row for each arm, and in each row a strip of its seeds.

A strip is an SVG with positions in percentages of its width, so that one drawing fits every screen.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

import numpy as np
from markupsafe import Markup, escape
from matplotlib.ticker import MaxNLocator

from unrolled.bench.phrases import select_phrases
from unrolled.reports.compare.compared_arm import ComparedArm
from unrolled.reports.compare.comparison import Comparison
from unrolled.reports.compare.design import ArmRemark
from unrolled.reports.compare.factorial import Factorial
from unrolled.reports.formats import MINUS, shorten_name
from unrolled.reports.presentation import Extras
from unrolled.reports.scale import Scale
from unrolled.reports.statistics.arm_summary import ArmSummary
from unrolled.reports.statistics.contrasts import Contrast
from unrolled.reports.statistics.seed_values import Interval

_REACH = 3.0  # an arm is clipped if its mean is this many quartile ranges beyond the quartiles of all means
_MOST_DOTS = 300  # most dots of one arm
_SPREAD = (0, -5, 4, -2, 6, -6, 2)  # vertical distances of a strip's dots from its middle, in px
_ROUND = (1, 1.5, 2, 3, 5, 7)  # leading digits of the ticks of a logarithmic axis


@dataclass(frozen=True)
class Axis:
    """The values that a strip shows, from low to high, in units of the metric."""

    low: float
    high: float

    def format_position(self, x: float) -> str:
        """Return the position of a value on the width: "50%". A value beyond the axis is at its end."""
        share = (min(max(x, self.low), self.high) - self.low) / (self.high - self.low)
        return f"{100 * share:.4g}%"

    def __contains__(self, x: float) -> bool:
        """Return True if a value lies within the axis."""
        return self.low <= x <= self.high


@dataclass(frozen=True, kw_only=True)
class Panel:
    """The figure by one metric in one of its units: arms with their strips, in groups by task."""

    view: Comparison
    ticks: tuple[tuple[str, str], ...]  # position and label: ("50%", "0.8")
    groups: tuple[tuple[tuple[ComparedArm, Markup], ...], ...]
    has_marks: bool


def make_panels(comparison: Comparison, extras: Extras) -> tuple[Panel, ...]:
    """Return the figure by each metric, in each of its units; the metric that decides is first."""
    return tuple(
        _make_panel(view, extras.marks.get(view.metric.name, {})) for view in comparison.views_by_unit
    )


def _make_panel(view: Comparison, marks: Mapping[int, float]) -> Panel:
    axis = _fit_axis(view, marks)
    groups = [
        tuple(
            (arm, _draw_arm(arm, view, axis, _draw_mark(axis, marks.get(arm.index))))
            for arm in _sort_arms(arms, view)
        )
        for arms in view.task_groups
    ]
    return Panel(
        view=view,
        ticks=_make_ticks(axis, view.scale),
        groups=tuple(groups),
        has_marks=bool(marks),
    )


def _make_ticks(axis: Axis, scale: Scale) -> tuple[tuple[str, str], ...]:
    """Return positions and labels of round values, as measured if the metric is judged by its logarithm."""
    has_unit = scale.log_factor or scale.value_unit == "%"
    unit = f" {scale.value_unit}".rstrip() if has_unit else ""
    multiplier = scale.multiplier
    low, high = (multiplier * scale.convert_value(x) for x in (axis.low, axis.high))
    if scale.log_factor and high > 8 * low:
        values = [m * 10.0**p for p in range(-9, 10) for m in _ROUND]
    else:
        ticks = MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(low, high)
        values = [0.0 if abs(x) < 1e-9 * (high - low) else float(x) for x in ticks]
    labels = [(x, f"{x:g}{unit}".replace("-", MINUS)) for x in values if low <= x <= high]
    return tuple(
        (
            axis.format_position(
                scale.log_factor * math.log(x / multiplier) if scale.log_factor else x / multiplier
            ),
            label,
        )
        for x, label in labels
    )


def _sort_arms(arms: Sequence[ComparedArm], comparison: Comparison) -> list[ComparedArm]:
    """Return the arms of a task, the largest gain first; in a ladder, the declared order.

    The baseline is first. Models fitted by counting, and then the A/A check, are last. If nothing is decided,
    all arms are ranked by their means.
    """
    if comparison.has_too_few_pairs:
        return comparison.rank_arms(arms)
    is_ladder = any(arm.against for arm in comparison.arms_with_contrast)
    return sorted(arms, key=lambda arm: _make_sort_key(arm, comparison, is_ladder))


def _make_sort_key(
    arm: ComparedArm, comparison: Comparison, is_ladder: bool
) -> tuple[bool, bool, bool, float, int]:
    gain = 0.0
    if arm.estimate is not None and math.isfinite(arm.estimate) and not is_ladder:
        gain = -comparison.metric.gain_sign * arm.estimate
    is_without_seed = arm.remark is ArmRemark.WITHOUT_SEED
    return arm.index > 0, arm.is_aa_check, is_without_seed, gain, arm.index


def _fit_axis(comparison: Comparison, marks: Mapping[int, float]) -> Axis:
    """Return the axis that shows the seeds of all arms, except arms with a mean far from the others."""
    means = {arm.index: m for arm in comparison.arms if (m := arm.summary.mean) is not None}
    if not means:
        return Axis(0.0, 1.0)
    zone = comparison.metric.zone
    q1, q3 = np.quantile(list(means.values()), (0.25, 0.75))
    reach = _REACH * max(q3 - q1, 2 * zone)
    inner, outer = (Axis(float(q1 - far), float(q3 + far)) for far in (reach, 1.5 * reach))
    near = [arm for arm in comparison.arms if arm.index in means and means[arm.index] in inner]
    values = [x for arm in near for x in arm.summary.values.values() if x in outer]
    anchor = means[near[0].index]
    low = min([*values, anchor - 2 * zone])
    high = max([*values, anchor + 2 * zone])
    for mark in marks.values():
        if low - (high - low) / 2 < mark < high + (high - low) / 2:
            low = min(low, mark)
            high = max(high, mark)
    pad = 0.04 * (high - low) or abs(high)  # low = high if δ is below the last digit of the floats
    return Axis(low - pad, high + pad)


def _draw_arm(arm: ComparedArm, view: Comparison, axis: Axis, drawn_mark: Sequence[str]) -> Markup:
    """Return the strip of an arm: zone, dots, a drawn mark, mean and intervals.

    The interval of a difference is drawn around the base's mean plus the difference. An arm that is not
    compared has no zone, and an arm that uses no seed, such as n-gram counts, has a single dot.
    """
    contrast = arm.contrast
    kind = arm.verdict.kind if arm.verdict else ""
    origin = view.find_base(arm).summary.mean
    mean = arm.summary.mean
    bars: list[str] = []
    if contrast and contrast.base_mean is not None and contrast.estimate is not None:
        origin = contrast.base_mean
        mean = origin + contrast.estimate
        bars = _draw_intervals(axis, contrast, arm.interval, kind, origin, view.metric.highest)
    dots = dict(islice(arm.summary.values.items(), _MOST_DOTS if arm.counted_arm.uses_seed else 1))
    drawn = (
        *_draw_zone(axis, None if arm.remark else origin, view.metric.zone),
        *_draw_seeds(
            axis, dots, view.scale.format_value, view.design.noun, arm.counted_arm.find_trained_seed
        ),
        *drawn_mark,
        *_draw_estimate(axis, mean, bars, kind, view.scale.format_value),
        *_draw_clipped_counts(axis, arm.summary, lower=view.metric.lower_is_better),
    )
    return _draw_strip(drawn)


def _draw_strip(elements: Sequence[str]) -> Markup:
    """Return a strip of these SVG elements, each of which is made of numbers and escaped labels."""
    return Markup(f'<svg class="strip" height="28" aria-hidden="true">{"".join(elements)}</svg>')


def _draw_zone(axis: Axis, base: float | None, zone: float) -> list[str]:
    """Return the band of ±δ around the mean of the base, and a line at that mean."""
    if base is None or not axis.low - zone < base < axis.high + zone:
        return []
    low, high = (float(axis.format_position(x)[:-1]) for x in (base - zone, base + zone))
    band = f'<rect class="band" x="{low:.4g}%" width="{high - low:.4g}%" height="28"/>'
    if base not in axis:
        return [band]
    x = axis.format_position(base)
    return [band, f'<line class="origin" x1="{x}" x2="{x}" y2="28"/>']


def _draw_mark(axis: Axis, value: float | None) -> list[str]:
    if value is None or value not in axis:
        return []
    return [f'<rect class="mark" x="{axis.format_position(value)}" y="9.5" width="9" height="9"/>']


def _draw_seeds(
    axis: Axis,
    values: Mapping[int, float],
    format_value: Callable[[float], str],
    noun: str = "seed",
    find_trained_seed: Callable[[int], int] = lambda seed: seed,
) -> list[str]:
    """Return a dot for each value within the axis, whose title has the seed that was trained."""
    dots = []
    name = escape(shorten_name(noun))
    for i, (seed, x) in enumerate(values.items()):
        if x in axis:
            centre = f'cx="{axis.format_position(x)}" cy="{14 + _SPREAD[i % 7]}"'
            label = escape(shorten_name(seed))
            trained = find_trained_seed(seed)
            trained_with = "" if trained == seed else f", trained with {escape(shorten_name(trained))}"
            title = f"{name} {label}{trained_with}: {format_value(x)}"
            dots.append(f'<circle {centre} data-seed="{label}"><title>{title}</title></circle>')
    return dots


def _draw_clipped_counts(axis: Axis, summary: ArmSummary, *, lower: bool) -> list[str]:
    """Return how many seeds are beyond each end of the axis, "◂ 2", with diverged ones at the worse end."""
    values = [] if summary.mean is None or summary.mean not in axis else summary.values.values()
    below = sum(-math.inf < value < axis.low for value in values)
    above = sum(axis.high < value < math.inf for value in values)
    diverged = summary.diverged_count
    left = {f"◂ {below}": below, f"{diverged} ✕": not lower and diverged}
    right = {f"{above} ▸": above, f"{diverged} ✕": lower and diverged}
    return [
        f'<text class="gone" x="{x}" y="26" text-anchor="{anchor}">{" ".join(select_phrases(labels))}</text>'
        for x, anchor, labels in (("0", "start", left), ("100%", "end", right))
        if any(labels.values())
    ]


def _draw_intervals(
    axis: Axis,
    contrast: Contrast,
    corrected: Interval | None,
    kind: str,
    origin: float,
    highest: float = math.inf,
) -> list[str]:
    """Return the plain interval of a difference and the corrected one, both moved by the mean of its base.

    The intervals of a share end at its `highest` value.
    """
    bars = []
    for css_class, interval in (("plain", contrast.plain_interval), ("ends", corrected)):
        if interval:
            low = axis.format_position(origin + interval.low)
            high = axis.format_position(min(origin + interval.high, highest))
            bars.append(f'<line class="{css_class} {kind}" x1="{low}" x2="{high}" y1="14" y2="14"/>')
    return bars


def _draw_estimate(
    axis: Axis, mean: float | None, bars: Sequence[str], kind: str, format_value: Callable[[float], str]
) -> list[str]:
    """Return the mean and its intervals in the verdict's colour; an arrow for a mean beyond the axis."""
    if mean is None or math.isinf(mean):
        return []
    if mean < axis.low:
        return [f'<text class="{kind}" x="0" y="18">◂ {format_value(mean)}</text>']
    if mean > axis.high:
        return [f'<text class="{kind}" x="100%" y="18" text-anchor="end">{format_value(mean)} ▸</text>']
    x = axis.format_position(mean)
    return [*bars, f'<line class="mean {kind}" x1="{x}" x2="{x}" y1="6" y2="22"/>']


def draw_effects(
    factorial: Factorial, comparison: Comparison
) -> tuple[tuple[tuple[str, str], ...], tuple[Markup, ...]]:
    """Return ticks, and a strip for each effect of the factorial with its differences by seed."""
    zone = comparison.metric.zone
    differences = [x for e in factorial.effects for x in e.verdict.contrast.differences.values()]
    low = min([*differences, -2 * zone])
    high = max([*differences, 2 * zone])
    axis = Axis(low - 0.04 * (high - low), high + 0.04 * (high - low))
    # 100 ln is nearly per cent; differences of values in per cent are points
    scale = Scale(value_unit="%") if comparison.scale.log_factor else replace(comparison.scale, value_unit="")
    ticks = _make_ticks(axis, scale)
    zero = _draw_zone(axis, 0.0, zone)
    format_value = partial(comparison.scale.format_difference, sign=True)
    strips = []
    for effect in factorial.effects:
        v = effect.verdict
        dots = _draw_seeds(axis, v.contrast.differences, format_value)
        bars = _draw_intervals(axis, v.contrast, v.interval, v.kind, 0.0)
        strips.append(
            _draw_strip([*zero, *dots, *_draw_estimate(axis, effect.mean, bars, v.kind, format_value)])
        )
    return ticks, tuple(strips)
