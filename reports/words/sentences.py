"""Verdicts in words, which answers, claims and tables share."""

from collections.abc import Callable
from functools import partial

from unrolled.bench.metric import FEWEST_SEEDS
from unrolled.bench.phrases import choose_form, plural, select_phrases
from unrolled.bench.study_rules import StoppingRule
from unrolled.reports.compare.compared_arm import ComparedArm
from unrolled.reports.compare.comparison import Comparison
from unrolled.reports.formats import describe_all, format_count, format_number, format_p
from unrolled.reports.scale import Scale
from unrolled.reports.statistics.contrasts import Contrast
from unrolled.reports.statistics.error_contrasts import Unpaired
from unrolled.reports.statistics.power import CLAIM_SEEDS, SELF_CHECK_ALPHA, minimum_detectable_effect
from unrolled.reports.statistics.verdicts import Size, Verdict

SKEWED = "the pairs are skewed"
TIED = "every pair is equal, which does not rule out a difference of δ"
FAILED_UNEQUALLY = "one side failed more often, so that they are not called the same"


def describe_verdict(
    verdict: Verdict, arm: str, baseline: str, scale: Scale, *, correction: str = "Holm"
) -> str:
    """Return a verdict as a sentence: "▲ better by more than δ — A against B: …", with names unescaped.

    The evidence follows: effect, interval, p, seeds, failures and, if it is open, the seeds needed. `scale`
    is the metric's, and `correction` names the method that adjusted p.
    """
    contrast = verdict.contrast
    test = f"{correction} p {format_p(verdict.difference_p)}"
    if verdict.kind == "same":
        zone = f"±{scale.format_measured_delta(contrast.zone)}"
        if scale.log_factor:
            zone = scale.format_zone(contrast.zone)
        test = f"within {zone} (TOST, {correction} p {format_p(verdict.equivalence_p)})"
    signs = describe_better_pairs(contrast, "seed")
    effect = [_describe_effect(verdict, scale), test, signs, describe_divergence(verdict)]
    if contrast.is_all_tied:
        effect = [f"the same value {describe_all(contrast.pair_count, 'seed')}"]
    remarks = {
        _describe_lost_pairs(contrast): True,
        describe_stage(verdict): True,
        _describe_power(verdict, scale): True,
        f"provisional under {CLAIM_SEEDS} seeds": verdict.is_provisional,
    }
    phrases = [*filter(None, effect), *select_phrases(remarks)]
    return f"{verdict.symbol} {verdict.text} — {arm} against {baseline}: {'; '.join(phrases)}."


def describe_better_pairs(contrast: Contrast, noun: str) -> str:
    """Return on how many pairs an arm is better: "better on 18 of 30 seeds, equal on 7"."""
    better = f"better on {contrast.better_count} of {plural(contrast.pair_count, noun)}"
    return f"{better}, equal on {contrast.equal_count}" if contrast.equal_count else better


def describe_divergence(verdict: Verdict) -> str:
    """Return how often each side diverged, with the p of a test if there is one; "" if no seed did."""
    counts = describe_diverged(verdict.contrast)
    if not counts or not verdict.contrast.divergence_test_name:
        return counts
    p = format_p(verdict.adjusted_divergence.p)
    return f"{counts} ({verdict.contrast.divergence_test_name}, adjusted p {p})"


def describe_diverged(contrast: Contrast) -> str:
    """Return how often each side diverged: "diverged 5 of 40 against 0 of 40"; "" if no seed did."""
    if not (contrast.arm_diverged_count or contrast.base_diverged_count):
        return ""
    arm_size, base_size = _find_sizes(contrast)
    return (
        f"diverged {contrast.arm_diverged_count} of {arm_size} against "
        f"{contrast.base_diverged_count} of {base_size}"
    )


