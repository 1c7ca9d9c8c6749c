"""From contrasts to verdicts: a direction and a size, and the only sentences in which a report may claim."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import TypeVar

from bench.errors import plural
from reports.formats import count, interval, number, p_value
from reports.statistics import power
from reports.statistics.contrasts import Contrast, Interval, contrast
from reports.statistics.families import Adjusted, holm
from reports.statistics.power import ALPHA, CLAIM_SEEDS, FEWEST_SEEDS
from reports.statistics.stopping import median_unbiased
from reports.statistics.unpaired import Unpaired

Name = TypeVar("Name")
SELF_CHECK_ALPHA = 0.01
"""The level of the A/A check: one study in a hundred is distrusted without a cause."""


class Direction(StrEnum):
    """Whether an arm is shown to be better or worse than its baseline."""

    BETTER = "better"
    WORSE = "worse"
    NONE = "none shown"


_OPPOSITE = {
    Direction.BETTER: Direction.WORSE,
    Direction.WORSE: Direction.BETTER,
    Direction.NONE: Direction.NONE,
}


class Size(StrEnum):
    """What the interval says of a difference's size."""

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
class Verdict:
    """The direction and the size of a difference, read off one interval, and what they rest on.

    `difference`, `equivalence` and `divergence` are the p of the three families, adjusted. `diverges` tells
    whether the arm is shown to diverge more often (worse) or less often (better) than its baseline. `decided`
    says that the contrast gets no more seeds. `blocked_reason` says why an open one cannot go on, such as
    "seed 3 failed".
    """

    contrast: Contrast
    direction: Direction
    size: Size
    interval: Interval | None  # at the level of the contrast's own step of Holm, over all looks
    difference: Adjusted
    equivalence: Adjusted
    divergence: Adjusted
    diverges: Direction = Direction.NONE
    rule: str = ""  # "direction" or "size" where this metric decides when the contrast stops
    decided: bool = False
    blocked_reason: str = ""

    @property
    def unbiased(self) -> float | None:
        """The difference, allowing for when the contrast stopped; None where another metric stopped it.

        See `median_unbiased`. With one look it is the mean, and by signs the median.
        """
        c = self.contrast
        if c.by_signs or c.mean is None or c.sd is None:
            return c.estimate
        looks = c.look.looks
        most = len(looks.numbers) if self.decided else c.look.k + 1
        if most == 1:
            return c.mean
        if not self.rule:
            return None
        return median_unbiased(
            looks,
            most,
            c.mean,
            c.sd,
            delta=c.delta,
            alpha=self.difference.alpha,
            alpha_same=self.equivalence.alpha,
            until_size=self.rule == "size",
        )

    def withdrawn(self) -> "Verdict":
        """The same without a claim."""
        return replace(self, direction=Direction.NONE, size=Size.UNSETTLED, diverges=Direction.NONE)

    def turned(self) -> "Verdict":
        """The verdict on the baseline against the arm."""
        i = self.interval
        return replace(
            self,
            contrast=self.contrast.turned(),
            direction=_OPPOSITE[self.direction],
            diverges=_OPPOSITE[self.diverges],
            interval=i and Interval(-i.high, -i.low, i.level),
        )

    @property
    def text(self) -> str:
        """The verdict in words, such as "better by more than δ"."""
        if self.direction is not Direction.NONE:
            return f"{self.direction}{' by ' if self.settled else ', '}{self.size}"
        if self.settled:
            return "the same within δ"
        how = {Direction.WORSE: "diverges more often", Direction.BETTER: "diverges less often"}
        return how.get(self.diverges, "open")

    @property
    def kind(self) -> str:
        """better, worse, same or open: its colour."""
        direction = self.diverges if self.direction is Direction.NONE else self.direction
        if direction is not Direction.NONE:
            return direction
        return "same" if self.settled else "open"

    @property
    def effect(self) -> str:
        """Its kind, where a difference of less than δ is counted as the same."""
        return "same" if self.size is Size.LESS else self.kind

    @property
    def symbol(self) -> str:
        """A second encoding beside colour."""
        diverges = self.direction is Direction.NONE and self.diverges is not Direction.NONE
        return "✕" if diverges else _SYMBOLS[self.direction, self.size]

    @property
    def label(self) -> str:
        """The words, with "(unpaired)" where no two values belong together."""
        return self.text if self.contrast.paired else f"{self.text} (unpaired)"

    @property
    def settled(self) -> bool:
        """Whether the size is known to be more or less than δ."""
        return self.size is not Size.UNSETTLED

    @property
    def claims(self) -> bool:
        """Whether it claims anything."""
        return self.kind != "open"

    @property
    def harmful(self) -> bool:
        """Whether the arm is shown to be worse, and not by less than δ, or to diverge more often."""
        return self.effect == "worse" or self.diverges is Direction.WORSE

    @property
    def provisional(self) -> bool:
        """Whether it claims anything on fewer than `CLAIM_SEEDS` seeds."""
        return self.claims and self.contrast.pairs < CLAIM_SEEDS


