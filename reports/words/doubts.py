"""What a page warns of: trials, arms and pairs that make verdicts doubtful."""

from collections import Counter
from itertools import groupby

from unrolled.bench.errors import join_first, plural, visible
from unrolled.bench.machine_kind import describe_mixed_pairs, find_machine_kind
from unrolled.bench.metric import FEWEST_SEEDS, is_computed
from unrolled.reports.compared_arm import Proof
from unrolled.reports.comparison import Comparison
from unrolled.reports.formats import format_number, join_first_names
from unrolled.reports.replicates import have_equal_fingerprints
from unrolled.reports.statistics.error_contrasts import Unpaired
from unrolled.reports.statistics.power import CLAIM_SEEDS
from unrolled.reports.words.caveats import LISTED, describe_missing_turns
from unrolled.reports.words.sentences import describe_aa_check, fails_aa_check


def list_warnings(comparison: Comparison) -> tuple[str, ...]:
    """Return sentences on whatever makes these results doubtful, from dead toggles to mixed machines."""
    phrases = [
        f"{arm.measured.name}: {arm.note} bit for bit, so the change did nothing"
        for arm in comparison.arms
        if arm.is_dead
    ]
    for arm in comparison.arms:
        failed = [proof for proof in arm.proofs if not proof.ok]
        failed.sort(key=Proof.describe_failed_seeds)
        for seeds, proofs in groupby(failed, Proof.describe_failed_seeds):
            settings = ", ".join(proof.setting for proof in proofs)
            in_seeds = f" in {seeds}" if seeds else ""
            phrases.append(f"{arm.measured.name}: no proof that {settings} took effect{in_seeds}")
    self_checks = [arm.contrast for arm in comparison.arms if arm.contrast and not arm.has_contrast_to_decide]
    phrases += [describe_aa_check(contrast) for contrast in self_checks if fails_aa_check(contrast)]
    phrases += [
        describe_warned_trials(comparison),
        describe_copied_arms(comparison),
        describe_perfect_arms(comparison),
        *comparison.design.doubts,
        *list_skewed_contrasts(comparison),
    ]
    phrases += [describe_missing_turns(comparison), describe_mixed_machines(comparison)]
    return tuple(filter(None, phrases))


def describe_warned_trials(comparison: Comparison) -> str:
    """Return a phrase on the trials that have learnt nothing, by arm; "" if there are none."""
    warned = Counter(
        (arm.measured.name, r.warning)
        for arm in comparison.arms
        for r in arm.measured.finished_results
        if r.warning
    )
    phrases = [
        f"{visible(name)} {warning} on {plural(number, comparison.design.noun)}"
        for (name, warning), number in warned.items()
    ]
    return join_first(phrases, LISTED)


def describe_copied_arms(comparison: Comparison) -> str:
    """Return a sentence on the arms that ignore their seed; "" if there are none."""
    copied = join_first_names([arm.measured.name for arm in comparison.arms if arm.copied], LISTED)
    if not copied:
        return ""
    if comparison.design.nondeterminism is None:
        return f"{copied}: maybe one run under all seeds, which is not known without a repeated training"
    return f"one run, with the same numbers on every {comparison.design.noun}, shows no difference: {copied}"


def describe_perfect_arms(comparison: Comparison) -> str:
    """Return a sentence on arms that may be one run, as no judged number shows it; "" for none."""
    views = [v for v in comparison.per_metric if v.metric.is_quality and is_computed(v.metric.name)]
    perfect = []
    for arm in comparison.arms:
        values = [(v.metric, v.arms[arm.index].summary.values.values()) for v in views]
        seeds = [seed for seed, result in arm.measured.results.items() if result.done]
        is_one_run = have_equal_fingerprints(arm.measured, seeds, comparison.design)
        is_one_value = values and arm.done >= FEWEST_SEEDS and is_one_run
        if is_one_value and arm.measured.uses_seed and all(metric.are_best(xs) for metric, xs in values):
            perfect.append(arm.measured.name)
    if not perfect:
        return ""
    return (
        f"the best possible value on every {comparison.design.noun}, which one run copied for all has, too; "
        f"a metric that differs between runs, such as a loss, would tell: {join_first_names(perfect, LISTED)}"
    )


def list_skewed_contrasts(comparison: Comparison) -> tuple[str, ...]:
    """Return sentences on contrasts whose values are so skewed that tests may err, or too few to show it."""
    whose = "pairs" if comparison.design.pairing_column else "values"
    by = f" in {comparison.title}" if comparison.other_views else ""
    skewed = []
    too_few = []
    unequal = []
    for arm in comparison.arms_with_contrast:
        contrast = arm.contrast
        v = arm.verdict
        if contrast and v and contrast.skewed:
            values = plural(contrast.skewness_of, comparison.design.noun)
            sides = visible(arm.measured.name)
            if isinstance(contrast, Unpaired):  # those of either side
                sides += f" against {visible(comparison.find_base(arm).measured.name)}"
            skewed.append(f"{sides} (skewness {format_number(contrast.skewness, 1)} over {values})")
        elif isinstance(contrast, Unpaired) and v and v.claims and contrast.has_unequal_spreads:
            unequal.append(visible(arm.measured.name))
        elif contrast and v and v.claims and contrast.hides_skewness:
            too_few.append(
                f"{visible(arm.measured.name)} ({plural(contrast.skewness_of, comparison.design.noun)})"
            )
    sentences = {
        f"{whose} skewed{by}": skewed,
        "the spreads of both sides differ by a factor of 2 or more, and few values may be skewed": unequal,
        f"fewer than {CLAIM_SEEDS} {whose} cannot show whether they are skewed{by}": too_few,
    }
    return tuple(
        f"{doubt}: {join_first(arms, LISTED)}; {MORE_ERRORS}" for doubt, arms in sentences.items() if arms
    )


MORE_ERRORS = "such verdicts may err more often than they should"


def describe_mixed_machines(comparison: Comparison) -> str:
    """Return a sentence on pairs of results from different kinds of machine; "" if there are none."""
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
