"""Verdicts on all rows of a table at once: how a table from elsewhere is judged, which has no looks."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from unrolled.bench.metric import Metric
from unrolled.bench.phrases import choose_form, select_phrases
from unrolled.reports.compare.design import Design
from unrolled.reports.compare.evidence import Evidence
from unrolled.reports.compare.row_matches import NO_MATCH, RowMatch
from unrolled.reports.statistics.contrasts import Contrast
from unrolled.reports.statistics.decisions import Decisions
from unrolled.reports.statistics.error_contrasts import compare_folds, welch
from unrolled.reports.statistics.pairs import NO_LOST_PAIRS, LostPairs, compare_pairs, make_judged_scale
from unrolled.reports.statistics.seed_values import SeedValues
from unrolled.reports.statistics.verdicts import ContrastState, Verdict, judge_contrasts

Matches = Mapping[str, Mapping[str, RowMatch]]  # matched rows by metric and arm


def decide_at_once(contrasts: Sequence[str], evidence: Evidence, matches: Matches) -> Decisions[str]:
    """Return the verdicts on all rows; contrasts are corrected together within each metric."""
    equal_seeds = {name: evidence.find_equal_seeds(name) for name in contrasts}
    verdicts: dict[str, dict[str, Verdict]] = {}
    for metric in evidence.design.rules.metrics:
        of_arms = matches.get(metric.name, {})
        matched = {name: match for name, match in of_arms.items() if name not in evidence.one_run_seeds}
        for name, verdict in _judge_rows(contrasts, evidence, metric, equal_seeds, matched).items():
            verdicts.setdefault(name, {})[metric.name] = verdict
    return Decisions(verdicts=verdicts, next_seed_counts=dict.fromkeys(verdicts, 0), looks_taken=1)


def _judge_rows(
    contrasts: Sequence[str],
    evidence: Evidence,
    metric: Metric,
    equal_seeds: Mapping[str, Collection[Any]],
    matched: Mapping[str, RowMatch],
) -> dict[str, Verdict]:
    """Judge the rows that have numbers; withdraw a claim that the lost rows could overturn."""
    design = evidence.design
    by_arm = evidence.judged_values[metric.name]
    arm_values = {**by_arm, **{name: match.values for name, match in matched.items()}}
    sides = {name: (arm_values[name], by_arm[design.bases[name]]) for name in contrasts}
    lost_pairs = {}
    for name in contrasts:
        match = matched.get(name, NO_MATCH)
        lost_pairs[name] = LostPairs(
            evidence.count_lost(name, sides[name]), match.missing_row_counts, match.bounds
        )
    compare = partial(compare_sides, metric=metric, design=design, family_size=len(contrasts))
    of_survivors = judge_contrasts(
        {name: compare(*sides[name], equal_seeds=equal_seeds[name]) for name in contrasts}
    )
    judged = of_survivors
    if any(lost.count or any(lost.missing_row_counts) for lost in lost_pairs.values()):
        with_lost_runs = judge_contrasts(
            {
                name: compare(*sides[name], equal_seeds=equal_seeds[name], lost_pairs=lost_pairs[name])
                for name in contrasts
            }
        )
        judged = {
            name: _combine_verdicts(of_survivors[name], verdict) for name, verdict in with_lost_runs.items()
        }
    verdicts = {}
    for name, verdict in judged.items():
        one_run_sides = [side for side in (name, design.bases[name]) if side in evidence.one_run_seeds]
        if one_run_sides:
            reason = f"{one_run_sides[0]} has one run's numbers on every {design.noun}"
        else:
            reason = _explain_lost_runs(of_survivors[name], verdict, lost_pairs[name])
        # there is no other look: a contrast that claims nothing stays open
        state = ContrastState(has_ended=verdict.makes_claim, halt_reason=reason)
        verdicts[name] = replace(verdict, state=state)
    return verdicts


def _combine_verdicts(of_survivors: Verdict, with_lost_runs: Verdict) -> Verdict:
    """Return the verdict that counts lost runs; its claim stays only if the survivors alone show it, too."""
    if not with_lost_runs.makes_claim or with_lost_runs.kind == of_survivors.kind:
        return with_lost_runs
    return with_lost_runs.withdraw_claim() if of_survivors.makes_claim else of_survivors


def _explain_lost_runs(of_survivors: Verdict, judged: Verdict, lost_pairs: LostPairs) -> str:
    """Return which lost runs keep open a contrast that the survivors would decide; "" for other contrasts."""
    if judged.makes_claim or not of_survivors.makes_claim:
        return ""
    causes = {
        _describe_missing(lost_pairs.count, "run"): lost_pairs.count,
        _describe_missing(sum(lost_pairs.missing_row_counts), "row"): any(lost_pairs.missing_row_counts),
    }
    return f"“{of_survivors.text}” could be undone by {' and '.join(select_phrases(causes))}"


def _describe_missing(number: int, noun: str) -> str:
    """Return "the missing run" or "the 2 missing runs": runs that failed, or that lack a partner."""
    return choose_form(number, f"the missing {noun}", f"the {number} missing {noun}s")


def compare_sides(
    arm: SeedValues,
    base: SeedValues,
    metric: Metric,
    design: Design,
    *,
    family_size: int,
    lost_pairs: LostPairs = NO_LOST_PAIRS,
    equal_seeds: Collection[Any] = (),
) -> Contrast:
    """Return the contrast of two arms by one metric, as the design pairs them.

    `equal_seeds` are the seeds on which both sides computed the same.
    """
    scale = make_judged_scale(metric)
    if not design.pairing_column:
        return welch([*arm.values()], [*base.values()], scale, family_size=family_size, lost_pairs=lost_pairs)
    if design.test_share:
        return compare_folds(
            arm,
            base,
            scale,
            test_share=design.test_share,
            family_size=family_size,
            lost_pairs=lost_pairs,
            equal_seeds=equal_seeds,
        )
    return compare_pairs(
        arm, base, scale, family_size=family_size, lost_pairs=lost_pairs, equal_seeds=equal_seeds
    )