def verdict(
    c: Contrast, difference: Adjusted, equivalence: Adjusted, divergence: Adjusted | None = None
) -> Verdict:
    """Judge a contrast by its p, each adjusted over its family; by default the divergence's own.

    A direction is shown if its p is at most .05 and the interval at the level of its step of Holm excludes
    zero; otherwise the arms are the same within ±δ if the p of equivalence is at most .05 and the interval at
    that level lies within ±δ. With several looks the p may come from an earlier one, and then the interval of
    this look can disagree: the contrast is open. Under 5 pairs it is open. An arm that diverged more often
    (plain p at most .05, as this only takes claims away) is not better, one that diverged less often is not
    worse, and with a diverged seed on either side no two arms are the same.
    """
    divergence = divergence or Adjusted(c.divergence_p, ALPHA)
    direction, size, ends = Direction.NONE, Size.UNSETTLED, c.interval(difference.alpha)
    enough, suspect = c.pairs >= FEWEST_SEEDS, c.divergence_p <= ALPHA
    if enough and ends and difference.p <= ALPHA and (ends.low > 0 or ends.high < 0):
        better = (ends.high < 0) is c.lower_is_better
        direction = Direction.BETTER if better else Direction.WORSE
        size = _size(ends, c.delta)
        if suspect and better is (c.diverges_more > 0):
            direction, size = Direction.NONE, Size.UNSETTLED
    elif enough and equivalence.p <= ALPHA and not c.given_convergence:
        within = c.interval(equivalence.alpha, sides=1)
        if within and _size(within, c.delta) is Size.LESS:
            size, ends = Size.LESS, within
    more_often = Direction.WORSE if c.diverges_more > 0 else Direction.BETTER
    return Verdict(
        contrast=c,
        direction=direction,
        size=size,
        interval=ends,
        difference=difference,
        equivalence=equivalence,
        divergence=divergence,
        diverges=more_often if enough and divergence.p <= ALPHA else Direction.NONE,
    )


def _size(ends: Interval, delta: float) -> Size:
    """What an interval says of the difference's size."""
    if -delta < ends.low and ends.high < delta:
        return Size.LESS
    return Size.MORE if ends.low > delta or ends.high < -delta else Size.UNSETTLED


def verdicts(
    pairs: Mapping[Name, tuple[Mapping[int, float], Mapping[int, float]]],
    *,
    delta: float,
    lower_is_better: bool = True,
) -> dict[Name, Verdict]:
    """Judge (arm, baseline) values by seed, by name, at one look; pairs that share no seed have no verdict.

    Differences, equivalences and divergences are corrected as one family of Holm's each.
    """
    compare = partial(contrast, delta=delta, lower_is_better=lower_is_better, family=len(pairs))
    return judge_contrasts({name: compare(*pair) for name, pair in pairs.items()})


def judge_contrasts(family: Mapping[Name, Contrast]) -> dict[Name, Verdict]:
    """The verdicts on a family of contrasts, as `verdicts` has them."""
    contrasts = family.values()
    adjusted = zip(
        family,
        contrasts,
        holm([c.p for c in contrasts]),
        holm([c.equivalence_p for c in contrasts]),
        holm([c.divergence_p for c in contrasts]),
        strict=True,
    )
    return {name: verdict(c, *ps) for name, c, *ps in adjusted if c.pairs}


def sentence(v: Verdict, arm: str, baseline: str, *, unit: str = "nats", correction: str = "Holm") -> str:
    """The claim as a sentence that begins with the verdict and the names of both arms (unescaped)."""
    return f"{v.symbol} {v.text} — {arm} against {baseline}: {grounds(v, unit=unit, correction=correction)}"


def grounds(v: Verdict, *, unit: str = "nats", correction: str = "Holm") -> str:
    """The evidence for a claim: effect, interval, p, seeds, failures and, if undecided, the seeds needed.

    `unit` is the metric's unit, `correction` the name of the method that adjusted p.
    """
    c = v.contrast
    if c.identical:
        parts = [f"bitwise identical on every one of {c.pairs} seeds", _failures(c)]
    else:
        better = f"better on {c.wins} of {plural(c.pairs, 'seed')}"
        parts = [_effect(v, unit), f"{correction} p {p_value(v.difference.p)}", better, divergence(v)]
        parts.append(_failures(c))
        if v.kind == "same":
            parts[1] = f"within {_zone(c, unit)} (TOST, {correction} p {p_value(v.equivalence.p)})"
    parts += [stage(v), "" if v.claims else _undecided(c, unit)]
    parts += [f"provisional under {CLAIM_SEEDS} seeds"] if v.provisional else []
    return f"{'; '.join(filter(None, parts))}."


