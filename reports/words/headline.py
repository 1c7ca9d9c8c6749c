"""The sentence that answers a study's question first: the best arm, its gain, and the means."""

from collections import Counter
from collections.abc import Sequence

from markupsafe import Markup

from unrolled.bench.phrases import choose_form, plural, select_phrases
from unrolled.reports.compare.comparison import Comparison
from unrolled.reports.formats import format_brackets, join_names
from unrolled.reports.statistics.verdicts import Direction, Size
from unrolled.reports.words.answer_findings import Finding
from unrolled.reports.words.means import (
    count_listed,
    describe_arm_mean,
    describe_means,
    find_grid_lines,
    format_name,
    list_first,
    rank_named_arms,
)
from unrolled.reports.words.sentences import describe_divergence, describe_sizes, find_absolute_difference

MOST_LINES = 4  # most lines of a grid whose best mean is named
NO_GAIN = ("diverges less often", "worse", "diverges more often", "the same within δ", "open")
"""The verdicts that are no gain, in words, in the order in which they are counted."""


def write_headline(findings: Sequence[Finding], context: str, comparison: Comparison) -> Markup:
    """Return the first sentence of an answer: the best arm, by how much it is better, over how many seeds.

    - A grid, if no parts are asked for. Its arms form lines, each a base and the arms compared with it. The
      sentence says how many arms are better than their base, and the best mean of each line.
    - A ladder, where arms are compared with other arms than the baseline: the arm that shows the largest
      gain over its base. The mean of the baseline follows and, if an arm is better, that of the best arm.
    - A study of parts: the part that shows the largest gain. No test ranks parts.

    Arms are ranked only once a contrast is decided.
    """
    has_claim = any(finding.verdict.makes_claim for finding in findings)
    if has_claim and not context and (lines := find_grid_lines(comparison)):
        best_arms = [named_arm for line in lines for named_arm in rank_named_arms(line, comparison)[:1]]
        ranked = rank_named_arms(best_arms, comparison)
        listed = count_listed(ranked, MOST_LINES)
        means = describe_means(ranked[:listed], comparison)
        if listed < len(ranked):
            means += f"; {len(ranked) - listed} others follow"
        counts = _count_grid_verdicts(findings, comparison)
        return Markup("{}. The best mean beside each base: {}").format(counts, means)
    is_ladder = any(finding.against for finding in findings)
    gains = [
        finding
        for finding in findings
        if finding.verdict.direction is Direction.BETTER and not (is_ladder and finding.has_other_task)
    ]
    gains.sort(key=lambda finding: -find_absolute_difference(finding.verdict))
    means = _describe_headline_means(comparison, with_best_arm=is_ladder and bool(gains))
    if not means or not findings:
        return means
    if gains and (context or is_ladder):
        place = context
        noun = "parts"
        if is_ladder:
            place = Markup("over {}").format(format_name(gains[0].against or comparison.arms[0].name))
            noun = "contrasts"
        gain = _describe_gain(gains[0], comparison) + _format_remarks(gains[0])
        scope = _describe_scope(gains[0], findings, comparison, noun)
        return Markup("{}{} shows the largest gain {}: {}; {}").format(
            scope, gains[0].name, place, gain, means
        )
    if gains:
        return _describe_pair(gains[0], means, comparison) + _describe_other_gains(gains[1:])
    if len(findings) == 1 and not context and not is_ladder:
        return _describe_pair(findings[0], means, comparison)
    return Markup("{}; {}").format(_describe_no_gains(findings, context, comparison), means)


def _describe_headline_means(comparison: Comparison, *, with_best_arm: bool) -> Markup:
    """Return the mean of the baseline, and with `with_best_arm` before it that of the best arm."""
    arms = [arm for arm in comparison.same_task_arms if not arm.is_aa_check]
    ranked = rank_named_arms([(format_name(arm.name), arm) for arm in arms], comparison)
    named_arms = [
        (name, arm)
        for rank, (name, arm) in enumerate(ranked)
        if arm.index == 0 or (with_best_arm and rank == 0)
    ]
    return describe_means(named_arms, comparison, count_seeds=with_best_arm)


def _describe_other_gains(gains: Sequence[Finding]) -> Markup:
    """Return the arms that are better beside the first: "; A and B are better, too"; "" for none."""
    if not gains:
        return Markup("")
    verb = choose_form(len(gains), "is", "are")
    names = [
        Markup("{}{}").format(finding.name, format_brackets(finding.evidence_remarks)) for finding in gains
    ]
    return Markup("; {} {} better, too").format(Markup(join_names(list_first(names))), verb)


def _count_grid_verdicts(findings: Sequence[Finding], comparison: Comparison) -> str:
    """Return how many arms are better than their base, and by how much, and how many are not."""
    gains = [finding for finding in findings if finding.verdict.direction is Direction.BETTER]
    verb = choose_form(len(gains), "is", "are")
    arms = plural(len(findings), "arm")
    text = f"{len(gains)} of {arms} {verb} better than the arm that each is compared with"
    sizes = [finding.verdict.contrast.estimate or 0.0 for finding in gains if finding.has_effect]
    if sizes:
        ends = (comparison.scale.format_size(pick(sizes, key=abs)) for pick in (min, max))
        text += f", by {' to '.join(dict.fromkeys(ends))} {comparison.scale.difference_unit}".rstrip()
    marks = Counter(mark for finding in gains for mark in finding.standing)
    marks["provisional"] += sum(finding.verdict.is_provisional for finding in gains)
    text += format_brackets(*(f"{number} {mark}" for mark, number in marks.items() if number))
    others = [finding for finding in findings if finding not in gains]
    return "; ".join(filter(None, [text, _count_no_gains(others)]))


