"""From a table of rows and a design to a comparison: each arm against its base, by each metric.

A study's contrasts are judged at its looks. The first metric decides: a contrast that it has decided gets no
more seeds. Only the seeds of the looks that were taken count: other seeds enter no verdict and no mean. A
table from elsewhere has no looks: all of its rows count.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pandas as pd

from unrolled.bench.errors import BadInput
from unrolled.bench.metric import FEWEST_SEEDS, Metric
from unrolled.bench.study_rules import find_base
from unrolled.bench.table_columns import FIRST_LOOK, IS_COUNTED
from unrolled.bench.trial import ResultInStudy
from unrolled.reports.compare.compared_arm import ComparedArm, DecidedRows, add_contrast, make_compared_arm
from unrolled.reports.compare.contrast_decisions import count_arm_seeds, decide_contrasts
from unrolled.reports.compare.design import (
    Design,
    Statuses,
    find_arm_remarks,
    select_arms_to_compare,
)
from unrolled.reports.compare.replicates import find_equal_seeds
from unrolled.reports.compare.row_decisions import compare_sides
from unrolled.reports.compare.row_matches import read_row_matches
from unrolled.reports.compare.trial_frame import read_evidence
from unrolled.reports.scale import Scale
from unrolled.reports.statistics.decisions import Decisions
from unrolled.reports.statistics.gates import GateDecision
from unrolled.reports.statistics.pairs import LostPairs
from unrolled.reports.statistics.proposals import ProposalDecision
from unrolled.reports.statistics.seed_values import select_seeds
from unrolled.reports.statistics.verdicts import Name, Verdict, judge_contrasts


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Arms in declared order, compared by one metric; `other_views` compares them by the other metrics."""

    table: pd.DataFrame  # a row for each trial, with the columns of `bench.table_columns`, such as IS_COUNTED
    design: Design
    metric: Metric
    arms: tuple[ComparedArm, ...]
    other_views: tuple["Comparison", ...] = ()
    gate: GateDecision[str] | None = None  # of a study that is a gate
    proposal: ProposalDecision | None = None  # of a study that is a proposal
    other_scale: Scale | None = None  # scale in place of the metric's own: perplexity for a loss

    @property
    def judged_arms(self) -> tuple[ComparedArm, ...]:
        """The arms that have a contrast to decide: the A/A check has none."""
        return tuple(arm for arm in self.arms if arm.state.has_contrast)

    @property
    def arms_with_contrast(self) -> tuple[ComparedArm, ...]:
        """The arms that have a contrast."""
        return tuple(arm for arm in self.arms if arm.contrast is not None)

    @property
    def has_too_few_pairs(self) -> bool:
        """True if no contrast has the pairs that a verdict needs, so that nothing is decided."""
        contrasts = [arm.contrast for arm in self.judged_arms if arm.contrast]
        return bool(contrasts) and all(contrast.pair_count < FEWEST_SEEDS for contrast in contrasts)

    @property
    def task_groups(self) -> tuple[tuple[ComparedArm, ...], ...]:
        """The arms of each task, those of the baseline's task first."""
        groups = []
        left = list(self.arms)
        while left:
            group = [arm for arm in left if not arm.counted_arm.find_task_differences(left[0].counted_arm)]
            left = [arm for arm in left if arm not in group]
            groups.append(tuple(group))
        return tuple(groups)

    @property
    def views(self) -> tuple["Comparison", ...]:
        """The comparison by each metric, this one first."""
        return self, *self.other_views

    @property
    def views_by_unit(self) -> tuple["Comparison", ...]:
        """The comparison by each metric in each of its units: by loss in nats, by loss as perplexity, …"""
        return tuple(
            replace(view, other_scale=other_scale) if other_scale else view
            for view in self.views
            for other_scale in dict.fromkeys((None, view.scale.second_scale))
        )

    @property
    def is_sequential(self) -> bool:
        """True if the study looks more than once."""
        return len(self.design.rules.looks) > 1

    @property
    def stops_contrasts(self) -> bool:
        """True if the study has several looks, and this is the metric that decides when a contrast stops.

        A gate or a proposal stops its contrasts by a rule of its own.
        """
        has_own_rule = bool(self.gate or self.proposal)
        return self.is_sequential and not has_own_rule and self.metric == self.design.rules.metrics[0]

    @property
    def uncounted_count(self) -> int:
        """The number of rows that do not count, because their trials are beyond the looks that were taken."""
        return len(self.table) - int(self.table[IS_COUNTED].sum())

    def list_all_results(self) -> list[ResultInStudy]:
        """Return the results of all trials that ended, also of those beyond the looks that were taken."""
        return [result for arm in self.design.arms for result in arm.results.values()]

    @cached_property
    def common_seeds(self) -> tuple[int, ...]:
        """The seeds that count and finished in every arm, apart from arms without a finished trial."""
        by_arm = [{seed for seed, r in arm.counted_arm.results.items() if r.is_done} for arm in self.arms]
        return tuple(
            seed
            for seed in self.design.rules.seeds
            if all(seed in finished for finished in by_arm if finished)
        )

    def has_first_look(self, arms: Iterable[ComparedArm]) -> bool:
        """Return True if all of these arms have the results of the first look, failures included."""
        return all(set(self.design.rules.first_look_seeds) <= {*arm.seeds} for arm in arms)

    def judge_pairs(self, pairs: Mapping[Name, tuple[ComparedArm, ComparedArm]]) -> dict[Name, Verdict]:
        """Return the verdicts on pairs of arms, the first against the second.

        A contrast that the study declares keeps its verdict. The others are judged by `judge_undeclared`.
        """
        declared = {}
        undeclared = {}
        for name, (first, second) in pairs.items():
            if first.verdict and self.find_base(first) is second:
                declared[name] = first.verdict
            elif second.verdict and self.find_base(second) is first:
                declared[name] = second.verdict.swap_sides()
            else:
                undeclared[name] = first, second
        return declared | self.judge_undeclared(undeclared)

    def judge_undeclared(
        self, pairs: Mapping[Name, tuple[ComparedArm, ComparedArm]], metric: Metric | None = None
    ) -> dict[Name, Verdict]:
        """Return the verdicts on pairs (arm, base) that the study does not compare, corrected together.

        The verdicts are over the seeds of the first look, whose number was fixed before there were results. A
        seed that failed on a side is lost. Before all of these seeds have ended there is no verdict, because
        an early verdict would be an extra look.
        """
        metric = metric or self.metric
        evidence = read_evidence(self.table, (*self.design.rules.metrics, metric), self.design)
        values = evidence.drop_copies().judged_values
        contrasts = {}
        for name, pair in pairs.items():
            seeds = self.design.rules.first_look_seeds if self.has_first_look(pair) else ()
            arm, base = (select_seeds(values[metric.name][side.name], seeds) for side in pair)
            equal_seeds = find_equal_seeds(pair[0].counted_arm, pair[1].counted_arm, values, self.design)
            lost_pairs = LostPairs(len(set(seeds) - (arm.keys() & base.keys())))
            contrasts[name] = compare_sides(
                arm,
                base,
                metric,
                self.design,
                family_size=len(pairs),
                lost_pairs=lost_pairs,
                equal_seeds=equal_seeds,
            )
        return judge_contrasts(contrasts)

    def find_view(self, metric: str) -> "Comparison | None":
        """Return the comparison by this metric; None if the study does not judge by it."""
        return next((view for view in self.views if view.metric.name == metric), None)

    def find_base(self, arm: ComparedArm) -> ComparedArm:
        """Return the arm that this one is compared with: the baseline, or the arm named in `against`."""
        return find_base(arm, self.arms)

    def rank_arms(self, arms: Iterable[ComparedArm]) -> list[ComparedArm]:
        """Return arms by their mean, the best first; arms with diverged seeds or no mean come last."""

        def sort_key(arm: ComparedArm) -> tuple[bool, bool, float]:
            mean = arm.summary.mean
            return mean is None, arm.summary.diverged_count > 0, -self.metric.gain_sign * (mean or 0.0)

        return sorted(arms, key=sort_key)

    @property
    def same_task_arms(self) -> tuple[ComparedArm, ...]:
        """The baseline, and the arms with a contrast that have its task: their numbers can be compared."""
        first, *other_arms = self.arms
        return first, *(
            arm
            for arm in other_arms
            if arm.contrast and not arm.counted_arm.find_task_differences(first.counted_arm)
        )

    @property
    def scale(self) -> Scale:
        """How values of the metric are written."""
        return self.other_scale or self.design.find_scale(self.metric)


