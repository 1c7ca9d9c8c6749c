"""The input of a gate: the results, or the timings, of one version of the code."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reports.statistics.pace import Rounds


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The fields of one trial's result that a gate uses."""

    value: float | None  # of the metric; infinite where training diverged, None where it failed otherwise
    reason: str = ""  # why there is no finite value
    bits: str = ""  # what the trial computed, as fingerprints; "" where the source keeps none
    numbers: Mapping[str, str] = field(default_factory=dict)  # measured, where there are fingerprints
    speed: float | None = None  # tokens/s
    machine: Mapping[str, str] = field(default_factory=dict)  # its kind: see bench.machine_kind

    @property
    def finished(self) -> bool:
        """Whether there is a value to compare."""
        return self.value is not None and math.isfinite(self.value)


@dataclass(frozen=True, kw_only=True)
class ArmResults:
    """One arm of one side."""

    outcomes: Mapping[Any, Outcome]  # by seed, or by what rows of a table are paired by
    waiting: tuple[int, ...] = ()  # seeds that were planned and have no result
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def values(self) -> dict[Any, float]:
        """The metric by seed, diverged seeds included."""
        return {seed: o.value for seed, o in self.outcomes.items() if o.value is not None}

    @property
    def broken(self) -> set[Any]:
        """Seeds whose trial diverged or failed."""
        return {seed for seed, o in self.outcomes.items() if not o.finished}


@dataclass(frozen=True, kw_only=True)
class ResultSet:
    """One side: a study's arms by name. What its plan declares is empty where there is no plan."""

    name: str  # as typed
    study: str
    arms: Mapping[str, ArmResults]
    metric: str = ""
    delta: float | None = None
    base: str = ""  # the name of the study's own baseline
    commit: str = ""


@dataclass(frozen=True, kw_only=True)
class Timings:
    """One side's benchmarks: stored runs by the benchmark's name, oldest first, and where they ran."""

    name: str  # as typed
    runs: Mapping[str, Sequence[Rounds]]
    machines: Sequence[Mapping[str, str]]
