"""Verdicts in words: the only sentences in which a report claims anything."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from unrolled.bench.metric import FEWEST_SEEDS
from unrolled.bench.phrases import plural
from unrolled.bench.stopping_rule import StoppingRule
from unrolled.reports.compared_arm import ComparedArm
from unrolled.reports.comparison import Comparison
from unrolled.reports.formats import format_count, format_number, format_p, phrase_all
from unrolled.reports.presentation import Scale
from unrolled.reports.statistics.contrasts import Contrast
from unrolled.reports.statistics.error_contrasts import Unpaired
from unrolled.reports.statistics.power import CLAIM_SEEDS, SELF_CHECK_ALPHA, minimum_detectable_effect
from unrolled.reports.statistics.verdicts import Direction, Size, Verdict


def write_verdict_sentence(
    v: Verdict, arm: str, baseline: str, scale: Scale, *, correction: str = "Holm"
) -> str:
    """Return a verdict as a sentence: "▲ better by more than δ — A against B: …", with names unescaped.

    The evidence follows: effect, interval, p, seeds, failures and, if it is open, the seeds needed. `scale`
    is the metric's, and `correction` names the method that adjusted p.
    """
    contrast = v.contrast
    test = f"{correction} p {format_p(v.difference_p)}"
    if v.kind == "same":
        zone = scale.format_measured_delta(contrast.delta)
        test = f"within ±{zone} (TOST, {correction} p {format_p(v.equivalence_p)})"
    signs = f"better on {contrast.pairs_better} of {plural(contrast.pairs, 'seed')}"
    effect = [_describe_effect(v, scale), test, signs, describe_divergence(v)]
    phrases = [
        *([f"the same value {phrase_all(contrast.pairs, 'seed')}"] if contrast.all_tied else effect),
        _describe_losses(contrast),
        describe_stage(v),
        "" if v.claims or v.futile else _describe_power(contrast, scale),
        f"provisional under {CLAIM_SEEDS} seeds" if v.provisional else "",
    ]
    return f"{v.symbol} {v.text} — {arm} against {baseline}: {'; '.join(filter(None, phrases))}."


def describe_divergence(v: Verdict) -> str:
    """Return how often each side diverged, with the p of a test if there is one; "" if no seed did."""
    counts = describe_diverged(v.contrast)
    if not counts or not v.contrast.divergence_test:
        return counts
    return f"{counts} ({v.contrast.divergence_test}, adjusted p {format_p(v.divergence_test.p)})"


def describe_diverged(contrast: Contrast) -> str:
    """Return how often each side diverged: "diverged 5 of 40 against 0 of 40"; "" if no seed did."""
    if not (contrast.arm_diverged or contrast.base_diverged):
        return ""
    n = contrast.sizes if isinstance(contrast, Unpaired) else (contrast.pairs, contrast.pairs)
    return f"diverged {contrast.arm_diverged} of {n[0]} against {contrast.base_diverged} of {n[1]}"


def describe_stage(v: Verdict, first_metric: str = "the first metric") -> str:
    """Return where in its looks a contrast stands: "decided at 15 of 40 seeds"; "" if there is one look.

    Why it claims nothing is said by `explain_open`.
    """
    if v.blocked_reason:
        return f"open: {v.blocked_reason}"
    looks = v.contrast.look.looks
    if len(looks.numbers) == 1:
        return ""
    seeds = f"{v.contrast.look.seeds} of {looks.last} seeds"
    if v.decided:
        return f"decided at {seeds}" if v.claims else f"open at {seeds}, where {first_metric} was decided"
    if v.contrast.look.k + 1 == len(looks.numbers):  # of its pairs some may have failed
        return f"{_name_open_part(v, first_metric)}open at the last look, {seeds}"
    return f"{_name_open_part(v, first_metric)}open after {seeds}"


def _name_open_part(v: Verdict, first_metric: str) -> str:
    """Return which part of a contrast with a claim is open, such as "its size is "; "" without a claim."""
    subjects = {
        None: f"{first_metric} is ",
        StoppingRule.SIZE: "its size is ",
        StoppingRule.GATE: "the gate is ",
        StoppingRule.PROPOSAL: "the proposal is ",
    }
    return subjects[v.stopping_rule] if v.claims else ""


def _describe_effect(v: Verdict, scale: Scale) -> str:
    """Return the difference and its interval; if seeds diverged, of the median, and the mean."""
    contrast = v.contrast
    if not contrast.pairs:
        return "no seed in common"
    show = partial(scale.format_measured, sign=True)
    ends = f", {v.interval.percent} CI {scale.format_interval_cell(v.interval)}" if v.interval else ""
    effect = f"{show(contrast.estimate)}{ends} over seeds"
    if not contrast.by_median:
        return "; ".join(filter(None, (effect, describe_unbiased(v, show))))
    mean = "" if contrast.mean is None else f"; given convergence the mean is {show(contrast.mean)}"
    return f"median {effect}{mean}"


def describe_unbiased(v: Verdict, show: Callable[[float], str]) -> str:
    """Return the median-unbiased estimate of a contrast that stopped early; "" if it reads like the mean."""
    look = v.contrast.look
    if not v.decided or look.k + 1 == len(look.looks.numbers):
        return ""
    mean = v.contrast.estimate
    unbiased = v.unbiased
    if mean is None or unbiased is None or show(mean) == show(unbiased):
        return ""
    return f"{show(unbiased)} allowing for the early stop"


def describe_sizes(contrast: Contrast, noun: str) -> str:
    """Return the number of pairs, or of the rows of both sides: "20 seeds", "9 and 14 rows"."""
    sizes = contrast.sizes if isinstance(contrast, Unpaired) else (contrast.pairs,)
    numbers = [str(n) for n in dict.fromkeys(sizes)]
    return f"{' and '.join(numbers)} {noun}{'' if numbers == ['1'] else 's'}"


def describe_lost(contrast: Contrast) -> str:
    """Return how many pairs were lost, and by which side: "3 pairs lost, the arm's 2, its baseline's 1"."""
    lacks = f", the arm's {contrast.arm_lacks}, its baseline's {contrast.base_lacks}"
    is_known = contrast.arm_lacks + contrast.base_lacks >= contrast.lost_count  # not if a run was copied
    return (
        f"{plural(contrast.lost_count, 'pair' if contrast.paired else 'row')} lost{lacks if is_known else ''}"
    )


def _describe_losses(contrast: Contrast) -> str:
    parts = [f"{describe_lost(contrast)}, counted as the worst for the claim"] if contrast.lost_count else []
    if contrast.unpaired:
        parts.append(f"without a partner: seed {', '.join(map(str, contrast.unpaired))}")
    return ", ".join(parts)


def _describe_power(contrast: Contrast, scale: Scale) -> str:
    """Return the effect that these seeds can detect, and the number of seeds that would detect δ."""
    if contrast.pairs < FEWEST_SEEDS:
        return f"under {FEWEST_SEEDS} seeds nothing is decided"
    if contrast.mde is None:
        return ""
    return (
        f"{contrast.pairs} seeds detect {scale.format_measured(contrast.mde)} with 80 % power; "
        f"{format_count(contrast.seeds_needed)} would detect {scale.format_measured_delta(contrast.delta)}"
    )


def describe_aa_check(contrast: Contrast) -> str:
    """Return a sentence on the A/A check: the baseline against itself under other seeds.

    The check is in no family of contrasts: its unadjusted p is judged at .01. A passed check says which
    difference it would have noticed, because it cannot rule out a smaller one.
    """
    on = ", ".join(filter(None, (f"on {plural(contrast.pairs, 'seed')}", describe_diverged(contrast))))
    if contrast.pairs < FEWEST_SEEDS:
        return f"A/A check undecided {on}: it needs {FEWEST_SEEDS}"
    if fails_aa_check(contrast):
        return f"A/A check failed {on}: the baseline differs from itself; distrust this study"
    judged = f"p {format_p(contrast.p)}, judged at {format_p(SELF_CHECK_ALPHA)}"
    passed = f"A/A check passed {on}: the baseline under other seeds is not shown to differ ({judged})"
    if contrast.by_signs or contrast.sd is None:
        return passed
    noticed = contrast.sd * minimum_detectable_effect(contrast.pairs, SELF_CHECK_ALPHA) / contrast.delta
    power = f"with 80 % power it would notice, at {format_p(SELF_CHECK_ALPHA)}"
    return f"{passed}; {power}, a difference of {format_number(noticed, 1)} δ"


def fails_aa_check(contrast: Contrast) -> bool:
    """Return True if the baseline differs from itself."""
    return contrast.pairs >= FEWEST_SEEDS and contrast.p <= SELF_CHECK_ALPHA


def describe_interaction(v: Verdict) -> str:
    """Return a phrase on whether two factors' effects add up, from the verdict on their interaction."""
    if v.kind == "open":
        return "whether the two effects add up is not decided"
    if v.size is Size.LESS:
        return "the two effects add up, within ±δ"
    return f"together {v.direction} than the two effects add up to"


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The line of one contrast, by the metric that decides."""

    arm: ComparedArm
    verdict: Verdict
    comparison: Comparison

    @property
    def text(self) -> str:
        """Levels, effect, interval and seeds, without the verdict and the names."""
        decided = describe_stage(self.verdict) if self.arm.decided else ""
        return ", ".join(filter(None, (_describe_contrast(self.arm, self.comparison), decided)))

    @property
    def other_metrics(self) -> tuple[str, ...]:
        """A phrase with the verdict and the numbers by each other metric."""
        return tuple(
            f"{view.title}: {v.symbol} {v.text}, {_describe_contrast(view.arms[self.arm.index], view)}"
            for view in self.comparison.other_views
            if (v := view.arms[self.arm.index].verdict)
        )

    @property
    def sentence(self) -> str:
        """The verdict, the names and the numbers by all metrics, as a sentence."""
        standing = f" ({', '.join(self.arm.standing)})" if self.arm.standing else ""
        sides = f"{self.arm.name} against {self.comparison.find_base(self.arm).name}{standing}"
        numbers = "; ".join((self.text, *self.other_metrics))
        return f"{self.verdict.symbol} {self.verdict.label} — {sides}: {numbers}."


def list_claims(comparison: Comparison) -> tuple[Claim, ...]:
    """Return one claim a contrast: better arms first, then worse ones, each with the largest effect first."""
    order = ("better", "worse", "same", "open")
    claims = [
        Claim(arm=arm, verdict=arm.verdict, comparison=comparison)
        for arm in comparison.arms_with_contrast
        if arm.verdict
    ]
    return tuple(sorted(claims, key=lambda x: (order.index(x.verdict.kind), -absolute_difference(x.verdict))))


def _describe_contrast(arm: ComparedArm, comparison: Comparison) -> str:
    """Return the numbers of a contrast: levels of base → arm, effect, interval, pairs better, state."""
    contrast = arm.contrast
    if contrast is None:
        return arm.note
    if contrast.all_tied:
        alike = f"the same {phrase_all(contrast.pairs, arm.noun)}"
        return ", ".join(filter(None, (alike, describe_state(arm, comparison))))
    phrases = []
    show = partial(comparison.scale.format_difference, ends=arm.interval, sign=True)
    if contrast.estimate is not None:
        median = "median " if contrast.by_median else ""
        phrases = [
            "" if median else comparison.scale.format_change(contrast.base_mean, contrast.arm_mean),
            f"{median}{comparison.scale.describe_difference(contrast.estimate, arm.interval)}",
            comparison.scale.format_interval(arm.interval),
            describe_unbiased(arm.verdict, show) if arm.verdict else "",
        ]
        if second := comparison.scale.second_scale:
            phrases.append(f"{second.title} {second.describe_difference(contrast.estimate)}")
    phrases += [
        f"better on {contrast.pairs_better} of {plural(contrast.pairs, arm.noun)}" if contrast.paired else "",
        describe_state(arm, comparison),
    ]
    return ", ".join(filter(None, phrases))


def describe_mean(comparison: Comparison) -> str:
    """Return a sentence on means that are taken of logarithms; "" if they are of the values shown."""
    if comparison.other_scale:
        measured_title = comparison.design.find_scale(comparison.metric).title
        return f"A mean of {comparison.title} is exp of the mean {measured_title}."
    return f"Means of {comparison.title} are geometric." if comparison.scale.log else ""


def describe_too_few_pairs(comparison: Comparison) -> str:
    """Return a sentence on a comparison in which no contrast has enough pairs; "" for others."""
    if not comparison.has_too_few_pairs:
        return ""
    most = max(arm.contrast.pairs for arm in comparison.arms_to_decide if arm.contrast)
    is_one_run = any(arm.is_one_run for arm in comparison.arms)  # one run makes one pair of all its seeds
    noun = "pair" if is_one_run else comparison.design.noun
    pairs = f"One {noun}" if most == 1 else plural(most, noun)
    return f"{pairs}: nothing is decided, as a verdict needs at least {FEWEST_SEEDS}"


def describe_state(arm: ComparedArm, comparison: Comparison) -> str:
    """Return the state of the arm's contrast, or why it has none; "" if there is nothing to remark.

    What `describe_too_few_pairs` says of all arms is not said again.
    """
    v = arm.verdict
    contrast = arm.contrast
    if not contrast:
        return arm.note if arm.index else "baseline"
    if not v:
        return "A/A check" if comparison.has_too_few_pairs else describe_aa_check(contrast)
    phrases = [
        describe_divergence(v) if contrast.given_convergence else "",
        f"{describe_lost(contrast)}, counted against any claim" if contrast.lost_count else "",
        _describe_progress(arm, v, comparison),
        "open only because the pairs are skewed" if v.open_by_skewness else "",
        "one side failed more often, so that the two are not the same" if _fails_unequally(v) else "",
        f"provisional: under {CLAIM_SEEDS} {arm.noun}s" if v.provisional else "",
    ]
    return "; ".join(filter(None, phrases))


def _fails_unequally(v: Verdict) -> bool:
    """Return True for a contrast that still gets seeds, and of which one side failed more often."""
    return v.contrast.fails_unequally and not (v.claims or v.decided or v.blocked_reason)


def explain_open(arm: ComparedArm, first_metric: str) -> str:
    """Return why the arm's contrast is open; "" if it makes a claim, or if there is none."""
    v = arm.verdict
    contrast = arm.contrast
    if v is None or contrast is None or v.claims:
        return ""
    if v.blocked_reason:
        return v.blocked_reason
    if contrast.pairs < FEWEST_SEEDS:
        return f"under {FEWEST_SEEDS} {arm.noun}s nothing is decided"
    if v.open_by_skewness:
        return "the pairs are skewed"
    if v.is_widened_to_zero:
        return f"the interval allows for skewed pairs, and reaches zero at {plural(contrast.pairs, arm.noun)}"
    if contrast.fails_unequally:
        return "one side failed more often, so that the two are not the same"
    reason = f"neither a difference nor equality within ±δ is shown at {plural(contrast.pairs, arm.noun)}"
    return f"{reason}, where {first_metric} was decided" if v.decided else reason


