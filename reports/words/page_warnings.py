"""Warnings of a page: trials, arms and pairs that make verdicts doubtful."""

import math
from collections import Counter
from itertools import groupby

from unrolled.bench.hardware.machine_kind import describe_mixed_pairs, find_machine_kind
from unrolled.bench.metric import FEWEST_SEEDS, judges_cost
from unrolled.bench.phrases import join_first, plural
from unrolled.reports.compare.compared_arm import ArmWitness
from unrolled.reports.compare.comparison import Comparison
from unrolled.reports.compare.repeated_numbers import describe_few_numbers
from unrolled.reports.compare.replicates import have_equal_fingerprints
from unrolled.reports.formats import format_number, join_first_names, join_names, quote_name
from unrolled.reports.statistics.error_contrasts import Unpaired
from unrolled.reports.statistics.power import CLAIM_SEEDS
from unrolled.reports.words.page_limits import describe_missing_turns
from unrolled.reports.words.sentences import describe_aa_check, fails_aa_check
from unrolled.reports.words.study_state import MOST_ARMS


def list_warnings(comparison: Comparison) -> tuple[str, ...]:
    """Return a sentence on each thing that makes results doubtful, from dead toggles to mixed machines."""
    phrases = [
        f"{quote_name(arm.name)}: {arm.reason_not_compared} bit for bit, so the change did nothing"
        for arm in comparison.arms
        if arm.is_dead
    ]
    for arm in comparison.arms:
        failed = [witness for witness in arm.witnesses if not witness.took_effect]
        failed.sort(key=ArmWitness.describe_failed_seeds)
        for seeds, witnesses in groupby(failed, ArmWitness.describe_failed_seeds):
            settings = ", ".join(witness.setting for witness in witnesses)
            in_seeds = f" in {seeds}" if seeds else ""
            phrases.append(f"{quote_name(arm.name)}: no proof that {settings} took effect{in_seeds}")
    phrases += [describe_aa_check(arm) for arm in comparison.arms if fails_aa_check(arm)]
    phrases += [
        describe_warned_trials(comparison),
        describe_repeated_attempts(comparison),
        *(describe_lost_ratios(view) for view in comparison.views),
        describe_relative_shares(comparison),
        describe_one_run_arms(comparison),
        describe_perfect_arms(comparison),
        describe_repeated_numbers(comparison),
        *comparison.design.doubts,
        *list_skewed_contrasts(comparison),
        describe_missing_turns(comparison),
        describe_mixed_machines(comparison),
    ]
    return tuple(filter(None, phrases))


def describe_warned_trials(comparison: Comparison) -> str:
    """Return which arms have learnt nothing: "lr 1 always predicts “the” on 3 seeds"; "" for none."""
    warned = Counter(
        (arm.name, result.warning)
        for arm in comparison.arms
        for result in arm.counted_arm.finished_results
        if result.warning
    )
    phrases = [
        f"{quote_name(name)} {warning} on {plural(number, comparison.design.noun)}"
        for (name, warning), number in warned.items()
    ]
    return join_first(phrases, MOST_ARMS)


def describe_repeated_attempts(comparison: Comparison) -> str:
    """Return which arms have results of trials that failed or were killed at first; "" for none.

    A deterministic trial gives the same numbers at each attempt. Any other may fail in its bad runs, which
    are then missing. If the baseline of a program repeats its numbers, another arm need not.
    """
    design = comparison.design
    if not design.is_study:
        return ""
    reason = "as equal trials differ"
    if design.repetition_differences == {} and not judges_cost(design.rules.metrics):
        if not design.runs_user_code:
            return ""
        reason = "unless equal trials of this arm are equal, as those of the baseline are (`unrolled verify`)"
    counts = Counter(
        arm.name
        for arm in comparison.arms
        for result in arm.counted_arm.finished_results
        if result.attempts > 1
    )
    phrases = [f"{quote_name(name)} on {plural(count, design.noun)}" for name, count in counts.items()]
    if not phrases:
        return ""
    return (
        f"{join_first(phrases, MOST_ARMS)}: trained again after attempts that failed, which may have been "
        f"the bad runs, {reason}"
    )


def describe_lost_ratios(view: Comparison) -> str:
    """Return which arms have values of 0 or less, where a δ in per cent asks for ratios; "" for none."""
    if not view.metric.ratio:
        return ""
    counts = Counter(
        arm.name
        for arm in view.arms
        for result in arm.counted_arm.finished_results
        if result.metrics.get(view.metric.name, math.inf) <= 0
    )
    phrases = [f"{quote_name(name)} on {plural(count, view.design.noun)}" for name, count in counts.items()]
    if not phrases:
        return ""
    return (
        f"a {view.scale.title} of 0 or less has no ratio, so that its contrasts stay open "
        f"({join_first(phrases, MOST_ARMS)}); a δ in the metric's unit needs none"
    )


