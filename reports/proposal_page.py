"""A proposal's state in words, as its page begins."""

from unrolled.bench.errors import plural
from unrolled.reports.comparison import Comparison
from unrolled.reports.statistics.chain import ProposalOutcome


def describe_proposal(c: Comparison) -> str:
    """Return a sentence on the outcome of a proposal; "" where the study is none."""
    decision = c.proposal
    if decision is None:
        return ""
    verdict = decision.verdict
    pairs = plural(verdict.pairs, "pair")
    if decision.crash:
        return f"Crash: {decision.crash}"
    if decision.refusal:
        return f"Refused: {decision.refusal}"
    if decision.stalled or not decision.has_ended or verdict.gain is None:
        reason = f": the incumbent's {decision.stalled}" if decision.stalled else ""
        return f"Open after {pairs} of {c.design.looks[-1]}{reason}"
    scale = c.design.find_scale(c.metric)
    sign = -1 if c.metric.lower_is_better else 1
    difference = scale.describe_difference(sign * verdict.gain) if verdict.gain else "equal"
    if verdict.outcome is ProposalOutcome.KEEP:
        bound = scale.describe_difference(sign * verdict.bound)
        return (
            f"Keep after {pairs}: {scale.title} {difference}, at least {bound} at level {c.design.level:.2g}"
        )
    if verdict.outcome is ProposalOutcome.SIMPLER:
        return f"Simpler after {pairs}: {scale.title} {difference}, and less than δ worse than the last keep"
    return f"Discard after {pairs}: {scale.title} {difference}, no gain at level {c.design.level:.2g}"
