"""The limits of a page: what its results do not show, and which side of a contrast was trained first."""

from unrolled.bench.metric import judges_cost
from unrolled.bench.phrases import join_first, select_phrases
from unrolled.reports.compare.comparison import Comparison
from unrolled.reports.formats import (
    REPEATED,
    describe_distances,
    join_first_names,
    quote_name,
    shorten_name,
)
from unrolled.reports.words.study_state import MOST_ARMS

MOST_OUT_OF_TURN = 0.25  # largest share of pairs out of turn that gets no warning


_LIMITS_OF_LOOKS = (
    "Pairs of seeds are not exactly normal. In simulations of looks at 10 to 40 seeds, 4 % of equal arms "
    "were called different if pairs were normal, and 6 % if they were exponential; 5 % is intended. Of "
    "studies with fifteen equal arms, 4 % (normal) and 13 % (exponential) called at least one arm different. "
    "Looks from five seeds on err more often.",
    "A rare collapse can be missed: if none of n seeds collapsed, up to 3/n of all seeds may still collapse.",
)


def describe_repetition(comparison: Comparison) -> str:
    """Return a sentence on a program whose equal trials differ, or may differ; "" for a deterministic one."""
    if comparison.design.repetition_differences is None:
        return (
            f"Not checked: {REPEATED}. Whether the seed or a setting has an effect is not known, and an arm "
            "whose seeds differ much less than another arm's makes no claim."
        )
    if not comparison.design.repetition_differences:
        return ""
    differ = describe_distances(comparison.design.repetition_differences)
    return (
        f"Not deterministic: two trials of one seed differ ({differ}). Seeds pair the arms less closely, and "
        "whether a setting has an effect at all was not checked."
    )


def format_zone(comparison: Comparison) -> str:
    """Return ±δ with its unit: "±2 points". In per cent a fall is smaller than a rise: "−4.76 to +5 %"."""
    return comparison.scale.format_zone(comparison.metric.zone)


def list_limits(comparison: Comparison, environments: dict[str, str]) -> list[str]:
    """Return sentences on what these results do not show."""
    is_conditional = comparison.design.presentation.interval_clause
    noun = "interval" if any(arm.interval for arm in comparison.arms) else "number"
    premise = "Each task has one validation set:" if is_conditional else "If seeds share one data set,"
    zones = [
        f"Differences in {view.scale.title} within {format_zone(view)} were declared not to matter."
        for view in comparison.views
    ]
    machine = environments.get("gpu") or environments.get("cpu") or environments.get("platform")
    has_diverged = any(arm.diverged_count for arm in comparison.arms)
    limits = {
        f"{premise} every {noun} is over seeds, given that set. Other data may differ.": True,
        describe_repetition(comparison): True,
        describe_turns(comparison): True,
        **dict.fromkeys(zones, True),
        f"Speeds and seconds hold for this hardware: {machine}. The order may differ elsewhere.": machine,
        **dict.fromkeys(_LIMITS_OF_LOOKS, comparison.is_sequential),
        "Where seeds diverged, the mean is of the converged seeds alone.": has_diverged,
        "Arms marked exploratory suggest and do not confirm.": any(
            arm.counted_arm.is_marked_exploratory for arm in comparison.arms
        ),
    }
    return select_phrases(limits)


def describe_turns(comparison: Comparison) -> str:
    """Return a sentence on which side of each contrast was trained first; "" if no clock is judged."""
    counts = [
        f"{quote_name(shorten_name(name))} on {first} of {n}"
        for name, (first, n) in _count_first(comparison).items()
    ]
    if not counts:
        return ""
    return (
        f"Arms take turns within a {comparison.design.noun}, as a trial may leave the next one a filled "
        f"cache. Trained before the arm that it is compared with: {join_first(counts, MOST_ARMS)}."
    )


def describe_missing_turns(comparison: Comparison) -> str:
    """Return a sentence on arms that did not take turns with their base; "" for none.

    Each side is trained first on half of the seeds, unless results come from an earlier study.
    """
    counts = _count_first(comparison)
    arms = [name for name, (first, n) in counts.items() if abs(2 * first - n) > max(1, n * MOST_OUT_OF_TURN)]
    if not arms:
        return ""
    return (
        f"one side was trained first on most {comparison.design.noun}s, so that the difference may be due to "
        "the order, for example to a filled cache, or to the day that each side was trained on: "
        f"{join_first_names(arms, MOST_ARMS)}"
    )


def _count_first(comparison: Comparison) -> dict[str, tuple[int, int]]:
    """Return, by arm, on how many seeds it was trained before its base, and of how many: {"a": (4, 10)}."""
    counts: dict[str, tuple[int, int]] = {}
    if not judges_cost(comparison.design.rules.metrics):
        return counts
    for arm in comparison.arms_with_contrast:
        results = arm.counted_arm.results
        base_results = comparison.find_base(arm).counted_arm.results
        pairs = [
            (results[seed].started, base_results[seed].started)
            for seed in results.keys() & base_results.keys()
        ]
        order = [start < base_start for start, base_start in pairs if start != base_start]
        if order:
            counts[arm.name] = sum(order), len(order)
    return counts
