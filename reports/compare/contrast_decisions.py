"""The verdicts on contrasts: look by look for a study, on all rows at once for a table from elsewhere.

A run that failed, or that lacks a partner, counts as the worst pair seen for a claim. Otherwise an arm would
look better if its bad runs crashed, or if its base lost good runs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from unrolled.bench.study_rules import StoppingRule
from unrolled.reports.compare.design import (
    Design,
    find_arm_remarks,
    make_judged_values,
    select_arms_to_compare,
)
from unrolled.reports.compare.evidence import Evidence, make_evidence
from unrolled.reports.compare.row_decisions import Matches, decide_at_once
from unrolled.reports.statistics.corrections import benjamini_hochberg, holm
from unrolled.reports.statistics.decisions import Adjust, Decisions, evaluate_looks
from unrolled.reports.statistics.futility import FUTILE_CHANCE
from unrolled.reports.statistics.gates import decide_gate
from unrolled.reports.statistics.look_input import LookInput
from unrolled.reports.statistics.looks import Looks
from unrolled.reports.statistics.proposals import decide_proposal
from unrolled.reports.statistics.verdicts import ContrastState, Verdict


def decide_looks(design: Design) -> Decisions[str]:
    """Return the state of every contrast of a study after the looks whose results are complete.

    While trials are trained, the verdicts come from here, as pandas takes half a second to load. The verdicts
    of a page come from `comparison.compare`, which reads a table of the results. Both call
    `decide_contrasts`, and tests/reports/compare/test_comparison.py holds their verdicts equal.
    """
    statuses = {arm.name: {seed: r.status for seed, r in arm.results.items()} for arm in design.arms}
    values = {
        metric.name: {
            arm.name: make_judged_values(arm.collect_measured_values(metric.name), metric)
            for arm in design.arms
        }
        for metric in design.rules.metrics
    }
    contrasts = select_arms_to_compare(find_arm_remarks(statuses, design))
    return decide_contrasts(contrasts, make_evidence(statuses, values, design))


def decide_contrasts(
    contrasts: Sequence[str], evidence: Evidence, matches: Matches = MappingProxyType({})
) -> Decisions[str]:
    """Return the verdicts on these arms, each against its base, by every metric.

    Of an arm that is one run, all seeds but one are copies, which count as lost. `matches` has the averaged
    rows of arms.
    """
    design = evidence.design
    evidence = evidence.drop_copies()
    arms = design.arms_by_name
    to_decide = [name for name in contrasts if not arms[name].equals_baseline]  # no A/A check
    if not design.rules.looks:
        return decide_at_once(to_decide, evidence, matches)
    if design.rules.stopping_rule == StoppingRule.GATE:
        return _decide_gate(to_decide, evidence)
    if design.rules.stopping_rule == StoppingRule.PROPOSAL:
        return _decide_proposal(to_decide, evidence)
    confirmatory = [name for name in to_decide if not arms[name].is_marked_exploratory]
    exploratory = [name for name in to_decide if arms[name].is_marked_exploratory]
    futility = 0.0 if design.rules.to_the_end else FUTILE_CHANCE
    families = [
        _decide_look_by_look(confirmatory, evidence, futility=futility),
        # exploratory contrasts are never given up, as `find_futile` assumes the steps of Holm
        _decide_look_by_look(exploratory, evidence, adjust=benjamini_hochberg),
    ]
    return Decisions(
        verdicts={name: v for family in families for name, v in family.verdicts.items()},
        next_seed_counts={name: n for family in families for name, n in family.next_seed_counts.items()},
        looks_taken=min(
            (family.looks_taken for family in families if any(family.next_seed_counts.values())),
            default=len(design.rules.looks),
        ),
    )


def _decide_look_by_look(
    contrasts: Sequence[str], evidence: Evidence, *, adjust: Adjust = holm, futility: float = 0.0
) -> Decisions[str]:
    """Return the verdicts on contrasts that are corrected together, as one family."""
    return evaluate_looks(
        _make_look_input({name: name for name in contrasts}, evidence, evidence.explain_lost),
        adjust=adjust,
        stopping_rule=evidence.design.rules.stopping_rule,
        futility=futility,
    )


def _make_look_input(
    arms: Mapping[str, str], evidence: Evidence, explain_lost: Callable[[str], Mapping[Any, str]]
) -> LookInput[str]:
    """Return what looks read. `arms` has the arm of each contrast, and `explain_lost` takes an arm."""
    design = evidence.design
    return LookInput(
        sides={contrast: evidence.select_sides(arm) for contrast, arm in arms.items()},
        seeds=design.rules.seeds,
        looks=Looks(design.rules.looks),
        metrics=design.rules.metrics,
        lost_reasons={contrast: explain_lost(arm) for contrast, arm in arms.items()},
        barred_seeds={contrast: evidence.find_seeds_without_ratio(arm) for contrast, arm in arms.items()},
        equal_seeds={contrast: evidence.find_equal_seeds(arm) for contrast, arm in arms.items()},
    )


def _decide_gate(contrasts: Sequence[str], evidence: Evidence) -> Decisions[str]:
    """Return the state of a gate, and the verdicts on its contrasts after the looks that it took.

    Each contrast compares the head at one variant of the other settings. All get the same seeds.
    """
    variants = {name: name for name in contrasts}
    if len(contrasts) == 1:
        variants = {"": contrasts[0]}
    gate = decide_gate(
        _make_look_input(variants, evidence, evidence.explain_lost_of_gate),
        {variant: evidence.describe_one_run_sides(name) for variant, name in variants.items()},
    )
    return Decisions(
        verdicts=_judge_after_looks(contrasts, evidence, gate.looks_taken, gate.fault, gate.has_ended),
        next_seed_counts=dict.fromkeys(contrasts, gate.next_seed_count),
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
    metric = design.rules.metrics[0]
    numbers = evidence.judged_values[metric.name]
    reasons = {"done": f"has no {metric.name} to judge", "diverged": "diverged", "failed": "failed"}
    lost_reasons = {
        arm: {seed: reasons[status] for seed, status in by_seed.items() if seed not in numbers[arm]}
        for arm, by_seed in evidence.statuses.items()
    }
    base_titles = {**dict.fromkeys(last_keep, "last keep"), incumbent: "incumbent"}
    lost_of_bases = {
        seed: f"{reason} at the {title}"
        for base, title in base_titles.items()
        for seed, reason in lost_reasons[base].items()
    }
    proposal = decide_proposal(
        (numbers[candidate], numbers[incumbent]),
        (numbers[candidate], numbers[last_keep[0]]) if last_keep else None,
        design.rules,
        lost_reasons=(lost_reasons[candidate], lost_of_bases),
        equal_seeds=evidence.find_equal_seeds(candidate),
        is_one_run=candidate in evidence.one_run_seeds,
    )
    fault = proposal.crash or proposal.refusal or proposal.stalled
    return Decisions(
        verdicts=_judge_after_looks(contrasts, evidence, proposal.looks_taken, fault, proposal.has_ended),
        next_seed_counts=dict.fromkeys(contrasts, proposal.next_seed_count),
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
    of_claims = ContrastState(has_ended=has_ended, joint_rule=evidence.design.rules.stopping_rule)
    of_open = replace(of_claims, halt_reason=fault)
    return {
        name: {
            metric: replace(verdict, state=of_claims if verdict.makes_claim else of_open)
            for metric, verdict in by_metric.items()
        }
        for name, by_metric in judged.verdicts.items()
    }


def count_arm_seeds(seeds_by_contrast: Mapping[str, int], design: Design) -> dict[str, int]:
    """Return, by arm, the largest number of seeds of the contrasts that it is a side of.

    An arm has the seeds of the first look at least; without looks, 0.
    """
    seeds_by_arm = dict.fromkeys((arm.name for arm in design.arms), min(design.rules.looks, default=0))
    for name, seeds in seeds_by_contrast.items():
        for side in (name, design.bases[name]):
            seeds_by_arm[side] = max(seeds_by_arm[side], seeds)
    return seeds_by_arm
