"""What a page of the chapter's models has of its own: the book's values, token roles, predictions, speeds."""

import math
from collections.abc import Mapping, Sequence
from statistics import geometric_mean
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unrolled.bench.errors import plural
from unrolled.bench.machine_kind import find_machine_kind
from unrolled.bench.trial import Result
from unrolled.reports.chapter.book import BookComparison, compare_with_book
from unrolled.reports.chapter.roles import average_roles, explain_differences
from unrolled.reports.compared_arm import ComparedArm
from unrolled.reports.comparison import Comparison
from unrolled.reports.design import ArmRemark
from unrolled.reports.presentation import Extras
from unrolled.reports.statistics.speed_ratio import SpeedRatio, describe_unlike_machines, speed_ratio

BIGRAMS = "ngram-2"  # the counting baseline that every neural arm must beat


class Sample(NamedTuple):
    """A trial's predictions for a stretch of the validation set."""

    row: ComparedArm
    result: Result

    @property
    def words(self) -> Sequence[Mapping[str, Any]]:
        """The words of the stretch, each with the trial's guess."""
        words: Sequence[Mapping[str, Any]] = self.result.records["passage"]
        return words

    @property
    def hits(self) -> int:
        """How many of its guesses are right."""
        return sum(word["token"] == word["guess"] for word in self.words)

    @property
    def continuation(self) -> Sequence[str]:
        """The words that it writes next; () if it is fitted by counting."""
        words: Sequence[str] = self.result.records.get("continuation", ())
        return words


def find_extras(c: Comparison) -> Extras:
    """Return the parts of a comparison's page."""
    fits = compare_with_book(c)
    return Extras(
        sentence=describe_fits(fits, c),
        warnings=tuple(_worse_than_counting(c)),
        marks_legend="the book",
        marks={
            "valid_loss": {fit.row.index: fit.published.valid_loss for fit in fits},
            "valid_accuracy": {fit.row.index: fit.published.accuracy for fit in fits},
        },
        reasons=explain_differences(c),
        context={
            "book_comparisons": fits,
            "roles": average_roles(c),
            "samples": choose_samples(c),
            "throughput": measure_throughput(c),
            "speed_not_compared": describe_unlike_speeds(c),
        },
    )


def read_curves(result: Result) -> Mapping[str, NDArray[np.float64]]:
    """Return the learning curves of a trial: its validation accuracy and loss by epoch, from 1."""
    return {
        name: np.reshape(result.curves.get(name, ()), (-1, 2)) + np.array([1, 0])
        for name in ("valid_accuracy", "valid_loss")
    }


def describe_fits(fits: Sequence[BookComparison], c: Comparison) -> str:
    """Return a sentence that lists the book's values within and outside our prediction intervals."""
    by_accuracy = c.metric.name == "valid_accuracy"
    scale = c.design.presentation.find_scale("valid_accuracy" if by_accuracy else "valid_loss")
    values: dict[str, dict[str, None]] = {"within": {}, "outside": {}}
    for fit in fits:
        value = fit.published.accuracy if by_accuracy else fit.published.valid_loss
        predicted = (by_accuracy and fit.accuracy_prediction) or fit.prediction
        place = "within" if predicted.plausible else "outside"
        values[place][f"{scale.format_level(value)} ({fit.published.title})"] = None
    phrases = []
    for place, names in values.items():
        if len(names) == 1:
            phrases.append(f"{', '.join(names)} lies {place} our 95 % prediction interval")
        elif names:
            phrases.append(f"{', '.join(names)} lie {place} our 95 % prediction intervals")
    title = "accuracies" if by_accuracy else "validation losses"
    phrases += [
        f"those of {base} and {name} differ where ours are identical, as the book ran each once, from other "
        "random numbers"
        for base, name in _list_identical_rows(fits, c)
    ]
    return f"Of the book's {title}, {'; '.join(phrases)}" if phrases else ""


