"""The sections that only pages of the chapter's models have: book, token roles, predictions, speeds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import geometric_mean
from typing import Any, NamedTuple, cast

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from unrolled.bench.chapter.metric_table import CHAPTER_METRICS
from unrolled.bench.hardware.machine_kind import find_machine_kind
from unrolled.bench.phrases import choose_form, plural
from unrolled.bench.trial import ResultInStudy
from unrolled.reports.chapter.book import BookComparison, compare_with_book
from unrolled.reports.chapter.roles import Accuracies, average_roles, describe_strips, explain_differences
from unrolled.reports.compare.compared_arm import ComparedArm
from unrolled.reports.compare.comparison import Comparison
from unrolled.reports.compare.design import ArmRemark
from unrolled.reports.presentation import Extras
from unrolled.reports.statistics.speed_ratio import SpeedRatio, describe_unlike_machines, measure_speed_ratio

BIGRAMS = "ngram-2"  # the counting baseline that every neural arm must beat


class Sample(NamedTuple):
    """The guesses of one trial for a stretch of the validation set."""

    arm: ComparedArm
    result: ResultInStudy

    @property
    def words(self) -> Sequence[Mapping[str, Any]]:
        """The words of the stretch, each with the guess: [{"token": "one", "guess": "one"}, …]."""
        return cast("Sequence[Mapping[str, Any]]", self.result.records["passage"])

    @property
    def hits(self) -> int:
        """The number of right guesses."""
        return sum(word["token"] == word["guess"] for word in self.words)

    @property
    def continuation(self) -> Sequence[str]:
        """The words that the trial writes next; () for a model fitted by counting."""
        return cast("Sequence[str]", self.result.records.get("continuation", ()))


ArmSpeed = tuple[ComparedArm, float, SpeedRatio | None]
"""An arm, its mean training speed in tokens/s, and its ratio to the speed of its base."""


@dataclass(frozen=True, kw_only=True)
class ChapterExtras(Extras):
    """The fields that chapter.html reads, beside those of all trainers."""

    book_comparisons: tuple[BookComparison, ...]
    roles: tuple[tuple[str, ...], tuple[Accuracies, ...]] | None  # see `roles.average_roles`
    samples: Sequence[Sample]
    speeds: tuple[ArmSpeed, ...]
    speed_not_compared: str


def make_extras(comparison: Comparison) -> ChapterExtras:
    """Return what the page of a comparison shows of the chapter alone."""
    fits = compare_with_book(comparison)
    roles = average_roles(comparison)
    speeds = measure_throughput(comparison)
    explanations_legend = describe_strips(roles[0], comparison.scale.title) if roles else ""
    link = Markup('<a href="#throughput">Throughput</a> compares geometric means of speeds, pair by pair.')
    return ChapterExtras(
        sentence=describe_fits(fits, comparison),
        warnings=tuple(_list_arms_worse_than_counting(comparison)),
        marks_legend="the book",
        marks={
            "valid_loss": {fit.arm.index: fit.published.valid_loss for fit in fits},
            "valid_accuracy": {fit.arm.index: fit.published.accuracy for fit in fits},
        },
        explanations=explain_differences(comparison),
        explanations_legend=explanations_legend,
        columns_legend=link if speeds else "",
        book_comparisons=fits,
        roles=roles,
        samples=choose_samples(comparison),
        speeds=speeds,
        speed_not_compared=describe_unlike_speeds(comparison),
    )


def read_curves(result: ResultInStudy) -> Mapping[str, NDArray[np.float64]]:
    """Return the learning curves of a trial by metric: points (epoch, value), with epochs from 1."""
    curves = {}
    for metric in CHAPTER_METRICS:
        if metric.has_curve:
            epochs, values = np.reshape(result.curves.get(metric.curve_name, ()), (-1, 2)).T
            if metric.derived_from:
                values = np.array([metric.derived_from.function(value) for value in values])
            curves[metric.name] = np.column_stack([epochs + 1, values])
    return curves


def describe_fits(fits: Sequence[BookComparison], comparison: Comparison) -> str:
    """Return a sentence that lists the book's values within and outside our prediction intervals."""
    by_accuracy = comparison.metric.name == "valid_accuracy"
    metric, title = ("valid_accuracy", "accuracies") if by_accuracy else ("valid_loss", "validation losses")
    scale = comparison.design.presentation.find_scale(metric)
    values: dict[str, dict[str, None]] = {"within": {}, "outside": {}}
    for fit in fits:
        value = fit.published.accuracy if by_accuracy else fit.published.valid_loss
        predicted = (by_accuracy and fit.accuracy_prediction) or fit.prediction
        position = "within" if predicted.is_plausible else "outside"
        values[position][f"{scale.format_value(value)} ({fit.published.title})"] = None
    phrases = [
        f"{', '.join(names)} {choose_form(len(names), 'lies', 'lie')} {position} our 95 % prediction "
        f"{choose_form(len(names), 'interval', 'intervals')}"
        for position, names in values.items()
        if names
    ]
    phrases += [
        f"those of {base} and {name} differ where ours are identical, as the book ran each once, from other "
        "random numbers"
        for base, name in _list_identical_rows(fits, comparison)
    ]
    return f"Of the book's {title}, {'; '.join(phrases)}" if phrases else ""


