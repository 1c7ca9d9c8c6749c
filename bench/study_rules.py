"""What a study, its plan and its page share: the rules, the bases of arms, the changes of an audit."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeVar

from unrolled.bench.metric import Metric

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


def is_reference(arm: NamedArm, arms: Sequence[NamedArm], *, uses_seed: bool) -> bool:
    """Return True for an arm that has no contrast, because it is there for others to be compared with.

    It names no base, and either another arm names it as its own, or no seed changes its numbers.
    """
    is_base = any(other.against == arm.name for other in arms)
    return not arm.against and (is_base or not uses_seed)


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
    kept_edits: tuple[str, ...] = ()  # the files that it edits and that all arms have as in the tip


@dataclass(frozen=True, kw_only=True)
class Audit:
    """The changes of a history that a study judges.

    Each arm is the tip without one of the changes. If `forward` is true, each arm is a commit, compared with
    the commit before it.
    """

    changes: tuple[AuditedChange, ...]
    forward: bool


@dataclass(frozen=True, kw_only=True)
class StudyRules:
    """What is decided before the first trial: the question, and the rules by which it is answered.

    A `Study` makes them; its `Plan` and its `Design` hold the same object. A table from elsewhere, which
    declares nothing, has a name, a question and metrics.
    """

    name: str
    """Name of the study; of a table from elsewhere, the name of its page."""
    question: str
    about: str = ""
    """What the study is about, in sentences."""
    metrics: tuple[Metric, ...]
    """The metrics that are judged. The first decides."""
    seeds: tuple[int, ...] = ()
    looks: tuple[int, ...] = ()
    """Numbers of seeds after which contrasts are judged; () for all rows of a table at once."""
    stopping_rule: StoppingRule = StoppingRule.DIRECTION
    """When a contrast gets no more seeds."""
    to_the_end: bool = False
    """Whether contrasts that are unlikely to be decided get all seeds.

    It is left out of `Study.study_hash`, because the error rates are the same with it and without it.
    """
    gain_level: float = 0.0
    """Of a proposal: error rate of the test that it is better, by which it is kept. 0 of any other study."""
    simpler_level: float = 0.0
    """Of a simpler proposal: error rate of the test that it is less than δ worse than the last keep."""
    audit: Audit | None = None
    """Of an audit: the changes of a history that its arms judge."""

    @property
    def metric_names(self) -> list[str]:
        """The names of the judged metrics, the first of which decides."""
        return [metric.name for metric in self.metrics]

    @property
    def qualities(self) -> list[str]:
        """The metrics that it judges, but for times, speeds and memory."""
        return [metric.name for metric in self.metrics if metric.is_quality]

    @property
    def judged_costs(self) -> list[str]:
        """The metrics of time, speed or memory that it judges. If there are any, trials run one at a time."""
        return [metric.name for metric in self.metrics if not metric.is_quality]

    @property
    def first_look_seeds(self) -> tuple[int, ...]:
        """The seeds of the first look, whose number no result has chosen; all seeds if there are no looks."""
        return self.seeds[: self.looks[0]] if self.looks else self.seeds
