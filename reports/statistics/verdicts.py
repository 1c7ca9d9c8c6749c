"""From contrasts to words: five verdicts, and the only sentences in which a report may claim anything."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TypeVar

from bench.errors import plural
from reports.formats import count, interval, number, p_value
from reports.statistics import power
from reports.statistics.contrasts import Contrast, Interval, contrast, holm
from reports.statistics.power import ALPHA, CLAIM_SEEDS, FEWEST_SEEDS

Name = TypeVar("Name")
SELF_CHECK_ALPHA = 0.01
"""The level of the A/A check: one study in a hundred is distrusted without a cause."""


class Word(StrEnum):
    """The five verdicts."""

    IMPROVES = "IMPROVES"
    WORSENS = "WORSENS"
    EQUIVALENT = "EQUIVALENT"
    NEGLIGIBLE = "DETECTABLE BUT NEGLIGIBLE"
    INCONCLUSIVE = "INCONCLUSIVE"

    @property
    def symbol(self) -> str:
        """A second encoding beside colour."""
        return dict(zip(Word, "▲▼≡≈?", strict=True))[self]


@dataclass(frozen=True)
class Verdict:
    """A word, the contrast that it rests on, and the p of both families, adjusted.

    `decided` says that the contrast gets no more seeds: the first metric has a verdict. `blocked_reason` says
    why an open contrast cannot go on, such as "seed 3 failed".
    """

    word: Word
    contrast: Contrast
    p_adjusted: float
    p_equivalent: float
    decided: bool = False
    blocked_reason: str = ""

    @property
    def symbol(self) -> str:
        """The word's symbol."""
        return self.word.symbol

    @property
    def label(self) -> str:
        """The word, with "(unpaired)" where no two values belong together."""
        return self.word if self.contrast.paired else f"{self.word} (unpaired)"

    @property
    def claims(self) -> bool:
        """Whether it claims an effect or equivalence."""
        return self.word is not Word.INCONCLUSIVE

    @property
    def provisional(self) -> bool:
        """Whether it claims an effect or equivalence on fewer than `CLAIM_SEEDS` seeds."""
        return self.claims and self.contrast.pairs < CLAIM_SEEDS


def verdict(
    c: Contrast, p_adjusted: float, p_equivalent: float | None = None, direction: int | None = None
) -> Verdict:
    """Judge a contrast by the p of its difference and of its equivalence, both adjusted over their family.

    | word                      | difference significant | equivalence within ±δ significant |
    |---------------------------|------------------------|-----------------------------------|
    | IMPROVES, WORSENS         | yes                    | no                                |
    | DETECTABLE BUT NEGLIGIBLE | yes                    | yes                               |
    | EQUIVALENT                | no                     | yes                               |
    | INCONCLUSIVE              | no                     | no                                |

    Under 5 pairs the word is INCONCLUSIVE. `p_equivalent` is the contrast's own unless given. With several
    looks the p may come from an earlier one, and a word also needs this look's estimate: a direction that is
    also the earlier look's (`direction`), or a mean within ±δ.
    """
    p_equivalent = c.equivalence_p if p_equivalent is None else p_equivalent
    within = p_equivalent <= ALPHA and c.equivalence_p < 0.5  # .5 is the p of a mean at ±δ
    different = p_adjusted <= ALPHA
    word = Word.INCONCLUSIVE
    if c.pairs >= FEWEST_SEEDS:
        if within:
            word = Word.NEGLIGIBLE if different else Word.EQUIVALENT
        elif different and c.direction and direction in (None, c.direction):
            word = Word.IMPROVES if c.better else Word.WORSENS
    return Verdict(word, c, p_adjusted, p_equivalent)


def verdicts(
    pairs: Mapping[Name, tuple[Mapping[int, float], Mapping[int, float]]],
    *,
    delta: float,
    lower_is_better: bool = True,
) -> dict[Name, Verdict]:
    """Judge (arm, baseline) values by seed, by name, at one look; pairs that share no seed have no verdict.

    Differences and equivalences are corrected as one family of Holm's each.
    """
    compare = partial(contrast, delta=delta, lower_is_better=lower_is_better, family=len(pairs))
    return judge_contrasts({name: compare(*pair) for name, pair in pairs.items()})


