"""One finding of an answer: the verdict on an arm or part, and remarks on it."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from unrolled.reports.formats import format_brackets
from unrolled.reports.statistics.verdicts import Direction, Verdict
from unrolled.reports.words.sentences import describe_diverged, describe_lost, find_absolute_difference


class Finding(NamedTuple):
    """The verdict on an arm or a factor."""

    name: Markup
    against: str  # the arm that it is compared with, if that is not the baseline
    verdict: Verdict
    other_task: bool = False  # whether its task differs from the baseline's
    disagreement: str = ""  # what another metric says, if it disagrees
    standing: Sequence[str] = ()  # see `ComparedArm.standing`

    @property
    def diverged(self) -> str:
        """How often each side diverged; "" if no seed did."""
        return describe_diverged(self.verdict.contrast)

    @property
    def evidence_remarks(self) -> str:
        """Remarks on the evidence: "exploratory, provisional, 3 pairs lost", or what keeps it open."""
        verdict = self.verdict
        lost = describe_lost(verdict.contrast) if verdict.makes_claim and verdict.contrast.lost_count else ""
        skewed = "the pairs are skewed" if verdict.open_by_skewness else ""
        provisional = "provisional" if verdict.provisional else ""
        return ", ".join(filter(None, (*self.standing, provisional, lost, verdict.halt_reason or skewed)))

    @property
    def remarks(self) -> str:
        """In brackets: `evidence_remarks`, how often each side diverged, and which other metric disagrees."""
        return format_brackets(self.evidence_remarks, self.diverged, self.disagreement)

    @property
    def has_effect(self) -> bool:
        """True if a direction is shown, and its size is a number."""
        size = find_absolute_difference(self.verdict)
        return self.verdict.direction is not Direction.NONE and math.isfinite(size)