def compare(table: pd.DataFrame, design: Design) -> Comparison:
    """Compare each arm of a table with its base, by every metric.

    The columns are those of `reports.compare.trial_frame`. Raises BadInput if there is no arm, or no δ.
    """
    _check_design(design)
    rows = _decide_rows(table, design)
    table = _mark_rows(table, rows)
    first_view, *other_views = (_compare_by_metric(metric, table, rows) for metric in design.rules.metrics)
    return replace(
        first_view,
        other_views=tuple(other_views),
        gate=rows.decisions.gate,
        proposal=rows.decisions.proposal,
    )


def _decide_rows(table: pd.DataFrame, design: Design) -> DecidedRows:
    """Return the rows of a table, with the decisions from which it follows which of them count."""
    evidence = read_evidence(table, design.rules.metrics, design)
    remarks = find_arm_remarks(evidence.statuses, design)
    matches = {metric.name: read_row_matches(table, metric.name) for metric in design.rules.metrics}
    decisions = decide_contrasts(select_arms_to_compare(remarks), evidence, matches)
    return DecidedRows(
        evidence=evidence,
        remarks=remarks,
        decisions=decisions,
        seeds=_select_counted_seeds(decisions, evidence.statuses, design),
        next_seed_counts=count_arm_seeds(decisions.next_seed_counts, design),
    )


