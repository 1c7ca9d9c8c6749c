"""One finding of an answer: the verdict on an arm or part, and remarks on it."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from unrolled.bench.phrases import select_phrases
from unrolled.reports.formats import format_brackets, quote_name
from unrolled.reports.scale import Scale
from unrolled.reports.statistics.verdicts import Direction, Verdict
from unrolled.reports.words.sentences import (
    ARM_SIDES,
    SKEWED,
    describe_diverged,
    describe_lost,
    find_absolute_difference,
)


class Finding(NamedTuple):
    """The verdict on an arm or a factor."""

    name: Markup
    against: str  # the arm that it is compared with, if that is not the baseline
    verdict: Verdict
    has_other_task: bool = False  # whether its task differs from the baseline's
    disagreement: str = ""  # what another metric says, if it disagrees
    standing: Sequence[str] = ()  # see `ComparedArm.standing`
    sides: tuple[str, str] = ARM_SIDES  # what its two sides are called

    @property
    def divergence_remark(self) -> str:
        """How often each side diverged; "" if no seed did."""
        return describe_diverged(self.verdict.contrast)

    @property
    def evidence_remarks(self) -> str:
        """Remarks on the evidence: "exploratory, provisional, 3 pairs lost", or what keeps it open."""
        verdict = self.verdict
        remarks = {
            "provisional": verdict.is_provisional,
            describe_lost(verdict.contrast, self.sides): verdict.makes_claim,
            # of a claim by another metric than the first, it is the first that is open
            verdict.state.halt_reason: bool(verdict.stopping_rule) or not verdict.makes_claim,
            SKEWED: verdict.is_open_by_skewness and not verdict.state.halt_reason,
        }
        return ", ".join([*self.standing, *select_phrases(remarks)])

    @property
    def remarks(self) -> str:
        """In brackets: `evidence_remarks`, how often each side diverged, and which other metric disagrees."""
        return format_brackets(self.evidence_remarks, self.divergence_remark, self.disagreement)

    @property
    def has_effect(self) -> bool:
        """True if a direction is shown, and its size is a number."""
        has_size = math.isfinite(find_absolute_difference(self.verdict))
        return self.verdict.direction is not Direction.NONE and has_size

    def name_base(self, preposition: str) -> str:
        """Return the arm that it is compared with, such as " over B"; "" for the baseline."""
        return f" {preposition} {quote_name(self.against)}" if self.against else ""

    def describe_size(self, scale: Scale) -> str:
        """Return its difference without a direction: "20 points", "0.01 in the median"."""
        size = scale.format_size(self.verdict.contrast.estimate or 0.0, self.verdict.interval)
        size = f"{size} {scale.difference_unit}".rstrip()
        return f"{size} in the median" if self.verdict.contrast.uses_median else size
