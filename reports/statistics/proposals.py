"""The state of a proposal, from the results of candidate and incumbent, seed by seed.

`gain_test` judges complete pairs. This module adds what pairs do not show. A candidate that fails on a
seed crashes. A candidate that ignores its seed, or computes the same as the incumbent, is refused.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from unrolled.bench.metric import Metric
from unrolled.bench.study_rules import StudyRules
from unrolled.reports.statistics.estimators import Floats
from unrolled.reports.statistics.gain_test import ProposalOutcome, ProposalVerdict, judge_proposal
from unrolled.reports.statistics.looks import Looks, list_seeds_to_detect_copies
from unrolled.reports.statistics.seed_values import SidePair
from unrolled.reports.statistics.values import replace_diverged


@dataclass(frozen=True, kw_only=True)
class ProposalDecision:
    """The state of a proposal: ended, open while more seeds are requested, or stalled."""

    verdict: ProposalVerdict
    looks_taken: int
    sd: float | None = None  # standard deviation of the pairs' gains
    next_seed_count: int = 0  # number of seeds at the next look; 0 for no more
    crash: str = ""  # how the candidate failed, such as "seed 3 failed"
    refusal: str = ""  # why there is nothing to judge, such as "no number changes, on 10 seeds"
    stalled: str = ""  # which seed failed at which base, such as "seed 3 failed at the last keep"
    discard_reason: str = ""  # such as "no gain was shown by the last look"

    @property
    def has_ended(self) -> bool:
        """True if no more seeds are requested."""
        return not self.next_seed_count


def decide_proposal(
    sides: SidePair,
    sides_of_keep: SidePair | None,
    rules: StudyRules,
    *,
    lost_reasons: tuple[Mapping[int, str], Mapping[int, str]] = ({}, {}),
    equal_seeds: Collection[int] = (),
    is_one_run: bool = False,
) -> ProposalDecision:
    """Judge a proposal by the values of candidate and incumbent by seed; infinite values are diverged.

    - `sides_of_keep`: the values of the candidate and of the last keep, if that is not the incumbent
    - `rules`: seeds, looks and levels; the first metric is judged
    - `lost_reasons`: the seeds that the candidate lost, and those that the incumbent or the last keep lost,
      with the reason: ({3: "failed"}, {4: "failed at the incumbent"})
    - `equal_seeds`: the seeds on which candidate and incumbent computed the same
    - `is_one_run`: whether all seeds of the candidate are copies of one run

    Raises ValueError for looks that end before 5 pairs.
    """
    metric = rules.metrics[0]
    looks = Looks(rules.looks)
    gains = _list_gains(sides, rules.seeds, metric)
    over_keep = None
    if sides_of_keep is not None:
        over_keep = _list_gains(sides_of_keep, rules.seeds, metric)
        size = min(len(gains), len(over_keep))
        gains = gains[:size]
        over_keep = over_keep[:size]
    verdict = judge_proposal(
        gains,
        level=rules.gain_level,
        looks=looks,
        fewer_lines=rules.simpler_level > 0,
        zone=metric.zone,
        simpler_level=rules.simpler_level,
        gains_over_keep=over_keep,
    )
    first_seeds = list_seeds_to_detect_copies(rules.seeds, rules.looks)
    # equal seeds have the same qualities, and say nothing of a cost
    computes_same = (
        metric.is_quality and len(gains) >= len(first_seeds) and set(first_seeds) <= set(equal_seeds)
    )
    refusal = ""
    if is_one_run:
        refusal = "the candidate reports the same number under every seed"
    elif computes_same and not rules.simpler_level:
        noun = "quality" if rules.judged_costs else "number"  # a cost may have changed
        refusal = f"no {noun} changes, on {len(first_seeds)} seeds"
    elif computes_same and over_keep is None:
        verdict = ProposalVerdict(
            outcome=ProposalOutcome.SIMPLER, simpler_p=0.0, pair_count=len(first_seeds), gain=0.0, bound=0.0
        )
    next_seed_count = 0 if refusal else verdict.requested_pair_count
    crash, stalled = (_find_lost_seed(by_seed, rules.seeds[:next_seed_count]) for by_seed in lost_reasons)
    judged = gains[: verdict.pair_count]
    finite = judged[np.isfinite(judged)]
    return ProposalDecision(
        verdict=verdict,
        looks_taken=sum(n <= verdict.pair_count for n in looks.pair_counts),
        sd=float(finite.std(ddof=1)) if finite.size > 1 else None,
        next_seed_count=0 if crash or stalled else next_seed_count,
        crash=crash,
        refusal=refusal,
        stalled="" if crash else stalled,
        discard_reason=_explain_discard(verdict, gains, rules.seeds),
    )


def _explain_discard(verdict: ProposalVerdict, gains: Floats, seeds: Sequence[int]) -> str:
    """Return why a proposal is discarded; "" for another outcome."""
    if verdict.outcome is not ProposalOutcome.DISCARD:
        return ""
    if verdict.is_futile:
        return "given up: a gain is no longer likely to be shown"
    diverged = np.flatnonzero(np.isneginf(gains))
    if diverged.size:
        return f"seed {seeds[int(diverged[0])]} diverged at the candidate alone"
    return "no gain was shown by the last look"


def _list_gains(sides: SidePair, seeds: Sequence[int], metric: Metric) -> Floats:
    """Return by how much the candidate is better on each seed, up to the first seed that a side lacks."""
    candidate, base = (replace_diverged(side, metric.lower_is_better) for side in sides)
    gains = []
    for seed in seeds:
        if seed not in candidate or seed not in base:
            break
        gains.append(metric.gain_sign * (candidate[seed] - base[seed]))
    both_diverged = np.isnan(gains)
    return np.where(both_diverged, 0.0, gains)


def _find_lost_seed(lost_reasons: Mapping[int, str], seeds: Sequence[int]) -> str:
    """Return the first of these seeds that was lost, with the reason; "" if none was."""
    return next((f"seed {seed} {lost_reasons[seed]}" for seed in seeds if seed in lost_reasons), "")