def describe_stage(verdict: Verdict, first_metric: str = "the first metric") -> str:
    """Return where in its looks a contrast stands: "decided at 15 of 40 seeds"; "" if there is one look.

    `explain_open` says why it claims nothing.
    """
    if verdict.state.halt_reason:
        return f"{_name_open_part(verdict, first_metric)}open: {verdict.state.halt_reason}"
    contrast = verdict.contrast
    looks = contrast.look.looks
    if len(looks) == 1:
        return ""
    # fewer than the first look has, until it is complete
    ended_count = len(contrast.seeds) + contrast.lost_count
    seeds = f"{min(ended_count, contrast.look.seed_count)} of {looks.last_pair_count} seeds"
    if verdict.state.has_ended and verdict.makes_claim:
        return f"decided at {seeds}"
    if verdict.state.has_ended:
        # a gate or a proposal ends by a rule of its own, whether the first metric is decided or not
        place = "" if verdict.state.joint_rule else f", where {first_metric} was decided"
        return f"open at {seeds}{place}"
    if contrast.look.is_last:  # of its pairs some may have failed
        return f"{_name_open_part(verdict, first_metric)}open at the last look, {seeds}"
    return f"{_name_open_part(verdict, first_metric)}open after {seeds}"


def _name_open_part(verdict: Verdict, first_metric: str) -> str:
    """Return which part of a contrast with a claim is open, such as "its size is "; "" without a claim."""
    subjects = {
        None: f"by {first_metric} the contrast is ",
        StoppingRule.SIZE: "its size is ",
        StoppingRule.GATE: "the gate is ",
        StoppingRule.PROPOSAL: "the proposal is ",
    }
    rule = verdict.state.joint_rule or verdict.stopping_rule
    return subjects[rule] if verdict.makes_claim else ""


def _describe_effect(verdict: Verdict, scale: Scale) -> str:
    """Return the difference and its interval; if seeds diverged, of the median, and the mean."""
    contrast = verdict.contrast
    if not contrast.pair_count:
        return "no seed in common"
    show = partial(scale.format_difference_with_unit, sign=True)
    effect = show(contrast.estimate)
    if interval := scale.format_interval(verdict.interval, cells=True):
        effect += f", {interval}"
    effect += " over seeds"
    if not contrast.uses_median:
        return "; ".join(filter(None, (effect, describe_unbiased(verdict, show))))
    if contrast.mean_difference is None:
        return f"median {effect}"
    return f"median {effect}; given convergence the mean is {show(contrast.mean_difference)}"


def describe_unbiased(verdict: Verdict, show: Callable[[float], str]) -> str:
    """Return the median-unbiased estimate of a contrast that stopped early; "" if it reads like the mean."""
    look = verdict.contrast.look
    if not verdict.state.has_ended or look.is_last:
        return ""
    mean = verdict.contrast.estimate
    unbiased = verdict.unbiased_difference
    if mean is None or unbiased is None or show(mean) == show(unbiased):
        return ""
    return f"{show(unbiased)} allowing for the early stop"


def describe_sizes(contrast: Contrast, noun: str) -> str:
    """Return the number of pairs, or of the rows of both sides: "20 seeds", "9 and 14 rows"."""
    arm_size, base_size = _find_sizes(contrast)
    if arm_size == base_size:
        return plural(arm_size, noun)
    return f"{arm_size} and {base_size} {noun}s"


def _find_sizes(contrast: Contrast) -> tuple[int, int]:
    """Return the number of rows of the arm and of its base; of pairs, their number twice."""
    return contrast.sizes if isinstance(contrast, Unpaired) else (contrast.pair_count, contrast.pair_count)


ARM_SIDES = "the arm's", "its baseline's"
PART_SIDES = "with it", "without it"


def describe_lost(contrast: Contrast, sides: tuple[str, str] = ARM_SIDES) -> str:
    """Return how many pairs were lost, and by which side: "3 pairs lost, the arm's 2, its baseline's 1".

    Returns "" if none was.
    """
    if not contrast.lost_count:
        return ""
    noun = "pair" if contrast.is_paired else "row"
    lost = f"{plural(contrast.lost_count, noun)} lost"
    if contrast.arm_missing_count + contrast.base_missing_count < contrast.lost_count:  # a run was copied
        return lost
    return f"{lost}, {sides[0]} {contrast.arm_missing_count}, {sides[1]} {contrast.base_missing_count}"