def judge_contrasts(family: Mapping[Name, Contrast]) -> dict[Name, Verdict]:
    """The verdicts on a family of contrasts, as `verdicts` has them."""
    different = holm([c.p for c in family.values()])
    equivalent = holm([c.equivalence_p for c in family.values()])
    adjusted = zip(family.items(), different, equivalent, strict=True)
    return {name: verdict(c, p, e) for (name, c), p, e in adjusted if c.pairs}


def sentence(v: Verdict, arm: str, baseline: str, *, unit: str = "nats", correction: str = "Holm") -> str:
    """The claim as a sentence that begins with the verdict and the names of both arms (unescaped)."""
    return f"{v.symbol} {v.word} — {arm} against {baseline}: {grounds(v, unit=unit, correction=correction)}"


def grounds(v: Verdict, *, unit: str = "nats", correction: str = "Holm") -> str:
    """The evidence for a claim: effect, interval, p, seeds, failures and, if undecided, the seeds needed.

    `unit` is the metric's unit, `correction` the name of the method that adjusted p.
    """
    c = v.contrast
    if c.identical:
        parts = [f"bitwise identical on every one of {c.pairs} seeds", _failures(c)]
    else:
        adjusted, better = p_value(v.p_adjusted), f"better on {c.wins} of {plural(c.pairs, 'seed')}"
        parts = [_effect(c, unit), f"{correction} p {adjusted}", better, _failures(c)]
        if v.word in (Word.EQUIVALENT, Word.NEGLIGIBLE):
            shown = f"TOST, {correction} p {p_value(v.p_equivalent)}{_ci(c.interval90)}"
            parts.insert(1, f"within {_zone(c, unit)} ({shown})")
    parts += [stage(v), "" if v.claims else _undecided(c, unit)]
    parts += [f"provisional under {CLAIM_SEEDS} seeds"] if v.provisional else []
    return f"{'; '.join(filter(None, parts))}."


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
    return f"decided at {seeds}" if v.claims else f"undecided at {seeds}, where the first metric is decided"


def _effect(c: Contrast, unit: str) -> str:
    """Mean difference and interval; with diverged seeds the medians first."""
    if not c.pairs:
        return "no seed in common"
    medians = f"medians {measure(c.arm_median, unit)} and {measure(c.baseline_median, unit)}"
    if c.mean is None:
        return medians
    mean = f"{measure(c.mean, unit, sign=True)}{_ci(c.interval)} over seeds, given this validation set"
    return f"{medians}; given convergence {mean}" if c.given_convergence else mean


def measure(x: float | None, unit: str, *, sign: bool = False) -> str:
    """A number with its unit."""
    return f"{number(x, sign=sign)} {unit}".rstrip()


def _zone(c: Contrast, unit: str) -> str:
    return f"±{c.delta:g} {unit}".rstrip()


def _ci(i: Interval | None) -> str:
    return f", {100 * i.level:g} % CI {interval(i, sign=True)}" if i else ""


def _failures(c: Contrast) -> str:
    parts: list[str] = []
    if c.arm_diverged or c.baseline_diverged:
        parts.append(f"diverged {c.arm_diverged} of {c.pairs} against {c.baseline_diverged} of {c.pairs}")
    if c.unpaired:
        parts.append(f"without a partner: seed {', '.join(map(str, c.unpaired))}")
    return ", ".join(parts) or "no failures"


def _undecided(c: Contrast, unit: str) -> str:
    """The effect that these seeds can detect, and the number of seeds that would detect δ."""
    if c.pairs < FEWEST_SEEDS:
        return f"under {FEWEST_SEEDS} seeds nothing is decided"
    if c.mde is None or c.given_convergence:
        return "a mean that leaves out diverged seeds decides nothing"
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


_INTERACTIONS = {
    Word.IMPROVES: "together better than the two effects add up to",
    Word.WORSENS: "together worse than the two effects add up to",
    Word.EQUIVALENT: "the two effects add up, within ±δ",
    Word.NEGLIGIBLE: "the two effects add up, except for less than δ",
    Word.INCONCLUSIVE: "whether the two effects add up is not decided",
}


def describe_interaction(v: Verdict) -> str:
    """A phrase on whether two factors' effects add up, from the verdict on their interaction."""
    return _INTERACTIONS[v.word]


def worst_end(c: Contrast) -> float | None:
    """The worse end of the 90 % interval, which a one-sided 5 % test uses."""
    if c.interval90 is None:
        return None
    return c.interval90.high if c.lower_is_better else c.interval90.low


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
