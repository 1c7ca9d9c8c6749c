"""The arms of a table, each against its baseline: what can be compared, by how much, with what verdict.

A study's contrasts are judged at its looks. The first metric decides: a contrast that it has decided gets no
more seeds. Only the seeds of the looks that were taken count: others enter no verdict and no mean. A table
from elsewhere has no looks: all of its rows count.
"""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import pandas as pd

from unrolled.bench.errors import BadInput
from unrolled.bench.metric import Metric
from unrolled.reports.contrast_decisions import compare_sides, count_side_seeds, decide_contrasts
from unrolled.reports.design import Design, MeasuredArm, Statuses, Values, select_seeds
from unrolled.reports.exclusions import Exclusion, compared_arms, find_exclusions
from unrolled.reports.foreign_table import FIRST_LOOK
from unrolled.reports.presentation import Scale
from unrolled.reports.replicates import drop_copies, find_copies, find_equal_seeds
from unrolled.reports.row_means import read_row_matches
from unrolled.reports.statistics.arm_summary import ArmSummary, summarise_values
from unrolled.reports.statistics.contrasts import Contrast, contrast
from unrolled.reports.statistics.decisions import Decisions
from unrolled.reports.statistics.gate import GateDecision
from unrolled.reports.statistics.interval import Interval
from unrolled.reports.statistics.power import SELF_CHECK_ALPHA
from unrolled.reports.statistics.verdicts import Verdict, judge_contrasts
from unrolled.reports.table import collect_statuses, collect_values
from unrolled.reports.witnesses import Proof, collect_proofs

Name = TypeVar("Name")


