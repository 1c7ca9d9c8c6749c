"""The answer to a study's question: a short list in everyday words, made from means and verdicts."""

from collections.abc import Iterable, Iterator, Sequence

from markupsafe import Markup

from unrolled.bench.metric import FEWEST_SEEDS
from unrolled.bench.phrases import choose_form, make_visible, plural
from unrolled.reports.compare.comparison import Comparison
from unrolled.reports.compare.factorial import ALONE, CONTEXTS, Factorial, Part, find_parts, make_factorial
from unrolled.reports.formats import describe_all, format_brackets, join_names
from unrolled.reports.statistics.verdicts import Direction, Size, Verdict
from unrolled.reports.words.answer_findings import Finding
from unrolled.reports.words.contrast_lines import Claim, list_claims
from unrolled.reports.words.headline import write_headline
from unrolled.reports.words.means import (
    count_listed,
    format_name,
    list_first,
    list_mean_lines,
    list_order_lines,
    list_single_task_arms,
)
from unrolled.reports.words.sentences import (
    PART_SIDES,
    describe_divergence,
    describe_too_few_pairs,
    find_absolute_difference,
)


def write_answer(
    comparison: Comparison, parts: Sequence[Part] = (), factorial: Factorial | None = None
) -> tuple[Markup, ...]:
    """Return the answer by one metric: a headline, followed by a line for each finding.

    The lines are in this order: arms that are better, the best first; arms that are worse, the worst first;
    arms that differ by less than δ; open ones. There are three other answers:

    - A study that asks for the effect of each factor has a line for each of `parts`, its factors, for the
      interactions in `factorial`, and for the arms that change something else.
    - A study with the same arms on several tasks has lines on the order of arms from task to task, and for
      the arms that are on one task alone.
    - If there are too few seeds for any verdict, all arms are ranked by their means.
    """
    if too_few_pairs := describe_too_few_pairs(comparison):
        return Markup(make_visible(too_few_pairs)), *list_mean_lines(comparison)
    claims = list_claims(comparison)
    if order_lines := list_order_lines(comparison):
        single_task_arms = list_single_task_arms(comparison)
        findings = _list_arm_findings([c for c in claims if c.arm in single_task_arms], comparison)
        return *order_lines, *_list_effect_lines(findings, comparison)
    context = _choose_context(parts, comparison)
    findings = _list_arm_findings(claims, comparison)
    if context:
        findings = _list_part_findings(parts, context, comparison)
    lines = _list_effect_lines(findings, comparison)
    if context:
        if lines:
            lines[:0] = [Markup("{}:").format(context.capitalize())]
        keys = {part.factor.key for part in parts}
        other_claims = [claim for claim in claims if not keys.issuperset(claim.arm.counted_arm.changes)]
        other_findings = _list_arm_findings(other_claims, comparison)
        if other_lines := _list_effect_lines(other_findings, comparison):
            heading = Markup("Other arms:")
            if not any(finding.against for finding in other_findings):
                baseline = format_name(comparison.arms[0].name)
                heading = Markup("Other arms, compared with {}:").format(baseline)
            lines += [heading, *other_lines]
    headline = write_headline(findings, context, comparison)
    return tuple(filter(None, [headline, *lines, *_list_interaction_lines(factorial, comparison)]))


def _choose_context(parts: Sequence[Part], comparison: Comparison) -> str:
    """Return the context that an answer is about: if possible, the baseline's own; "" without parts."""
    levels = comparison.arms[0].settings
    has_parts_off = all(levels.get(part.factor.key) == part.factor.off for part in parts)
    contexts = sorted(CONTEXTS, key=lambda context: (context == ALONE) is not has_parts_off)
    return next((name for name in contexts if any(part.verdicts[name] for part in parts)), "")


def _list_part_findings(parts: Sequence[Part], context: str, comparison: Comparison) -> list[Finding]:
    """Return the verdict on each part in a context."""
    other_verdicts: dict[str, list[tuple[Comparison, Verdict | None]]] = {}
    for view in comparison.other_views:
        for part in find_parts(view, make_factorial(view)):
            other_verdicts.setdefault(part.factor.key, []).append((view, part.verdicts[context]))
    return [
        Finding(
            format_name(part.factor.name),
            "",
            verdict,
            disagreement=_describe_disagreement(verdict, other_verdicts.get(part.factor.key, ())),
            standing=part.standings.get(context, ()),
            sides=PART_SIDES,
        )
        for part in parts
        if (verdict := part.verdicts[context])
    ]


