"""What a report is made from: the arms of one study and the results that they have so far."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.trial import Result, Scalar


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One arm: what it changes against the baseline, and one result a seed (fewer if unfinished)."""

    name: str
    model: str
    title: str
    changes: Mapping[str, Scalar] = field(default_factory=dict)
    results: Mapping[int, Result] = field(default_factory=dict)  # by seed; failures included
    exploratory: bool = False  # not named by the plan: Benjamini–Hochberg instead of Holm
    links: Mapping[int, str] = field(default_factory=dict)  # MLflow run of each seed


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One study, ready to be reported. The first arm is the baseline."""

    study: str
    question: str
    metric: str  # a name in Result.metrics; lower is better for losses, higher for accuracy
    equivalence: float  # δ, in units of the metric
    seeds: tuple[int, ...]
    arms: tuple[Arm, ...]
    plan: str  # hash of the resolved study
    planned: float  # unix seconds, before the first trial
    command: str  # the exact command that made it
    about: str = ""