def divergence(v: Verdict) -> str:
    """How often each side diverged, with the p where that is shown to differ; "" if no seed did."""
    c = v.contrast
    if not (c.arm_diverged or c.baseline_diverged):
        return ""
    n = c.sizes if isinstance(c, Unpaired) else (c.pairs, c.pairs)
    counts = f"diverged {c.arm_diverged} of {n[0]} against {c.baseline_diverged} of {n[1]}"
    return f"{counts} (McNemar p {p_value(v.divergence.p)})" if c.paired else counts


def stage(v: Verdict) -> str:
    """Where in its looks a contrast stands; "" in a fixed design that can go on."""
    if v.blocked_reason:
        return f"open: {v.blocked_reason}"
    looks = v.contrast.look.looks
    if len(looks.numbers) == 1:
        return ""
    seeds = f"{v.contrast.pairs} of {looks.last} seeds"
    if not v.decided:
        return f"open after {seeds}"
    return f"decided at {seeds}" if v.claims else f"open at {seeds}, where the first metric is decided"


def _effect(v: Verdict, unit: str) -> str:
    """The difference and its interval; by signs the median's, and then the mean given convergence."""
    c = v.contrast
    if not c.pairs:
        return "no seed in common"
    ends = f", {level(v.interval)} CI {interval(v.interval, sign=True)}" if v.interval else ""
    effect = f"{measure(c.estimate, unit, sign=True)}{ends} over seeds, given this validation set"
    if not c.by_signs or c.constant:
        return effect
    mean = "" if c.mean is None else f"; given convergence the mean is {measure(c.mean, unit, sign=True)}"
    return f"median {effect}{mean}"


def level(i: Interval) -> str:
    """An interval's level in per cent: 95 %, 99.7 %."""
    return f"{100 * i.level:.3g} %"


def measure(x: float | None, unit: str, *, sign: bool = False) -> str:
    """A number with its unit."""
    return f"{number(x, sign=sign)} {unit}".rstrip()


def _zone(c: Contrast, unit: str) -> str:
    return f"±{c.delta:g} {unit}".rstrip()


def _failures(c: Contrast) -> str:
    parts = [f"{plural(c.lost, 'pair')} lost, counted as the worst for the claim"] if c.lost else []
    if c.unpaired:
        parts.append(f"without a partner: seed {', '.join(map(str, c.unpaired))}")
    return ", ".join(parts) or ("" if c.arm_diverged or c.baseline_diverged else "no failures")


def _undecided(c: Contrast, unit: str) -> str:
    """The effect that these seeds can detect, and the number of seeds that would detect δ."""
    if c.pairs < FEWEST_SEEDS:
        return f"under {FEWEST_SEEDS} seeds nothing is decided"
    if c.mde is None or c.by_signs:
        return ""
    return (
        f"{c.pairs} seeds detect {measure(c.mde, unit)} with 80 % power; "
        f"{count(c.seeds_needed)} would detect {_zone(c, unit).removeprefix('±')}"
    )


def self_check(c: Contrast) -> str:
    """A sentence on the A/A check: the baseline against itself under other seeds.

    It belongs to no family of contrasts. It is judged alone, over its pairs, by its plain p at .01.
    """
    on = f"on {plural(c.pairs, 'seed')}"
    if c.pairs < FEWEST_SEEDS:
        return f"A/A check undecided {on}: it needs {FEWEST_SEEDS}"
    if c.p <= SELF_CHECK_ALPHA:
        return f"A/A check failed {on}: the baseline differs from itself; distrust this study"
    return f"A/A check passed {on}: no significant difference between the baseline and itself"


def describe_interaction(v: Verdict) -> str:
    """A phrase on whether two factors' effects add up, from the verdict on their interaction."""
    if v.kind == "open":
        return "whether the two effects add up is not decided"
    if v.size is Size.LESS:
        return "the two effects add up, within ±δ"
    return f"together {v.direction} than the two effects add up to"


def worst_end(c: Contrast) -> float | None:
    """The worse end of the 90 % interval, which a one-sided 5 % test uses."""
    ends = c.interval(ALPHA, sides=1)
    if ends is None:
        return None
    return ends.high if c.lower_is_better else ends.low


def shown_no_worse(c: Contrast) -> bool:
    """Whether a one-sided t test at .05 rules out that the arm is worse by δ or more."""
    end = worst_end(c)
    if end is None or len(c.differences) < FEWEST_SEEDS:
        return False
    return (end if c.lower_is_better else -end) < c.delta


def seeds_to_show(c: Contrast) -> int:
    """The pairs of seeds at which all arms pass with 80 % power, if none changed.

    Every arm has to pass, so that each needs more power than all. They are assumed to have this spread.
    """
    if not c.sd:
        return FEWEST_SEEDS
    needed = power.seeds_needed(c.delta / c.sd, 2 * ALPHA, power.POWER ** (1 / c.family))
    return max(FEWEST_SEEDS, needed)
