"""One arm of a comparison, by one metric: the rows that count, the contrast and the verdict."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from unrolled.bench.metric import Metric
from unrolled.bench.phrases import describe_witness, phrase_standing
from unrolled.bench.study_rules import find_base
from unrolled.bench.trial import Result, Scalar
from unrolled.reports.compare.design import ArmRemark, Design, DesignArm
from unrolled.reports.compare.evidence import Evidence
from unrolled.reports.statistics.arm_summary import ArmSummary, summarise_values
from unrolled.reports.statistics.contrasts import Contrast
from unrolled.reports.statistics.decisions import Decisions
from unrolled.reports.statistics.pairs import compare_pairs, make_judged_scale
from unrolled.reports.statistics.power import SELF_CHECK_ALPHA
from unrolled.reports.statistics.seed_values import Interval, select_seeds
from unrolled.reports.statistics.verdicts import NO_CONTRAST, ContrastState, Verdict


@dataclass(frozen=True, kw_only=True)
class DecidedRows:
    """The rows of a table, which of them count, and what was decided; the mappings are by the arm's name."""

    evidence: Evidence  # of all rows, copies included
    remarks: Mapping[str, ArmRemark | None]
    decisions: Decisions[str]
    seeds: Mapping[str, Collection[Any]]  # seeds that count
    next_seed_counts: Mapping[str, int]  # number of seeds at the next look; 0 without looks


@dataclass(frozen=True)
class ArmWitness:
    """The witness of one setting in all finished trials of an arm: whether the setting took effect."""

    setting: str
    observations: Sequence[Mapping[str, Any]]  # what `Result.witnesses` has of it, one for each trial

    @property
    def failures(self) -> list[Mapping[str, Any]]:
        """The observations of the trials in which the setting did not take effect."""
        return [observation for observation in self.observations if not observation.get("ok")]

    @property
    def took_effect(self) -> bool:
        """True if the setting took effect in every trial."""
        return not self.failures

    def describe_failed_seeds(self) -> str:
        """Return on how many seeds the setting did not take effect: "2 of 10 seeds"; "" for none or all."""
        failed = len(self.failures)
        trials = len(self.observations)
        return f"{failed} of {trials} seeds" if 0 < failed < trials else ""

    def __str__(self) -> str:
        description = describe_witness(self.setting, (self.failures or self.observations)[0])
        failed_seeds = self.describe_failed_seeds()
        return f"{description} ({failed_seeds})" if failed_seeds else description


