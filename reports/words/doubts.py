"""Warnings of a page: trials, arms and pairs that make verdicts doubtful."""

from collections import Counter
from itertools import groupby

from unrolled.bench.machine_kind import describe_mixed_pairs, find_machine_kind
from unrolled.bench.metric import FEWEST_SEEDS, is_quality_name
from unrolled.bench.phrases import join_first, make_visible, plural
from unrolled.reports.compare.compared_arm import ArmWitness
from unrolled.reports.compare.comparison import Comparison
from unrolled.reports.compare.replicates import have_equal_fingerprints
from unrolled.reports.formats import format_number, join_first_names
from unrolled.reports.statistics.error_contrasts import Unpaired
from unrolled.reports.statistics.power import CLAIM_SEEDS
from unrolled.reports.words.caveats import MOST_ARMS, describe_missing_turns
from unrolled.reports.words.sentences import describe_aa_check, fails_aa_check


def list_warnings(comparison: Comparison) -> tuple[str, ...]:
    """Return a sentence on each thing that makes results doubtful, from dead toggles to mixed machines."""
    phrases = [
        f"{arm.name}: {arm.reason_not_compared} bit for bit, so the change did nothing"
        for arm in comparison.arms
        if arm.is_dead
    ]
    for arm in comparison.arms:
        failed = [witness for witness in arm.witnesses if not witness.ok]
        failed.sort(key=ArmWitness.describe_failed_seeds)
        for seeds, witnesses in groupby(failed, ArmWitness.describe_failed_seeds):
            settings = ", ".join(witness.setting for witness in witnesses)
            in_seeds = f" in {seeds}" if seeds else ""
            phrases.append(f"{arm.name}: no proof that {settings} took effect{in_seeds}")
    self_checks = [arm.contrast for arm in comparison.arms if arm.contrast and not arm.gets_verdict]
    phrases += [describe_aa_check(contrast) for contrast in self_checks if fails_aa_check(contrast)]
    phrases += [
        describe_warned_trials(comparison),
        describe_one_run_arms(comparison),
        describe_perfect_arms(comparison),
        *comparison.design.doubts,
        *list_skewed_contrasts(comparison),
    ]
    phrases += [describe_missing_turns(comparison), describe_mixed_machines(comparison)]
    return tuple(filter(None, phrases))


def describe_warned_trials(comparison: Comparison) -> str:
    """Return which arms have learnt nothing: "lr 1 always predicts “the” on 3 seeds"; "" for none."""
    warned = Counter(
        (arm.name, result.warning)
        for arm in comparison.arms
        for result in arm.measured.finished_results
        if result.warning
    )
    phrases = [
        f"{make_visible(name)} {warning} on {plural(number, comparison.design.noun)}"
        for (name, warning), number in warned.items()
    ]
    return join_first(phrases, MOST_ARMS)


def describe_one_run_arms(comparison: Comparison) -> str:
    """Return a sentence on the arms that are one run; "" if there are none."""
    names = join_first_names([arm.name for arm in comparison.arms if arm.is_one_run], MOST_ARMS)
    if not names:
        return ""
    if comparison.design.nondeterminism is None:
        return f"{names}: maybe one run under all seeds; training one seed twice would tell"
    return f"one run, with the same numbers on every {comparison.design.noun}, shows no difference: {names}"


def describe_perfect_arms(comparison: Comparison) -> str:
    """Return a sentence on arms with the best value on every seed, which may be one run; "" for none."""
    judged = comparison.views
    views = [view for view in judged if view.metric.is_quality and is_quality_name(view.metric.name)]
    perfect = []
    for arm in comparison.arms:
        values = [(view.metric, view.arms[arm.index].summary.values.values()) for view in views]
        seeds = [seed for seed, result in arm.measured.results.items() if result.done]
        has_equal_fingerprints = have_equal_fingerprints(arm.measured, seeds, comparison.design)
        is_one_value = values and arm.done_count >= FEWEST_SEEDS and has_equal_fingerprints
        if (
            is_one_value
            and arm.measured.uses_seed
            and all(metric.are_best(numbers) for metric, numbers in values)
        ):
            perfect.append(arm.name)
    if not perfect:
        return ""
    return (
        f"the best possible value on every {comparison.design.noun} may be one run, copied; a metric that "
        f"differs between runs, such as a loss, would show it: {join_first_names(perfect, MOST_ARMS)}"
    )


def list_skewed_contrasts(comparison: Comparison) -> tuple[str, ...]:
    """Return sentences, by metric, on contrasts whose values are skewed, or too few to show it."""
    views = comparison.views
    clauses = [f" in {view.metric_title}" if len(views) > 1 else "" for view in views]
    return tuple(
        sentence
        for view, clause in zip(views, clauses, strict=True)
        for sentence in _list_skewed_by_metric(view, clause)
    )


def _list_skewed_by_metric(comparison: Comparison, by: str) -> tuple[str, ...]:
    """Return the sentences of `list_skewed_contrasts` on one metric, which `by` names."""
    whose = "pairs" if comparison.design.pairing_column else "values"
    skewed = []
    too_few = []
    unequal = []
    for arm in comparison.arms_with_contrast:
        contrast = arm.contrast
        verdict = arm.verdict
        if contrast and verdict and contrast.is_skewed:
            values = plural(contrast.skewness_count, comparison.design.noun)
            sides = make_visible(arm.name)
            if isinstance(contrast, Unpaired):  # the skewness belongs to one of the two sides
                sides += f" against {make_visible(comparison.find_base(arm).name)}"
            skewed.append(f"{sides} (skewness {format_number(contrast.skewness, 1)} over {values})")
        elif (
            isinstance(contrast, Unpaired)
            and verdict
            and verdict.makes_claim
            and contrast.has_unequal_spreads
        ):
            unequal.append(make_visible(arm.name))
        elif contrast and verdict and verdict.makes_claim and contrast.hides_skewness:
            too_few.append(
                f"{make_visible(arm.name)} ({plural(contrast.skewness_count, comparison.design.noun)})"
            )
    sentences = {
        f"{whose} skewed{by}": skewed,
        "the spreads of both sides differ by a factor of 2 or more, and few values may be skewed": unequal,
        f"fewer than {CLAIM_SEEDS} {whose} cannot show whether they are skewed{by}": too_few,
    }
    return tuple(
        f"{doubt}: {join_first(arms, MOST_ARMS)}; {MORE_ERRORS}" for doubt, arms in sentences.items() if arms
    )


MORE_ERRORS = "verdicts may then err more often than intended"


def describe_mixed_machines(comparison: Comparison) -> str:
    """Return a sentence on pairs whose sides ran on different kinds of machine; "" if there are none."""
    sides = [
        (comparison.find_base(compared).measured, compared.measured)
        for compared in comparison.arms_with_contrast
    ]
    return describe_mixed_pairs(
        (find_machine_kind(base.results[seed].provenance), find_machine_kind(arm.results[seed].provenance))
        for base, arm in sides
        for seed in base.collect_metric(comparison.metric.name).keys()
        & arm.collect_metric(comparison.metric.name).keys()
    )
