"""A line for each contrast of a comparison, by the first metric and the others."""

from dataclasses import dataclass
from functools import partial

from unrolled.bench.phrases import plural
from unrolled.reports.compare.compared_arm import ComparedArm
from unrolled.reports.compare.comparison import Comparison
from unrolled.reports.formats import phrase_all
from unrolled.reports.statistics.verdicts import Direction, Verdict
from unrolled.reports.words.sentences import (
    describe_remarks,
    describe_stage,
    describe_too_few_pairs,
    describe_unbiased,
    find_absolute_difference,
)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The line of one contrast, by the metric that decides."""

    arm: ComparedArm
    verdict: Verdict
    comparison: Comparison

    @property
    def text(self) -> str:
        """Levels, effect, interval and seeds, without the verdict and the names."""
        decided = describe_stage(self.verdict) if self.arm.has_ended else ""
        return ", ".join(filter(None, (_describe_contrast(self.arm, self.comparison), decided)))

    @property
    def other_metrics(self) -> tuple[str, ...]:
        """A phrase with the verdict and the numbers by each other metric."""
        return tuple(
            f"{view.metric_title}: {arm.verdict.symbol} {arm.verdict.text}, {_describe_contrast(arm, view)}"
            for view in self.comparison.other_views
            if (arm := view.arms[self.arm.index]).verdict
        )

    @property
    def sentence(self) -> str:
        """The verdict, the names and the numbers by all metrics, as a sentence."""
        standing = f" ({', '.join(self.arm.standing)})" if self.arm.standing else ""
        sides = f"{self.arm.name} against {self.comparison.find_base(self.arm).name}{standing}"
        numbers = "; ".join((self.text, *self.other_metrics))
        return f"{self.verdict.symbol} {self.verdict.label} — {sides}: {numbers}."


def list_claims(comparison: Comparison) -> tuple[Claim, ...]:
    """Return a claim for each contrast: better, worse, same and open arms, the largest effects first."""
    order = ("better", "worse", "same", "open")
    claims = [
        Claim(arm=arm, verdict=arm.verdict, comparison=comparison)
        for arm in comparison.arms_with_contrast
        if arm.verdict
    ]
    return tuple(
        sorted(
            claims,
            key=lambda claim: (order.index(claim.verdict.kind), -find_absolute_difference(claim.verdict)),
        )
    )


def _describe_contrast(arm: ComparedArm, comparison: Comparison) -> str:
    """Return the numbers of a contrast: levels of base → arm, effect, interval, pairs better, state."""
    contrast = arm.contrast
    if contrast is None:
        return arm.reason_not_compared
    if contrast.all_tied:
        alike = f"the same {phrase_all(contrast.pairs, comparison.design.noun)}"
        return ", ".join(filter(None, (alike, describe_remarks(arm, comparison))))
    phrases = []
    show = partial(comparison.scale.format_difference, interval=arm.interval, sign=True)
    if contrast.estimate is not None:
        median = "median " if contrast.uses_median else ""
        phrases = [
            "" if median else comparison.scale.format_change(contrast.base_mean, contrast.arm_mean),
            f"{median}{comparison.scale.describe_difference(contrast.estimate, arm.interval)}",
            comparison.scale.format_interval(arm.interval),
            describe_unbiased(arm.verdict, show) if arm.verdict else "",
        ]
        if second := comparison.scale.second_scale:
            phrases.append(f"{second.title} {second.describe_difference(contrast.estimate)}")
    phrases += [
        f"better on {contrast.pairs_better} of {plural(contrast.pairs, comparison.design.noun)}"
        if contrast.is_paired
        else "",
        describe_remarks(arm, comparison),
    ]
    return ", ".join(filter(None, phrases))


def write_claims(comparison: Comparison) -> tuple[str, ...]:
    """Return a sentence for each contrast, after one on too few pairs if there are."""
    few = describe_too_few_pairs(comparison)
    return (*([f"{few}."] if few else []), *(claim.sentence for claim in list_claims(comparison)))


def find_largest_effect(comparison: Comparison) -> float:
    """Return the largest absolute effect whose direction is shown, in units of δ; 0 if there is none."""
    claims = list_claims(comparison)
    directed = [claim.verdict for claim in claims if claim.verdict.direction is not Direction.NONE]
    sizes = [find_absolute_difference(verdict) / comparison.metric.zone for verdict in directed]
    return max(sizes, default=0.0)
