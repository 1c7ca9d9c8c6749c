"""What an answer says of one arm or part: its verdict, and the remarks that belong to it."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from unrolled.reports.statistics.verdicts import Direction, Verdict
from unrolled.reports.words.sentences import absolute_difference, describe_diverged, describe_lost


class Finding(NamedTuple):
    """The verdict on an arm or a factor."""

    name: Markup
    against: str  # the arm that it is compared with, if that is not the baseline
    verdict: Verdict
    other_task: bool = False  # whether its task differs from the baseline's
    disagreement: str = ""  # a sentence on another metric that disagrees
    standing: Sequence[str] = ()  # remarks such as exploratory, or one of several attempts

    @property
    def diverged(self) -> str:
        """How often each side diverged; "" if no seed did."""
        return describe_diverged(self.verdict.contrast)

    @property
    def state(self) -> str:
        """Its standing, whether it is provisional, what a claim lost, and what keeps it open."""
        v = self.verdict
        lost = describe_lost(v.contrast) if v.claims and v.contrast.lost_count else ""
        skewed = "the pairs are skewed" if v.open_by_skewness else ""
        provisional = "provisional" if v.provisional else ""
        return ", ".join(filter(None, (*self.standing, provisional, lost, v.blocked_reason or skewed)))

    @property
    def remarks(self) -> str:
        """In brackets its state, how often each side diverged, and where another metric disagrees."""
        return format_brackets(self.state, self.diverged, self.disagreement)

    @property
    def has_effect(self) -> bool:
        """True if a direction is shown, and its size is a number."""
        size = absolute_difference(self.verdict)
        return self.verdict.direction is not Direction.NONE and math.isfinite(size)


def format_brackets(*remarks: str) -> str:
    """Return those remarks that are not empty, in brackets after a space; "" if all are."""
    text = "; ".join(filter(None, remarks))
    return f" ({text})" if text else ""
