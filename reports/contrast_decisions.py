"""The verdicts on the contrasts of a table: look by look as a plan says, or on all rows at once.

A claim must survive runs that failed or lack a partner, of either side, each counted as the worst that it can
be for the claim: only survivors have numbers, and an arm whose bad runs crash would be better for it, as
would one whose baseline's good runs were left out.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
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

Matches = Mapping[str, Mapping[str, RowMatch]]  # by metric and arm


def decide_looks(design: Design) -> Decisions[str]:
    """Return the state of every contrast of a study after the looks whose results are complete.

    From the results themselves, as `compare` has it from their table: pandas takes half a second to load.
    """
    statuses = {arm.name: {seed: r.status for seed, r in arm.results.items()} for arm in design.arms}
    numbers = {m.name: {arm.name: _judge_numbers(arm, m) for arm in design.arms} for m in design.metrics}
    copies = find_copies(statuses, numbers, design)
    return decide_contrasts(
        arms_to_compare(find_arm_remarks(statuses, design)), statuses, numbers, design, copies
    )


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

    `copies` are the arms that ignore their seed, of `find_copies`: each is one run, and its other seeds are
    lost. `matches` has the values of arms of which rows were averaged.
    """
    values = drop_copies(values, copies)
    if not design.looks:
        return _at_once(contrasts, statuses, values, design, copies, matches)
    arms = design.arms_by_name
    lost = {name: _explain_lost(name, statuses, values, design, copies) for name in contrasts}
    declared_arms = [name for name in contrasts if not arms[name].is_aa_arm]
    if design.decide == "gate":
        return _decide_gate(declared_arms, lost, statuses, values, design)
    if design.decide == "proposal":
        return _decide_proposal(declared_arms, lost, statuses, values, design, copies)
    futility = 0.0 if design.to_the_end else BOUND
    declared, exploratory = ([n for n in declared_arms if arms[n].exploratory is x] for x in (False, True))
    families = [
        _look_by_look(declared, lost, values, design, holm, futility),
        # none of these is futile: that is predicted for the steps of Holm
        _look_by_look(exploratory, lost, values, design, benjamini_hochberg, 0.0),
    ]
    return Decisions(
        verdicts={name: v for family in families for name, v in family.verdicts.items()},
        seeds_requested={name: n for family in families for name, n in family.seeds_requested.items()},
        looks_taken=min(
            (family.looks_taken for family in families if any(family.seeds_requested.values())),
            default=len(design.looks),
        ),
    )


def _decide_gate(
    contrasts: Sequence[str],
    lost: Mapping[str, dict[Any, str]],
    statuses: Statuses,
    values: Values,
    design: Design,
) -> Decisions[str]:
    """Return the state of a gate, and the verdicts on its contrasts after the looks that it took.

    Each contrast is the head's, at one level of other settings. All get the same seeds.
    """
    looks = Looks(design.looks)
    levels = {name: name if len(contrasts) > 1 else "" for name in contrasts}
    gate = non_inferiority(
        {level: _select_sides(name, values, design) for name, level in levels.items()},
        seeds=design.seeds,
        looks=looks,
        metrics=design.metrics,
        lost={
            level: _side_of_loss(name, lost[name], statuses, values, design) for name, level in levels.items()
        },
        equal={level: _find_equal_sides(name, values, design) for name, level in levels.items()},
    )
    return Decisions(
        verdicts=_judge_after(contrasts, gate.looks_taken, gate.fault, gate.has_ended, lost, values, design),
        seeds_requested=dict.fromkeys(contrasts, gate.seeds_requested),
        looks_taken=gate.looks_taken,
        gate=gate,
    )


def _judge_after(
    contrasts: Sequence[str],
    looks_taken: int,
    fault: str,
    has_ended: bool,
    lost: Mapping[str, dict[Any, str]],
    values: Values,
    design: Design,
) -> dict[str, dict[str, Verdict]]:
    """Return the verdicts on contrasts after the looks that a rule of its own has taken."""
    seeds = design.seeds[: design.looks[max(0, looks_taken - 1)]]
    counting = {
        metric: {name: select_seeds(side, seeds) for name, side in by_arm.items()}
        for metric, by_arm in values.items()
    }
    judged = _look_by_look(contrasts, lost, counting, design, holm, 0.0)
    return {
        name: {metric: replace(v, decided=has_ended, blocked_reason=fault) for metric, v in by_metric.items()}
        for name, by_metric in judged.verdicts.items()
    }


