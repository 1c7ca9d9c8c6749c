"""The verdicts on contrasts: look by look for a study, on all rows at once for a table from elsewhere.

A run that failed, or that lacks a partner, counts as the worst possible for a claim. Otherwise an arm would
look better if its bad runs crashed, or if its base lost good runs.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from unrolled.bench.metric import Metric
from unrolled.bench.study_design import StoppingRule
from unrolled.reports.compare.design import (
    Design,
    MeasuredArm,
    Statuses,
    Values,
    find_arm_remarks,
    select_arms_to_compare,
)
from unrolled.reports.compare.evidence import Evidence
from unrolled.reports.compare.replicates import find_one_run_arms, keep_one_run
from unrolled.reports.compare.row_decisions import Matches, decide_at_once
from unrolled.reports.statistics.corrections import benjamini_hochberg, holm
from unrolled.reports.statistics.decisions import Adjust, Decisions, evaluate_looks
from unrolled.reports.statistics.futility import FUTILE_CHANCE
from unrolled.reports.statistics.gates import decide_gate
from unrolled.reports.statistics.looks import Looks
from unrolled.reports.statistics.proposals import decide_proposal
from unrolled.reports.statistics.verdicts import Verdict


def decide_looks(design: Design) -> Decisions[str]:
    """Return the state of every contrast of a study after the looks whose results are complete.

    While trials are trained, the verdicts come from here, as pandas takes half a second to load. The verdicts
    of a page come from `comparison.compare`, which reads a table of the results. Both call
    `decide_contrasts`, and tests/reports/page/test_exports.py holds their verdicts equal.
    """
    statuses = {arm.name: {seed: r.status for seed, r in arm.results.items()} for arm in design.arms}
    numbers = {m.name: {arm.name: _judge_numbers(arm, m) for arm in design.arms} for m in design.metrics}
    copies = find_one_run_arms(statuses, numbers, design)
    contrasts = select_arms_to_compare(find_arm_remarks(statuses, design))
    return decide_contrasts(contrasts, statuses, numbers, design, copies)


def _judge_numbers(arm: MeasuredArm, metric: Metric) -> dict[int, float]:
    """Return the numbers of an arm by seed, on the judged scale."""
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
    """Return the verdicts on these arms, each against its base, by every metric.

    `copies` are the arms that ignore their seed, as `find_one_run_arms` returns them: each has one run, and
    its other seeds count as lost. `matches` has the averaged rows of arms.
    """
    evidence = Evidence(statuses, keep_one_run(values, copies), design, copies)
    arms = design.arms_by_name
    to_decide = [name for name in contrasts if not arms[name].repeats_baseline]
    if not design.looks:
        return decide_at_once(to_decide, evidence, matches)
    if design.stopping_rule == StoppingRule.GATE:
        return _decide_gate(to_decide, evidence)
    if design.stopping_rule == StoppingRule.PROPOSAL:
        return _decide_proposal(to_decide, evidence)
    declared = [name for name in to_decide if not arms[name].marked_exploratory]
    exploratory = [name for name in to_decide if arms[name].marked_exploratory]
    families = [
        _decide_look_by_look(declared, evidence, futility=0.0 if design.to_the_end else FUTILE_CHANCE),
        # exploratory contrasts are never given up, as `find_futile` assumes the steps of Holm
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
    contrasts: Sequence[str], evidence: Evidence, *, adjust: Adjust = holm, futility: float = 0.0
) -> Decisions[str]:
    """Return the verdicts on contrasts that are corrected together, as one family."""
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


def _decide_gate(contrasts: Sequence[str], evidence: Evidence) -> Decisions[str]:
    """Return the state of a gate, and the verdicts on its contrasts after the looks that it took.

    Each contrast compares the head at one variant of the other settings. All get the same seeds.
    """
    design = evidence.design
    variants = {name: name if len(contrasts) > 1 else "" for name in contrasts}
    gate = decide_gate(
        {variant: evidence.select_sides(name) for name, variant in variants.items()},
        seeds=design.seeds,
        looks=Looks(design.looks),
        metrics=design.metrics,
        lost_reasons={variant: evidence.explain_lost_of_gate(name) for name, variant in variants.items()},
        equal={variant: evidence.find_equal_seeds(name) for name, variant in variants.items()},
        copied_sides={variant: evidence.describe_copied_sides(name) for name, variant in variants.items()},
    )
    return Decisions(
        verdicts=_judge_after_looks(contrasts, evidence, gate.looks_taken, gate.fault, gate.has_ended),
        seeds_requested=dict.fromkeys(contrasts, gate.seeds_requested),
        looks_taken=gate.looks_taken,
        gate=gate,
    )


def _decide_proposal(contrasts: Sequence[str], evidence: Evidence) -> Decisions[str]:
    """Return the state of a proposal, and the verdicts on its contrasts after the looks that it took.

    The first arm is the incumbent and the second the candidate; a third arm is the last proposal that was
    kept. All get the same seeds.
    """
    design = evidence.design
    incumbent, candidate, *last_keep = (arm.name for arm in design.arms)
    metric = design.metrics[0]
    numbers = evidence.values[metric.name]
    reasons = {"done": f"has no {metric.name} to judge", "diverged": "diverged", "failed": "failed"}
    lost_reasons = {
        arm: {seed: reasons[status] for seed, status in by_seed.items() if seed not in numbers[arm]}
        for arm, by_seed in evidence.statuses.items()
    }
    lost_of_bases = {
        seed: f"{reason} at the {'incumbent' if arm == incumbent else 'last keep'}"
        for arm in (*last_keep, incumbent)
        for seed, reason in lost_reasons[arm].items()
    }
    proposal = decide_proposal(
        (numbers[candidate], numbers[incumbent]),
        (numbers[candidate], numbers[last_keep[0]]) if last_keep else None,
        seeds=design.seeds,
        looks=Looks(design.looks),
        metric=metric,
        level=design.gain_level,
        simpler_level=design.simpler_level,
        lost_reasons=(lost_reasons[candidate], lost_of_bases),
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
    contrasts: Sequence[str], evidence: Evidence, looks_taken: int, fault: str, has_ended: bool
) -> dict[str, dict[str, Verdict]]:
    """Return the verdicts on the contrasts of a gate or a proposal after the looks that it took.

    All contrasts end when the gate or the proposal ends (`has_ended`). A contrast without a claim has `fault`
    as the reason why it is open.
    """
    judged = _decide_look_by_look(contrasts, evidence.limit_to_looks(looks_taken))
    return {
        name: {
            metric: replace(verdict, has_ended=has_ended, blocked_reason="" if verdict.makes_claim else fault)
            for metric, verdict in by_metric.items()
        }
        for name, by_metric in judged.verdicts.items()
    }


def count_side_seeds(contrasts: Mapping[str, int], design: Design) -> dict[str, int]:
    """Return, by arm, the largest number of seeds of the contrasts that it is a side of.

    `contrasts` has the number of seeds of each contrast. An arm has the seeds of the first look at least.
    """
    numbers = dict.fromkeys((arm.name for arm in design.arms), design.looks[0])
    for name, number in contrasts.items():
        for side in (name, design.bases[name]):
            numbers[side] = max(numbers[side], number)
    return numbers
