"""What is compared, and how: the arms of a study with their results, or those of a table from elsewhere."""

import hashlib
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from unrolled.bench.audit import Audit
from unrolled.bench.metric import LARGEST, Metric
from unrolled.bench.result_table import phrase_standing
from unrolled.bench.trial import Result, Scalar, Trial
from unrolled.reports.presentation import PLAIN, Presentation, Scale
from unrolled.reports.statistics.types import SeedValues

Statuses = Mapping[str, Mapping[Any, str]]
"""How each row ended, by arm and seed."""

Values = Mapping[str, Mapping[str, SeedValues]]
"""Numbers by metric, arm and seed; infinite if the trial diverged, missing if it failed otherwise."""


@dataclass(frozen=True, kw_only=True)
class MeasuredArm:
    """One arm: what it changes against the baseline, and one result a seed (fewer if unfinished).

    Comparisons use the table. The results are for pages, and show by equal results that an arm ignores its
    seed; a table from a file has none.
    """

    name: str
    model: str = ""
    title: str = ""
    question: str = ""
    note: str = ""
    changes: Mapping[str, Scalar] = field(default_factory=dict)
    results: Mapping[int, Result] = field(default_factory=dict)  # results by seed, failures included
    trial: Trial | None = None  # any of its trials, if there are no results
    marked_exploratory: bool = False  # whether the study marks it so: Benjamini–Hochberg instead of Holm
    against: str = ""  # the arm that it is compared with, and that `changes` are against; "" for the baseline
    uses_seed: bool = True  # False if no seed changes it, as it is fitted by counting

    def __post_init__(self) -> None:
        """Put the results in the order of their seeds."""
        object.__setattr__(self, "results", dict(sorted(self.results.items())))

    @property
    def finished_results(self) -> tuple[Result, ...]:
        """The results whose numbers may be used, in the order of seeds."""
        return tuple(result for result in self.results.values() if result.done)

    @property
    def example_trial(self) -> Trial | None:
        """Any trial of the arm: they differ in the seed alone."""
        return next((result.trial for result in self.results.values()), self.trial)

    @property
    def is_aa_arm(self) -> bool:
        """True if the arm repeats the baseline with other seeds. The baseline itself looks the same."""
        return not self.changes and not self.against and self.uses_seed

    def find_trained_seed(self, seed: Any) -> Any:
        """Return the seed of the trial in a pair's place, which in an A/A arm is not that of the pair."""
        return self.results[seed].trial.seed if seed in self.results else seed

    def collect_metric(self, metric: str) -> dict[int, float]:
        """Return a number by seed: infinity for a diverged trial, none for one that failed otherwise."""
        numbers = {}
        for seed, result in self.results.items():
            if result.done and metric in result.metrics:
                value = result.metrics[metric]
                numbers[seed] = value if abs(value) <= LARGEST else math.inf
            elif result.diverged:
                numbers[seed] = math.inf
        return numbers

    def average_metric(self, metric: str) -> float | None:
        """Return the mean of a metric over the finished trials that have it."""
        metrics = [result.metrics[metric] for result in self.finished_results if metric in result.metrics]
        numbers = [number for number in metrics if math.isfinite(number)]
        return sum(numbers) / len(numbers) if numbers else None

    def find_task_differences(self, other: "MeasuredArm") -> list[str]:
        """Return the fields that define the task in which the trials of two arms differ."""
        trials = self.example_trial, other.example_trial
        task, other_task = (trial.task if trial else {} for trial in trials)
        return [name for name, value in task.items() if value != other_task.get(name, value)]


