"""What a page says of a comparison as a whole: progress, declaration, warnings and limits."""

from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter

from unrolled.bench.errors import plural
from unrolled.bench.machine_kind import describe_mixed_pairs, find_machine_kind
from unrolled.bench.metric import judges_clock
from unrolled.reports.comparison import ComparedArm, Comparison
from unrolled.reports.formats import REPEATED, distances, interval, listed_up_to, number, short, when
from unrolled.reports.sentences import fails_self_check, self_check
from unrolled.reports.statistics.arm_summary import divergence_interval
from unrolled.reports.statistics.power import CLAIM_SEEDS

LISTED = 5  # arms that a sentence lists before it counts the others


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
        for seed in base.collect_metric(c.metric.name).keys() & arm.collect_metric(c.metric.name).keys()
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


OWN_LEVEL = "Each attempt has its own .05, so that among several one is wrong more often"


def declaration(c: Comparison) -> str:
    """A sentence on when the plan was declared, and whether that was before its contrasts had results."""
    design = c.design
    declared = f"declared on {when(design.planned)}"
    if design.first is not None:
        declared = f"first declared on {when(design.first)} and in this form on {when(design.planned)}"
    if design.seen:
        seen, contrasts = len(design.seen), plural(len(c.rows_to_decide), "contrast")
        return f"{declared}, after results of both sides of {seen} of its {contrasts}"
    if design.ships:
        return f"{declared}; it ships with Unrolled, whose own studies were declared before all results"
    return f"{declared}, before any of its contrasts had results of both sides in this ledger"


def earlier_attempts(c: Comparison) -> list[str]:
    """A line on each earlier plan of one of the contrasts, in the order of the arms."""
    return [line for row in c.rows_to_decide for line in c.design.attempts.get(row.arm.name, ())]


def count_attempts(c: Comparison) -> str:
    """Sentences on how many contrasts were planned before, and what that means; "" where none was."""
    again = [row for row in c.rows_to_decide if c.design.attempts.get(row.arm.name)]
    if not again:
        return ""
    were = "was" if len(again) == 1 else "were"
    contrasts = plural(len(c.rows_to_decide), "contrast")
    return f"{len(again)} of {contrasts} {were} planned before in this ledger. {OWN_LEVEL}"


def turns(c: Comparison) -> str:
    """A sentence on which arm of each pair was trained first; "" where no clock is judged."""
    counts = [f"{short(name)} on {first} of {n}" for name, (first, n) in _count_first(c).items()]
    if not counts:
        return ""
    more = f" and {len(counts) - LISTED} more" if len(counts) > LISTED else ""
    return (
        f"Arms take turns within a {c.design.noun}, as a trial may leave the next one a filled cache. "
        f"Trained before the arm that it is compared with: {', '.join(counts[:LISTED])}{more}."
    )


def without_turns(c: Comparison) -> str:
    """A sentence on arms that always, or never, came before the one they are compared with; "" for none.

    Their results may be of an earlier study, or of a version that trained arms in one order.
    """
    arms = [name for name, (first, n) in _count_first(c).items() if n > 1 and first in (0, n)]
    if not arms:
        return ""
    return (
        f"one side was trained first on every {c.design.noun}, and what it left to the other, such as a "
        f"filled cache, may be the difference: {listed_up_to(arms, LISTED)}"
    )


def _count_first(c: Comparison) -> dict[str, tuple[int, int]]:
    """By arm, on how many seeds it was trained before the arm that it is compared with, and of how many."""
    counts: dict[str, tuple[int, int]] = {}
    if not judges_clock(c.design.metrics):
        return counts
    for row in c.rows_with_contrast:
        ours, theirs = row.arm.results, c.base(row).arm.results
        pairs = [(ours[seed].started, theirs[seed].started) for seed in ours.keys() & theirs.keys()]
        known = [arm < base for arm, base in pairs if arm != base]
        if known:
            counts[row.arm.name] = sum(known), len(known)
    return counts
