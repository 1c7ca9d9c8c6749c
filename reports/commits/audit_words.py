"""An audit in words: which changes of a branch help, by the study's first metric."""

from collections import Counter
from enum import StrEnum
from typing import Any, NamedTuple

from unrolled.bench.phrases import choose_form, escape_markdown, plural, select_phrases
from unrolled.bench.study_rules import AuditedChange
from unrolled.reports.compare.compared_arm import ComparedArm
from unrolled.reports.compare.comparison import Comparison
from unrolled.reports.formats import (
    format_markdown_cell,
    format_pipe_table,
    join_first_names,
    join_names,
    quote_name,
)
from unrolled.reports.statistics.power import CLAIM_SEEDS
from unrolled.reports.words.sentences import describe_divergence


class ChangeEffect(StrEnum):
    """The effect of a change on the tip, or on the commit before it."""

    HELPS = "helps"
    HURTS = "hurts"
    NOTHING = "changes nothing that matters"
    NO_NUMBER = "changes no number"
    OPEN = "open"
    NOT_JUDGED = "not judged"


class AuditRow(NamedTuple):
    """The row of one change; numbers are texts with their units."""

    change: str
    lines: str  # lines added and deleted
    difference: str  # tip without the change, minus the tip; forward: commit minus the one before
    interval: str
    pair_count: int
    effect: ChangeEffect
    remark: str


def list_audit_rows(comparison: Comparison) -> list[AuditRow]:
    """Return a row for each change of an audit, the oldest first."""
    if comparison.design.rules.audit is None:
        return []
    return [_make_row(change, comparison) for change in comparison.design.rules.audit.changes]


def _make_row(change: AuditedChange, comparison: Comparison) -> AuditRow:
    arm = _find_arm(change, comparison)
    estimate = arm.estimate if arm else None
    interval = arm.interval if arm else None
    pair_count = arm.contrast.pair_count if arm and arm.contrast else 0
    return AuditRow(
        change=change.name,
        lines=f"+{change.added} −{change.deleted}",
        difference=comparison.scale.format_difference_with_unit(estimate, sign=True),
        interval=comparison.scale.format_interval(interval),
        pair_count=pair_count,
        effect=find_effect(change, comparison),
        remark=_describe_change_remarks(change, arm, comparison),
    )


def find_effect(change: AuditedChange, comparison: Comparison) -> ChangeEffect:
    """Return what a change does, by the first metric."""
    arm = _find_arm(change, comparison)
    if change.reason or (change.kept_edits and arm is None):
        return ChangeEffect.NOT_JUDGED
    if arm is None or _has_equal_numbers(arm, comparison):
        return ChangeEffect.NO_NUMBER
    if arm.verdict is None or not arm.verdict.makes_claim:
        return ChangeEffect.OPEN
    effects = {"better": ChangeEffect.HELPS, "worse": ChangeEffect.HURTS}
    if not _is_forward(comparison):  # the arm is the tip without the change
        effects = {"better": ChangeEffect.HURTS, "worse": ChangeEffect.HELPS}
    return effects.get(arm.verdict.kind_beyond_delta, ChangeEffect.NOTHING)


def _find_arm(change: AuditedChange, comparison: Comparison) -> ComparedArm | None:
    return next((arm for arm in comparison.arms[1:] if change.arm and arm.name == change.arm), None)


def _has_equal_numbers(arm: ComparedArm, comparison: Comparison) -> bool:
    """Return True if an arm and its base computed the same. It is not known if a cost is judged, too."""
    contrasts = [view.arms[arm.index].contrast for view in comparison.views]
    return all(contrast is not None and contrast.is_computed_alike for contrast in contrasts)


def _describe_change_remarks(change: AuditedChange, arm: ComparedArm | None, comparison: Comparison) -> str:
    """Return remarks on a change: why it is not judged, or open; its base; claims by other metrics."""
    if change.reason:
        return change.reason
    side = "with it" if _is_forward(comparison) else "without it"
    remarks = [] if arm or change.kept_edits else ["no file that counts differs"]
    if change.kept_edits:
        remarks.append(f"all arms have its edits of {join_first_names(change.kept_edits, 3)}")
    if change.taken_back_with:
        names = join_names([quote_name(name) for name in change.taken_back_with])
        remarks.append(f"compared without {names}, which cannot stay without it")
    elif change.against:
        remarks.append(f"compared with {quote_name(change.against)}, as the one before it cannot run")
    if arm is None:
        return "; ".join(remarks)
    remarks += [*arm.standing, *_list_failures_of_sides(arm, comparison)]
    if arm.verdict is None:
        remarks.append(arm.reason_not_compared or "no seed has a result of both")
    elif arm.verdict.state.halt_reason:
        remarks.append(arm.verdict.state.halt_reason)
    elif arm.verdict.is_by_divergence:
        remarks.append(f"shown by divergence alone: {side} {describe_divergence(arm.verdict)}")
    for view in comparison.other_views:
        verdict = view.arms[arm.index].verdict
        if verdict and verdict.kind_beyond_delta in ("better", "worse"):
            size = view.scale.describe_difference(verdict.contrast.estimate or 0.0, verdict.interval)
            remarks.append(f"{view.scale.title} {side}: {size}, {verdict.text}")
    return "; ".join(remarks)


def _is_forward(comparison: Comparison) -> bool:
    """Return True if each commit is compared with the one before it."""
    return comparison.design.rules.audit is not None and comparison.design.rules.audit.forward