def _describe_progress(arm: ComparedArm, v: Verdict, comparison: Comparison) -> str:
    """Return the stage of an undecided contrast, or why a decided one is open; "" for a decided claim."""
    contrast = v.contrast
    looks = contrast.look.looks
    has_more_looks = contrast.look.k + 1 < len(looks.numbers)
    if comparison.has_too_few_pairs and not v.blocked_reason:
        return ""
    if v.blocked_reason or (has_more_looks and not v.decided):
        return describe_stage(v, comparison.first_title)
    if v.decided:
        return "" if v.claims else f"open: {explain_open(arm, comparison.first_title)}"
    pairs = describe_sizes(contrast, arm.noun)
    if contrast.pairs < FEWEST_SEEDS:
        return f"not decided at {pairs}: under {FEWEST_SEEDS} nothing is decided"
    return f"{_name_open_part(v, comparison.first_title)}not decided at {pairs}"


def write_claims(comparison: Comparison) -> tuple[str, ...]:
    """Return a sentence for each contrast, after one on too few pairs if there are."""
    few = describe_too_few_pairs(comparison)
    return (*([f"{few}."] if few else []), *(claim.sentence for claim in list_claims(comparison)))


def absolute_difference(v: Verdict) -> float:
    """Return the absolute difference of a verdict; 0 if it has none."""
    return abs(v.contrast.estimate or 0.0)


def find_largest_effect(comparison: Comparison) -> float:
    """Return the largest absolute effect whose direction is shown, in units of δ; 0 if there is none."""
    directed = [x.verdict for x in list_claims(comparison) if x.verdict.direction is not Direction.NONE]
    return max((absolute_difference(v) / comparison.metric.zone for v in directed), default=0.0)
