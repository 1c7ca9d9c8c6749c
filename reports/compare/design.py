"""All that a comparison is made from: the arms with their results, the metrics, the pairing and the looks.

`DesignArm` is one arm and `Design` holds all of them, for a study or for a table from elsewhere.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

from unrolled.bench.metric import LARGEST_FINITE, Metric
from unrolled.bench.phrases import phrase_standing
from unrolled.bench.study_rules import StudyRules, find_base, is_reference
from unrolled.bench.trial import ResultInStudy, Scalar, Trial
from unrolled.reports.presentation import PROGRAM_PRESENTATION, Presentation
from unrolled.reports.scale import Scale
from unrolled.reports.statistics.seed_values import SeedValues

Statuses = Mapping[str, Mapping[Any, str]]
"""How each row ended, by arm and seed."""

JudgedValues = Mapping[str, Mapping[str, SeedValues]]
"""Values on the judged scale by metric, arm and seed: see `make_judged_values`.

A diverged trial has infinity, a failed trial no value.
"""


@dataclass(frozen=True, kw_only=True)
class DesignArm:
    """One arm: what it changes against the baseline, and the results of its trials so far, one a seed.

    It is the same by every metric. A `ComparedArm` is such an arm by one metric, with its verdict.

    Verdicts are made from the table of rows. The results are what pages show, and their fingerprints tell
    which arms computed the same. An arm of a table from elsewhere has no results.
    """

    name: str
    model: str = ""
    title: str = ""
    question: str = ""
    note: str = ""
    changes: Mapping[str, Scalar] = field(default_factory=dict)
    results: Mapping[int, ResultInStudy] = field(default_factory=dict)  # results by seed, failures included
    trial: Trial | None = None  # one of its trials, which is read while there are no results
    is_marked_exploratory: bool = False  # whether the study marks it: Benjamini–Hochberg instead of Holm
    against: str = ""  # name of its base, which `changes` are relative to; "" for the baseline
    uses_seed: bool = True  # False if every seed gives the same numbers, as for a model fitted by counting

    def __post_init__(self) -> None:
        """Put the results in the order of their seeds."""
        object.__setattr__(self, "results", dict(sorted(self.results.items())))

    @property
    def finished_results(self) -> tuple[ResultInStudy, ...]:
        """The results of the trials that neither failed nor diverged, in the order of seeds."""
        return tuple(result for result in self.results.values() if result.is_done)

    @property
    def example_trial(self) -> Trial | None:
        """One trial of the arm, whichever: its trials differ in the seed alone."""
        return next((result.trial for result in self.results.values()), self.trial)

    @property
    def task(self) -> dict[str, Scalar]:
        """The settings that define what is learnt, by name; {} if no trial is known."""
        return self.example_trial.task if self.example_trial else {}

    @property
    def equals_baseline(self) -> bool:
        """True if it is the baseline, or an A/A check: the baseline under other seeds."""
        return not self.changes and not self.against and self.uses_seed

    def find_trained_seed(self, seed: Any) -> Any:
        """Return the seed that a pair's trial was trained with; in an A/A arm it differs from the pair's."""
        return self.results[seed].trial.seed if seed in self.results else seed

    def collect_measured_values(self, metric: str) -> dict[int, float]:
        """Return the values of a metric by seed, in its unit.

        A diverged trial has infinity, a failed trial no value.
        """
        numbers = {}
        for seed, result in self.results.items():
            if result.is_done and metric in result.metrics:
                value = result.metrics[metric]
                numbers[seed] = value if abs(value) <= LARGEST_FINITE else math.inf
            elif result.diverged:
                numbers[seed] = math.inf
        return numbers

    def average_measured_values(self, metric: str) -> float | None:
        """Return the mean of a metric over finished trials, in its unit; None without a finite number."""
        values = (result.metrics.get(metric, math.nan) for result in self.finished_results)
        numbers = [value for value in values if math.isfinite(value)]
        return sum(numbers) / len(numbers) if numbers else None

    def find_task_differences(self, other: "DesignArm") -> list[str]:
        """Return the task settings in which two arms differ, such as ["corpus"]; [] if they have one task."""
        return [name for name, value in self.task.items() if value != other.task.get(name, value)]


@dataclass(frozen=True, kw_only=True)
class Design:
    """The input of `comparison.compare`, beside the table of rows: what is compared with what, and how.

    It is not the `[design]` of a study file, which makes arms by rules.

    A study gives arms with results, its plan's looks and declaration, and how its trainer presents metrics. A
    table from elsewhere gives names of arms, and doubts. The first arm is the baseline.
    """

    rules: StudyRules
    arms: tuple[DesignArm, ...]
    # name of the column by which rows of two arms are paired; "" for none: two samples (Welch)
    pairing_column: str = "seed"
    test_share: float = 0.0  # if pairs are folds or splits of the data: the share that is test set; else 0
    study_hash: str = ""  # hash of the resolved study; "" for a table from elsewhere
    declared_at: float = 0.0  # when the plan was declared, in unix seconds; 0 if unknown
    command: str = ""  # the command that made the table
    # number of pairs whose results were there before the plan, by arm
    seen_pairs: Mapping[str, int] = field(default_factory=dict)
    attempts: Mapping[str, int] = field(default_factory=dict)  # by arm, see `Plan.count_attempts`; or 1
    # by arm, a line of text for each earlier plan of its contrast
    earlier_plan_lines: Mapping[str, Sequence[str]] = field(default_factory=dict)
    first_fresh_seed: int = 0  # one more than the highest seed of any plan of its contrasts
    is_shipped: bool = False  # whether the study ships with Unrolled, unchanged: declared before all results
    first_declared_at: float | None = None  # unix seconds, when this study first declared one of its trials
    runs_user_code: bool = False  # whether trials run a program, whose arms may differ in how they repeat
    # difference of two trials with equal settings and seed, by metric; {} for none, None if unknown
    repetition_differences: Mapping[str, float] | None = field(default_factory=dict)
    # difference of equal trials by metric that is not judged; infinite for judged costs
    tolerances: Mapping[str, float] = field(default_factory=dict)
    averaging_note: str = ""  # of a table from elsewhere: a sentence on rows that were averaged
    doubts: tuple[str, ...] = ()  # of a table from elsewhere: warnings on its page
    setting_titles: Mapping[str, str] = field(default_factory=dict)  # by setting: {"alpha": "AR"}
    presentation: Presentation = PROGRAM_PRESENTATION

    def find_scale(self, metric: Metric) -> Scale:
        """Return how a judged metric is written: its unit, and decimals that fit its δ."""
        return self.presentation.find_scale(metric.name).adapt_to(metric)

    @property
    def is_study(self) -> bool:
        """True for a study with a plan; False for a table from elsewhere."""
        return bool(self.study_hash)

    def is_exploratory(self, arm: DesignArm) -> bool:
        """Return True if the study marks an arm, or if its results were seen before the plan."""
        return arm.is_marked_exploratory or arm.name in self.seen_pairs

    def find_standing(self, arm: DesignArm) -> tuple[str, ...]:
        """Return what weakens an arm's claim: ("exploratory", "attempt 2"); () if nothing does."""
        return phrase_standing(self.is_exploratory(arm), self.attempts.get(arm.name, 1))

    def describe_other_task(self, arm: DesignArm) -> str:
        """Return the task settings in which an arm differs from the baseline: "split=book"; "" for none."""
        return ", ".join(f"{name}={arm.task[name]}" for name in arm.find_task_differences(self.arms[0]))

    @property
    def noun(self) -> str:
        """What a pair of rows is called, such as "seed" or "fold"; "row" where nothing is paired."""
        return self.pairing_column or "row"

    @cached_property
    def bases(self) -> dict[str, str]:
        """The name of the base of each arm but the baseline: the arm that it is compared with."""
        return {arm.name: find_base(arm, self.arms).name for arm in self.arms[1:]}

    @cached_property
    def arms_by_name(self) -> dict[str, DesignArm]:
        """Its arms by name."""
        return {arm.name: arm for arm in self.arms}