def describe_relative_shares(comparison: Comparison) -> str:
    """Return a sentence on shares with a δ in per cent, which is not in points; "" if there are none."""
    metrics = [metric for metric in comparison.design.rules.metrics if metric.ratio and metric.is_share]
    if not metrics:
        return ""
    examples = join_names([f"{metric.shown_delta} of {metric.name}" for metric in metrics])
    points = f"{metrics[0].delta / 100:g}, or {metrics[0].delta:g} if its values go to 100"
    rule = f"a δ in per cent is relative: {examples} is a part of the value, not points"
    return f"{rule}; for points give {points}"


def describe_one_run_arms(comparison: Comparison) -> str:
    """Return a sentence on the arms that are one run; "" if there are none."""
    names = join_first_names([arm.name for arm in comparison.arms if arm.is_one_run], MOST_ARMS)
    if not names:
        return ""
    if comparison.design.repetition_differences is None:
        return f"{names}: maybe one run under all seeds; training one seed twice would tell"
    return f"one run, with the same numbers on every {comparison.design.noun}, shows no difference: {names}"


def describe_perfect_arms(comparison: Comparison) -> str:
    """Return a sentence on arms with the best value on every seed, which may be one run; "" for none."""
    views = [view for view in comparison.views if view.metric.is_quality]
    perfect = []
    for arm in comparison.arms:
        values = [(view.metric, view.arms[arm.index].summary.values.values()) for view in views]
        seeds = [seed for seed, result in arm.counted_arm.results.items() if result.is_done]
        is_perfect = values and all(metric.are_best(numbers) for metric, numbers in values)
        if (
            is_perfect
            and arm.counted_arm.uses_seed
            and arm.done_count >= FEWEST_SEEDS
            and have_equal_fingerprints(arm.counted_arm, seeds, comparison.design)
        ):
            perfect.append(arm.name)
    if not perfect:
        return ""
    return (
        f"the best possible value on every {comparison.design.noun} may be one run, copied; a metric that "
        f"differs between runs, such as a loss, would show it: {join_first_names(perfect, MOST_ARMS)}"
    )


def describe_repeated_numbers(comparison: Comparison) -> str:
    """Return a sentence on the arms of a study that repeat judged numbers; "" if there are none.

    The doubts of a table from elsewhere have this sentence already.
    """
    if not comparison.design.is_study:
        return ""
    return describe_few_numbers(comparison.table, comparison.design.rules.metrics, comparison.design.noun)


def list_skewed_contrasts(comparison: Comparison) -> tuple[str, ...]:
    """Return sentences, by metric, on contrasts whose values are skewed, or too few to show it."""
    return tuple(sentence for view in comparison.views for sentence in _list_skewed_by_metric(view))


def _list_skewed_by_metric(comparison: Comparison) -> tuple[str, ...]:
    """Return the sentences of `list_skewed_contrasts` on one metric."""
    clause = f" in {comparison.scale.title}" if len(comparison.design.rules.metrics) > 1 else ""
    whose = "pairs" if comparison.design.pairing_column else "values"
    skewed = []
    too_few = []
    unequal = []
    for arm in comparison.arms_with_contrast:
        contrast = arm.contrast
        verdict = arm.verdict
        if contrast is None or verdict is None:
            continue
        sides = quote_name(arm.name)
        values = plural(contrast.skewness_count, comparison.design.noun)
        if contrast.is_skewed:
            if isinstance(contrast, Unpaired):  # the skewness belongs to one of the two sides
                sides += f" against {quote_name(comparison.find_base(arm).name)}"
            skewed.append(f"{sides} (skewness {format_number(contrast.skewness, 1)} over {values})")
        elif verdict.makes_claim and isinstance(contrast, Unpaired) and contrast.has_unequal_spreads:
            unequal.append(sides)
        elif verdict.makes_claim and contrast.hides_skewness:
            too_few.append(f"{sides} ({values})")
    sentences = {
        f"{whose} skewed{clause}": skewed,
        "the spreads of both sides differ by a factor of 2 or more, and few values may be skewed": unequal,
        f"fewer than {CLAIM_SEEDS} {whose} cannot show whether they are skewed{clause}": too_few,
    }
    return tuple(
        f"{doubt}: {join_first(arms, MOST_ARMS)}; verdicts may then err more often than intended"
        for doubt, arms in sentences.items()
        if arms
    )


def describe_mixed_machines(comparison: Comparison) -> str:
    """Return a sentence on pairs whose sides ran on different kinds of machine; "" if there are none."""
    sides = [
        (comparison.find_base(compared).counted_arm, compared.counted_arm)
        for compared in comparison.arms_with_contrast
    ]
    return describe_mixed_pairs(
        (find_machine_kind(base.results[seed].provenance), find_machine_kind(arm.results[seed].provenance))
        for base, arm in sides
        for seed in base.collect_measured_values(comparison.metric.name).keys()
        & arm.collect_measured_values(comparison.metric.name).keys()
    )
