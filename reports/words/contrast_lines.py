"""A line for each contrast of a comparison, by the first metric and the others."""

from dataclasses import dataclass
from functools import partial

from unrolled.bench.phrases import select_phrases
from unrolled.reports.compare.compared_arm import ComparedArm
from unrolled.reports.compare.comparison import Comparison
from unrolled.reports.formats import describe_all, end_sentences, format_brackets
from unrolled.reports.statistics.verdicts import Direction, Verdict
from unrolled.reports.words.sentences import (
    describe_better_pairs,
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
        phrases = {
            _describe_contrast(self.arm, self.verdict, self.comparison): True,
            describe_stage(self.verdict): self.arm.state.has_ended,
        }
        return ", ".join(select_phrases(phrases))

    @property
    def other_metrics(self) -> tuple[str, ...]:
        """A phrase with the verdict and the numbers by each other metric."""
        return tuple(
            f"{view.scale.title}: {verdict.symbol} {verdict.text}, {_describe_contrast(arm, verdict, view)}"
            for view in self.comparison.other_views
            if (verdict := (arm := view.arms[self.arm.index]).verdict)
        )

    @property
    def sentence(self) -> str:
        """The verdict, the names and the numbers by all metrics, as a sentence."""
        standing = format_brackets(", ".join(self.arm.standing))
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


def _describe_contrast(arm: ComparedArm, verdict: Verdict, comparison: Comparison) -> str:
    """Return the numbers of a contrast: levels of base → arm, effect, interval, pairs better, state."""
    contrast = verdict.contrast
    if contrast.is_all_tied:
        alike = f"the same {describe_all(contrast.pair_count, comparison.design.noun)}"
        return ", ".join(filter(None, (alike, describe_remarks(arm, comparison))))
    phrases = []
    scale = comparison.scale
    if contrast.estimate is not None:
        show = partial(scale.format_difference, interval=verdict.interval, sign=True)
        difference = scale.describe_difference(contrast.estimate, verdict.interval)
        levels = scale.format_change(contrast.base_mean, contrast.arm_mean)
        phrases = [f"median {difference}"] if contrast.uses_median else [levels, difference]
        phrases += [scale.format_interval(verdict.interval), describe_unbiased(verdict, show)]
        if second := scale.second_scale:
            phrases.append(f"{second.title} {second.describe_difference(contrast.estimate)}")
    if contrast.is_paired:
        phrases.append(describe_better_pairs(contrast, comparison.design.noun))
    phrases.append(describe_remarks(arm, comparison))
    return ", ".join(filter(None, phrases))


def write_claims(comparison: Comparison) -> tuple[str, ...]:
    """Return a sentence for each contrast, after one on too few pairs if there are."""
    too_few_pairs = end_sentences(describe_too_few_pairs(comparison))
    return *too_few_pairs, *(claim.sentence for claim in list_claims(comparison))


def find_largest_effect(comparison: Comparison) -> float:
    """Return the largest absolute effect whose direction is shown, in units of δ; 0 if there is none."""
    verdicts = [arm.verdict for arm in comparison.arms_with_contrast if arm.verdict]
    directed = [verdict for verdict in verdicts if verdict.direction is not Direction.NONE]
    sizes = [find_absolute_difference(verdict) / comparison.metric.zone for verdict in directed]
    return max(sizes, default=0.0)
