"""The sentences in which a report may claim something, made of verdicts."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from unrolled.bench.errors import plural
from unrolled.reports.comparison import ComparedArm, Comparison
from unrolled.reports.formats import count, number, on_all, p_value
from unrolled.reports.presentation import Scale
from unrolled.reports.statistics.contrasts import Contrast
from unrolled.reports.statistics.elsewhere import Unpaired
from unrolled.reports.statistics.power import (
    CLAIM_SEEDS,
    FEWEST_SEEDS,
    SELF_CHECK_ALPHA,
    minimum_detectable_effect,
)
from unrolled.reports.statistics.verdicts import Direction, Size, Verdict


def sentence(v: Verdict, arm: str, baseline: str, scale: Scale, *, correction: str = "Holm") -> str:
    """The claim as a sentence that begins with the verdict and the names of both arms (unescaped).

    Then its evidence: effect, interval, p, seeds, failures and, if undecided, the seeds needed. `scale` is
    the metric's, `correction` the name of the method that adjusted p.
    """
    c = v.contrast
    if c.tied:
        parts = [f"the same value {on_all(c.pairs, 'seed')}", _failures(c)]
    else:
        better = f"better on {c.wins} of {plural(c.pairs, 'seed')}"
        parts = [_effect(v, scale), f"{correction} p {p_value(v.difference_p)}", better, divergence(v)]
        parts.append(_failures(c))
        if v.kind == "same":
            parts[1] = f"within ±{scale.delta(c.delta)} (TOST, {correction} p {p_value(v.equivalence_p)})"
    parts += [stage(v), "" if v.claims or v.futile else _undecided(c, scale)]
    parts += [f"provisional under {CLAIM_SEEDS} seeds"] if v.provisional else []
    return f"{v.symbol} {v.text} — {arm} against {baseline}: {'; '.join(filter(None, parts))}."


def divergence(v: Verdict) -> str:
    """How often each side diverged, with the p of a difference where there is a test; "" if no seed did."""
    counts = count_diverged(v.contrast)
    if not counts or not v.contrast.divergence_test:
        return counts
    return f"{counts} ({v.contrast.divergence_test}, adjusted p {p_value(v.divergence.p)})"


def count_diverged(c: Contrast) -> str:
    """How often each side diverged: "diverged 5 of 40 against 0 of 40"; "" if no seed did."""
    if not (c.arm_diverged or c.baseline_diverged):
        return ""
    n = c.sizes if isinstance(c, Unpaired) else (c.pairs, c.pairs)
    return f"diverged {c.arm_diverged} of {n[0]} against {c.baseline_diverged} of {n[1]}"


def stage(v: Verdict) -> str:
    """Where in its looks a contrast stands; "" in a fixed design that can go on."""
    if v.blocked_reason:
        return f"open: {v.blocked_reason}"
    looks = v.contrast.look.looks
    if len(looks.numbers) == 1:
        return ""
    seeds = f"{v.contrast.pairs} of {looks.last} seeds"
    if not v.decided:
        if v.contrast.pairs >= looks.last:
            return f"open at the last look, {seeds}"
        return f"{describe_open(v)} after {seeds}"
    return f"decided at {seeds}" if v.claims else f"open at {seeds}, where the first metric was decided"


def describe_open(v: Verdict) -> str:
    """What is open of a contrast that gets more seeds: its verdict, its size, or that by another metric."""
    if not v.claims:
        return "open"
    whose = {"": "the first metric", "size": "its size", "gate": "the gate"}
    return f"{whose[v.rule]} is open"


def _effect(v: Verdict, scale: Scale) -> str:
    """The difference and its interval; by signs the median's, and then the mean given convergence."""
    c = v.contrast
    if not c.pairs:
        return "no seed in common"
    ends = f", {v.interval.percent} CI {scale.cell_ends(v.interval)}" if v.interval else ""
    effect = f"{scale.measured(c.estimate, sign=True)}{ends} over seeds"
    if not c.by_median:
        return "; ".join(filter(None, (effect, allow_for_stop(v, lambda x: scale.measured(x, sign=True)))))
    mean = "" if c.mean is None else f"; given convergence the mean is {scale.measured(c.mean, sign=True)}"
    return f"median {effect}{mean}"


