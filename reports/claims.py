"""Summary claims, warnings and caveats of a report; every claim comes from a verdict."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import attrgetter

from unrolled.bench.errors import plural
from unrolled.bench.machine_kind import describe_mixed_pairs, find_machine_kind
from unrolled.reports.arms import values
from unrolled.reports.comparison import ComparedArm, Comparison
from unrolled.reports.formats import REPEATED, distances, interval, listed_up_to, number, on_all, short
from unrolled.reports.statistics.arm_summary import divergence_interval
from unrolled.reports.statistics.power import CLAIM_SEEDS, FEWEST_SEEDS
from unrolled.reports.statistics.verdicts import Direction, Verdict
from unrolled.reports.statistics.wording import (
    allow_for_stop,
    count_lost,
    describe_open,
    divergence,
    fails_self_check,
    self_check,
    stage,
)
from unrolled.reports.turns import turns, without_turns


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


def standing(c: Comparison) -> str:
    """A phrase that counts the contrasts that are decided; "" where there is none to decide."""
    decided = sum(row.decided for row in c.rows_to_decide)
    return f"{decided} of {plural(len(c.rows_to_decide), 'contrast')} decided" if c.rows_to_decide else ""


def seen_data(c: Comparison) -> str:
    """Sentences on contrasts whose results were seen before the plan was declared; "" where none was."""
    seen = [row for row in c.rows_to_decide if row.arm.name in c.design.seen]
    if not seen:
        return ""
    first, n = max(max(c.design.seeds) + 1, c.design.fresh), len(c.design.seeds)
    contrasts = plural(len(c.rows_to_decide), "contrast")
    whose = "its claim is" if len(seen) == 1 else "their claims are"
    return (
        f"The results of {len(seen)} of {contrasts} had been seen when this plan was declared: {whose} "
        f"exploratory. Fresh seeds confirm: --seeds {first}-{first + n - 1}"
    )


def futile_contrasts(c: Comparison) -> str:
    """A sentence on the contrasts that are given up as unlikely to be decided; "" where none is."""
    names = [row.arm.name for row in c.rows_to_decide if row.verdict and row.verdict.futile]
    if not names:
        return ""
    are = "is" if len(names) == 1 else "are"
    return (
        f"{plural(len(names), 'contrast')} {are} given up, as a verdict by {max(c.design.looks)} seeds is "
        f"unlikely: {listed_up_to(names, 3)}; run again with --to-the-end to go on"
    )


def magnitude(v: Verdict) -> float:
    """The absolute difference."""
    return abs(v.contrast.estimate or 0.0)


def largest(c: Comparison) -> float:
    """The largest absolute effect whose direction is shown, in units of δ; 0 if there is none."""
    shown = [x.verdict for x in claims(c) if x.verdict.direction is not Direction.NONE]
    return max((magnitude(v) / c.metric.zone for v in shown), default=0.0)


def tally(c: Comparison) -> str:
    """A phrase that counts the trials of the looks so far: finished, diverged, failed or missing."""
    done, total = sum(row.done for row in c.rows), sum(row.total for row in c.rows)
    if not c.design.plan_hash:
        diverged, failed = sum(row.diverged for row in c.rows), sum(row.failed for row in c.rows)
        gone = [f"{k} {what}" for k, what in ((diverged, "diverged"), (failed, "failed")) if k]
        return plural(total, "row") + (f", of which {' and '.join(gone)}" if gone else "")
    ends = {
        "diverged": sum(row.diverged for row in c.rows),
        "failed": sum(row.failed for row in c.rows),
        "not trained yet": sum(row.not_ended for row in c.rows),
        "trained for a look that is not complete": sum(row.for_next_look for row in c.rows),
    }
    bad = [f"{k} {what}" for what, k in ends.items() if k] or ["none failed"]
    return ", ".join([f"{done} of {total} trials finished", *bad])


def arms_with_failures(c: Comparison) -> tuple[tuple[ComparedArm, str], ...]:
    """The arms that have failures, with their rate of divergence."""
    lines = []
    for row in c.rows:
        parts: list[str] = []
        if k := row.diverged:
            n = row.done + k
            parts.append(f"{k} of {n} diverged (95 % CI {interval(divergence_interval(k, n), 3)})")
        parts += [f"{row.failed} failed"] if row.failed else []
        if parts:
            lines.append((row, ", ".join(parts)))
    return tuple(lines)


def warnings(c: Comparison) -> tuple[str, ...]:
    """Dead toggles, missing witnesses, a failed A/A check, skewed pairs, arms without turns, machines."""
    phrases = [
        f"{row.arm.name}: {row.note} bit for bit, so the change did nothing" for row in c.rows if row.dead
    ]
    place = attrgetter("where")
    for row in c.rows:
        failed = [proof for proof in row.proofs if not proof.ok]
        for where, proofs in groupby(sorted(failed, key=place), place):
            factors = ", ".join(proof.factor for proof in proofs)
            some = f" in {where}" if where else ""
            phrases.append(f"{row.arm.name}: no proof that {factors} took effect{some}")
    self_checks = [row.contrast for row in c.rows if row.contrast and not row.has_contrast_to_decide]
    phrases += [self_check(k) for k in self_checks if fails_self_check(k)]
    return tuple(
        filter(
            None, (*phrases, one_run(c), *c.design.doubts, *skewness(c), without_turns(c), mixed_machines(c))
        )
    )


def one_run(c: Comparison) -> str:
    """A sentence on the arms that ignore their seed; "" if there are none."""
    copied = listed_up_to([short(row.arm.name) for row in c.rows if row.copied], 5)
    if not copied:
        return ""
    if c.design.nondeterminism is None:
        return f"{copied}: maybe one run under all seeds, which is not known without a repeated training"
    return f"one run, with the same numbers on every {c.design.noun}, shows no difference: {copied}"


def skewness(c: Comparison) -> tuple[str, ...]:
    """Sentences on contrasts whose values are so skewed that tests may err, or too few to show it."""
    whose = "pairs" if c.design.pair else "values"
    skewed, few = [], []
    for row in c.rows_with_contrast:
        k, v = row.contrast, row.verdict
        if k and v and k.skewed:
            of = plural(k.skewness_of, c.design.noun)
            skewed.append(f"{short(row.arm.name)} (skewness {number(k.skewness, 1)} over {of})")
        elif k and v and v.claims and k.hides_skewness:
            few.append(f"{short(row.arm.name)} ({plural(k.skewness_of, c.design.noun)})")
    sentences = {
        f"skewed {whose}": skewed,
        f"fewer than {CLAIM_SEEDS} {whose} cannot show whether they are skewed": few,
    }
    return tuple(f"{what}: {_join(arms)}; {MORE_ERRORS}" for what, arms in sentences.items() if arms)


MORE_ERRORS = "such verdicts may err more often than they should"


def _join(arms: Sequence[str]) -> str:
    return ", ".join(arms[:5]) + (f" and {len(arms) - 5} more" if len(arms) > 5 else "")


def mixed_machines(c: Comparison) -> str:
    """A sentence on pairs of results from different kinds of machine; "" if there are none."""
    sides = [(c.base(row).arm, row.arm) for row in c.rows_with_contrast]
    return describe_mixed_pairs(
        (find_machine_kind(base.results[seed].environment), find_machine_kind(arm.results[seed].environment))
        for base, arm in sides
        for seed in values(base, c.metric.name).keys() & values(arm, c.metric.name).keys()
    )


_CAVEATS_OF_LOOKS = (
    "Pairs of seeds are not exactly normal. With smoothed differences of the shipped study toggles, looks at "
    "10 to 40 seeds claimed a difference where there was none in .043 of studies by accuracy and in .035 "
    "by loss, where .05 is meant. With exponential differences and the default looks one contrast errs in "
    ".06 of studies, and some one of fifteen in .13; looks from five seeds on err more often.",
    "A rare collapse can be missed: what none of n seeds showed may still happen in up to 3/n of them.",
)


def not_deterministic(c: Comparison) -> str:
    """A sentence on a program of which two equal trials differ, or may differ; "" for others."""
    if c.design.nondeterminism is None:
        return (
            f"Not checked: {REPEATED}. Whether the seed or a setting has an effect is not known, and an arm "
            "whose seeds differ much less than another arm's makes no claim."
        )
    if not c.design.nondeterminism:
        return ""
    differ = distances(c.design.nondeterminism)
    return (
        f"Not deterministic: two trials of one seed differ ({differ}). Seeds pair the arms less closely, and "
        "whether a setting has an effect at all was not checked."
    )


def zone(c: Comparison) -> str:
    """±δ with its unit; of a ratio both ends, as that of a fall is smaller: −4.8 to +5 %."""
    zone = c.metric.zone
    if c.metric.ratio:
        return f"{number(c.scale.read_difference(-zone), 1)} to +{c.scale.within(zone)}"
    return f"±{c.scale.within(zone)}"


def limits(c: Comparison, environments: dict[str, str]) -> tuple[str, ...]:
    """Sentences on the limits of these results."""
    known = c.design.presentation.given
    noun = "interval" if any(row.interval for row in c.rows) else "number"
    one = "There is one validation set:" if known else "If seeds share one validation set,"
    phrases = [
        f"{one} every {noun} is over seeds, given that set. Other data may differ.",
        not_deterministic(c),
        turns(c),
        *(
            f"Differences in {view.title} within {zone(view)} were declared too small to matter."
            for view in c.per_metric
        ),
    ]
    if machine := environments.get("gpu") or environments.get("cpu") or environments.get("platform"):
        phrases.append(
            f"Speeds and seconds hold for this hardware: {machine}. The order may differ elsewhere."
        )
    if c.sequential:
        phrases += _CAVEATS_OF_LOOKS
    if any(row.diverged for row in c.rows):
        phrases.append("A mean beside a diverged seed is given convergence: it describes the others alone.")
    if any(row.arm.exploratory for row in c.rows):
        phrases.append("Arms marked exploratory suggest and do not confirm.")
    return tuple(filter(None, phrases))
