"""From contrasts to verdicts: the direction and the size of a difference."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeVar

from unrolled.bench.metric import FEWEST_SEEDS
from unrolled.bench.study_rules import StoppingRule
from unrolled.reports.statistics.contrasts import Contrast
from unrolled.reports.statistics.corrections import Adjusted, holm
from unrolled.reports.statistics.expected_seeds import median_unbiased
from unrolled.reports.statistics.power import ALPHA, CLAIM_SEEDS
from unrolled.reports.statistics.seed_values import Interval

Name = TypeVar("Name")


class Direction(StrEnum):
    """Whether an arm is shown to be better or worse than its base."""

    BETTER = "better"
    WORSE = "worse"
    NONE = "none shown"


_OPPOSITE = {
    Direction.BETTER: Direction.WORSE,
    Direction.WORSE: Direction.BETTER,
    Direction.NONE: Direction.NONE,
}


class Size(StrEnum):
    """Whether a difference is shown to be more or less than δ."""

    MORE = "more than δ"
    LESS = "less than δ"
    UNSETTLED = "size not settled"


_SYMBOLS = {
    (Direction.BETTER, Size.MORE): "▲",
    (Direction.BETTER, Size.LESS): "△",
    (Direction.BETTER, Size.UNSETTLED): "↑",
    (Direction.WORSE, Size.MORE): "▼",
    (Direction.WORSE, Size.LESS): "▽",
    (Direction.WORSE, Size.UNSETTLED): "↓",
    (Direction.NONE, Size.LESS): "≡",
    (Direction.NONE, Size.UNSETTLED): "?",
}


@dataclass(frozen=True, kw_only=True)
class ContrastState:
    """Whether a contrast still gets seeds and, if it gets none, why."""

    has_contrast: bool = True  # False for an arm that has no contrast to decide, such as the baseline
    has_ended: bool = False  # whether the study's first metric decided it, or its gate or proposal has ended
    joint_rule: StoppingRule | None = None  # of a gate or a proposal, which ends its contrasts together
    # why an open contrast does not go on: "seed 3 failed" or, if futile, "about 80 seeds would decide it"
    halt_reason: str = ""
    is_futile: bool = False  # whether it is unlikely to be decided by the last look

    @property
    def text(self) -> str:
        """`decided` or `open`; "" if there is no contrast to decide."""
        if not self.has_contrast:
            return ""
        return "decided" if self.has_ended else "open"


NO_CONTRAST = ContrastState(has_contrast=False)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The direction and the size of a difference, read off one interval, and the numbers they rest on."""

    contrast: Contrast
    direction: Direction
    size: Size
    interval: Interval | None  # at the level that agrees with the adjusted p; valid over all looks
    adjusted_difference: Adjusted  # of the test for a difference
    adjusted_equivalence: Adjusted  # of the test for equality within ±δ
    adjusted_divergence: Adjusted  # of the test for how often the two arms diverge
    # "worse" if the arm is shown to diverge more often than its base
    divergence_direction: Direction = Direction.NONE
    stopping_rule: StoppingRule | None = None  # None if another metric stops the contrast
    state: ContrastState = ContrastState()  # by the metric that stops the contrast

    @property
    def unbiased_difference(self) -> float | None:
        """The median-unbiased difference, which allows for early stops; None if another metric stopped it.

        See `median_unbiased`. With one look it is the mean. For a contrast that is judged by signs it is
        `Contrast.estimate`.
        """
        contrast = self.contrast
        if contrast.uses_signs or contrast.mean_difference is None or contrast.sd is None:
            return contrast.estimate
        looks = contrast.look.looks
        most_looks = len(looks) if self.state.has_ended else contrast.look.k + 1
        if most_looks == 1:
            return contrast.mean_difference
        if not self.stopping_rule:
            return None
        return median_unbiased(
            looks,
            most_looks,
            contrast.mean_difference,
            contrast.sd,
            zone=contrast.zone,
            alpha=self.adjusted_difference.alpha,
            alpha_same=self.adjusted_equivalence.alpha,
            until_size=self.stopping_rule == StoppingRule.SIZE,
        )

    @property
    def difference_p(self) -> float | None:
        """The adjusted p of a difference; None where it would contradict the interval.

        p is the smallest of all looks, and the interval is that of the last look. So p may be .05 or less
        although the interval holds zero. Then p is hidden.
        """
        interval = self.interval
        if (
            self.adjusted_difference.p <= ALPHA
            and interval is not None
            and interval.low <= 0 <= interval.high
        ):
            return None
        return self.adjusted_difference.p

    @property
    def equivalence_p(self) -> float | None:
        """The adjusted p of equality within ±δ; None where it would contradict an open verdict.

        p is hidden if it is .05 or less and the verdict is open: p is from an earlier look, or seeds that
        diverged or failed have withdrawn the claim.
        """
        if self.adjusted_equivalence.p <= ALPHA and not self.makes_claim:
            return None
        return self.adjusted_equivalence.p

    @property
    def is_open_by_skewness(self) -> bool:
        """True if it is open only because its pairs are skewed: by t alone, its interval would exclude zero.

        The interval is longer than the t interval on the side of the long tail, and reaches zero there. The
        pairs must be shown to be skewed (`Contrast.is_skewed`).
        """
        return self.contrast.is_skewed and self.is_widened_to_zero

    @property
    def is_widened_to_zero(self) -> bool:
        """True if it is open, and its interval reaches zero only because it is widened for skewness."""
        interval = self.interval
        mean = self.contrast.mean_difference
        if self.makes_claim or self.contrast.uses_signs or mean is None:
            return False
        if interval is None or not interval.low <= 0 <= interval.high:
            return False
        return abs(mean) > min(mean - interval.low, interval.high - mean)  # the shorter side is that of t

    def withdraw_claim(self) -> "Verdict":
        """Return the verdict without its claim."""
        return replace(
            self, direction=Direction.NONE, size=Size.UNSETTLED, divergence_direction=Direction.NONE
        )

    def swap_sides(self) -> "Verdict":
        """Return the verdict on the base against the arm."""
        interval = self.interval
        return replace(
            self,
            contrast=self.contrast.swap_sides(),
            direction=_OPPOSITE[self.direction],
            divergence_direction=_OPPOSITE[self.divergence_direction],
            interval=interval and Interval(-interval.high, -interval.low, interval.confidence),
        )

    @property
    def text(self) -> str:
        """The verdict in words, such as "better by more than δ"."""
        if self.direction is not Direction.NONE:
            link = " by " if self.has_known_size else ", "
            return f"{self.direction}{link}{self.size}"
        if self.has_known_size:
            return "the same within δ"
        how = {Direction.WORSE: "diverges more often", Direction.BETTER: "diverges less often"}
        return how.get(self.divergence_direction, "open")

    @property
    def kind(self) -> str:
        """The kind of the verdict, which has a colour: "better", "worse", "same" or "open"."""
        direction = self.divergence_direction if self.direction is Direction.NONE else self.direction
        if direction is not Direction.NONE:
            return direction
        return "same" if self.has_known_size else "open"

    @property
    def kind_beyond_delta(self) -> str:
        """The kind, or "same" for any difference of less than δ."""
        return "same" if self.size is Size.LESS else self.kind

    @property
    def symbol(self) -> str:
        """The sign of the verdict, for readers who cannot tell its colours apart."""
        if self.is_by_divergence:
            return "✕"
        return _SYMBOLS[self.direction, self.size]

    @property
    def is_by_divergence(self) -> bool:
        """True if it is shown by how often seeds diverge alone."""
        return self.direction is Direction.NONE and self.divergence_direction is not Direction.NONE

    @property
    def label(self) -> str:
        """The verdict in words, with "(unpaired)" if the sides are independent samples."""
        if self.contrast.is_paired:
            return self.text
        return f"{self.text} (unpaired)"

    @property
    def has_known_size(self) -> bool:
        """True if the size is known to be more or less than δ."""
        return self.size is not Size.UNSETTLED

    @property
    def makes_claim(self) -> bool:
        """True if it claims anything: if it is not open."""
        return self.kind != "open"

    @property
    def is_harmful(self) -> bool:
        """True if the arm is shown to be worse, and not by less than δ, or to diverge more often."""
        return self.kind_beyond_delta == "worse" or self.divergence_direction is Direction.WORSE

    @property
    def is_provisional(self) -> bool:
        """True if it claims anything on fewer than `CLAIM_SEEDS` seeds."""
        return self.makes_claim and self.contrast.pair_count < CLAIM_SEEDS