def _decide_proposal(
    contrasts: Sequence[str],
    lost: Mapping[str, dict[Any, str]],
    statuses: Statuses,
    values: Values,
    design: Design,
    copies: Mapping[str, Any],
) -> Decisions[str]:
    """Return the state of a proposal, and the verdicts on its contrasts after the looks that it took.

    The first arm is the incumbent and the second the candidate; a third one is the last proposal that was
    kept. All get the same seeds.
    """
    incumbent, candidate, *others = (arm.name for arm in design.arms)
    metric = design.metrics[0]
    numbers = values[metric.name]
    reasons = {"done": f"has no {metric.name} to judge", "diverged": "diverged", "failed": "failed"}
    losses = {
        arm: {s: reasons[state] for s, state in by_seed.items() if s not in numbers[arm]}
        for arm, by_seed in statuses.items()
    }
    of_bases = {seed: reason for arm in (incumbent, *others) for seed, reason in losses[arm].items()}
    proposal = decide_proposal(
        (numbers[candidate], numbers[incumbent]),
        (numbers[candidate], numbers[others[0]]) if others else None,
        seeds=design.seeds,
        looks=Looks(design.looks),
        metric=metric,
        level=design.level,
        simpler_level=design.simpler_level,
        lost=(losses[candidate], of_bases),
        equal=_find_equal_sides(candidate, values, design),
        ignores_seed=candidate in copies,
    )
    fault = proposal.crash or proposal.refusal or proposal.stalled
    taken = proposal.looks_taken
    return Decisions(
        verdicts=_judge_after(contrasts, taken, fault, proposal.has_ended, lost, values, design),
        seeds_requested=dict.fromkeys(contrasts, proposal.seeds_requested),
        looks_taken=taken,
        proposal=proposal,
    )


def _side_of_loss(
    name: str, lost: Mapping[Any, str], statuses: Statuses, values: Values, design: Design
) -> dict[Any, str]:
    """Return the seeds that a gate lost, each with the side that ended without a number."""
    sides = {"head": name, "base": design.bases[name]}

    def lacks(arm: str, seed: Any) -> bool:
        return seed in statuses[arm] and any(seed not in by_arm[arm] for by_arm in values.values())

    return {
        seed: f"{reason} at the {next((side for side, arm in sides.items() if lacks(arm, seed)), 'head')}"
        for seed, reason in lost.items()
    }


def _explain_lost(
    name: str, statuses: Statuses, values: Values, design: Design, copies: Mapping[str, Any]
) -> dict[Any, str]:
    """Return the seeds of which a side of a contrast has no number of its own, with the reason."""
    lost = {}
    repeats = "may repeat" if design.nondeterminism is None else "repeats"
    for metric, numbers in values.items():
        for side in (name, design.bases[name]):
            for seed in statuses[side].keys() - numbers[side].keys():
                reason = "failed" if statuses[side][seed] != "done" else f"has no {metric} to judge"
                lost[seed] = f"{repeats} seed {copies[side]}" if side in copies else reason
    return lost


def _look_by_look(
    names: Sequence[str],
    lost: Mapping[str, dict[Any, str]],
    values: Values,
    design: Design,
    adjust: Adjust,
    futility: float,
) -> Decisions[str]:
    """Return the contrasts that are corrected together: those of the plan, or the exploratory ones."""
    return evaluate_looks(
        {name: _select_sides(name, values, design) for name in names},
        seeds=design.seeds,
        looks=Looks(design.looks),
        metrics=design.metrics,
        lost={name: lost[name] for name in names},
        equal={name: _find_equal_sides(name, values, design) for name in names},
        adjust=adjust,
        rule=design.decide,
        futility=futility,
    )


def _select_sides(name: str, values: Values, design: Design) -> dict[str, SidePair]:
    """Return the numbers of an arm and of its base, by metric."""
    base = design.bases[name]
    return {metric: (by_arm[name], by_arm[base]) for metric, by_arm in values.items()}


def _find_equal_sides(name: str, values: Values, design: Design) -> frozenset[Any]:
    """Return the seeds on which an arm and its base computed the same."""
    arm = design.arms_by_name[name]
    return find_equal_seeds(arm, design.find_base(arm), values, design)


