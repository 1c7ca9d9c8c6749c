"""What a study's plan and its page share: the bases of arms, when contrasts end, the changes of an audit."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeVar

SEEN_PAIRS = 3
"""Pairs with results that make a contrast count as seen. A first run of one or two seeds does not."""


class NamedArm(Protocol):
    """An arm of a study, at any stage."""

    @property
    def name(self) -> str:
        """Its name, which no other arm has."""

    @property
    def against(self) -> str:
        """The name of the arm that it is compared with; "" for the baseline."""


ArmType = TypeVar("ArmType", bound=NamedArm)


def find_base(arm: ArmType, arms: Sequence[ArmType]) -> ArmType:
    """Return the arm that an arm is compared with: the one that it names, or else the first, the baseline."""
    return next((other for other in arms if other.name == arm.against), arms[0])


class StoppingRule(StrEnum):
    """When a study gives a contrast no more seeds."""

    DIRECTION = "direction"
    """Once the arm is better, worse, or the same within δ."""
    SIZE = "size"
    """Once it is also known whether a difference is larger than δ."""
    GATE = "gate"
    """Once the gate is decided, which judges all contrasts together: `reports.statistics.gates`."""
    PROPOSAL = "proposal"
    """Once the proposal is kept or rejected: see `reports.statistics.proposals`."""


@dataclass(frozen=True, kw_only=True)
class AuditedChange:
    """One change of an audit: a commit, a merge, or a commit with its reverts."""

    name: str  # short hash and subject
    hash: str
    added: int  # lines added
    deleted: int
    arm: str = ""  # the arm that shows its effect; "" if no file that counts differs, or with a `reason`
    taken_back_with: tuple[str, ...] = ()  # names of the later changes that must be taken back with it
    against: str = ""  # the arm it is compared with, if that is not the tip or the commit before it
    reason: str = ""  # why it was not judged; "" if it was


@dataclass(frozen=True, kw_only=True)
class Audit:
    """The changes of a history that a study judges.

    Each arm is the tip without one of the changes. If `forward` is true, each arm is a commit, compared with
    the commit before it.
    """

    changes: tuple[AuditedChange, ...]
    forward: bool