def judge_contrast(
    contrast: Contrast, difference: Adjusted, equivalence: Adjusted, divergence: Adjusted | None = None
) -> Verdict:
    """Judge a contrast by three p values, each adjusted over its family.

    The p of divergence is taken unadjusted if `divergence` is None.

    - Better or worse: the p of `difference` is at most .05, and the interval at its alpha excludes zero.
    - The same within ±δ: no direction is shown, the p of `equivalence` is at most .05, and the interval at
      its alpha lies within ±δ. If that interval excludes zero, the verdict's interval is extended to zero
      (Hsu et al. 1994, "Confidence Intervals Associated with Tests for Bioequivalence", Biometrika 81).
    - Diverges more or less often: the p of `divergence` is at most .05.
    - Open: none of these is shown, or there are under 5 pairs.

    With several looks, a p may come from an earlier look, while the interval belongs to this look. A
    direction or a size needs both p and interval.

    If all pairs have the same difference, their signs show the direction, and the interval follows from the
    number of pairs (`estimators.ties_p`). If that interval includes zero, there is no interval and no size.

    Seeds that diverged or failed withdraw claims:

    - An arm that diverged more often is not called better, and an arm that diverged less often is not called
      worse. This check uses the unadjusted p of divergence: it is smaller, and withdraws more claims.
    - If a seed diverged, or one side failed more often (`Contrast.fails_unequally`), the arms are not called
      the same.
    """
    divergence = divergence or Adjusted(contrast.divergence_p, ALPHA)
    direction = Direction.NONE
    size = Size.UNSETTLED
    interval = contrast.interval(difference.alpha)
    enough = contrast.pair_count >= FEWEST_SEEDS
    if enough and interval and difference.p <= ALPHA and (interval.low > 0 or interval.high < 0):
        better = (interval.high < 0) is contrast.lower_is_better
        direction = Direction.BETTER if better else Direction.WORSE
        if contrast.has_constant_difference and not contrast.omits_diverged:
            interval = contrast.ties_interval(difference.alpha)
        size = _classify_size(interval, contrast.zone) if interval else Size.UNSETTLED
        if contrast.divergence_differs and better is (contrast.divergence_sign > 0):
            direction = Direction.NONE
            size = Size.UNSETTLED
    elif enough and equivalence.p <= ALPHA and not (contrast.omits_diverged or contrast.fails_unequally):
        inner = contrast.interval(equivalence.alpha, tails=1)
        if inner and _classify_size(inner, contrast.zone) is Size.LESS:
            size = Size.LESS
            interval = Interval(min(inner.low, 0.0), max(inner.high, 0.0), inner.confidence)
    more_often = Direction.WORSE if contrast.divergence_sign > 0 else Direction.BETTER
    return Verdict(
        contrast=contrast,
        direction=direction,
        size=size,
        interval=interval,
        adjusted_difference=difference,
        adjusted_equivalence=equivalence,
        adjusted_divergence=divergence,
        divergence_direction=more_often if enough and divergence.p <= ALPHA else Direction.NONE,
    )


def _classify_size(interval: Interval, zone: float) -> Size:
    """Return the size that an interval shows."""
    if -zone < interval.low and interval.high < zone:
        return Size.LESS
    if interval.low > zone or interval.high < -zone:
        return Size.MORE
    return Size.UNSETTLED


def judge_contrasts(family: Mapping[Name, Contrast]) -> dict[Name, Verdict]:
    """Return the verdicts on contrasts at one look, by name. A contrast without pairs has none.

    The p values of differences, of equivalence and of divergence are three families, each corrected by Holm.
    """
    contrasts = family.values()
    adjusted = zip(
        family,
        contrasts,
        holm([contrast.p for contrast in contrasts]),
        holm([contrast.equivalence_p for contrast in contrasts]),
        holm([contrast.divergence_p for contrast in contrasts]),
        strict=True,
    )
    return {name: judge_contrast(contrast, *ps) for name, contrast, *ps in adjusted if contrast.pair_count}