@dataclass(frozen=True, kw_only=True)
class ComparedArm:
    """One arm of the comparison, by one metric. The baseline, references and other tasks have no contrast."""

    index: int  # position in the study; 0 is the baseline
    arm: MeasuredArm  # with the results that count
    noun: str  # what sentences call a pair of rows, such as "seed" or "fold"
    seeds: tuple[Any, ...]  # of the rows that count, failures included
    total: int  # seeds that the looks so far and the next one need
    done: int
    diverged: int
    failed: int  # for another reason than divergence
    for_next_look: int  # trained for a look that is not complete, and not counted yet
    max_seeds: int  # the most seeds that its contrasts may need
    summary: ArmSummary
    contrast: Contrast | None = None
    verdict: Verdict | None = None  # with p adjusted by Holm, of an exploratory arm by Benjamini–Hochberg
    exclusion: Exclusion | None = None
    task_differences: tuple[str, ...] = ()  # the fields of its trials that make its task another one
    exploratory: bool = False  # marked so by the study, or its results were seen before the plan
    attempt: int = 1  # one more than there are earlier plans of its contrast
    has_contrast_to_decide: bool = False  # the A/A check has none
    copied: bool = False  # it ignores its seed: one run, which every seed repeats
    decided: bool = False  # by the study's first metric
    blocked_reason: str = ""  # why its open contrast does not go on, such as "seed 3 failed"
    proofs: tuple[Proof, ...] = ()  # one for each factor that has a witness

    @property
    def correction(self) -> str:
        """The method that adjusts its p."""
        return "Benjamini–Hochberg" if self.arm.exploratory else "Holm"

    @property
    def standing(self) -> tuple[str, ...]:
        """Words on what its contrast had behind it when the study was declared; () for nothing."""
        exploratory = "exploratory" if self.exploratory else ""
        attempt = f"attempt {self.attempt}" if self.attempt > 1 else ""
        return tuple(filter(None, (exploratory, attempt)))

    @property
    def interval(self) -> Interval | None:
        """The interval of its verdict; of the A/A check, which has none, one at a level of its own."""
        if self.verdict:
            return self.verdict.interval
        return self.contrast.interval(SELF_CHECK_ALPHA) if self.contrast else None

    @property
    def not_ended(self) -> int:
        """Trials that have not ended."""
        return self.total - self.done - self.diverged - self.failed - self.for_next_look

    @property
    def state(self) -> str:
        """`decided` or `open`; "" for an arm that has no contrast to decide."""
        return "" if not self.has_contrast_to_decide else "decided" if self.decided else "open"

    @property
    def seeds_of_mean(self) -> str:
        """How many seeds its mean is over, of the most that its contrasts may need: 10/40.

        With a contrast those are its pairs. The arm may have more seeds, for contrasts of other arms. An arm
        that no seed changes has one value, however many seeds it was trained with.
        """
        if self.arm.ignores_seed and self.done:
            return "1"
        done = self.summary.n - self.summary.diverged
        return f"{done}/{self.max_seeds if self.state else self.total}"

    @property
    def shown_proofs(self) -> tuple[Proof, ...]:
        """The proofs to show: those of the factors that the arm changes, and those that failed."""
        return tuple(p for p in self.proofs if not p.ok or p.factor in self.arm.changes)

    @property
    def is_dead(self) -> bool:
        """True if the change had no effect: the weights equal the baseline's."""
        return self.exclusion is Exclusion.DEAD

    @property
    def note(self) -> str:
        """Why it is not compared, or not to be believed; "" if it is compared."""
        if self.exclusion is Exclusion.OTHER_TASK:
            return f"{self.exclusion}: {', '.join(self.task_differences)}"
        if self.exclusion is Exclusion.BLOCKED:
            return f"{self.exclusion}: {self.blocked_reason}"
        return str(self.exclusion or "")

    @property
    def changed(self) -> str:
        """The arm's changes as `name = value`, and the arm that it is compared with if not the baseline."""
        changes = ", ".join(f"{name} = {value}" for name, value in self.arm.changes.items())
        return f"{changes}, against {self.arm.against}" if self.arm.against else changes


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Arms in declared order, compared by one metric; `other_views` compares them by the other metrics."""

    table: pd.DataFrame  # a row a trial; `counts`: whether it counts for its arm's contrast; `first_look`
    design: Design
    metric: Metric
    rows: tuple[ComparedArm, ...]
    looks_taken: int
    other_views: tuple["Comparison", ...] = ()
    gate: GateDecision[str] | None = None  # of a study that is a gate

    @property
    def rows_to_decide(self) -> tuple[ComparedArm, ...]:
        """The rows that have a contrast to decide: the A/A check has none."""
        return tuple(row for row in self.rows if row.has_contrast_to_decide)

    @property
    def rows_with_contrast(self) -> tuple[ComparedArm, ...]:
        """The rows that have a contrast."""
        return tuple(row for row in self.rows if row.contrast is not None)

    @property
    def per_metric(self) -> tuple["Comparison", ...]:
        """The comparison by each metric, this one first."""
        return self, *self.other_views

    @property
    def sequential(self) -> bool:
        """True if the study looks more than once."""
        return len(self.design.looks) > 1

    @property
    def stops_contrasts(self) -> bool:
        """True if its metric, the study's first, decides at which of several looks a contrast stops."""
        return self.sequential and self.metric == self.design.metrics[0]

    @property
    def beyond_looks(self) -> int:
        """How many rows do not count: their trials are beyond the looks that were taken."""
        return len(self.table) - int(self.table.counts.sum())

    @cached_property
    def common_seeds(self) -> tuple[int, ...]:
        """The seeds that count for all arms that were trained, failures included."""
        return tuple(s for s in self.design.seeds if all(s in row.seeds for row in self.rows if row.seeds))

    def has_first_look(self, rows: Iterable[ComparedArm]) -> bool:
        """Return True if the trials of the first look have ended, in whatever way, for all of these arms."""
        return all(set(self.design.first_look) <= {*row.seeds} for row in rows)

    def judge_undeclared(
        self, pairs: Mapping[Name, tuple[ComparedArm, ComparedArm]], metric: Metric | None = None
    ) -> dict[Name, Verdict]:
        """Return the verdicts on pairs of arms that the study does not compare, corrected together.

        They are of the seeds of the first look that count for both arms: their number was fixed beforehand,
        and does not depend on results. Those that failed on a side are lost. A pair of which these seeds have
        not all ended has no verdict: it would be looked at while they come in.
        """
        metric = metric or self.metric
        names = {metric.name, *(declared.name for declared in self.design.metrics)}
        values: Values = {name: collect_values(self.table, name, self.design) for name in names}
        values = drop_copies(
            values, find_copies(collect_statuses(self.table, self.design), values, self.design)
        )
        contrasts = {}
        for name, pair in pairs.items():
            seeds = self.design.first_look if self.has_first_look(pair) else ()
            arm, base = (select_seeds(values[metric.name][row.arm.name], seeds) for row in pair)
            equal = find_equal_seeds(pair[0].arm, pair[1].arm, values, self.design)
            lost = len(set(seeds) - (arm.keys() & base.keys()))
            contrasts[name] = compare_sides(
                arm, base, metric, self.design, family=len(pairs), lost=lost, equal=equal
            )
        return judge_contrasts(contrasts)

    def by_metric(self, metric: str) -> "Comparison | None":
        """Return the comparison by this metric, if the study names it."""
        return next((c for c in self.per_metric if c.metric.name == metric), None)

    def find_base(self, row: ComparedArm) -> ComparedArm:
        """Return the row that this one is compared with: the baseline, or the arm named in `against`."""
        return self._rows_by_name.get(row.arm.against, self.rows[0])

    @cached_property
    def _rows_by_name(self) -> dict[str, ComparedArm]:
        return {row.arm.name: row for row in self.rows}

    @property
    def same_task_rows(self) -> tuple[ComparedArm, ...]:
        """The baseline, and the rows with a contrast that have its task: their numbers can be compared."""
        first, *compared_rows = self.rows
        return first, *(
            row for row in compared_rows if row.contrast and not row.arm.find_task_differences(first.arm)
        )

    @property
    def bases_phrase(self) -> str:
        """The baseline's name, plus a remark if some arms are compared with another arm."""
        has_other_base = any(self.find_base(row) is not self.rows[0] for row in self.rows_with_contrast)
        return f"{self.rows[0].arm.name}{' or the arm that each names' if has_other_base else ''}"

    @property
    def scale(self) -> Scale:
        """How values of the metric are shown."""
        return self.design.find_scale(self.metric)

    @property
    def title(self) -> str:
        """The metric in words."""
        return self.scale.title


