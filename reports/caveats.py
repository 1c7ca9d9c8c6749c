"""What a page says of a comparison as a whole: progress, declaration, warnings and limits."""

from collections import Counter
from itertools import groupby
from operator import attrgetter

from unrolled.bench.errors import plural
from unrolled.bench.machine_kind import describe_mixed_pairs, find_machine_kind
from unrolled.bench.metric import FEWEST_SEEDS, is_computed, judges_clock
from unrolled.reports.compared_arm import ComparedArm
from unrolled.reports.comparison import Comparison
from unrolled.reports.formats import (
    REPEATED,
    describe_distances,
    format_interval,
    format_number,
    format_time,
    join_first,
    join_first_names,
    shorten,
)
from unrolled.reports.sentences import describe_aa_check, fails_aa_check
from unrolled.reports.statistics.arm_summary import divergence_interval
from unrolled.reports.statistics.error_contrasts import Unpaired
from unrolled.reports.statistics.power import CLAIM_SEEDS

LISTED = 5  # arms that a sentence lists before it counts the others


def describe_decided(c: Comparison) -> str:
    """Return a phrase that counts the contrasts that are decided; "" where there is none to decide.

    It names the metric that decides, if there are several.
    """
    if not c.arms_to_decide:
        return ""
    verdicts = [row.verdict for row in c.arms_to_decide if row.decided and row.verdict]
    unsettled = sum(verdict.claims and not verdict.settled for verdict in verdicts)
    sizes = f", {unsettled} in direction only" if unsettled else ""
    decided = sum(row.decided for row in c.arms_to_decide)
    by = f" by {c.title}" if c.other_views else ""
    return f"{decided} of {plural(len(c.arms_to_decide), 'contrast')} decided{by}{sizes}"


def describe_seen_data(c: Comparison) -> str:
    """Return sentences on contrasts whose results were seen before the plan was declared; "" for none."""
    exploratory = [row for row in c.arms_to_decide if row.arm.name in c.design.seen_pairs]
    if not exploratory:
        return ""
    first = max(max(c.design.seeds) + 1, c.design.first_fresh_seed)
    fresh = f"--seeds {first}-{first + len(c.design.seeds) - 1}"
    if c.design.decide == "gate":  # which has the seeds of its base's study
        fresh = "`seeds` of the study, in a change of its own"
    contrasts = plural(len(c.arms_to_decide), "contrast")
    whose = "its claim is" if len(exploratory) == 1 else "their claims are"
    return (
        f"The results of {len(exploratory)} of {contrasts} had been seen when this plan was declared: "
        f"{whose} exploratory. Fresh seeds confirm: {fresh}"
    )


def describe_futile_contrasts(c: Comparison) -> str:
    """Return a sentence on the contrasts that are given up as unlikely to be decided; "" where none is."""
    names = [row.arm.name for row in c.arms_to_decide if row.verdict and row.verdict.futile]
    if not names:
        return ""
    are = "is" if len(names) == 1 else "are"
    return (
        f"{plural(len(names), 'contrast')} {are} given up, as a verdict by {max(c.design.looks)} seeds is "
        f"unlikely: {join_first_names(names, 3)}; run again with --to-the-end to go on"
    )


def describe_trials(c: Comparison) -> str:
    """Return a phrase that counts the trials of the looks so far: finished, diverged, failed or missing."""
    total = sum(row.total for row in c.arms)
    ends = {
        "diverged": sum(row.diverged for row in c.arms),
        "failed": sum(row.failed for row in c.arms),
        "not trained yet": sum(row.not_ended for row in c.arms),
        "trained for a look that is not complete": sum(row.for_next_look for row in c.arms),
    }
    phrases = [f"{number} {end}" for end, number in ends.items() if number]
    if not c.design.plan_hash:
        return ", of which ".join(filter(None, [plural(total, "row"), " and ".join(phrases)]))
    finished = f"{sum(row.done for row in c.arms)} of {total} trials finished"
    return ", ".join([finished, *(phrases or ["none failed"])])