def _list_identical_rows(fits: Sequence[BookComparison], comparison: Comparison) -> list[tuple[str, str]]:
    """Return the pairs of rows of the book whose arms have the same numbers on every seed of ours."""
    titles = {fit.arm.index: fit.published.title for fit in fits}
    pairs = [
        (comparison.find_base(fit.arm), fit.arm)
        for fit in fits
        if fit.arm.contrast and fit.arm.contrast.is_computed_alike
    ]
    return [(titles[base.index], titles[arm.index]) for base, arm in pairs if base.index in titles]


def _list_arms_worse_than_counting(comparison: Comparison) -> list[str]:
    """Return a warning for each trained arm that counting pairs of tokens beats on its task.

    Verdicts that the study does not declare are corrected by Holm over all of these arms.
    """
    bigrams = [arm for arm in comparison.arms if arm.counted_arm.model == BIGRAMS]
    pairs = {}
    for arm in comparison.arms:
        counts = next(
            (rival for rival in bigrams if not rival.counted_arm.find_task_differences(arm.counted_arm)), None
        )
        if counts and arm.remark in (None, ArmRemark.REFERENCE) and arm not in bigrams:
            pairs[arm.name] = arm, counts
    judged = comparison.judge_pairs(pairs)
    return [
        f"{name}: {v.symbol} {v.text} against bigram counts" for name, v in judged.items() if v.is_harmful
    ]


def choose_samples(comparison: Comparison) -> list[Sample]:
    """Return samples of the best arm, the baseline and one other arm on one text, the best first.

    The other arm is the worst trained arm, or the second best if the baseline is the best or the worst. The
    A/A check is left out.
    """
    arms = comparison.task_groups[0]
    samples = {
        arm.index: Sample(arm, r)
        for arm in arms
        for r in arm.counted_arm.finished_results[::-1]  # reversed, so that the first seed is kept
        if r.records.get("passage") and not arm.is_aa_check
    }
    text = next(([word["token"] for word in sample.words] for sample in samples.values()), [])
    ranked = [
        samples[arm.index]
        for arm in comparison.rank_arms(arms)
        if arm.index in samples and [word["token"] for word in samples[arm.index].words] == text
    ]
    baseline = [sample for sample in ranked if sample.arm.index == 0]
    trained = [sample for sample in ranked if sample.continuation and sample.arm.index]
    candidates = [*ranked[:1], *baseline, *trained[-1:], *trained]
    chosen = list(dict.fromkeys(sample.arm.index for sample in candidates))[:3]
    return [sample for sample in ranked if sample.arm.index in chosen]


def measure_throughput(comparison: Comparison) -> tuple[ArmSpeed, ...]:
    """Return every arm's geometric mean training speed in tokens/s, and its ratio to the speed of its base.

    The ratio is over the seeds that both sides trained on one kind of machine: see `describe_unlike_speeds`.
    """
    lines = []
    for arm in comparison.arms:
        pairs = [(a, b) for a, b, reason in _collect_pair_speeds(arm, comparison) if not reason]
        speeds = [
            x for x in arm.counted_arm.collect_measured_values("speed_train").values() if 0 < x < math.inf
        ]
        if speeds:
            lines.append((arm, geometric_mean(speeds), measure_speed_ratio(pairs) if arm.index else None))
    return tuple(lines)


def describe_unlike_speeds(comparison: Comparison) -> str:
    """Return a sentence on the pairs of speeds that are not compared, and why; "" if there are none."""
    pairs = [pair for arm in comparison.arms[1:] for pair in _collect_pair_speeds(arm, comparison)]
    reasons = [reason for _, _, reason in pairs if reason]
    if not reasons:
        return ""
    explanation = "; ".join(dict.fromkeys(reasons))
    return f"{len(reasons)} of {plural(len(pairs), 'pair')} of speeds not compared: {explanation}"


def _collect_pair_speeds(arm: ComparedArm, comparison: Comparison) -> list[tuple[float, float, str]]:
    """Return, for each seed, the speeds of an arm and its base, and why they cannot be compared, or ""."""
    sides = (comparison.find_base(arm).counted_arm, arm.counted_arm)
    base_speeds, speeds = (side.collect_measured_values("speed_train") for side in sides)
    return [
        (
            speeds[s],
            base_speeds[s],
            describe_unlike_machines([find_machine_kind(side.results[s].provenance) for side in sides]),
        )
        for s in sorted(speeds.keys() & base_speeds.keys())
        if 0 < speeds[s] < math.inf and 0 < base_speeds[s] < math.inf
    ]