def _list_arm_findings(claims: Iterable[Claim], comparison: Comparison) -> list[Finding]:
    """Return the verdict on the arm of each claim."""
    return [
        Finding(
            name=format_name(claim.arm.name),
            against=claim.arm.against,
            verdict=claim.verdict,
            has_other_task=bool(claim.arm.counted_arm.find_task_differences(comparison.arms[0].counted_arm)),
            disagreement=_describe_disagreement(
                claim.verdict, [(view, view.arms[claim.arm.index].verdict) for view in comparison.other_views]
            ),
            standing=claim.arm.standing,
        )
        for claim in claims
    ]


def _list_interaction_lines(factorial: Factorial | None, comparison: Comparison) -> Iterator[Markup]:
    """Yield a line for each pair of factors whose effects do not add up, and one that counts open pairs."""
    if factorial is None:
        return
    together = Markup("Together {} and {} are {} {} {} than their two effects add up to{}")
    for effect in sorted(
        factorial.shown_interactions, key=lambda effect: -find_absolute_difference(effect.verdict)
    ):
        verdict = effect.verdict
        first, second = map(format_name, effect.factors)
        size = comparison.scale.format_size(effect.mean, verdict.interval)
        unit = comparison.scale.difference_unit
        details = _format_interval(verdict, comparison) + format_brackets(", ".join(factorial.standing))
        yield together.format(first, second, size, unit, verdict.direction, details)
    if undecided := sum(not effect.verdict.makes_claim for effect in factorial.interactions):
        pairs = plural(len(factorial.interactions), "pair")
        yield Markup(f"Whether the effects of two parts add up is open for {undecided} of {pairs}")


def _describe_disagreement(verdict: Verdict, others: Iterable[tuple[Comparison, Verdict | None]]) -> str:
    """Return the effects by other metrics that contradict a verdict, such as "perplexity 13 % higher"."""
    phrases = []
    for view, other_verdict in others:
        if other_verdict is None or other_verdict.direction is Direction.NONE:
            continue
        is_larger = verdict.size is Size.LESS and other_verdict.size is Size.MORE
        if other_verdict.kind != verdict.kind or is_larger:
            scale = view.scale.second_scale or view.scale
            difference = other_verdict.contrast.estimate or 0.0
            phrases.append(f"{scale.title} {scale.describe_difference(difference, other_verdict.interval)}")
    return ", ".join(phrases)


def _list_effect_lines(findings: Sequence[Finding], comparison: Comparison) -> list[Markup]:
    """Return a line for each large effect and equal arm, one for effects under δ, and one for open ones."""
    equal = [
        finding
        for finding in findings
        if finding.verdict.contrast.is_computed_alike and not finding.verdict.state.halt_reason
    ]
    small = [finding for finding in findings if finding.verdict.size is Size.LESS and finding not in equal]
    settled = [finding for finding in equal if finding.verdict.contrast.pair_count >= FEWEST_SEEDS]
    undecided = [
        finding for finding in findings if not finding.verdict.makes_claim and finding not in settled
    ]
    lines: list[Markup] = []
    for direction in (Direction.BETTER, Direction.WORSE):
        changed = [finding for finding in findings if finding.verdict.kind_beyond_delta == direction]
        changed.sort(key=lambda finding: (finding.has_other_task, -find_absolute_difference(finding.verdict)))
        listed = count_listed(changed)
        lines += [_describe_change(finding, comparison) for finding in changed[:listed]]
        lines += _list_other_change_lines(changed[listed:], comparison)
    lines += [_describe_equal(finding, comparison) for finding in equal]
    lines += _list_small_effect_lines(small, comparison)
    if undecided:
        metric = f" by {comparison.scale.title}" if len(comparison.design.rules.metrics) > 1 else ""
        lines.append(Markup("Open{}: {}").format(metric, _describe_findings(undecided)))
    return lines


def _describe_equal(finding: Finding, comparison: Comparison) -> Markup:
    """Return the line of an arm that computes what its base does: "A equals B in accuracy on all 5 seeds"."""
    return Markup("{} equals {} in {} {}{}").format(
        finding.name,
        format_name(finding.against or comparison.arms[0].name),
        comparison.scale.title,
        describe_all(finding.verdict.contrast.pair_count, comparison.design.noun),
        finding.remarks,
    )