def _list_failures_of_sides(arm: ComparedArm, comparison: Comparison) -> list[str]:
    """Return on how many seeds a side failed or diverged: ["2 seeds failed", "1 seed diverged at main"]."""
    base = comparison.find_base(arm)
    sides = {"": arm, f" at {quote_name(base.name)}": base}
    counts = {
        f"{word}{side}": number
        for side, compared in sides.items()
        for word, number in (("failed", compared.failed_count), ("diverged", compared.diverged_count))
    }
    return [f"{plural(number, 'seed')} {words}" for words, number in counts.items() if number]


def describe_audit(comparison: Comparison) -> str:
    """Return the answer in a sentence: "Of 5 changes the tip is shown to need 2; …"; "" if it is no audit."""
    audit = comparison.design.rules.audit
    if audit is None:
        return ""
    counts = Counter(find_effect(change, comparison) for change in audit.changes)
    helping = counts[ChangeEffect.HELPS]
    hurting = counts[ChangeEffect.HURTS]
    same = counts[ChangeEffect.NOTHING] + counts[ChangeEffect.NO_NUMBER]
    total = plural(len(audit.changes), "change")
    answer = f"Of {total} the tip is shown to need {helping or 'none'}"
    joint_count = sum(
        bool(change.taken_back_with) and find_effect(change, comparison) is ChangeEffect.HELPS
        for change in audit.changes
    )
    if joint_count and not audit.forward:
        answer += f" ({joint_count} of them without the later changes that need it)"
    hurts = choose_form(hurting, "hurts it", "hurt it")
    if audit.forward:
        answer = f"Of {total} {helping or 'none'} {choose_form(helping or 1, 'is', 'are')} shown to help"
        hurts = choose_form(hurting, "hurts", "hurt")
    unchanged = f"{same} {choose_form(same, 'changes', 'change')} nothing that matters"
    if counts[ChangeEffect.NO_NUMBER]:
        unchanged += f" ({counts[ChangeEffect.NO_NUMBER]} of them no number at all)"
    open_arms = [
        _find_arm(change, comparison)
        for change in audit.changes
        if find_effect(change, comparison) is ChangeEffect.OPEN
    ]
    seeds = plural(max((len(arm.seeds) for arm in open_arms if arm), default=0), "seed")
    phrases = {
        f"{hurting} {hurts}": hurting,
        unchanged: same,
        f"{len(open_arms)} {choose_form(len(open_arms), 'is', 'are')} open after {seeds}": open_arms,
        f"{counts[ChangeEffect.NOT_JUDGED]} could not be judged": counts[ChangeEffect.NOT_JUDGED],
    }
    return "; ".join([answer, *select_phrases(phrases)])


def write_audit_lines(comparison: Comparison) -> list[str]:
    """Return the answer, and a line for each change, in plain text."""
    lines = [f"{describe_audit(comparison)}."]
    for row in list_audit_rows(comparison):
        numbers = select_phrases(
            dict.fromkeys((row.difference, row.interval, plural(row.pair_count, "seed")), row.pair_count)
        )
        phrases = filter(None, [row.effect, ", ".join(numbers), row.remark])
        lines.append(f"{row.change} ({row.lines}): {'; '.join(phrases)}")
    return [*lines, *list_audit_notes(comparison)]


def list_audit_notes(comparison: Comparison) -> list[str]:
    """Return sentences on how to read the rows."""
    audit = comparison.design.rules.audit
    if audit is None:
        return []
    side = (
        "Each commit beside the one before it"
        if audit.forward
        else "The tip without it, minus the tip or what its row names"
    )
    effects = [find_effect(change, comparison) for change in audit.changes]
    shadowed = (
        not audit.forward and effects.count(ChangeEffect.NOTHING) + effects.count(ChangeEffect.NO_NUMBER) > 1
    )
    arms = [_find_arm(change, comparison) for change in audit.changes]
    provisional = any(arm and arm.verdict and arm.verdict.is_provisional for arm in arms)
    notes = {
        f"{side}; by {comparison.scale.title}.": True,
        "If two changes do the same, taking back only one of them shows no loss.": shadowed,
        f"What is shown on fewer than {CLAIM_SEEDS} seeds is provisional.": provisional,
    }
    return select_phrases(notes)


def write_audit_markdown(comparison: Comparison) -> str:
    """Return the answer and a table of the changes as Markdown."""
    head = ("Change", "Lines", "Difference", "Interval", "Seeds", "Effect", "Remark")
    rows = [[format_markdown_cell(cell) for cell in row] for row in list_audit_rows(comparison)]
    notes = escape_markdown(" ".join(list_audit_notes(comparison)))
    return (
        f"**{escape_markdown(describe_audit(comparison))}.**\n\n{format_pipe_table([head, *rows])}\n{notes}\n"
    )


def make_audit_record(comparison: Comparison) -> dict[str, Any]:
    """Return the audit for JSON: the answer, and each change with its numbers as the metric is measured."""
    audit = comparison.design.rules.audit
    assert audit is not None
    records = []
    for change, row in zip(audit.changes, list_audit_rows(comparison), strict=True):
        arm = _find_arm(change, comparison)
        estimate = arm.estimate if arm else None
        interval = arm.interval if arm else None
        convert = comparison.scale.convert_finite_difference
        records.append(
            {
                "commit": change.hash,
                "name": change.name,
                "added": change.added,
                "deleted": change.deleted,
                "effect": row.effect,
                "difference": convert(estimate),
                "interval": interval and [convert(end) for end in (interval.low, interval.high)],
                "level": interval and interval.confidence,
                "pairs": row.pair_count,
                "taken_back_with": change.taken_back_with,
                "remark": row.remark,
            }
        )
    return {
        "study": comparison.design.rules.name,
        "metric": comparison.metric.name,
        "forward": audit.forward,
        "answer": describe_audit(comparison),
        "changes": records,
    }