@dataclass(frozen=True, kw_only=True)
class Design:
    """How the rows of a table are compared. The first arm is the baseline."""

    study: str  # for a table from elsewhere, the name of its page
    metrics: tuple[Metric, ...]  # the first metric decides
    arms: tuple[MeasuredArm, ...]
    question: str = ""
    pairing_column: str = (
        "seed"  # the column that rows of two arms share; "" for none, so that Welch's test compares the arms
    )
    test_share: float = 0.0  # share of the data that is test set, if pairs are folds or splits of it
    seeds: tuple[int, ...] = ()
    looks: tuple[int, ...] = ()  # numbers of seeds after which verdicts are sought; () for all rows at once
    # what ends a contrast: its "direction" or its "size", or the rule of a "gate" or of a "proposal"
    stopping_rule: str = "direction"
    level: float = 0.0  # error rate of the test by which a proposal is kept
    simpler_level: float = 0.0  # error rate of the test of less than δ worse; 0 without fewer lines
    to_the_end: bool = False  # whether contrasts that are unlikely to be decided go on to the last look
    plan_hash: str = ""  # hash of the resolved study; "" for a table from elsewhere
    planned: float = 0.0  # time of its declaration, in unix seconds
    command: str = ""  # the command that made the table
    seen_pairs: Mapping[str, int] = field(default_factory=dict)  # pairs that had results by then, by arm
    # lines on earlier plans of each arm's contrast, by arm
    earlier_attempts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    first_fresh_seed: int = 0  # lowest seed such that no plan of its contrasts had it, or a higher one
    ships: bool = False  # whether it ships with Unrolled, unchanged: it was declared before all results
    first_declared: float | None = None  # unix seconds, when this study first declared one of its trials
    about: str = ""
    # distance of two equal trials, by metric; None if it was not measured
    nondeterminism: Mapping[str, float] | None = field(default_factory=dict)
    # metrics that differ between equal trials, but for judged qualities
    irreproducible: frozenset[str] = frozenset()
    averaging_note: str = ""  # for a table from elsewhere: a sentence on rows that were averaged
    doubts: tuple[str, ...] = ()  # for a table from elsewhere: warnings on its page
    setting_titles: Mapping[str, str] = field(default_factory=dict)  # titles of settings: alpha is AR
    presentation: Presentation = PLAIN
    audit: Audit | None = None  # for a study whose arms are the changes of a history

    def find_scale(self, metric: Metric) -> Scale:
        """Return how a metric is read that is judged."""
        return self.presentation.find_scale(metric.name).adapt_to(metric)

    @property
    def is_study(self) -> bool:
        """True for a study with a plan; False for a table from elsewhere."""
        return bool(self.plan_hash)

    @property
    def first_look(self) -> tuple[int, ...]:
        """The seeds of the first look, whose number no result has chosen."""
        return self.seeds[: self.looks[0]] if self.looks else self.seeds

    def find_standing(self, arm: MeasuredArm) -> tuple[str, ...]:
        """Return words on what an arm's contrast had behind it when it was declared; () for nothing."""
        is_exploratory = arm.marked_exploratory or arm.name in self.seen_pairs
        return phrase_standing(is_exploratory, 1 + len(self.earlier_attempts.get(arm.name, ())))

    def describe_other_task(self, arm: MeasuredArm) -> str:
        """Return the settings that make an arm's task another than the baseline's; "" for the same one."""
        task = arm.example_trial.task if arm.example_trial else {}
        return ", ".join(f"{name}={task[name]}" for name in arm.find_task_differences(self.arms[0]))

    @property
    def noun(self) -> str:
        """What a pair of rows is called: a seed, a fold; a row where nothing is paired."""
        return self.pairing_column or "row"

    @cached_property
    def bases(self) -> dict[str, str]:
        """The arm that each arm but the baseline is compared with."""
        names = {arm.name for arm in self.arms}
        return {a.name: a.against if a.against in names else self.arms[0].name for a in self.arms[1:]}

    def find_base(self, arm: MeasuredArm) -> MeasuredArm:
        """Return the arm that this one is compared with."""
        return self.arms_by_name[self.bases[arm.name]]

    @cached_property
    def arms_by_name(self) -> dict[str, MeasuredArm]:
        """Its arms by name."""
        return {arm.name: arm for arm in self.arms}


def find_page(study: str, out: Path) -> Path:
    """Return the path of a study's page. Its folder is the study's name if that is a plain one.

    Otherwise it has the name's letters and digits and a hash, so that no two studies share a folder:
    digits-dropout-5c0f1d2e.
    """
    plain = unicodedata.normalize("NFKD", study).encode("ascii", "ignore").decode()
    folder = re.sub(r"[^\w-]+", "-", plain)[:64].strip("-_")
    if folder != study or not study:
        mark = hashlib.sha256(study.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        folder = f"{folder}-{mark}".lstrip("-")
    return out / folder / "index.html"


class ArmRemark(StrEnum):
    """Why an arm is not compared, or not to be believed; the values are what is shown."""

    WITHOUT_SEED = "reference: the same on every seed"
    REFERENCE = "reference: others are compared with it"
    NO_RESULTS = "no results yet"
    NO_BASE_RESULTS = "not compared: what it is compared with has no results yet"
    OTHER_TASK = "another task"
    DEAD = "dead toggle: the weights equal the baseline's"
    NO_SHARED_SEED = "no result that can be compared with the baseline's"
    BLOCKED = "open"


def find_arm_remarks(statuses: Statuses, design: Design) -> dict[str, ArmRemark | None]:
    """Return why each arm but the baseline is not compared; None where it is."""
    return {arm.name: _find_remark(arm, statuses, design) for arm in design.arms[1:]}


def arms_to_compare(remarks: Mapping[str, ArmRemark | None]) -> list[str]:
    """Return the arms that are compared, or will be."""
    compared = (None, ArmRemark.NO_RESULTS, ArmRemark.NO_BASE_RESULTS, ArmRemark.DEAD)
    return [name for name, remark in remarks.items() if remark in compared]


def _find_remark(arm: MeasuredArm, statuses: Statuses, design: Design) -> ArmRemark | None:
    baseline = design.find_base(arm)
    if not arm.uses_seed and not arm.against:
        return ArmRemark.WITHOUT_SEED
    if not arm.against and any(rival.against == arm.name for rival in design.arms):
        return ArmRemark.REFERENCE
    if not statuses[arm.name]:
        return ArmRemark.NO_RESULTS
    if not statuses[baseline.name]:
        return ArmRemark.NO_BASE_RESULTS
    if arm.find_task_differences(baseline):
        return ArmRemark.OTHER_TASK
    return ArmRemark.DEAD if _has_same_weights(baseline, arm) else None


def _has_same_weights(baseline: MeasuredArm, arm: MeasuredArm) -> bool:
    """Return True if a change of settings left the weights of every shared seed unchanged.

    A different model with equal weights is allowed.
    """
    of_arm, of_baseline = (
        {r.trial.seed: weights for r in side.finished_results if (weights := r.fingerprints.get("weights"))}
        for side in (arm, baseline)
    )
    shared = of_arm.keys() & of_baseline.keys()
    settings_alone = arm.model == baseline.model and bool(arm.changes)
    return settings_alone and bool(shared) and all(of_arm[s] == of_baseline[s] for s in shared)
