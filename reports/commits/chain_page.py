"""The page of a chain, with its proposals and incumbents in order, and the state of a proposal in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from unrolled.bench.files.atomic_files import save_file
from unrolled.bench.phrases import plural
from unrolled.reports.compare.comparison import Comparison
from unrolled.reports.formats import shorten
from unrolled.reports.statistics.gain_test import ProposalOutcome
from unrolled.reports.templates.filling import fill_page_template


@dataclass(frozen=True, kw_only=True)
class ProposalRow:
    """The row of one proposal; measured numbers are texts with their units."""

    number: int
    commit: str  # hash and subject of the commit
    outcome: str
    difference: str  # candidate minus incumbent
    bound: str  # the least gain, at the level of the proposal
    pairs: int
    level: str
    p: str
    lines: str  # lines of code that it adds or, with a minus sign, removes
    seconds: str
    remark: str
    page: str  # link to its page from the chain's page; "" if nothing was trained
    gain: float | None = None  # gain in δ, for the figure
    least_gain: float | None = None  # its bound, in δ


@dataclass(frozen=True, kw_only=True)
class ChainSummary:
    """Another chain of the same study, as the page of a chain lists it."""

    name: str
    page: str
    proposal_count: int
    keep_count: int


@dataclass(frozen=True, kw_only=True)
class ChainPage:
    """The content of the page of a chain."""

    name: str
    question: str
    answer: str
    facts: Sequence[str]  # sentences on the state of the chain
    rows: Sequence[ProposalRow]
    course: Sequence[str]  # a line for each incumbent, in order
    others: Sequence[ChainSummary]


_WIDTH = 760.0
_HEIGHT = 200.0
_MARGIN = 34.0
_REACH = 4.0  # the axis shows at least ±1 δ, and at most this many δ


def render_chain(chain: ChainPage, page: Path) -> None:
    """Write the page of a chain."""
    save_file(page, fill_page_template("chain.html", {"chain": chain, "figure": draw_gains(chain.rows)}))


def draw_gains(rows: Sequence[ProposalRow]) -> Markup:
    """Return a picture of the gains of proposals, in δ and in order; "" if there are none.

    The line of a kept proposal reaches down to its bound.
    """
    points = [(row, row.gain) for row in rows if row.gain is not None]
    if not points:
        return Markup()
    reach = min(_REACH, max(1.2, *(abs(gain) for _, gain in points)))
    step = (_WIDTH - 2 * _MARGIN) / max(1, len(rows))

    def find_height(gain: float) -> float:
        return _HEIGHT / 2 * (1 - max(-1.0, min(1.0, gain / reach)) * 0.9)

    pieces = [
        f'<rect class="band" x="{_MARGIN}" y="{find_height(1):.1f}" width="{_WIDTH - 2 * _MARGIN:.1f}" '
        f'height="{find_height(-1) - find_height(1):.1f}"/>',
        f'<line x1="{_MARGIN}" x2="{_WIDTH - _MARGIN}" y1="{find_height(0):.1f}" y2="{find_height(0):.1f}"/>',
        *(
            f'<text x="{_MARGIN - 6}" y="{find_height(gain) + 4:.1f}" text-anchor="end">{label}</text>'
            for gain, label in ((1, "+δ"), (0, "0"), (-1, "−δ"))
        ),
    ]
    for row, gain in points:
        x = _MARGIN + step * (row.number - 0.5)
        title = Markup("<title>{}</title>").format(f"{row.number}: {shorten(row.commit, 60)}, {row.outcome}")
        if row.outcome == "keep" and row.least_gain is not None:
            ends = f'y1="{find_height(gain):.1f}" y2="{find_height(row.least_gain):.1f}"'
            pieces.append(f'<line class="ends better" x1="{x:.1f}" x2="{x:.1f}" {ends}/>')
        mark = {"keep": "better", "simpler": "same"}.get(row.outcome, "open")
        pieces.append(
            f'<g class="point {mark}"><circle cx="{x:.1f}" cy="{find_height(gain):.1f}">{title}</circle></g>'
        )
    label = "Gains of the proposals in δ, in order"
    return Markup(
        f'<svg class="strip chain" viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}" role="img" aria-label="{label}">'
        f"{''.join(map(str, pieces))}</svg>"
    )


def describe_proposal_state(comparison: Comparison) -> str:
    """Return a sentence on the outcome of a proposal; "" if the study is no proposal."""
    decision = comparison.proposal
    if decision is None:
        return ""
    verdict = decision.verdict
    pairs = plural(verdict.pair_count, "pair")
    if decision.crash:
        return f"Crash: {decision.crash}"
    if decision.refusal:
        return f"Refused: {decision.refusal}"
    if decision.stalled or not decision.has_ended or verdict.gain is None:
        reason = f": {decision.stalled}" if decision.stalled else ""
        return f"Open after {pairs} of {comparison.design.rules.looks[-1]}{reason}"
    scale = comparison.design.find_scale(comparison.metric)
    sign = comparison.metric.gain_sign
    difference = scale.describe_difference(sign * verdict.gain) if verdict.gain else "equal"
    level = f"{comparison.design.rules.gain_level:.2g}"
    if verdict.outcome is ProposalOutcome.KEEP:
        bound = scale.describe_difference(sign * verdict.bound)
        return f"Keep after {pairs}: {scale.title} {difference}, at least {bound} at level {level}"
    if verdict.outcome is ProposalOutcome.SIMPLER:
        return f"Simpler after {pairs}: {scale.title} {difference}, and less than δ worse than the last keep"
    return f"Discard after {pairs}: {scale.title} {difference}, no gain at level {level}"