def make_judged_values(measured_values: SeedValues, metric: Metric) -> dict[Any, float]:
    """Return an arm's values of a metric, by seed, on the judged scale: see `Metric.to_judged_scale`.

    It is the measured scale or, if the metric is judged by its ratio, 100 times the logarithm. NaN is left
    out, as is a value that has no logarithm there.
    """
    judged_values = {seed: metric.to_judged_scale(value) for seed, value in measured_values.items()}
    return {seed: value for seed, value in judged_values.items() if not math.isnan(value)}


def choose_seconds(result: ResultInStudy) -> float:
    """Return the seconds of a trial as tables have them; of one that is not done, those of its process."""
    return result.training_seconds if result.is_done else result.total_seconds


class ArmRemark(StrEnum):
    """Why an arm is not compared, or is not to be believed, in the words that pages show."""

    WITHOUT_SEED = "reference: the same on every seed"
    REFERENCE = "reference: others are compared with it"
    NO_RESULTS = "no results yet"
    NO_BASE_RESULTS = "not compared: what it is compared with has no results yet"
    OTHER_TASK = "another task"
    DEAD = "dead toggle: the weights equal those of the arm that it is compared with"
    NO_SHARED_SEED = "no pair with the arm that it is compared with"
    BLOCKED = "open"


def find_arm_remarks(statuses: Statuses, design: Design) -> dict[str, ArmRemark | None]:
    """Return the remark on each arm but the baseline; None for an arm that is compared."""
    return {arm.name: _find_remark(arm, statuses, design) for arm in design.arms[1:]}


def select_arms_to_compare(remarks: Mapping[str, ArmRemark | None]) -> list[str]:
    """Return the arms that are compared, or will be once there are results."""
    compared = (None, ArmRemark.NO_RESULTS, ArmRemark.NO_BASE_RESULTS, ArmRemark.DEAD)
    return [name for name, remark in remarks.items() if remark in compared]


def _find_remark(arm: DesignArm, statuses: Statuses, design: Design) -> ArmRemark | None:
    base = find_base(arm, design.arms)
    if is_reference(arm, design.arms, uses_seed=arm.uses_seed):
        return ArmRemark.REFERENCE if arm.uses_seed else ArmRemark.WITHOUT_SEED
    if not statuses[arm.name]:
        return ArmRemark.NO_RESULTS
    if not statuses[base.name]:
        return ArmRemark.NO_BASE_RESULTS
    if arm.find_task_differences(base):
        return ArmRemark.OTHER_TASK
    return ArmRemark.DEAD if _has_same_weights(base, arm) else None


def _has_same_weights(base: DesignArm, arm: DesignArm) -> bool:
    """Return True if an arm has the weights of its base on every shared seed, though its settings differ.

    Arms of two models are left out, as one may be the other written anew.
    """
    of_arm, of_base = (
        {r.trial.seed: weights for r in side.finished_results if (weights := r.fingerprints.get("weights"))}
        for side in (arm, base)
    )
    shared = of_arm.keys() & of_base.keys()
    settings_alone = arm.model == base.model and bool(arm.changes)
    return settings_alone and bool(shared) and all(of_arm[s] == of_base[s] for s in shared)
