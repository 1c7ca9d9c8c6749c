"""Verdicts look by look: contrasts get seeds until they are decided or futile.

The verdicts are a pure function of the study and its results: look k reads the first n_k seeds of the
contrasts that still get seeds, and nothing beyond. A study that is resumed, replayed or trained in another
order has the same verdicts.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic

import numpy as np

from unrolled.bench.metric import FEWEST_SEEDS, Metric
from unrolled.bench.study_rules import StoppingRule
from unrolled.reports.statistics.contrasts import Contrast
from unrolled.reports.statistics.corrections import Adjusted, holm
from unrolled.reports.statistics.estimators import Moments
from unrolled.reports.statistics.futility import MOST_SEEDS, LastLookTest, find_futile
from unrolled.reports.statistics.look_input import Key, LookInput
from unrolled.reports.statistics.looks import Look
from unrolled.reports.statistics.pairs import LostPairs, compare_pairs, make_judged_scale
from unrolled.reports.statistics.verdicts import ContrastState, Direction, Verdict, judge_contrast

if TYPE_CHECKING:
    from unrolled.reports.statistics.gates import GateDecision
    from unrolled.reports.statistics.proposals import ProposalDecision

OWN_RULES = (StoppingRule.GATE, StoppingRule.PROPOSAL)
"""Stopping rules of studies that end by their own rule, not by verdicts on their contrasts."""
Adjust = Callable[[Sequence[float]], list[Adjusted]]  # a correction of a family's p values


@dataclass(frozen=True, kw_only=True)
class Decisions(Generic[Key]):
    """The state of every contrast after the looks that are complete."""

    verdicts: Mapping[Key, Mapping[str, Verdict]]  # verdicts by contrast and by metric
    next_seed_counts: Mapping[Key, int]  # number of seeds at the next look, by contrast; 0 for no more
    looks_taken: int
    gate: "GateDecision[Key] | None" = None  # of a study that is a gate
    proposal: "ProposalDecision | None" = None  # of a study that is a proposal


@dataclass(frozen=True)
class _Track:
    """A contrast by one metric, and for each of its tests the minimum over the looks so far of p / weight."""

    contrast: Contrast  # at its last look; before the first look, of the pairs so far
    smallest_weighted_difference_p: float = math.inf  # infinite before the first look
    smallest_equivalence_p: float = math.inf
    smallest_divergence_p: float = math.inf

    @property
    def is_evaluated(self) -> bool:
        """True if it was evaluated at a look."""
        return self.smallest_weighted_difference_p < math.inf

    def add_look(self, contrast: Contrast) -> "_Track":
        """Return the track after one more look; `contrast` is as of this look."""
        weight = contrast.look.weight
        return _Track(
            contrast,
            min(self.smallest_weighted_difference_p, contrast.p / weight),
            min(self.smallest_equivalence_p, contrast.equivalence_p / weight),
            min(self.smallest_divergence_p, contrast.divergence_p / weight),
        )

    @property
    def ps(self) -> tuple[float, float, float]:
        """The p of difference, equivalence and divergence, valid at any stop; 1 before the first look."""
        return (
            self._compute_p(self.smallest_weighted_difference_p, tails=2),
            self._compute_p(self.smallest_equivalence_p, tails=1),
            self._compute_p(self.smallest_divergence_p, tails=2),
        )

    def _compute_p(self, weighted_p: float, tails: int) -> float:
        """Return the p of the minimum of p / weight, which holds wherever the contrast stops."""
        return float(self.contrast.look.looks.compute_p(min(weighted_p, 1.0), tails))


def evaluate_looks(
    look_input: LookInput[Key],
    *,
    adjust: Adjust = holm,
    stopping_rule: StoppingRule = StoppingRule.DIRECTION,
    futility: float = 0.0,
) -> Decisions[Key]:
    """Judge all declared contrasts at their looks; the first metric decides when a contrast is done.

    An example: looks after 10, 15 and 20 seeds, and two contrasts, a and b. Results of 10 seeds are complete,
    and decide a. Then looks_taken is 1, and next_seed_counts is {"a": 0, "b": 15}: a keeps its verdict on 10
    seeds, and b is open. When b has 15 seeds, the call with these results returns the state after two looks.

    - `adjust`: the correction of a family's p values
    - `stopping_rule`: with "size", a contrast with a direction goes on until its size is settled
    - `futility`: the chance to be decided below which a contrast is given up

    A look is evaluated when every open contrast has all of its seeds except lost ones. A lost seed counts as
    the worst pair seen for a claim. A contrast that lost half of a look's seeds stays open, and the others go
    on without it. At each look the contrasts are judged by the other metrics, too: the p values of a metric
    are corrected together, apart from those of the first.

    A futile contrast is one whose chance to be decided by the last look is below `futility`. It gets no more
    seeds. It may still be decided later, because Holm's correction is milder after other contrasts have been
    rejected. Withholding seeds loses claims and adds none, so that error rates hold with any `futility`: a
    study may be judged again with a `futility` of 0, once it has the seeds.
    """
    metrics = look_input.metrics
    contrasts = _ContrastsAtLooks(look_input, has_own_rule=stopping_rule in OWN_RULES)
    tracks = {
        metric: {name: _Track(contrasts.make_contrast(name, metric, 0)) for name in look_input.sides}
        for metric in metrics
    }
    tracks_of_first = tracks[metrics[0]]
    verdicts_of_first = _judge_tracks(tracks_of_first, adjust)
    futile_reasons: dict[Key, str] = {}
    looks_taken = 0
    while looks_taken < len(look_input.looks):
        open_contrasts = [
            name
            for name, verdict in verdicts_of_first.items()
            if not verdict.state.has_ended
            and name not in futile_reasons
            and not look_input.explain_block(name, looks_taken)
        ]
        if not open_contrasts or not all(
            look_input.is_complete(name, looks_taken) for name in open_contrasts
        ):
            break
        contrasts.take_look(tracks, open_contrasts, looks_taken)
        judged = _judge_tracks(tracks_of_first, adjust)
        for name in (*open_contrasts, *futile_reasons):
            state = ContrastState(has_ended=_ends_contrast(judged[name], stopping_rule))
            verdicts_of_first[name] = replace(judged[name], state=state)
        looks_taken += 1
        futile_reasons = {
            name: reason
            for name, reason in futile_reasons.items()
            if not verdicts_of_first[name].state.has_ended
        }
        if futility and looks_taken < len(look_input.looks):
            futile_reasons |= _find_futile(
                {name: verdicts_of_first[name] for name in open_contrasts}, stopping_rule, futility
            )
    by_first = {
        name: replace(verdict, stopping_rule=stopping_rule) for name, verdict in verdicts_of_first.items()
    }
    by_others = {metric.name: _judge_tracks(tracks[metric], adjust) for metric in metrics[1:]}
    by_metric = {metrics[0].name: by_first, **by_others}
    return _make_decisions(look_input, verdicts_of_first, by_metric, looks_taken, futile_reasons)


@dataclass(frozen=True)
class _ContrastsAtLooks(Generic[Key]):
    """The contrasts of a study at its looks, by each metric."""

    look_input: LookInput[Key]
    has_own_rule: bool  # True for a gate or proposal, where equal fine values count as computed alike

    def make_contrast(self, name: Key, metric: Metric, k: int) -> Contrast:
        """Return the contrast at look k."""
        arm, base = self.look_input.select_sides(name, metric.name, k)
        paired = arm.keys() & base.keys()
        return compare_pairs(
            arm,
            base,
            make_judged_scale(metric),
            family_size=len(self.look_input.sides),
            look=Look(self.look_input.looks, k),
            lost_pairs=LostPairs(len(self.look_input.select_lost_seeds(name, k).keys() - paired)),
            equal_seeds=self.look_input.equal_seeds.get(name, ()),
            trusts_equal_values=self.has_own_rule,
        )

    def take_look(
        self, tracks: Mapping[Metric, dict[Key, _Track]], open_contrasts: Sequence[Key], k: int
    ) -> None:
        """Evaluate these contrasts at look k, by every metric."""
        for metric, by_name in tracks.items():
            for name in open_contrasts:  # a track begins with the contrast of the first look
                at_look = self.make_contrast(name, metric, k) if k else by_name[name].contrast
                by_name[name] = by_name[name].add_look(at_look)


def _make_decisions(
    look_input: LookInput[Key],
    verdicts_of_first: Mapping[Key, Verdict],
    by_metric: Mapping[str, Mapping[Key, Verdict]],
    looks_taken: int,
    futile_reasons: Mapping[Key, str],
) -> Decisions[Key]:
    """Return the state after these looks; `verdicts_of_first` are those by the metric that decides."""
    next_look = min(looks_taken, len(look_input.looks) - 1)
    seed_count = look_input.looks.pair_counts[next_look] if looks_taken == next_look else 0
    verdicts = {}
    next_seed_counts = {}
    for name, verdict in verdicts_of_first.items():
        reason = ""
        if not verdict.state.has_ended:
            reason = futile_reasons.get(name) or look_input.explain_block(name, next_look)
        next_seed_counts[name] = 0 if verdict.state.has_ended or reason else seed_count
        reason_of_others = f"{reason} by the first metric" if name in futile_reasons else reason
        state = replace(verdict.state, halt_reason=reason, is_futile=name in futile_reasons)
        states = dict.fromkeys(by_metric, replace(state, halt_reason=reason_of_others))
        states[look_input.metrics[0].name] = state
        verdicts[name] = {  # the first metric decides: no other metric gets seeds after it has ended
            metric: replace(by_name[name], state=states[metric]) for metric, by_name in by_metric.items()
        }
    return Decisions(verdicts=verdicts, next_seed_counts=next_seed_counts, looks_taken=looks_taken)


def _ends_contrast(verdict: Verdict, stopping_rule: StoppingRule) -> bool:
    """Return True if a verdict ends its contrast. In a gate or a proposal none does."""
    if stopping_rule in OWN_RULES or not verdict.makes_claim:
        return False
    return verdict.has_known_size or stopping_rule != StoppingRule.SIZE or verdict.direction is Direction.NONE


def _find_futile(
    verdicts: Mapping[Key, Verdict], stopping_rule: StoppingRule, bound: float
) -> dict[Key, str]:
    """Return the futile contrasts, each with a reason: "about 120 seeds would decide it".

    Contrasts that are judged by signs are left out: diverged and lost pairs are not predicted.
    """
    candidates = {}
    for name, verdict in verdicts.items():
        contrast = verdict.contrast
        if verdict.state.has_ended or contrast.uses_signs or contrast.pair_count < FEWEST_SEEDS:
            continue
        test = LastLookTest(
            looks=contrast.look.looks,
            zone=contrast.zone,
            alpha=verdict.adjusted_difference.alpha,
            alpha_same=verdict.adjusted_equivalence.alpha,
            until_size=stopping_rule == StoppingRule.SIZE,
        )
        measured = map(np.asarray, (contrast.mean_difference, contrast.sd, contrast.skewness))
        candidates[name] = test, Moments(contrast.pair_count, *measured)
    seeds = find_futile(candidates, bound)
    return {name: _describe_seeds(number, verdicts[name]) for name, number in seeds.items()}


def _describe_seeds(number: int | None, verdict: Verdict) -> str:
    """Return how many seeds would decide a contrast, with two digits: "about 120 seeds would decide it"."""
    quantity = f"more than {MOST_SEEDS:,}" if number is None else f"about {float(f'{number:.2g}'):,.0f}"
    purpose = "settle its size" if verdict.makes_claim else "decide it"
    return f"{quantity} seeds would {purpose}"


def _judge_tracks(tracks: Mapping[Key, _Track], adjust: Adjust) -> dict[Key, Verdict]:
    """Return a verdict for every contrast by one metric.

    The p values of differences, of equivalences and of divergences are three families, each adjusted by
    itself. Before its first look a contrast has no interval, because it would disclose the result.
    """
    if not tracks:
        return {}
    families = zip(*(track.ps for track in tracks.values()), strict=True)
    adjusted = zip(*map(adjust, families), strict=True)
    judged = {}
    for (name, track), ps in zip(tracks.items(), adjusted, strict=True):
        verdict = judge_contrast(track.contrast, *ps)
        judged[name] = verdict if track.is_evaluated else replace(verdict, interval=None)
    return judged