@dataclass(frozen=True, kw_only=True)
class ComparedArm:
    """One arm by one metric. The baseline, references and arms of other tasks have no contrast."""

    index: int  # position in the study; 0 is the baseline
    counted_arm: DesignArm  # the arm with the results that count; `Design.arms` have all results
    seeds: tuple[Any, ...]  # seeds of the rows that count, failures included
    wanted_seed_count: int  # number of seeds at its next look; of its seeds so far if it gets no more
    done_count: int
    diverged_count: int
    failed_count: int  # number of trials that failed for another reason than divergence
    waiting_count: int  # number of trained seeds that do not count yet, as their look is not complete
    max_seed_count: int  # number of seeds at the last look that it can get
    # over the pairs of its contrast or, without pairs, over all seeds that count; `add_contrast` has the
    # exception of a base that is one run
    summary: ArmSummary
    contrast: Contrast | None = None
    verdict: Verdict | None = None
    remark: ArmRemark | None = None
    task_differences: tuple[str, ...] = ()  # task settings in which it differs from its base
    is_exploratory: bool = False  # see `Design.is_exploratory`
    attempt: int = 1  # number of plans of its contrast, this one included
    state: ContrastState = NO_CONTRAST  # that of its verdict, also before its contrast has results
    is_one_run: bool = False  # whether all its seeds are copies of one run: see `find_one_run_arms`
    repeats_baseline: bool = False  # of an A/A check: whether its seeds computed the same as the baseline's
    witnesses: tuple[ArmWitness, ...] = ()  # one for each setting that has a witness

    @property
    def name(self) -> str:
        """The arm's name."""
        return self.counted_arm.name

    @property
    def against(self) -> str:
        """The name of its base; "" for the baseline."""
        return self.counted_arm.against

    @property
    def settings(self) -> dict[str, Scalar]:
        """The settings of its trials, which differ in the seed alone; {} if no trial is known."""
        trial = self.counted_arm.example_trial
        return trial.flat_settings() if trial else {}

    @property
    def is_aa_check(self) -> bool:
        """True if it is the baseline under other seeds, which is compared with the baseline."""
        return self.index > 0 and self.counted_arm.equals_baseline

    @property
    def correction(self) -> str:
        """The method that adjusts the p values of its verdict."""
        return "Benjamini–Hochberg" if self.counted_arm.is_marked_exploratory else "Holm"

    @property
    def standing(self) -> tuple[str, ...]:
        """What weakens its claim: ("exploratory", "attempt 2"); () if nothing does."""
        return merge_standings([self])

    @property
    def interval(self) -> Interval | None:
        """The interval of its verdict; of the A/A check, which has no verdict, the 99 % interval."""
        if self.verdict:
            return self.verdict.interval
        return self.contrast.interval(SELF_CHECK_ALPHA) if self.contrast else None

    @property
    def estimate(self) -> float | None:
        """The difference from its base: see `Contrast.estimate`; None without a contrast."""
        return self.contrast.estimate if self.contrast else None

    @property
    def missing_count(self) -> int:
        """The number of trials of its next look that have not ended."""
        return (
            self.wanted_seed_count
            - self.done_count
            - self.diverged_count
            - self.failed_count
            - self.waiting_count
        )

    def describe_seeds_of_mean(self) -> str:
        """Return how many seeds its mean is over: "10", or "10 of 15" while the next look needs 15.

        With a contrast these are the pairs; the arm may have more seeds for the contrasts of other arms. An
        arm of n-gram counts, which use no seed, has "10 alike".
        """
        if self.done_count and not self.counted_arm.uses_seed:
            return f"{self.done_count} alike"
        number = self.summary.n - self.summary.diverged_count
        seed_count = self.summary.n if self.state.has_ended else self.wanted_seed_count
        return f"{number} of {seed_count}" if number < seed_count else str(number)

    @property
    def shown_witnesses(self) -> tuple[ArmWitness, ...]:
        """The witnesses of the settings that the arm changes, and those that failed."""
        changes = self.counted_arm.changes
        return tuple(
            witness for witness in self.witnesses if not witness.took_effect or witness.setting in changes
        )

    @property
    def is_dead(self) -> bool:
        """True if the change had no effect: its weights equal those of its base."""
        return self.remark is ArmRemark.DEAD

    @property
    def reason_not_compared(self) -> str:
        """Why it is not compared, or not to be believed; "" if it is compared."""
        if self.remark is ArmRemark.OTHER_TASK:
            return f"{self.remark}: {', '.join(self.task_differences)}"
        if self.remark is ArmRemark.BLOCKED:
            return f"{self.remark}: {self.state.halt_reason}"
        return str(self.remark or "")

    def describe_changes(self) -> str:
        """Return its changes, and its base unless that is the baseline: "tie = True, against lm5"."""
        changes = ", ".join(f"{name} = {value}" for name, value in self.counted_arm.changes.items())
        return f"{changes}, against {self.against}" if self.against else changes


def make_compared_arm(index: int, metric: Metric, rows: DecidedRows) -> ComparedArm:
    """Return the arm at this position by one metric, without its contrast, which `add_contrast` adds."""
    design = rows.evidence.design
    arm = design.arms[index]
    statuses = rows.evidence.statuses[arm.name]
    values = rows.evidence.judged_values[metric.name][arm.name]
    seeds = rows.seeds[arm.name]
    counted_arm = replace(arm, results=select_seeds(arm.results, seeds))
    counted_statuses = select_seeds(statuses, seeds)
    counted_values = select_seeds(values, seeds)
    diverged_count = sum(math.isinf(counted_values.get(seed, 0.0)) for seed in counted_statuses)
    failed_count = sum(status not in ("done", "diverged") for status in counted_statuses.values())
    seed_count = max(len(counted_statuses), rows.next_seed_counts[arm.name])
    uncounted_seeds = statuses.keys() - counted_statuses.keys()
    remark = rows.remarks.get(arm.name)
    task_differences: Sequence[str] = ()
    if remark is ArmRemark.OTHER_TASK:
        task_differences = arm.find_task_differences(find_base(arm, design.arms))
    return ComparedArm(
        index=index,
        counted_arm=counted_arm,
        seeds=tuple(counted_statuses),
        wanted_seed_count=seed_count,
        done_count=len(counted_statuses) - diverged_count - failed_count,
        diverged_count=diverged_count,
        failed_count=failed_count,
        waiting_count=len(uncounted_seeds & set(design.rules.seeds[:seed_count])),
        max_seed_count=_find_max_seed_count(index, design) or seed_count,
        summary=summarise_arm(arm, counted_values, lower_is_better=metric.lower_is_better),
        remark=remark,
        is_one_run=arm.name in rows.evidence.one_run_seeds,
        is_exploratory=design.is_exploratory(arm),
        attempt=design.attempts.get(arm.name, 1),
        task_differences=tuple(task_differences),
        witnesses=collect_arm_witnesses(counted_arm.finished_results),
    )