def list_failures(c: Comparison) -> tuple[tuple[ComparedArm, str], ...]:
    """Return the arms that have failures, with their rate of divergence."""
    failures = []
    for row in c.arms:
        phrases = [f"{row.failed} failed"] if row.failed else []
        if row.diverged:
            trials = row.done + row.diverged
            ends = format_interval(divergence_interval(row.diverged, trials), 3)
            phrases.insert(0, f"{row.diverged} of {trials} diverged (95 % CI {ends})")
        if phrases:
            failures.append((row, ", ".join(phrases)))
    return tuple(failures)


def list_warnings(c: Comparison) -> tuple[str, ...]:
    """Return sentences on whatever makes these results doubtful, from dead toggles to mixed machines."""
    phrases = [
        f"{row.arm.name}: {row.note} bit for bit, so the change did nothing" for row in c.arms if row.is_dead
    ]
    seeds_of = attrgetter("failed_seeds")
    for row in c.arms:
        failed = [proof for proof in row.proofs if not proof.ok]
        for seeds, proofs in groupby(sorted(failed, key=seeds_of), seeds_of):
            factors = ", ".join(proof.factor for proof in proofs)
            in_seeds = f" in {seeds}" if seeds else ""
            phrases.append(f"{row.arm.name}: no proof that {factors} took effect{in_seeds}")
    self_checks = [row.contrast for row in c.arms if row.contrast and not row.has_contrast_to_decide]
    phrases += [describe_aa_check(k) for k in self_checks if fails_aa_check(k)]
    phrases += [
        describe_warned_trials(c),
        describe_copied_arms(c),
        describe_perfect_arms(c),
        *c.design.doubts,
        *list_skewed_contrasts(c),
    ]
    phrases += [describe_missing_turns(c), describe_mixed_machines(c)]
    return tuple(filter(None, phrases))


def describe_warned_trials(c: Comparison) -> str:
    """Return a phrase on the trials that have learnt nothing, by arm; "" if there are none."""
    warned = Counter(
        (row.arm.name, r.warning) for row in c.arms for r in row.arm.finished_results if r.warning
    )
    phrases = [
        f"{shorten(name)} {warning} on {plural(number, c.design.noun)}"
        for (name, warning), number in warned.items()
    ]
    return join_first(phrases, LISTED)


def describe_copied_arms(c: Comparison) -> str:
    """Return a sentence on the arms that ignore their seed; "" if there are none."""
    copied = join_first_names([row.arm.name for row in c.arms if row.copied], LISTED)
    if not copied:
        return ""
    if c.design.nondeterminism is None:
        return f"{copied}: maybe one run under all seeds, which is not known without a repeated training"
    return f"one run, with the same numbers on every {c.design.noun}, shows no difference: {copied}"


def describe_perfect_arms(c: Comparison) -> str:
    """Return a sentence on arms of which no judged number tells whether they are one run; "" for none."""
    views = [v for v in c.per_metric if v.metric.is_quality and is_computed(v.metric.name)]
    perfect = []
    for row in c.arms:
        values = [(v.metric, v.arms[row.index].summary.values.values()) for v in views]
        fingerprints = {tuple(sorted(result.fingerprints.items())) for result in row.arm.finished_results}
        is_one_value = values and row.done >= FEWEST_SEEDS and len(fingerprints) < 2
        if is_one_value and row.arm.uses_seed and all(metric.are_best(xs) for metric, xs in values):
            perfect.append(row.arm.name)
    if not perfect:
        return ""
    return (
        f"the best possible value on every {c.design.noun}, which one run copied for all has, too; a metric "
        f"that differs between runs, such as a loss, would tell: {join_first_names(perfect, LISTED)}"
    )