def _at_once(
    contrasts: Sequence[str],
    statuses: Statuses,
    values: Values,
    design: Design,
    copies: Mapping[str, Any],
    matches: Matches,
) -> Decisions[str]:
    """Return verdicts on all rows that there are, corrected within each metric."""
    verdicts: dict[str, dict[str, Verdict]] = {}
    equal = {name: _find_equal_sides(name, values, design) for name in contrasts}
    for metric in design.metrics:
        by_arm = values[metric.name]
        matched = {name: m for name, m in matches.get(metric.name, {}).items() if name not in copies}
        arms_values = {**by_arm, **{name: match.values for name, match in matched.items()}}
        sides = {name: (arms_values[name], by_arm[design.bases[name]]) for name in contrasts}
        lost = {name: _count_lost(name, statuses, sides[name], design) for name in contrasts}
        compare = partial(compare_sides, metric=metric, design=design, family_size=len(contrasts))
        of_survivors = judge_contrasts({name: compare(*sides[name], equal=equal[name]) for name in contrasts})
        judged = of_survivors
        if any(lost.values()) or any(any(match.lacks) for match in matched.values()):
            with_losses = judge_contrasts(
                {
                    name: compare(*sides[name], lost=lost[name], equal=equal[name], match=matched.get(name))
                    for name in contrasts
                }
            )
            judged = {name: _combine_verdicts(of_survivors[name], v) for name, v in with_losses.items()}
        for name, v in judged.items():
            copied = next((side for side in (name, design.bases[name]) if side in copies), "")
            one_run = f"{copied} has one run's numbers on every {design.noun}" if copied else ""
            reason = one_run or _explain_loss(of_survivors[name], v, lost[name], matched.get(name))
            verdicts.setdefault(name, {})[metric.name] = replace(v, decided=v.claims, blocked_reason=reason)
    return Decisions(verdicts=verdicts, seeds_requested=dict.fromkeys(verdicts, 0), looks_taken=1)


def _count_lost(name: str, statuses: Statuses, sides: SidePair, design: Design) -> int:
    """Return the pairs of a contrast that lack a number on a side; without pairs the rows that have none."""
    arm = statuses[name].keys()
    base = statuses[design.bases[name]].keys()
    if not design.pair:
        return len(arm - sides[0].keys()) + len(base - sides[1].keys())
    return len((arm | base) - (sides[0].keys() & sides[1].keys()))


def _combine_verdicts(of_survivors: Verdict, with_losses: Verdict) -> Verdict:
    """Return the verdict that counts what was lost, unless it claims what the survivors do not show."""
    if not with_losses.claims or with_losses.kind == of_survivors.kind:
        return with_losses
    return with_losses.withdraw_claim() if of_survivors.claims else of_survivors


def _explain_loss(of_survivors: Verdict, judged: Verdict, lost: int, match: RowMatch | None) -> str:
    """Return why a contrast is open that would not be without its lost runs and rows; "" for others."""
    if judged.claims or not of_survivors.claims:
        return ""
    causes = [f"{plural(lost, 'run')} that failed or lack a partner"] if lost else []
    rows = sum(match.lacks) if match else 0
    causes += [f"{plural(rows, 'row')} that one side lacks or that failed"] if rows else []
    return f"“{of_survivors.text}” does not survive {' and '.join(causes)}, counted against it"


def compare_sides(
    arm: SeedValues,
    base: SeedValues,
    metric: Metric,
    design: Design,
    *,
    family_size: int,
    lost: int = 0,
    equal: Collection[Any] = (),
    match: RowMatch | None = None,
) -> Contrast:
    """Return the contrast of two arms by one metric, as the design pairs them.

    `lost` counts the pairs without a number, `equal` has the seeds on which both sides computed the same, and
    `match` what is known of rows that were averaged.
    """
    options: dict[str, Any] = {
        "delta": metric.zone,
        "lower_is_better": metric.lower_is_better,
        "family_size": family_size,
        "lost": lost,
        "identical": arm.keys() & base.keys() <= {*equal},
        "highest": metric.highest,
    }
    if not design.pair:
        return welch([*arm.values()], [*base.values()], **options)
    if match:
        options |= {"bounds": match.bounds, "rows_lacking": match.lacks}
    if design.test_share:
        return compare_folds(arm, base, test_share=design.test_share, **options)
    return compare_pairs(arm, base, **options)


def count_side_seeds(contrasts: Mapping[str, int], design: Design) -> dict[str, int]:
    """Return by arm the most seeds that a contrast with it wants, at least those of the first look."""
    numbers = dict.fromkeys((arm.name for arm in design.arms), design.looks[0])
    for name, number in contrasts.items():
        for side in (name, design.bases[name]):
            numbers[side] = max(numbers[side], number)
    return numbers