def _describe_no_gains(findings: Sequence[Finding], context: str, comparison: Comparison) -> Markup:
    """Return how many findings have each verdict: "No arm is shown to be better: 2 worse, 1 open"."""
    has_gain_on_other_task = any(finding.verdict.direction is Direction.BETTER for finding in findings)
    no_gains = [finding for finding in findings if not (has_gain_on_other_task and finding.has_other_task)]
    rivals = f"part is shown to help {context}" if context else "arm is shown to be better"
    task = _name_baseline_task(comparison) if has_gain_on_other_task else ""
    start = f"By {comparison.scale.title}, no" if _has_gain_elsewhere(comparison) else "No"
    return Markup("{} {}{}: {}").format(start, rivals, task, _count_no_gains(no_gains) or "none is compared")


def _count_no_gains(findings: Sequence[Finding]) -> str:
    """Return how many findings have each verdict of NO_GAIN: "2 worse (1 provisional), 1 open"."""
    numbers = Counter(map(_name_verdict, findings))
    provisional = Counter(_name_verdict(finding) for finding in findings if finding.verdict.is_provisional)
    counts = []
    for words in filter(numbers.get, NO_GAIN):
        remarks = select_phrases({f"{provisional[words]} provisional": provisional[words]})
        counts.append(f"{numbers[words]} {words}{format_brackets(*remarks)}")
    return ", ".join(counts)


def _name_baseline_task(comparison: Comparison) -> Markup:
    return Markup(" on {}’s task").format(format_name(comparison.arms[0].name))


def _format_remarks(finding: Finding) -> str:
    """Return, in brackets, the remarks on a finding but those on diverged seeds."""
    return format_brackets(finding.evidence_remarks, finding.disagreement)


def _has_gain_elsewhere(comparison: Comparison) -> bool:
    """Return True if an arm is better by another metric."""
    verdicts = [arm.verdict for view in comparison.other_views for arm in view.judged_arms]
    return any(verdict and verdict.direction is Direction.BETTER for verdict in verdicts)


def _name_verdict(finding: Finding) -> str:
    """Return the verdict of a finding that is no gain: one of `NO_GAIN`."""
    verdict = finding.verdict
    if verdict.is_by_divergence:
        return verdict.text
    return {"same": "the same within δ"}.get(verdict.kind, verdict.kind)


def _describe_scope(first: Finding, findings: Sequence[Finding], comparison: Comparison, noun: str) -> Markup:
    """Return the group in which the first shows the largest gain: "Of the decided parts, "; "" for all."""

    def measure_gain(finding: Finding) -> float:
        return comparison.metric.gain_sign * (finding.verdict.contrast.estimate or 0.0)

    larger = [finding for finding in findings if measure_gain(finding) > measure_gain(first)]
    if not larger:
        return Markup("")
    decided = "decided " if any(not finding.verdict.makes_claim for finding in larger) else ""
    has_other_task = any(finding.has_other_task for finding in larger)
    task = _name_baseline_task(comparison) if has_other_task else ""
    return Markup("Of the {}{}{}, ").format(decided, noun, task)


def _describe_pair(finding: Finding, means: Markup, comparison: Comparison) -> Markup:
    """Return the means of an arm and the baseline, and the verdict: "A has a loss of 1, B 2: better by 1".

    If seeds diverged, the sentence begins with the baseline's mean in `means` alone, because two means of
    converged pairs do not subtract to the difference.
    """
    contrast = finding.verdict.contrast
    if contrast.omits_diverged:
        if not finding.has_effect and finding.verdict.divergence_direction is not Direction.NONE:
            claim = f"{finding.verdict.text}: {describe_divergence(finding.verdict)}"
        else:
            claim = f"is {_describe_gain(finding, comparison)}"
        return Markup("{}; {} {}{}").format(means, finding.name, claim, _format_remarks(finding))
    decimals = comparison.scale.count_value_decimals(contrast.base_mean, contrast.arm_mean)
    level = describe_arm_mean(comparison.scale.format_value(contrast.arm_mean, decimals), comparison)
    base_level = comparison.scale.format_value(contrast.base_mean, decimals)
    base = format_name(comparison.arms[0].name)
    claim = _describe_gain(finding, comparison) + _format_remarks(finding)
    return Markup("{} {}, {} {}: {}").format(finding.name, level, base, base_level, claim)


def _describe_gain(finding: Finding, comparison: Comparison) -> str:
    """Return a difference and its seeds: "better by 0.010 over 20 seeds, maybe by less than δ"."""
    verdict = finding.verdict
    seeds = describe_sizes(verdict.contrast, comparison.design.noun)
    if not finding.has_effect:  # a difference without a size is infinite
        return f"{verdict.text} over {seeds}" if verdict.makes_claim else f"open after {seeds}"
    size = finding.describe_size(comparison.scale)
    remark = {Size.MORE: "", Size.LESS: ", which is less than δ", Size.UNSETTLED: ", maybe by less than δ"}
    return f"{verdict.direction} by {size} over {seeds}{remark[verdict.size]}"