def list_skewed_contrasts(c: Comparison) -> tuple[str, ...]:
    """Return sentences on contrasts whose values are so skewed that tests may err, or too few to show it."""
    whose = "pairs" if c.design.pair else "values"
    by = f" in {c.title}" if c.other_views else ""
    skewed = []
    too_few = []
    unequal = []
    for row in c.arms_with_contrast:
        k = row.contrast
        v = row.verdict
        if k and v and k.skewed:
            values = plural(k.skewness_of, c.design.noun)
            skewed.append(f"{shorten(row.arm.name)} (skewness {format_number(k.skewness, 1)} over {values})")
        elif isinstance(k, Unpaired) and v and v.claims and k.has_unequal_spreads:
            unequal.append(shorten(row.arm.name))
        elif k and v and v.claims and k.hides_skewness:
            too_few.append(f"{shorten(row.arm.name)} ({plural(k.skewness_of, c.design.noun)})")
    sentences = {
        f"{whose} skewed{by}": skewed,
        "the spreads of both sides differ by a factor of 2 or more, and few values may be skewed": unequal,
        f"fewer than {CLAIM_SEEDS} {whose} cannot show whether they are skewed{by}": too_few,
    }
    return tuple(
        f"{doubt}: {join_first(arms, LISTED)}; {MORE_ERRORS}" for doubt, arms in sentences.items() if arms
    )


MORE_ERRORS = "such verdicts may err more often than they should"


def describe_mixed_machines(c: Comparison) -> str:
    """Return a sentence on pairs of results from different kinds of machine; "" if there are none."""
    sides = [(c.find_base(row).arm, row.arm) for row in c.arms_with_contrast]
    return describe_mixed_pairs(
        (find_machine_kind(base.results[seed].provenance), find_machine_kind(arm.results[seed].provenance))
        for base, arm in sides
        for seed in base.collect_metric(c.metric.name).keys() & arm.collect_metric(c.metric.name).keys()
    )


_CAVEATS_OF_LOOKS = (
    "Pairs of seeds are not exactly normal. In simulations with smoothed differences of models, looks at "
    "10 to 40 seeds claimed a difference where there was none in .043 of studies by accuracy and in .035 "
    "by loss, where .05 is meant. With exponential differences and the default looks one contrast errs in "
    ".06 of studies, and some one of fifteen in .13; looks from five seeds on err more often.",
    "A rare collapse can be missed: what none of n seeds showed may still happen in up to 3/n of them.",
)


def describe_nondeterminism(c: Comparison) -> str:
    """Return a sentence on a program of which two equal trials differ, or may differ; "" for others."""
    if c.design.nondeterminism is None:
        return (
            f"Not checked: {REPEATED}. Whether the seed or a setting has an effect is not known, and an arm "
            "whose seeds differ much less than another arm's makes no claim."
        )
    if not c.design.nondeterminism:
        return ""
    differ = describe_distances(c.design.nondeterminism)
    return (
        f"Not deterministic: two trials of one seed differ ({differ}). Seeds pair the arms less closely, and "
        "whether a setting has an effect at all was not checked."
    )


def format_zone(c: Comparison) -> str:
    """Return ±δ with its unit; in per cent both ends, as that of a fall is smaller: −4.8 to +5 %."""
    zone = c.metric.zone
    if c.scale.log:
        return f"{format_number(c.scale.convert_difference(-zone), 1)} to +{c.scale.format_delta(zone)}"
    return f"±{c.scale.format_delta(zone)}"