def _compare_by_metric(metric: Metric, table: pd.DataFrame, rows: DecidedRows) -> Comparison:
    """Return the comparison by one metric; `table` is marked by `_mark_rows`."""
    design = rows.evidence.design
    baseline, *other_arms = (make_compared_arm(index, metric, rows) for index in range(len(design.arms)))
    arms = (baseline, *(add_contrast(arm, baseline, metric, rows) for arm in other_arms))
    return Comparison(table=table, design=design, metric=metric, arms=arms)


def _check_design(design: Design) -> None:
    """Raise BadInput for a design without an arm, or with a δ that is not above 0."""
    place = f"study {design.rules.name!r}"
    if not design.arms:
        raise BadInput("there are none to report", place=place, key="arms", cure="declare a baseline")
    for metric in design.rules.metrics:
        if not metric.delta > 0:
            raise BadInput(f"δ of {metric.name}: must be above 0, in its unit", place=place)


def _mark_rows(table: pd.DataFrame, rows: DecidedRows) -> pd.DataFrame:
    """Return the table with a column for the rows that count and, of a study, for those of the first look."""
    is_counted = [seed in rows.seeds[arm] for arm, seed in zip(table.arm, table.seed, strict=True)]
    # bool even if there is no row
    columns = {IS_COUNTED: pd.Series(is_counted, table.index, dtype=bool)}
    rules = rows.evidence.design.rules
    if rules.looks:
        columns[FIRST_LOOK] = table.seed.isin(rules.first_look_seeds)
    return table.assign(**columns)


def _select_counted_seeds(
    decisions: Decisions[str], statuses: Statuses, design: Design
) -> dict[str, Collection[Any]]:
    """Return, by arm, the seeds that count. Those of a base are the most of any of its contrasts."""
    if not design.rules.looks:
        return {name: by_seed.keys() for name, by_seed in statuses.items()}
    first_metric = design.rules.metrics[0].name
    seeds_by_contrast = {
        name: by_metric[first_metric].contrast.look.seed_count
        for name, by_metric in decisions.verdicts.items()
    }
    return {name: design.rules.seeds[:n] for name, n in count_arm_seeds(seeds_by_contrast, design).items()}
