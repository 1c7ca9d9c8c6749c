"""The verdicts on the contrasts of a table: look by look as a plan says, or on all rows at once.

A run that failed, or that lacks a partner, counts as the worst possible for a claim. Otherwise an arm would
look better if its bad runs crash, or if its baseline loses good runs.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any

from unrolled.bench.errors import plural
from unrolled.bench.metric import Metric
from unrolled.reports.design import Design, MeasuredArm, Statuses, Values, arms_to_compare, find_arm_remarks
from unrolled.reports.foreign.row_means import RowMatch
from unrolled.reports.replicates import drop_copies, find_copies, find_equal_seeds
from unrolled.reports.statistics.contrasts import Contrast
from unrolled.reports.statistics.decisions import Adjust, Decisions, evaluate_looks
from unrolled.reports.statistics.error_contrasts import compare_folds, welch
from unrolled.reports.statistics.families import benjamini_hochberg, holm
from unrolled.reports.statistics.futility import BOUND
from unrolled.reports.statistics.non_inferiority import non_inferiority
from unrolled.reports.statistics.pairs import compare_pairs
from unrolled.reports.statistics.proposals import decide_proposal
from unrolled.reports.statistics.sequential import Looks
from unrolled.reports.statistics.types import SeedValues, SidePair, select_seeds
from unrolled.reports.statistics.verdicts import Verdict, judge_contrasts

Matches = Mapping[str, Mapping[str, RowMatch]]  # matched rows by metric and arm


@dataclass(frozen=True)
class _Evidence:
    """What the rows of a table say of each contrast of a design; a contrast is called by its arm."""

    statuses: Statuses
    values: Values  # values by seed, without the copies of one run
    design: Design
    copies: Mapping[str, Any]  # arms that ignore their seed, with the seed of their one run

    def select_sides(self, name: str) -> dict[str, SidePair]:
        """Return the numbers of an arm and of its base, by metric."""
        base = self.design.bases[name]
        return {metric: (by_arm[name], by_arm[base]) for metric, by_arm in self.values.items()}

    def find_equal_seeds(self, name: str) -> frozenset[Any]:
        """Return the seeds on which an arm and its base computed the same."""
        arm = self.design.arms_by_name[name]
        return find_equal_seeds(arm, self.design.find_base(arm), self.values, self.design)

    def explain_lost(self, name: str) -> dict[Any, str]:
        """Return the seeds of which a side of a contrast has no number of its own, with the reason."""
        lost = {}
        repeats = "may repeat" if self.design.nondeterminism is None else "repeats"
        for metric, numbers in self.values.items():
            for side in (name, self.design.bases[name]):
                for seed in self.statuses[side].keys() - numbers[side].keys():
                    if side in self.copies:
                        lost[seed] = f"{repeats} seed {self.copies[side]}"
                    elif self.statuses[side][seed] != "done":
                        lost[seed] = "failed"
                    else:
                        lost[seed] = f"has no {metric} to judge"
        return lost

    def explain_lost_of_gate(self, name: str) -> dict[Any, str]:
        """Return the seeds that a gate lost, with the reason and the side that ended without a number."""
        base = self.design.bases[name]
        lost = {}
        for seed, reason in self.explain_lost(name).items():
            is_of_base = self._lacks(base, seed) and not self._lacks(name, seed)
            lost[seed] = f"{reason} at the {'base' if is_of_base else 'head'}"
        return lost

    def _lacks(self, arm: str, seed: Any) -> bool:
        """Return True if a trial ended without a number of some metric."""
        return seed in self.statuses[arm] and any(seed not in by_arm[arm] for by_arm in self.values.values())

    def count_lost(self, name: str, sides: SidePair) -> int:
        """Return the pairs that lack a number on a side; without pairs the rows that have none."""
        arm = self.statuses[name].keys()
        base = self.statuses[self.design.bases[name]].keys()
        if not self.design.pairing_column:
            return len(arm - sides[0].keys()) + len(base - sides[1].keys())
        return len((arm | base) - (sides[0].keys() & sides[1].keys()))

    def limit_to_looks(self, looks_taken: int) -> "_Evidence":
        """Return what the seeds of these looks say, of the first look at least."""
        seeds = self.design.seeds[: self.design.looks[max(0, looks_taken - 1)]]
        values = {
            metric: {name: select_seeds(side, seeds) for name, side in by_arm.items()}
            for metric, by_arm in self.values.items()
        }
        statuses = {name: select_seeds(by_seed, seeds) for name, by_seed in self.statuses.items()}
        return replace(self, statuses=statuses, values=values)


def decide_looks(design: Design) -> Decisions[str]:
    """Return the state of every contrast of a study after the looks whose results are complete.

    While trials are trained the verdicts come from here, as pandas takes half a second to load; the verdicts
    of a page come from `comparison.compare`, which reads the table of the same results. Both call
    `decide_contrasts`, and tests/reports/test_exports.py holds their verdicts equal.
    """
    statuses = {arm.name: {seed: r.status for seed, r in arm.results.items()} for arm in design.arms}
    numbers = {m.name: {arm.name: _judge_numbers(arm, m) for arm in design.arms} for m in design.metrics}
    copies = find_copies(statuses, numbers, design)
    contrasts = arms_to_compare(find_arm_remarks(statuses, design))
    return decide_contrasts(contrasts, statuses, numbers, design, copies)


def _judge_numbers(arm: MeasuredArm, metric: Metric) -> dict[int, float]:
    """Return the numbers of an arm by seed, as the metric is judged."""
    judged = {seed: metric.to_judged_scale(x) for seed, x in arm.collect_metric(metric.name).items()}
    return {seed: x for seed, x in judged.items() if not math.isnan(x)}


def decide_contrasts(
    contrasts: Sequence[str],
    statuses: Statuses,
    values: Values,
    design: Design,
    copies: Mapping[str, Any],
    matches: Matches = MappingProxyType({}),
) -> Decisions[str]:
    """Return the verdicts on these arms, each against the arm that it names, by every metric.

    `copies` are the arms that ignore their seed, found by `find_copies`: each is one run, and its other seeds
    are lost. `matches` has the values of arms whose rows were averaged.
    """
    evidence = _Evidence(statuses, drop_copies(values, copies), design, copies)
    if not design.looks:
        return _decide_at_once(contrasts, evidence, matches)
    arms = design.arms_by_name
    to_decide = [name for name in contrasts if not arms[name].is_aa_arm]
    if design.stopping_rule == "gate":
        return _decide_gate(to_decide, evidence)
    if design.stopping_rule == "proposal":
        return _decide_proposal(to_decide, evidence)
    declared = [name for name in to_decide if not arms[name].marked_exploratory]
    exploratory = [name for name in to_decide if arms[name].marked_exploratory]
    families = [
        _decide_look_by_look(declared, evidence, futility=0.0 if design.to_the_end else BOUND),
        # no exploratory contrast is futile: futility is predicted for the steps of Holm
        _decide_look_by_look(exploratory, evidence, adjust=benjamini_hochberg),
    ]
    return Decisions(
        verdicts={name: v for family in families for name, v in family.verdicts.items()},
        seeds_requested={name: n for family in families for name, n in family.seeds_requested.items()},
        looks_taken=min(
            (family.looks_taken for family in families if any(family.seeds_requested.values())),
            default=len(design.looks),
        ),
    )


def _decide_look_by_look(
    contrasts: Sequence[str], evidence: _Evidence, *, adjust: Adjust = holm, futility: float = 0.0
) -> Decisions[str]:
    """Return the verdicts on contrasts that are corrected together."""
    design = evidence.design
    return evaluate_looks(
        {name: evidence.select_sides(name) for name in contrasts},
        seeds=design.seeds,
        looks=Looks(design.looks),
        metrics=design.metrics,
        lost_reasons={name: evidence.explain_lost(name) for name in contrasts},
        equal={name: evidence.find_equal_seeds(name) for name in contrasts},
        adjust=adjust,
        stopping_rule=design.stopping_rule,
        futility=futility,
    )


def _decide_gate(contrasts: Sequence[str], evidence: _Evidence) -> Decisions[str]:
    """Return the state of a gate, and the verdicts on its contrasts after the looks that it took.

    Each contrast compares the head at one variant of the other settings. All get the same seeds.
    """
    design = evidence.design
    variants = {name: name if len(contrasts) > 1 else "" for name in contrasts}
    gate = non_inferiority(
        {variant: evidence.select_sides(name) for name, variant in variants.items()},
        seeds=design.seeds,
        looks=Looks(design.looks),
        metrics=design.metrics,
        lost_reasons={variant: evidence.explain_lost_of_gate(name) for name, variant in variants.items()},
        equal={variant: evidence.find_equal_seeds(name) for name, variant in variants.items()},
    )
    return Decisions(
        verdicts=_judge_after_looks(contrasts, evidence, gate.looks_taken, gate.fault, gate.has_ended),
        seeds_requested=dict.fromkeys(contrasts, gate.seeds_requested),
        looks_taken=gate.looks_taken,
        gate=gate,
    )


def _decide_proposal(contrasts: Sequence[str], evidence: _Evidence) -> Decisions[str]:
    """Return the state of a proposal, and the verdicts on its contrasts after the looks that it took.

    The first arm is the incumbent and the second the candidate; a third arm is the last proposal that was
    kept. All get the same seeds.
    """
    design = evidence.design
    incumbent, candidate, *last_keep = (arm.name for arm in design.arms)
    metric = design.metrics[0]
    numbers = evidence.values[metric.name]
    reasons = {"done": f"has no {metric.name} to judge", "diverged": "diverged", "failed": "failed"}
    losses = {
        arm: {seed: reasons[status] for seed, status in by_seed.items() if seed not in numbers[arm]}
        for arm, by_seed in evidence.statuses.items()
    }
    losses_of_bases = {
        seed: reason for arm in (incumbent, *last_keep) for seed, reason in losses[arm].items()
    }
    proposal = decide_proposal(
        (numbers[candidate], numbers[incumbent]),
        (numbers[candidate], numbers[last_keep[0]]) if last_keep else None,
        seeds=design.seeds,
        looks=Looks(design.looks),
        metric=metric,
        level=design.level,
        simpler_level=design.simpler_level,
        lost_reasons=(losses[candidate], losses_of_bases),
        equal=evidence.find_equal_seeds(candidate),
        ignores_seed=candidate in evidence.copies,
    )
    fault = proposal.crash or proposal.refusal or proposal.stalled
    return Decisions(
        verdicts=_judge_after_looks(contrasts, evidence, proposal.looks_taken, fault, proposal.has_ended),
        seeds_requested=dict.fromkeys(contrasts, proposal.seeds_requested),
        looks_taken=proposal.looks_taken,
        proposal=proposal,
    )


def _judge_after_looks(
    contrasts: Sequence[str], evidence: _Evidence, looks_taken: int, fault: str, has_ended: bool
) -> dict[str, dict[str, Verdict]]:
    """Return the verdicts on the contrasts of a gate or a proposal after the looks that it took.

    A verdict does not end its contrast. All contrasts are decided when the gate or the proposal has ended.
    """
    judged = _decide_look_by_look(contrasts, evidence.limit_to_looks(looks_taken))
    return {
        name: {metric: replace(v, decided=has_ended, blocked_reason=fault) for metric, v in by_metric.items()}
        for name, by_metric in judged.verdicts.items()
    }


def _decide_at_once(contrasts: Sequence[str], evidence: _Evidence, matches: Matches) -> Decisions[str]:
    """Return verdicts on all rows that there are, corrected within each metric."""
    equal = {name: evidence.find_equal_seeds(name) for name in contrasts}
    verdicts: dict[str, dict[str, Verdict]] = {}
    for metric in evidence.design.metrics:
        of_arms = matches.get(metric.name, {})
        matched = {name: match for name, match in of_arms.items() if name not in evidence.copies}
        for name, v in _judge_rows(contrasts, evidence, metric, equal, matched).items():
            verdicts.setdefault(name, {})[metric.name] = v
    return Decisions(verdicts=verdicts, seeds_requested=dict.fromkeys(verdicts, 0), looks_taken=1)


def _judge_rows(
    contrasts: Sequence[str],
    evidence: _Evidence,
    metric: Metric,
    equal: Mapping[str, Collection[Any]],
    matched: Mapping[str, RowMatch],
) -> dict[str, Verdict]:
    """Return the verdicts by one metric: those on the rows with numbers that what was lost does not undo."""
    design = evidence.design
    by_arm = evidence.values[metric.name]
    arm_values = {**by_arm, **{name: match.values for name, match in matched.items()}}
    sides = {name: (arm_values[name], by_arm[design.bases[name]]) for name in contrasts}
    lost_counts = {name: evidence.count_lost(name, sides[name]) for name in contrasts}
    compare = partial(compare_sides, metric=metric, design=design, family_size=len(contrasts))
    of_survivors = judge_contrasts({name: compare(*sides[name], equal=equal[name]) for name in contrasts})
    judged = of_survivors
    if any(lost_counts.values()) or any(any(match.lacks) for match in matched.values()):
        with_losses = judge_contrasts(
            {
                name: compare(
                    *sides[name], lost_count=lost_counts[name], equal=equal[name], match=matched.get(name)
                )
                for name in contrasts
            }
        )
        judged = {name: _combine_verdicts(of_survivors[name], v) for name, v in with_losses.items()}
    verdicts = {}
    for name, v in judged.items():
        copied = next((side for side in (name, design.bases[name]) if side in evidence.copies), "")
        if copied:
            reason = f"{copied} has one run's numbers on every {design.noun}"
        else:
            reason = _explain_loss(of_survivors[name], v, lost_counts[name], matched.get(name))
        # there is no other look: a contrast that claims nothing stays open
        verdicts[name] = replace(v, decided=v.claims, blocked_reason=reason)
    return verdicts


def _combine_verdicts(of_survivors: Verdict, with_losses: Verdict) -> Verdict:
    """Return the verdict that counts what was lost, unless it claims what the survivors do not show."""
    if not with_losses.claims or with_losses.kind == of_survivors.kind:
        return with_losses
    return with_losses.withdraw_claim() if of_survivors.claims else of_survivors


def _explain_loss(of_survivors: Verdict, judged: Verdict, lost_count: int, match: RowMatch | None) -> str:
    """Return why a contrast is open that would not be without its lost runs and rows; "" for others."""
    if judged.claims or not of_survivors.claims:
        return ""
    causes = []
    if lost_count:
        causes.append(f"{plural(lost_count, 'run')} that failed or lack a partner")
    if match and any(match.lacks):
        causes.append(f"{plural(sum(match.lacks), 'row')} that one side lacks or that failed")
    return f"“{of_survivors.text}” does not survive {' and '.join(causes)}, counted against it"


def compare_sides(
    arm: SeedValues,
    base: SeedValues,
    metric: Metric,
    design: Design,
    *,
    family_size: int,
    lost_count: int = 0,
    equal: Collection[Any] = (),
    match: RowMatch | None = None,
) -> Contrast:
    """Return the contrast of two arms by one metric, as the design pairs them.

    `lost_count` counts the pairs without a number, `equal` has the seeds on which both sides computed the
    same, and `match` describes averaged rows.
    """
    options: dict[str, Any] = {
        "delta": metric.zone,
        "lower_is_better": metric.lower_is_better,
        "family_size": family_size,
        "lost_count": lost_count,
        "identical": arm.keys() & base.keys() <= {*equal},
        "structural": metric.is_structural,
        "highest": metric.highest,
    }
    if not design.pairing_column:
        return welch([*arm.values()], [*base.values()], **options)
    if match:
        options |= {"bounds": match.bounds, "rows_lacking": match.lacks}
    if design.test_share:
        return compare_folds(arm, base, test_share=design.test_share, **options)
    return compare_pairs(arm, base, **options)


def count_side_seeds(contrasts: Mapping[str, int], design: Design) -> dict[str, int]:
    """Return by arm the most seeds that a contrast with it needs, at least those of the first look."""
    numbers = dict.fromkeys((arm.name for arm in design.arms), design.looks[0])
    for name, number in contrasts.items():
        for side in (name, design.bases[name]):
            numbers[side] = max(numbers[side], number)
    return numbers
