"""The changes of a history that a study judges, as its plan and its page have them.

This module is in `bench` because neither `ablations`, which plans, nor `reports` may import the other.
"""

from dataclasses import dataclass


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