def allow_for_stop(v: Verdict, show: Callable[[float], str]) -> str:
    """The median-unbiased estimate of a contrast that stopped early; "" where it looks like the mean."""
    look = v.contrast.look
    if not v.decided or look.k + 1 == len(look.looks.numbers):
        return ""
    mean, unbiased = v.contrast.estimate, v.unbiased
    if mean is None or unbiased is None or show(mean) == show(unbiased):
        return ""
    return f"{show(unbiased)} allowing for the early stop"


def count_lost(c: Contrast) -> str:
    """How many pairs were lost, and by which side: "3 pairs lost (the arm's 3, its baseline's 0)"."""
    whose = f" (the arm's {c.arm_lacks}, its baseline's {c.baseline_lacks})"
    return f"{plural(c.lost, 'pair')} lost{whose if c.arm_lacks or c.baseline_lacks else ''}"


def _failures(c: Contrast) -> str:
    parts = [f"{count_lost(c)}, counted as the worst for the claim"] if c.lost else []
    if c.unpaired:
        parts.append(f"without a partner: seed {', '.join(map(str, c.unpaired))}")
    return ", ".join(parts)


def _undecided(c: Contrast, scale: Scale) -> str:
    """The effect that these seeds can detect, and the number of seeds that would detect δ."""
    if c.pairs < FEWEST_SEEDS:
        return f"under {FEWEST_SEEDS} seeds nothing is decided"
    if c.mde is None or c.by_signs:
        return ""
    return (
        f"{c.pairs} seeds detect {scale.measured(c.mde)} with 80 % power; "
        f"{count(c.seeds_needed)} would detect {scale.delta(c.delta)}"
    )


def self_check(c: Contrast) -> str:
    """A sentence on the A/A check: the baseline against itself under other seeds.

    It belongs to no family of contrasts. It is judged alone, over its pairs, by its plain p at .01. One that
    passed says what difference it would have noticed, as it cannot rule out a smaller one.
    """
    on = ", ".join(filter(None, (f"on {plural(c.pairs, 'seed')}", count_diverged(c))))
    if c.pairs < FEWEST_SEEDS:
        return f"A/A check undecided {on}: it needs {FEWEST_SEEDS}"
    if fails_self_check(c):
        return f"A/A check failed {on}: the baseline differs from itself; distrust this study"
    judged = f"p {p_value(c.p)}, judged at {p_value(SELF_CHECK_ALPHA)}"
    passed = f"A/A check passed {on}: the baseline under other seeds is not shown to differ ({judged})"
    if c.by_signs or c.sd is None:
        return passed
    noticed = c.sd * minimum_detectable_effect(c.pairs, SELF_CHECK_ALPHA) / c.delta
    return f"{passed}; with 80 % power it would notice a difference of {number(noticed, 1)} δ"


def fails_self_check(c: Contrast) -> bool:
    """Whether the baseline differs from itself."""
    return c.pairs >= FEWEST_SEEDS and c.p <= SELF_CHECK_ALPHA


def describe_interaction(v: Verdict) -> str:
    """A phrase on whether two factors' effects add up, from the verdict on their interaction."""
    if v.kind == "open":
        return "whether the two effects add up is not decided"
    if v.size is Size.LESS:
        return "the two effects add up, within ±δ"
    return f"together {v.direction} than the two effects add up to"


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One contrast in a line, by the study's first metric."""

    row: ComparedArm
    verdict: Verdict
    comparison: Comparison

    @property
    def text(self) -> str:
        """Levels, effect, interval and seeds; the word and the names stand beside it."""
        decided = stage(self.verdict) if self.row.decided else ""
        return ", ".join(filter(None, (_line(self.row, self.comparison), decided)))

    @property
    def other_metrics(self) -> tuple[str, ...]:
        """The same by each other metric."""
        return tuple(
            f"{view.title}: {v.symbol} {v.text}, {_line(view.rows[self.row.index], view)}"
            for view in self.comparison.others
            if (v := view.rows[self.row.index].verdict)
        )


def claims(c: Comparison) -> tuple[Claim, ...]:
    """One claim a contrast: better arms first, then worse ones; within each the largest effect first."""
    unsorted = [
        Claim(row=row, verdict=row.verdict, comparison=c) for row in c.rows_with_contrast if row.verdict
    ]
    order = ("better", "worse", "same", "open")

    def place(x: Claim) -> tuple[int, float, int]:
        return order.index(x.verdict.kind), -magnitude(x.verdict), x.row.index

    return tuple(sorted(unsorted, key=place))


