"""What a page of the chapter's models has of its own: the book's values, token roles, a passage, speeds."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from unrolled.bench.errors import plural
from unrolled.bench.machine_kind import find_machine_kind
from unrolled.bench.trial import Result
from unrolled.reports.chapter.book import BookComparison, compare_with_book
from unrolled.reports.comparison import ComparedArm, Comparison
from unrolled.reports.design import MeasuredArm
from unrolled.reports.exclusions import Exclusion
from unrolled.reports.presentation import Extras
from unrolled.reports.statistics.speed_ratio import SpeedRatio, speed_ratio, unlike

BIGRAMS = "ngram-2"  # the counting baseline that every neural arm must beat

Accuracies = tuple[ComparedArm, tuple[float | None, ...]]  # an arm, and its accuracy on each token role


def extras(c: Comparison) -> Extras:
    """The parts of a comparison's page."""
    held = compare_with_book(c)
    return Extras(
        sentence=describe_fits(held, c),
        warnings=tuple(_worse_than_counting(c)),
        marked="the book",
        marks={
            "valid_loss": {h.row.index: h.published.valid_loss for h in held},
            "valid_accuracy": {h.row.index: h.published.accuracy for h in held},
        },
        context={
            "held": held,
            "roles": roles(c),
            "passage": passage(c),
            "throughput": throughput(c),
            "speed_not_compared": speed_not_compared(c),
        },
    )


def curves(result: Result) -> Mapping[str, NDArray[np.float64]]:
    """The learning curve of a trial: its validation loss by epoch, from 1."""
    return {"valid_loss": np.reshape(result.curves.get("valid_loss", ()), (-1, 2)) + np.array([1, 0])}


def describe_fits(held: Sequence[BookComparison], c: Comparison) -> str:
    """A sentence that lists the book's values within and outside our prediction intervals."""
    by_accuracy = c.metric.name == "valid_accuracy"
    write = c.design.presentation.scale("valid_accuracy" if by_accuracy else "valid_loss").at
    named: dict[bool, dict[str, None]] = {True: {}, False: {}}
    for h in held:
        value = h.published.accuracy if by_accuracy else h.published.valid_loss
        predicted = (by_accuracy and h.accuracy_prediction) or h.prediction
        named[predicted.plausible][f"{write(value)} ({h.published.title})"] = None
    phrases = []
    for inside, names in named.items():
        verb, s = ("lies", "") if len(names) == 1 else ("lie", "s")
        where = f"{'within' if inside else 'outside'} our 95 % prediction interval{s}"
        phrases += [f"{', '.join(names)} {verb} {where}"] if names else []
    title = "accuracies" if by_accuracy else "validation losses"
    return f"Of the book's {title}, {'; '.join(phrases)}" if phrases else ""


def _worse_than_counting(c: Comparison) -> list[str]:
    """The trained arms that counting pairs of tokens beats on their task, by verdict; Holm over all."""
    bigrams = [row for row in c.rows if row.arm.model == BIGRAMS]
    pairs = {}
    for row in c.rows:
        counts = next((other for other in bigrams if not other.arm.find_task_differences(row.arm)), None)
        if counts and row.exclusion in (None, Exclusion.REFERENCE) and row not in bigrams:
            pairs[row.arm.name] = row, counts
    judged = c.judge_undeclared(pairs)
    return [f"{name}: {v.symbol} {v.text} against bigram counts" for name, v in judged.items() if v.harmful]


def roles(c: Comparison) -> tuple[tuple[str, ...], tuple[Accuracies, ...]] | None:
    """Names of the token roles, and each arm's accuracy on them, pooled over finished seeds."""
    names = tuple(
        dict.fromkeys(name for row in c.rows for r in row.arm.finished_results for name in _sums(r))
    )
    lines = [
        (row, tuple(_accuracy(row.arm, name) for name in names)) for row in c.rows if row.arm.finished_results
    ]
    return (names, tuple(lines)) if names else None


def _sums(result: Result) -> Mapping[str, Sequence[float]]:
    """(nats, hits, targets) of each role."""
    sums: Mapping[str, Sequence[float]] = result.records.get("roles", {})
    return sums


def _accuracy(arm: MeasuredArm, role: str) -> float | None:
    pooled = [sums[role] for r in arm.finished_results if role in (sums := _sums(r))]
    targets = sum(n for _, _, n in pooled)
    return sum(hits for _, hits, _ in pooled) / targets if targets else None


def passage(c: Comparison) -> tuple[ComparedArm, Result] | None:
    """The first finished trial, baseline first, that decoded a stretch of the validation set."""
    return next(
        ((row, r) for row in c.rows for r in row.arm.finished_results if r.records.get("passage")), None
    )


def throughput(c: Comparison) -> tuple[tuple[ComparedArm, float, SpeedRatio | None], ...]:
    """Mean training speed of every arm in tokens/s, and its ratio to that of the arm it is compared with.

    The ratio is over the seeds that both sides trained on one kind of machine: see `speed_not_compared`.
    """
    lines = []
    for row in c.rows:
        pairs = [(a, b) for a, b, reason in _speeds(row, c) if not reason]
        if (mean := row.arm.average_metric("speed_train")) is not None:
            lines.append((row, mean, speed_ratio(pairs) if row.index else None))
    return tuple(lines)


def speed_not_compared(c: Comparison) -> str:
    """A sentence on the pairs of speeds that are not compared, and why; "" if there are none."""
    pairs = [pair for row in c.rows[1:] for pair in _speeds(row, c)]
    reasons = [reason for _, _, reason in pairs if reason]
    if not reasons:
        return ""
    why = "; ".join(dict.fromkeys(reasons))
    return f"{len(reasons)} of {plural(len(pairs), 'pair')} of speeds not compared: {why}"


def _speeds(row: ComparedArm, c: Comparison) -> list[tuple[float, float, str]]:
    """For each seed the speeds of an arm and its base, and why the two cannot be compared."""
    base, arm = c.base(row).arm, row.arm
    speeds, base_speeds = arm.collect_metric("speed_train"), base.collect_metric("speed_train")
    return [
        (
            speeds[s],
            base_speeds[s],
            unlike([find_machine_kind(side.results[s].environment) for side in (base, arm)]),
        )
        for s in sorted(speeds.keys() & base_speeds.keys())
        if 0 < speeds[s] < math.inf and 0 < base_speeds[s] < math.inf
    ]