def _describe_lost_pairs(contrast: Contrast) -> str:
    seeds = ", ".join(map(str, contrast.seeds_without_partner))
    phrases = {
        f"{describe_lost(contrast)}, each counted as the worst pair for the claim": contrast.lost_count,
        f"without a partner: seed {seeds}": seeds,
    }
    return ", ".join(select_phrases(phrases))


def _describe_power(verdict: Verdict, scale: Scale) -> str:
    """Return the effect that these seeds can detect, and the number of seeds that would detect δ.

    Returns "" for a contrast that gets no more seeds.
    """
    contrast = verdict.contrast
    if verdict.makes_claim or verdict.state.is_futile:
        return ""
    if contrast.pair_count < FEWEST_SEEDS:
        return f"under {FEWEST_SEEDS} seeds nothing is decided"
    if contrast.mde is None:
        return ""
    return (
        f"{contrast.pair_count} seeds detect "
        f"{scale.format_difference_with_unit(contrast.mde)} with 80 % power; "
        f"{format_count(contrast.seeds_needed)} would detect δ"
    )


def describe_aa_check(arm: ComparedArm) -> str:
    """Return a sentence on the A/A check: the baseline against itself under other seeds; "" for other arms.

    The check is in no family of contrasts: its unadjusted p is judged at .01. A passed check says which
    difference it would have noticed, because it cannot rule out a smaller one.
    """
    contrast = arm.contrast
    if not arm.is_aa_check or contrast is None:
        return ""
    on = ", ".join(filter(None, (f"on {plural(contrast.pair_count, 'seed')}", describe_diverged(contrast))))
    if contrast.pair_count < FEWEST_SEEDS:
        return f"A/A check undecided {on}: it needs {FEWEST_SEEDS}"
    if fails_aa_check(arm):
        fault = "the baseline differs from itself"
        if arm.repeats_baseline:
            fault = "other seeds give the same numbers, as where a program uses a part of its seed"
        return f"A/A check failed {on}: {fault}; distrust this study"
    judged = f"p {format_p(contrast.p)}, judged at {format_p(SELF_CHECK_ALPHA)}"
    passed = f"A/A check passed {on}: the baseline under other seeds is not shown to differ ({judged})"
    if contrast.uses_signs or contrast.sd is None:
        return passed
    noticed = contrast.sd * minimum_detectable_effect(contrast.pair_count, SELF_CHECK_ALPHA) / contrast.zone
    return f"{passed}; with 80 % power it would notice a difference of {format_number(noticed, 1)} δ"


def fails_aa_check(arm: ComparedArm) -> bool:
    """Return True if an arm is the baseline, and differs from it or computed the same under other seeds."""
    if not arm.is_aa_check or arm.contrast is None or arm.contrast.pair_count < FEWEST_SEEDS:
        return False
    return arm.contrast.p <= SELF_CHECK_ALPHA or arm.repeats_baseline


def describe_interaction(verdict: Verdict) -> str:
    """Return a phrase on whether two factors' effects add up, from the verdict on their interaction."""
    if verdict.kind == "open":
        return "whether the two effects add up is not decided"
    if verdict.size is Size.LESS:
        return "the two effects add up, within ±δ"
    return f"together {verdict.direction} than the two effects add up to"


def describe_mean(comparison: Comparison) -> str:
    """Return a sentence on means that are taken of logarithms; "" if they are of the values shown."""
    if comparison.other_scale:
        measured_title = comparison.design.find_scale(comparison.metric).title
        return f"A mean of {comparison.scale.title} is exp of the mean {measured_title}."
    return f"Means of {comparison.scale.title} are geometric." if comparison.scale.log_factor else ""


def describe_too_few_pairs(comparison: Comparison) -> str:
    """Return a sentence on a comparison in which no contrast has enough pairs; "" for others."""
    if not comparison.has_too_few_pairs:
        return ""
    number = max(arm.contrast.pair_count for arm in comparison.judged_arms if arm.contrast)
    has_one_run_arm = any(arm.is_one_run for arm in comparison.arms)  # all of its seeds make one pair
    noun = "pair" if has_one_run_arm else comparison.design.noun
    pairs = choose_form(number, f"One {noun}", plural(number, noun))
    return f"{pairs}: nothing is decided, as a verdict needs at least {FEWEST_SEEDS}"