def _line(row: ComparedArm, c: Comparison) -> str:
    """Level of the baseline → of the arm over the pair's seeds, effect with interval, seeds, state."""
    k = row.contrast
    if k is None:
        return row.note
    if k.tied:
        return f"the same {on_all(k.pairs, row.noun)}"
    phrases = []
    show = partial(c.scale.by, ends=row.interval, sign=True)
    if k.estimate is not None:
        median = "median " if k.by_median else ""
        phrases = [
            "" if median else c.scale.change(k.baseline_mean, k.arm_mean),
            f"{median}{c.scale.moved(k.estimate, row.interval)}",
            c.scale.from_to(row.interval),
            allow_for_stop(row.verdict, show) if row.verdict else "",
            f"{c.scale.also.title} {c.scale.also.moved(k.estimate)}" if c.scale.also else "",
        ]
    phrases += [f"better on {k.wins} of {plural(k.pairs, row.noun)}" if k.paired else "", remark(row)]
    return ", ".join(filter(None, phrases))


def remark(row: ComparedArm) -> str:
    """The state of the arm's contrast, or why it has none; "" where it is decided like any other."""
    v, k = row.verdict, row.contrast
    if not k:
        return row.note if row.index else "baseline"
    if not v:
        return self_check(k)
    phrases = [divergence(v)] if k.given_convergence else []
    phrases += [count_lost(k)] if k.lost else []
    if v.blocked_reason:
        phrases.append(f"open: {v.blocked_reason}")
    elif not v.decided:
        phrases.append(_open(row, v))
    elif not v.claims:
        phrases.append(f"open: {open_because(row)}")
    phrases += ["open only because the pairs are skewed"] if v.open_by_skewness else []
    if v.provisional:
        phrases.append(f"provisional: under {CLAIM_SEEDS} seeds")
    return "; ".join(phrases)


def open_because(row: ComparedArm) -> str:
    """Why the arm's contrast is open; "" where it claims anything, or is none."""
    v, k = row.verdict, row.contrast
    if v is None or k is None or v.claims:
        return ""
    if v.blocked_reason:
        return v.blocked_reason
    if k.pairs < FEWEST_SEEDS:
        return f"under {FEWEST_SEEDS} {row.noun}s nothing is decided"
    if v.open_by_skewness:
        return "the pairs are skewed"
    if k.fails_unequally:
        return "one side failed more often, so that the two are not the same"
    shown = f"neither a difference nor equality within ±δ is shown at {plural(k.pairs, row.noun)}"
    return f"{shown}, where the first metric was decided" if v.decided else shown


def _open(row: ComparedArm, v: Verdict) -> str:
    """How many pairs a contrast has that is not decided, and whether it may get more."""
    k = v.contrast
    several_looks = len(k.look.looks.numbers) > 1
    if several_looks and k.pairs < row.max_seeds:
        return f"{describe_open(v)} after {k.pairs} of {plural(row.max_seeds, row.noun)}"
    few = f": under {FEWEST_SEEDS} nothing is decided" if k.pairs < FEWEST_SEEDS else ""
    return f"not decided at {plural(k.pairs, row.noun)}{few}"


def sentences(c: Comparison) -> tuple[str, ...]:
    """The claims as whole sentences, each with the other metrics after it."""
    lines = []
    for x in claims(c):
        standing = f" ({', '.join(x.row.standing)})" if x.row.standing else ""
        sides = f"{x.row.arm.name} against {c.base(x.row).arm.name}{standing}"
        numbers = "; ".join((x.text, *x.other_metrics))
        lines.append(f"{x.verdict.symbol} {x.verdict.label} — {sides}: {numbers}.")
    return tuple(lines)


def magnitude(v: Verdict) -> float:
    """The absolute difference."""
    return abs(v.contrast.estimate or 0.0)


def largest(c: Comparison) -> float:
    """The largest absolute effect whose direction is shown, in units of δ; 0 if there is none."""
    shown = [x.verdict for x in claims(c) if x.verdict.direction is not Direction.NONE]
    return max((magnitude(v) / c.metric.zone for v in shown), default=0.0)
