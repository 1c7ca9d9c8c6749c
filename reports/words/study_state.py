"""How far a study is, in sentences: decided contrasts, trials, its declaration and earlier plans."""

from unrolled.bench.metric import FEWEST_SEEDS
from unrolled.bench.phrases import choose_form, name_seeds, plural, select_phrases
from unrolled.bench.study_rules import SEEN_PAIRS, StoppingRule
from unrolled.bench.table_columns import IS_COUNTED
from unrolled.reports.compare.compared_arm import ComparedArm
from unrolled.reports.compare.comparison import Comparison
from unrolled.reports.formats import (
    format_interval,
    format_time,
    join_first_names,
)
from unrolled.reports.statistics.arm_summary import divergence_interval
from unrolled.reports.statistics.verdicts import Direction

MOST_ARMS = 5  # most arms that a sentence lists before it counts the rest


def describe_decided(comparison: Comparison) -> str:
    """Return how many contrasts are decided: "3 of 5 contrasts decided"; "" if there is none to decide.

    If there are several metrics, the phrase names the one that decides. A gate or a proposal ends by a rule
    of its own, and has none.
    """
    if not comparison.judged_arms or comparison.gate or comparison.proposal:
        return ""
    verdicts = [arm.verdict for arm in comparison.judged_arms if arm.state.has_ended and arm.verdict]
    unsettled = sum(v.direction is not Direction.NONE and not v.has_known_size for v in verdicts)
    sizes = f", {unsettled} in direction only" if unsettled else ""
    decided = sum(arm.state.has_ended for arm in comparison.judged_arms)
    metric = f" by {comparison.scale.title}" if comparison.other_views else ""
    return f"{decided} of {plural(len(comparison.judged_arms), 'contrast')} decided{metric}{sizes}"


def describe_seen_data(comparison: Comparison) -> str:
    """Return sentences on contrasts that had results before the plan was declared; "" for none."""
    exploratory = [arm for arm in comparison.judged_arms if arm.name in comparison.design.seen_pairs]
    if not exploratory:
        return ""
    rules = comparison.design.rules
    first = max(max(rules.seeds) + 1, comparison.design.first_fresh_seed)
    fresh = f"--seeds {first}-{first + max(len(rules.seeds), FEWEST_SEEDS) - 1}"
    if rules.stopping_rule == StoppingRule.GATE:  # its seeds are those of its base's study
        fresh = "`seeds` of the study, in a change of its own"
    contrasts = plural(len(comparison.judged_arms), "contrast")
    whose = choose_form(len(exploratory), "its claim is", "their claims are")
    return (
        f"The results of {len(exploratory)} of {contrasts} had been seen when this plan was declared: "
        f"{whose} exploratory. Fresh seeds confirm: {fresh}"
    )


def describe_futile_contrasts(comparison: Comparison) -> str:
    """Return a sentence on the futile contrasts; "" for none."""
    names = [arm.name for arm in comparison.judged_arms if arm.verdict and arm.verdict.state.is_futile]
    if not names:
        return ""
    subject = f"{plural(len(names), 'contrast')} {choose_form(len(names), 'is', 'are')}"
    return (
        f"{subject} given up, as a verdict by {max(comparison.design.rules.looks)} seeds is "
        f"unlikely: {join_first_names(names, 3)}; run again with --to-the-end to go on"
    )


def describe_trials(comparison: Comparison) -> str:
    """Return how many trials finished, failed or are missing: "40 of 45 trials finished, 5 failed"."""
    total = sum(arm.wanted_seed_count for arm in comparison.arms)
    status_counts = {
        "diverged": sum(arm.diverged_count for arm in comparison.arms),
        "failed": sum(arm.failed_count for arm in comparison.arms),
        "not trained yet": sum(arm.missing_count for arm in comparison.arms),
        "trained for a look that is not complete": sum(arm.waiting_count for arm in comparison.arms),
    }
    phrases = [f"{number} {status}" for status, number in status_counts.items() if number]
    if not comparison.design.is_study:
        return ", of which ".join(filter(None, [plural(total, "row"), " and ".join(phrases)]))
    finished = f"{sum(arm.done_count for arm in comparison.arms)} of {total} trials finished"
    return ", ".join([finished, *(phrases or ["none failed"])])


def describe_uncounted(comparison: Comparison) -> str:
    """Return which trials do not count, and why: "seed 15, whose look is incomplete"; "" if all count."""
    rows = comparison.table[~comparison.table[IS_COUNTED]]
    seeds_by_reason: dict[str, set[int]] = {"look is incomplete": set(), "contrast gets no more seeds": set()}
    wanted_seeds = {
        arm.name: comparison.design.rules.seeds[: arm.wanted_seed_count] for arm in comparison.arms
    }
    for arm, seed in zip(rows.arm, rows.seed, strict=True):
        reason = "look is incomplete" if seed in wanted_seeds[arm] else "contrast gets no more seeds"
        seeds_by_reason[reason].add(seed)
    phrases = {
        f"{name_seeds(sorted(seeds), MOST_ARMS)}, whose {reason}": seeds
        for reason, seeds in seeds_by_reason.items()
    }
    return ", and ".join(select_phrases(phrases))


def list_failures(comparison: Comparison) -> tuple[tuple[ComparedArm, str], ...]:
    """Return the arms with failures: "2 of 10 diverged (95 % CI [0.025, 0.556]), 1 failed"."""
    failures = []
    for arm in comparison.arms:
        phrases = []
        if arm.diverged_count:
            trials = arm.done_count + arm.diverged_count
            ends = format_interval(divergence_interval(arm.diverged_count, trials), 3)
            phrases.append(f"{arm.diverged_count} of {trials} diverged (95 % CI {ends})")
        if arm.failed_count:
            phrases.append(f"{arm.failed_count} failed")
        if phrases:
            failures.append((arm, ", ".join(phrases)))
    return tuple(failures)


def describe_declaration(comparison: Comparison) -> str:
    """Return when the plan was declared, and whether its contrasts had results by then."""
    design = comparison.design
    if not design.declared_at:
        return "declared at an unknown date: a table of results has none"
    date = f"declared on {format_time(design.declared_at)}"
    if design.first_declared_at is not None:
        first = format_time(design.first_declared_at)
        date = f"first declared on {first}, last changed on {format_time(design.declared_at)}"
    arms = comparison.judged_arms
    if number := sum(arm.name in design.seen_pairs for arm in arms):
        return f"{date}, after results of both sides of {number} of its {plural(len(arms), 'contrast')}"
    if design.is_shipped:
        return f"{date}; it ships with Unrolled, whose own studies were declared before all results"
    return f"{date}, before a page of this ledger showed {SEEN_PAIRS} pairs of any of its contrasts"


def list_earlier_plan_lines(comparison: Comparison) -> list[str]:
    """Return a line for each earlier plan of each contrast, in the order of the arms."""
    return [
        line
        for arm in comparison.judged_arms
        for line in comparison.design.earlier_plan_lines.get(arm.name, ())
    ]


def describe_repeated_plans(comparison: Comparison) -> str:
    """Return sentences on contrasts that were planned before, and what that means; "" for none."""
    repeated = [arm for arm in comparison.judged_arms if comparison.design.earlier_plan_lines.get(arm.name)]
    if not repeated:
        return ""
    contrasts = plural(len(comparison.judged_arms), "contrast")
    subject = f"{len(repeated)} of {contrasts} {choose_form(len(repeated), 'was', 'were')}"
    return (
        f"{subject} planned before in this ledger. Each attempt errs with a chance of .05, so several "
        "attempts err more often than one"
    )