def describe_remarks(arm: ComparedArm, comparison: Comparison) -> str:
    """Return the state of the arm's contrast, or why it has none; "" if there is nothing to remark.

    The sentence of `describe_too_few_pairs` on all arms is not repeated.
    """
    verdict = arm.verdict
    contrast = arm.contrast
    if not contrast:
        return arm.reason_not_compared or "baseline"
    if not verdict:
        return "A/A check" if comparison.has_too_few_pairs else describe_aa_check(arm)
    progress = _describe_progress(arm, verdict, comparison)  # of an ended contrast it has the reason
    remarks = {
        describe_divergence(verdict): contrast.omits_diverged,
        f"{describe_lost(contrast)}, counted against any claim": contrast.lost_count,
        progress: True,
        f"open only because {SKEWED}": verdict.is_open_by_skewness and SKEWED not in progress,
        TIED: explain_open(arm, comparison) == TIED and TIED not in progress,
        FAILED_UNEQUALLY: contrast.fails_unequally
        and not (verdict.makes_claim or verdict.state.has_ended or verdict.state.halt_reason),
        f"provisional: under {CLAIM_SEEDS} {comparison.design.noun}s": verdict.is_provisional,
    }
    return "; ".join(select_phrases(remarks))


def explain_open(arm: ComparedArm, comparison: Comparison) -> str:
    """Return why the arm's contrast is open; "" if it makes a claim, or if there is none."""
    verdict = arm.verdict
    contrast = arm.contrast
    noun = comparison.design.noun
    if verdict is None or contrast is None or verdict.makes_claim:
        return ""
    if verdict.state.halt_reason:
        return verdict.state.halt_reason
    if contrast.pair_count < FEWEST_SEEDS:
        return f"under {FEWEST_SEEDS} {noun}s nothing is decided"
    if verdict.is_open_by_skewness:
        return SKEWED
    if verdict.is_widened_to_zero:
        return (
            f"the interval allows for skewed pairs, and reaches zero at {plural(contrast.pair_count, noun)}"
        )
    if contrast.fails_unequally:
        return FAILED_UNEQUALLY
    if contrast.has_constant_difference and not (contrast.estimate or contrast.omits_diverged):
        return TIED
    reason = f"neither a difference nor equality within ±δ is shown at {plural(contrast.pair_count, noun)}"
    if verdict.state.joint_rule or not verdict.state.has_ended:
        return reason
    return f"{reason}, where {_name_deciding_metric(comparison)} was decided"


def _describe_progress(arm: ComparedArm, verdict: Verdict, comparison: Comparison) -> str:
    """Return the stage of an undecided contrast, or why a decided one is open; "" for a decided claim."""
    contrast = verdict.contrast
    if comparison.has_too_few_pairs and not verdict.state.halt_reason:
        return ""
    if verdict.state.halt_reason or not (verdict.state.has_ended or contrast.look.is_last):
        return describe_stage(verdict, _name_deciding_metric(comparison))
    if verdict.state.has_ended:
        return "" if verdict.makes_claim else f"open: {explain_open(arm, comparison)}"
    pairs = describe_sizes(contrast, comparison.design.noun)
    if contrast.pair_count < FEWEST_SEEDS:
        return f"not decided at {pairs}: under {FEWEST_SEEDS} nothing is decided"
    return f"{_name_open_part(verdict, _name_deciding_metric(comparison))}not decided at {pairs}"


def _name_deciding_metric(comparison: Comparison) -> str:
    """Return the title of the metric that decides, which is the first."""
    return comparison.design.find_scale(comparison.design.rules.metrics[0]).title


def name_bases(comparison: Comparison) -> str:
    """Return what arms are compared with: "lm1", or "lm1 or the arm that each names"."""
    baseline = comparison.arms[0]
    if any(comparison.find_base(arm) is not baseline for arm in comparison.arms_with_contrast):
        return f"{baseline.name} or the arm that each names"
    return baseline.name


def find_absolute_difference(verdict: Verdict) -> float:
    """Return the absolute difference of a verdict; 0 if it has none."""
    return abs(verdict.contrast.estimate or 0.0)