def list_limits(c: Comparison, environments: dict[str, str]) -> tuple[str, ...]:
    """Return sentences on the limits of these results."""
    is_conditional = c.design.presentation.interval_clause
    noun = "interval" if any(row.interval for row in c.arms) else "number"
    premise = "There is one validation set:" if is_conditional else "If seeds share one validation set,"
    phrases = [
        f"{premise} every {noun} is over seeds, given that set. Other data may differ.",
        describe_nondeterminism(c),
        describe_turns(c),
        *(
            f"Differences in {view.title} within {format_zone(view)} were declared too small to matter."
            for view in c.per_metric
        ),
    ]
    machine = environments.get("gpu") or environments.get("cpu") or environments.get("platform")
    if machine:
        phrases.append(
            f"Speeds and seconds hold for this hardware: {machine}. The order may differ elsewhere."
        )
    if c.sequential:
        phrases += _CAVEATS_OF_LOOKS
    if any(row.diverged for row in c.arms):
        phrases.append("Where seeds diverged, the mean is of the converged seeds alone.")
    if any(row.arm.exploratory for row in c.arms):
        phrases.append("Arms marked exploratory suggest and do not confirm.")
    return tuple(filter(None, phrases))


OWN_LEVEL = "Each attempt has its own .05, so that among several one is wrong more often"


def describe_declaration(c: Comparison) -> str:
    """Return a sentence on when the plan was declared, and whether its contrasts had results by then."""
    design = c.design
    if not design.planned:
        return "whose declaration is not part of a table of results"
    date = f"declared on {format_time(design.planned)}"
    if design.first_declared is not None:
        first = format_time(design.first_declared)
        date = f"first declared on {first} and in this form on {format_time(design.planned)}"
    if design.seen_pairs:
        number = len(design.seen_pairs)
        contrasts = plural(len(c.arms_to_decide), "contrast")
        return f"{date}, after results of both sides of {number} of its {contrasts}"
    if design.ships:
        return f"{date}; it ships with Unrolled, whose own studies were declared before all results"
    return f"{date}, before any of its contrasts had results of both sides in this ledger"


def list_earlier_attempts(c: Comparison) -> list[str]:
    """Return a line on each earlier plan of one of the contrasts, in the order of the arms."""
    return [line for row in c.arms_to_decide for line in c.design.earlier_attempts.get(row.arm.name, ())]


def describe_attempts(c: Comparison) -> str:
    """Return sentences on how many contrasts were planned before, and what that means; "" where none was."""
    repeated = [row for row in c.arms_to_decide if c.design.earlier_attempts.get(row.arm.name)]
    if not repeated:
        return ""
    were = "was" if len(repeated) == 1 else "were"
    contrasts = plural(len(c.arms_to_decide), "contrast")
    return f"{len(repeated)} of {contrasts} {were} planned before in this ledger. {OWN_LEVEL}"


def describe_turns(c: Comparison) -> str:
    """Return a sentence on which arm of each pair was trained first; "" where no clock is judged."""
    counts = [f"{shorten(name)} on {first} of {n}" for name, (first, n) in _count_first(c).items()]
    if not counts:
        return ""
    return (
        f"Arms take turns within a {c.design.noun}, as a trial may leave the next one a filled cache. "
        f"Trained before the arm that it is compared with: {join_first(counts, LISTED)}."
    )


def describe_missing_turns(c: Comparison) -> str:
    """Return a sentence on arms that always, or never, came before the one they are compared with.

    It is "" for none. Their results may be of an earlier study, or of a version that trained arms in one
    order.
    """
    arms = [name for name, (first, n) in _count_first(c).items() if n > 1 and first in (0, n)]
    if not arms:
        return ""
    return (
        f"one side was trained first on every {c.design.noun}, and what it left to the other, such as a "
        f"filled cache, may be the difference: {join_first_names(arms, LISTED)}"
    )


def _count_first(c: Comparison) -> dict[str, tuple[int, int]]:
    """Return by arm on how many seeds it came before the arm that it is compared with, and of how many."""
    counts: dict[str, tuple[int, int]] = {}
    if not judges_clock(c.design.metrics):
        return counts
    for row in c.arms_with_contrast:
        results = row.arm.results
        base_results = c.find_base(row).arm.results
        pairs = [
            (results[seed].started, base_results[seed].started)
            for seed in results.keys() & base_results.keys()
        ]
        order = [arm < base for arm, base in pairs if arm != base]
        if order:
            counts[row.arm.name] = sum(order), len(order)
    return counts