def _list_identical_rows(fits: Sequence[BookComparison], c: Comparison) -> list[tuple[str, str]]:
    """Return the pairs of rows of the book whose arms have the same numbers on every seed of ours."""
    titles = {fit.row.index: fit.published.title for fit in fits}
    pairs = [
        (c.find_base(fit.row), fit.row) for fit in fits if fit.row.contrast and fit.row.contrast.identical
    ]
    return [(titles[base.index], titles[row.index]) for base, row in pairs if base.index in titles]


def _worse_than_counting(c: Comparison) -> list[str]:
    """Return a warning of each trained arm that counting pairs of tokens beats on its task.

    The verdicts are corrected by Holm over all of these arms.
    """
    bigrams = [row for row in c.arms if row.arm.model == BIGRAMS]
    pairs = {}
    for row in c.arms:
        counts = next((rival for rival in bigrams if not rival.arm.find_task_differences(row.arm)), None)
        if counts and row.remark in (None, ArmRemark.REFERENCE) and row not in bigrams:
            pairs[row.arm.name] = row, counts
    judged = c.judge_undeclared(pairs)
    return [f"{name}: {v.symbol} {v.text} against bigram counts" for name, v in judged.items() if v.harmful]


def choose_samples(c: Comparison) -> list[Sample]:
    """Return what the best arm, the baseline and one other predict on one stretch of text, the best first.

    The other is the worst arm that was trained, or the second best where the baseline is the best or the
    worst. The A/A check is left out.
    """
    rows = c.arms_by_task[0]
    samples = {
        row.index: Sample(row, r)
        for row in rows
        for r in row.arm.finished_results[::-1]  # so that the first seed is kept
        if r.records.get("passage") and (row.index == 0 or not row.arm.is_aa_arm)
    }
    text = next(([word["token"] for word in sample.words] for sample in samples.values()), [])
    ranked = [
        samples[row.index]
        for row in c.rank_arms(rows)
        if row.index in samples and [word["token"] for word in samples[row.index].words] == text
    ]
    baseline = [sample for sample in ranked if sample.row.index == 0]
    trained = [sample for sample in ranked if sample.continuation and sample.row.index]
    candidates = [*ranked[:1], *baseline, *trained[-1:], *trained]
    chosen = list(dict.fromkeys(sample.row.index for sample in candidates))[:3]
    return [sample for sample in ranked if sample.row.index in chosen]


def measure_throughput(c: Comparison) -> tuple[tuple[ComparedArm, float, SpeedRatio | None], ...]:
    """Return every arm's geometric mean of the training speed in tokens/s, and its ratio to that of its base.

    The ratio is over the seeds that both sides trained on one kind of machine: see `describe_unlike_speeds`.
    """
    lines = []
    for row in c.arms:
        pairs = [(a, b) for a, b, reason in _pair_speeds(row, c) if not reason]
        speeds = [x for x in row.arm.collect_metric("speed_train").values() if 0 < x < math.inf]
        if speeds:
            lines.append((row, geometric_mean(speeds), speed_ratio(pairs) if row.index else None))
    return tuple(lines)


def describe_unlike_speeds(c: Comparison) -> str:
    """Return a sentence on the pairs of speeds that are not compared, and why; "" if there are none."""
    pairs = [pair for row in c.arms[1:] for pair in _pair_speeds(row, c)]
    reasons = [reason for _, _, reason in pairs if reason]
    if not reasons:
        return ""
    explanation = "; ".join(dict.fromkeys(reasons))
    return f"{len(reasons)} of {plural(len(pairs), 'pair')} of speeds not compared: {explanation}"


def _pair_speeds(row: ComparedArm, c: Comparison) -> list[tuple[float, float, str]]:
    """Return, for each seed the speeds of an arm and its base, and why the two cannot be compared."""
    base = c.find_base(row).arm
    arm = row.arm
    speeds = arm.collect_metric("speed_train")
    base_speeds = base.collect_metric("speed_train")
    return [
        (
            speeds[s],
            base_speeds[s],
            describe_unlike_machines([find_machine_kind(side.results[s].provenance) for side in (base, arm)]),
        )
        for s in sorted(speeds.keys() & base_speeds.keys())
        if 0 < speeds[s] < math.inf and 0 < base_speeds[s] < math.inf
    ]