def _list_small_effect_lines(findings: Sequence[Finding], comparison: Comparison) -> Iterator[Markup]:
    """Yield a line for the effects under δ of each direction: "A and B are worse by less than 2 points"."""
    for direction in Direction:
        alike = [finding for finding in findings if finding.verdict.direction is direction]
        if not alike:
            continue
        if direction is Direction.NONE:
            effect = choose_form(len(alike), "changes", "change")
        else:
            effect = f"{choose_form(len(alike), 'is', 'are')} {direction} by"
        bound = _describe_bound(comparison, direction)
        yield Markup("{} {} {}").format(_describe_findings(alike), effect, bound)


def _describe_bound(comparison: Comparison, direction: Direction) -> str:
    """Return the bound of a small difference: "less than 2 points"; of a ratio in either direction, both.

    A speed with a δ of 25 % is worse by less than 20 %, and better by less than 25 %.
    """
    zone = comparison.metric.zone
    if direction is Direction.NONE and comparison.scale.log_factor:
        return f"by less than δ, {comparison.scale.format_zone(zone)}"
    end = comparison.metric.gain_sign * zone
    if direction is Direction.WORSE:
        end = -end
    return f"less than {comparison.scale.format_delta(end)}"


def _describe_findings(findings: Sequence[Finding]) -> Markup:
    """Return the names of findings, each with its base; after the first few, the number of the others."""
    names = [
        Markup("{}{}{}").format(finding.name, finding.name_base("against"), finding.remarks)
        for finding in findings
    ]
    return Markup(join_names(list_first(names))) + _describe_diverged(findings[count_listed(findings) :])


def _describe_diverged(others: Sequence[Finding]) -> str:
    """Return, in brackets, how many of the findings that are not listed have diverged seeds; "" for none."""
    diverged = sum(bool(finding.divergence_remark) for finding in others)
    return f" (seeds of {diverged} diverged)" if diverged else ""


def _describe_change(finding: Finding, comparison: Comparison) -> Markup:
    """Return the line of an arm: "A gains 20 points over B", or how often its seeds diverge."""
    verdict = finding.verdict
    verb, over = _choose_verb(verdict, comparison)
    interval = _format_interval(verdict, comparison)
    remarks = finding.remarks
    if finding.has_effect:
        effect = f"{verb} {finding.describe_size(comparison.scale)}"
    elif verdict.direction is not Direction.NONE:  # by an infinite difference
        effect = f"is {verdict.text}"
    else:
        effect = describe_divergence(verdict)
        interval = ""
        remarks = format_brackets(finding.evidence_remarks, finding.disagreement)
    base = finding.name_base(over)
    return Markup("{} {}{}{}{}").format(finding.name, effect, base, interval, remarks)


def _format_interval(verdict: Verdict, comparison: Comparison) -> str:
    """Return the interval after a comma: ", 95 % CI [18, 22]"; "" if there is none."""
    interval = comparison.scale.format_interval(verdict.interval, sizes=True)
    return f", {interval}" if interval else ""


def _list_other_change_lines(findings: Sequence[Finding], comparison: Comparison) -> Iterator[Markup]:
    """Yield how many other arms have an effect in this direction, and how many only diverge."""
    changed = [finding for finding in findings if finding.has_effect]
    effects = sorted((finding.verdict.contrast.estimate or 0.0 for finding in changed), key=abs)
    scale = comparison.scale
    if effects:
        verb, _ = _choose_verb(findings[0].verdict, comparison)
        ends = dict.fromkeys((scale.format_size(effects[0]), scale.format_size(effects[-1])))
        line = f"{_format_count(len(effects), verb)} {' to '.join(ends)} {scale.difference_unit}".rstrip()
        yield Markup(f"{line}{_describe_diverged(changed)}")
    if diverged := len(findings) - len(effects):
        yield Markup(f"{_format_count(diverged, 'differs')} by how often seeds diverge")


def _format_count(number: int, verb: str) -> str:
    """Return a number of arms with their verb: "1 other gains", "3 others gain"."""
    return choose_form(number, f"1 other {verb}", f"{number} others {verb.removesuffix('s')}")


def _choose_verb(verdict: Verdict, comparison: Comparison) -> tuple[str, str]:
    """Return the verb of an effect, and the preposition before the base.

    If higher is better, A "gains" 2 points "over" B, or "loses" 2 points "against" B. If lower is better, it
    "saves" or "costs".
    """
    verbs = {
        (Direction.BETTER, 1): ("gains", "over"),
        (Direction.BETTER, -1): ("saves", "over"),
        (Direction.WORSE, 1): ("loses", "against"),
        (Direction.WORSE, -1): ("costs", "against"),
    }
    return verbs[Direction(verdict.kind), comparison.metric.gain_sign]
