"""The changes of a history that a study judges, as its plan and its page have them.

They are here because neither of plan and page, `ablations` and `reports`, may import the other.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class AuditedChange:
    """One change of an audit: a commit, a merge, or a commit with its reverts."""

    name: str  # its hash and subject, in short
    hash: str
    added: int  # lines
    deleted: int
    arm: str = ""  # that shows what it does; "" where no file that counts differs, or with a `reason`
    taken_back_with: tuple[str, ...] = ()  # names of later changes without which it cannot be taken back
    against: str = ""  # the arm that it is compared with, if not the tip or the commit before it
    reason: str = ""  # why it was not judged


@dataclass(frozen=True, kw_only=True)
class Audit:
    """The changes of a history that a study judges.

    Each arm is the tip without one of them or, if it looks `forward`, a commit beside the one before it.
    """

    changes: tuple[AuditedChange, ...]
    forward: bool