def _find_max_seed_count(index: int, design: Design) -> int:
    """Return the number of seeds at the last look that an arm can get; 0 without looks."""
    looks = design.rules.looks
    if index and design.arms[index].equals_baseline:  # an A/A check, which is never judged, gets one look
        looks = looks[:1]
    return max(looks, default=0)


def merge_standings(arms: Collection[ComparedArm]) -> tuple[str, ...]:
    """Return what weakens a claim on several arms: one exploratory arm, and the highest attempt."""
    return phrase_standing(any(arm.is_exploratory for arm in arms), max(arm.attempt for arm in arms))


def add_contrast(
    arm: ComparedArm,
    baseline: ComparedArm,
    metric: Metric,
    rows: DecidedRows,
) -> ComparedArm:
    """Return the arm with its contrast and verdict, or the reason why it has none.

    The arm's summary is then over the pairs of the contrast, so that its mean minus the base's mean is the
    difference that is shown. There is an exception: if the base is one run, copied for every seed, and the
    arm is several runs, there is a single pair, and the summary stays over all seeds that count.
    """
    if arm.is_aa_check:
        contrast = compare_pairs(arm.summary.values, baseline.summary.values, make_judged_scale(metric))
        equal_seeds = rows.evidence.find_equal_seeds(arm.name)
        sides = arm.summary.values, baseline.summary.values
        differing = [seed for seed in contrast.seeds if seed not in equal_seeds]
        diverged = all(math.isinf(values[seed]) for values in sides for seed in differing)
        arm = replace(arm, repeats_baseline=bool(equal_seeds) and diverged)
        return _limit_to_pairs(arm, contrast, metric)
    verdict = rows.decisions.verdicts.get(arm.name, {}).get(metric.name)
    if verdict is None:
        return replace(arm, remark=arm.remark or ArmRemark.NO_SHARED_SEED)
    arm = replace(arm, state=verdict.state)
    if not arm.remark and verdict.contrast.pair_count:
        base = rows.evidence.design.bases[arm.name]
        if base in rows.evidence.one_run_seeds and not arm.is_one_run:
            return replace(arm, contrast=verdict.contrast, verdict=verdict)
        return replace(_limit_to_pairs(arm, verdict.contrast, metric), verdict=verdict)
    missing = ArmRemark.BLOCKED if verdict.state.halt_reason else ArmRemark.NO_SHARED_SEED
    return replace(arm, remark=arm.remark or missing)


def _limit_to_pairs(arm: ComparedArm, contrast: Contrast, metric: Metric) -> ComparedArm:
    """Return the arm with its contrast and, if this is paired, with its summary over the pairs alone."""
    if not contrast.is_paired:
        return replace(arm, contrast=contrast)
    values = select_seeds(arm.summary.values, contrast.seeds)
    summary = summarise_arm(arm.counted_arm, values, lower_is_better=metric.lower_is_better)
    return replace(arm, contrast=contrast, summary=summary)


def summarise_arm(arm: DesignArm, values: Mapping[Any, float], *, lower_is_better: bool = True) -> ArmSummary:
    """Return the summary of an arm's values by seed. An arm that uses no seed has no SD and no interval.

    `lower_is_better` matters only to the median, and only if a seed diverged.
    """
    summary = summarise_values(values, lower_is_better=lower_is_better)
    return summary if arm.uses_seed else replace(summary, sd=None, interval=None)


def collect_arm_witnesses(results: Iterable[Result]) -> tuple[ArmWitness, ...]:
    """Return, of finished trials, one witness for each setting that has any."""
    by_setting: dict[str, list[Mapping[str, Any]]] = {}
    for result in results:
        for setting, observation in result.witnesses.items():
            by_setting.setdefault(setting, []).append(observation)
    return tuple(ArmWitness(setting, observations) for setting, observations in by_setting.items())