def compare(table: pd.DataFrame, design: Design) -> Comparison:
    """Return the arms of a table, each against its baseline, by every metric.

    `reports.table` has the columns.

    Raises BadInput where there is no arm, or no δ.
    """
    place = f"study {design.study!r}"
    if not design.arms:
        raise BadInput("there are none to report", place=place, key="arms", cure="declare a baseline")
    for metric in design.metrics:
        if not metric.delta > 0:
            raise BadInput(f"δ of {metric.name}: must be above 0, in its unit", place=place)
    ended = collect_statuses(table, design)
    values = {metric.name: collect_values(table, metric.name, design) for metric in design.metrics}
    exclusions = find_exclusions(ended, design)
    matches = {metric.name: read_row_matches(table, metric.name) for metric in design.metrics}
    copies = find_copies(ended, values, design)
    decisions = decide_contrasts(compared_arms(exclusions), ended, values, design, copies, matches)
    seeds, needed = _seeds_that_count(decisions, ended, design)
    counts = [seed in seeds[arm] for arm, seed in zip(table.arm, table.seed, strict=True)]
    table = table.assign(counts=pd.Series(counts, table.index, dtype=bool))  # also where there is no row
    if design.looks:
        table = table.assign(**{FIRST_LOOK: table.seed.isin(design.first_look)})
    views = []
    for metric in design.metrics:
        rows: list[ComparedArm] = []
        for index, name in enumerate(arm.name for arm in design.arms):
            row = _make_row(
                index,
                metric,
                design,
                ended=ended[name],
                values=values[metric.name][name],
                seeds=seeds[name],
                needed=needed[name],
                exclusion=exclusions.get(name),
                copied=name in copies,
            )
            rows.append(_with_verdict(row, rows[0], metric, decisions) if index else row)
        views.append(
            Comparison(
                table=table,
                design=design,
                metric=metric,
                rows=tuple(rows),
                looks_taken=decisions.looks_taken,
            )
        )
    return replace(views[0], other_views=tuple(views[1:]), gate=decisions.gate)


