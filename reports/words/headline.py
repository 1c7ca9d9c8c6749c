"""The sentence that answers a study's question first: the best arm, its gain, and the means."""

from collections import Counter
from collections.abc import Sequence

from markupsafe import Markup

from unrolled.reports.comparison import Comparison
from unrolled.reports.formats import join_names
from unrolled.reports.statistics.verdicts import Direction, Size
from unrolled.reports.words.findings import Finding, format_brackets
from unrolled.reports.words.means import (
    find_grid_lines,
    format_name,
    list_first,
    list_means,
    phrase_mean,
    rank_arms,
)
from unrolled.reports.words.sentences import absolute_difference, describe_divergence, describe_sizes

KINDS = {"worse": "worse", "same": "the same within δ", "open": "open"}  # headings of arms that are no better


def write_headline(findings: Sequence[Finding], context: str, comparison: Comparison) -> Markup:
    """Return the first sentence of an answer: the best arm, by how much it is better, over how many seeds.

    - A grid, whose arms form lines: the best arm of each line, with its mean.
    - A ladder, where arms are compared with other arms than the baseline: the arm that shows the largest
      gain over its base, and the means of the baseline and, if an arm is better, of the best arm.
    - A study of parts: the part that shows the largest gain. No test ranks parts.

    Arms are ranked only once a contrast is decided.
    """
    ranked = any(x.verdict.claims for x in findings)
    if ranked and (lines := find_grid_lines(comparison)):
        best = rank_arms([x for line in lines for x in rank_arms(line, comparison)[:1]], comparison)
        return Markup("The best mean of each line: {}").format(list_means(best, comparison))
    arms = [arm for arm in comparison.same_task_arms if arm.index == 0 or not arm.measured.is_aa_arm]
    ladder = any(x.against for x in findings)
    best = rank_arms([(format_name(arm.name), arm) for arm in arms], comparison)
    better = [x for x in findings if x.verdict.kind == Direction.BETTER and not (ladder and x.other_task)]
    better.sort(key=lambda x: (not x.has_effect, -absolute_difference(x.verdict)))
    names_best = ladder and bool(better)
    levels = list_means(
        [x for i, x in enumerate(best) if x[1].index == 0 or (names_best and i == 0)],
        comparison,
        count_seeds=names_best,
    )
    if not levels or not findings:
        return levels
    if better and (context or ladder):
        first = better[0]
        base = format_name(first.against or comparison.arms[0].name)
        over = Markup(" over {}").format(base) if ladder else f" {context}"
        gain = _describe_gain(first, comparison) + format_brackets(first.state)
        scope = _describe_scope(first, findings, comparison, "parts" if context else "contrasts")
        return Markup("{}{} shows the largest gain{}: {}; {}").format(scope, first.name, over, gain, levels)
    if better or (len(findings) == 1 and not context and not ladder):
        first, *others = better or findings
        verb = "is" if len(others) == 1 else "are"
        names = join_names(
            list_first([Markup("{}{}").format(x.name, format_brackets(x.state)) for x in others])
        )
        too = Markup("; {} {} better, too").format(Markup(names), verb) if others else ""
        return Markup("{}{}").format(_describe_pair(first, levels, comparison), too)
    kinds = Counter(x.verdict.kind for x in findings)
    few = Counter(x.verdict.kind for x in findings if x.verdict.provisional)
    counts = [
        f"{kinds[kind]} {phrase}{format_brackets(f'{few[kind]} provisional' if few[kind] else '')}"
        for kind, phrase in KINDS.items()
        if kinds[kind]
    ]
    rivals = f"part is shown to help {context}" if context else "arm is shown to be better"
    return Markup("No {}: {}; {}").format(rivals, ", ".join(counts), levels)


def _describe_scope(first: Finding, findings: Sequence[Finding], comparison: Comparison, noun: str) -> Markup:
    """Return of which findings the first shows the largest gain: "Of the decided parts, "; "" for all."""
    sign = -1 if comparison.metric.lower_is_better else 1

    def measure_gain(x: Finding) -> float:
        return sign * (x.verdict.contrast.estimate or 0.0)

    larger = [x for x in findings if measure_gain(x) > measure_gain(first)]
    decided = "decided " if any(not x.verdict.claims for x in larger) else ""
    has_other_task = any(x.other_task for x in larger)
    task = Markup(" on {}’s task").format(format_name(comparison.arms[0].name)) if has_other_task else ""
    return Markup("Of the {}{}{}, ").format(decided, noun, task) if larger else Markup("")


def _describe_pair(x: Finding, levels: Markup, comparison: Comparison) -> Markup:
    """Return the means of an arm and the baseline, and the verdict: "A has a loss of 1, B 2: better by 1".

    If seeds diverged, the sentence begins with the baseline's mean in `levels` alone, because two means of
    converged pairs do not subtract to the difference.
    """
    contrast = x.verdict.contrast
    if contrast.given_convergence:
        diverges = not x.has_effect and x.verdict.diverges is not Direction.NONE
        verdict = (
            f"{x.verdict.kind}, {describe_divergence(x.verdict)}"
            if diverges
            else _describe_gain(x, comparison)
        )
        return Markup("{}; {} is {}{}").format(levels, x.name, verdict, format_brackets(x.state))
    decimals = comparison.scale.count_level_decimals(contrast.base_mean, contrast.arm_mean)
    level = phrase_mean(comparison.scale.format_level(contrast.arm_mean, decimals), comparison)
    base_level = comparison.scale.format_level(contrast.base_mean, decimals)
    base = format_name(comparison.arms[0].name)
    verdict = _describe_gain(x, comparison) + format_brackets(x.state)
    return Markup("{} {}, {} {}: {}").format(x.name, level, base, base_level, verdict)


def _describe_gain(x: Finding, comparison: Comparison) -> str:
    """Return a difference and its seeds: "better by 0.010 over 20 seeds, maybe by less than δ"."""
    v = x.verdict
    contrast = v.contrast
    seeds = describe_sizes(contrast, comparison.design.noun)
    if not x.has_effect:
        return f"the same within δ over {seeds}" if v.kind == "same" else f"open after {seeds}"
    scale = comparison.scale
    size = f"{scale.format_size(contrast.estimate or 0.0, v.interval)} {scale.difference_unit}".rstrip()
    median = " in the median" if contrast.by_median else ""
    remark = {Size.MORE: "", Size.LESS: ", which is less than δ", Size.UNSETTLED: ", maybe by less than δ"}
    return f"{v.direction} by {size}{median} over {seeds}{remark[v.size]}"