def _seeds_that_count(
    decisions: Decisions[str], ended: Statuses, design: Design
) -> tuple[dict[str, Collection[Any]], dict[str, int]]:
    """Return, by arm, the seeds that count for a contrast, and how many are needed for the next look."""
    if not design.looks:
        return (
            {name: by_seed.keys() for name, by_seed in ended.items()},
            {name: len(by_seed) for name, by_seed in ended.items()},
        )
    first = design.metrics[0].name
    counting = {name: by_metric[first].contrast.look.seeds for name, by_metric in decisions.verdicts.items()}
    numbers = count_side_seeds(counting, design)
    needed = count_side_seeds(decisions.seeds_requested, design)
    return {name: design.seeds[:n] for name, n in numbers.items()}, needed


def _make_row(
    index: int,
    metric: Metric,
    design: Design,
    *,
    ended: Mapping[Any, str],
    values: Mapping[Any, float],
    seeds: Collection[Any],
    needed: int,
    exclusion: Exclusion | None,
    copied: bool,
) -> ComparedArm:
    """Return an arm as its rows that count show it; `_with_verdict` adds the contrast.

    `ended` and `values` are by seed. `seeds` count, and `needed` is how many the next look needs.
    """
    planned_arm = design.arms[index]
    arm = replace(planned_arm, results=select_seeds(planned_arm.results, seeds))
    counting = select_seeds(ended, seeds)
    values = select_seeds(values, seeds)
    diverged = sum(math.isinf(values.get(seed, 0.0)) for seed in counting)
    failed = sum(status not in ("done", "diverged") for status in counting.values())
    total = max(len(counting), needed)
    looks = design.looks or (total,)
    is_other_task = exclusion is Exclusion.OTHER_TASK
    differences = planned_arm.find_task_differences(design.find_base(planned_arm)) if is_other_task else ()
    return ComparedArm(
        index=index,
        arm=arm,
        noun=design.noun,
        seeds=tuple(counting),
        total=total,
        done=len(counting) - diverged - failed,
        diverged=diverged,
        failed=failed,
        for_next_look=len((ended.keys() - counting.keys()) & set(design.seeds[:total])),
        max_seeds=looks[0 if index and arm.is_aa_arm else -1],
        summary=summarise_arm(arm, values, lower_is_better=metric.lower_is_better),
        exclusion=exclusion,
        copied=copied,
        exploratory=arm.exploratory or arm.name in design.seen,
        attempt=1 + len(design.attempts.get(arm.name, ())),
        task_differences=tuple(differences),
        proofs=collect_proofs(arm.finished_results),
    )


def _with_verdict(
    row: ComparedArm, baseline: ComparedArm, metric: Metric, decisions: Decisions[str]
) -> ComparedArm:
    """Return the row with its contrast and verdict, or the reason why it has none."""
    name = row.arm.name
    if row.arm.is_aa_arm:
        sides = (row.summary.values, baseline.summary.values)
        lower = metric.lower_is_better
        return _over_pairs(row, contrast(*sides, delta=metric.zone, lower_is_better=lower), metric)
    v = decisions.verdicts.get(name, {}).get(metric.name)
    if v is None:
        return replace(row, exclusion=row.exclusion or Exclusion.NO_SHARED_SEED)
    row = replace(row, has_contrast_to_decide=True, decided=v.decided, blocked_reason=v.blocked_reason)
    if not row.exclusion and v.contrast.pairs:
        return replace(_over_pairs(row, v.contrast, metric), verdict=v)
    missing = Exclusion.BLOCKED if v.blocked_reason else Exclusion.NO_SHARED_SEED
    return replace(row, exclusion=row.exclusion or missing)


def _over_pairs(row: ComparedArm, k: Contrast, metric: Metric) -> ComparedArm:
    """Return the row with its contrast, and with its summary over the seeds of the contrast alone.

    Its mean is then the arm's side of the difference.
    """
    if not k.paired:
        return replace(row, contrast=k)
    values = select_seeds(row.summary.values, k.seeds)
    summary = summarise_arm(row.arm, values, lower_is_better=metric.lower_is_better)
    return replace(row, contrast=k, summary=summary)


def summarise_arm(
    arm: MeasuredArm, values: Mapping[Any, float], *, lower_is_better: bool = True
) -> ArmSummary:
    """Return an arm's summary over its values by seed. One that no seed changes has no SD and no interval.

    The direction decides the median alone, and that only where a seed diverged.
    """
    summary = summarise_values(values, lower_is_better=lower_is_better)
    return replace(summary, sd=None, interval=None) if arm.ignores_seed else summary
