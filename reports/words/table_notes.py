"""Notes below the tables of a comparison: how arms were compared, and what a foreign table does not tell."""

from collections.abc import Sequence
from typing import Any

from unrolled.bench.metric import FEWEST_SEEDS
from unrolled.bench.phrases import plural, select_phrases
from unrolled.bench.table_columns import FIRST_LOOK
from unrolled.reports.compare.compared_arm import ComparedArm
from unrolled.reports.compare.comparison import Comparison
from unrolled.reports.formats import end_sentences, join_first_names, quote_name
from unrolled.reports.words.page_warnings import (
    describe_one_run_arms,
    describe_perfect_arms,
    describe_relative_shares,
    describe_repeated_numbers,
    list_skewed_contrasts,
)
from unrolled.reports.words.sentences import describe_aa_check

MOST_ROWS = 20  # most rows without a partner that a note lists of one arm
UNBIASED = "unbiased Δ"
STOPPED = (
    f"The {UNBIASED} is the median-unbiased estimate, which allows for the looks that were taken. The mean "
    "of an arm is over the seeds of its own contrast, so that two rows may not differ by exactly Δ."
)
UNPAIRED = (
    "Rows are not paired (Welch's test and a permutation test). If rows of two arms share a seed or a "
    "document, name its column with --pair. Row numbers make no pairs."
)
FOLDS = (
    "Folds share training rows. The variance of their mean is therefore taken to be (1/folds + test/train) "
    "times the variance of one fold (Nadeau and Bengio 2003)."
)
DIVERGED = (
    "Means leave out the rows that diverged. Δ is then the median of all pairs, and a verdict needs two "
    "tests: of the means, and of how often each side is better (sign test)."
)
DIVERGED_DEPENDENT = (
    "Means leave out the rows that diverged. If rows of an arm or of its baseline diverged, the arm gets no "
    "verdict by its mean, because there are no independent pairs. Without any pairs, a test compares how "
    "often both sides diverge."
)
ONLY_FIRST_LOOK = (
    "The rows are trials of a study, which adds seeds until it is decided. So that no result has chosen the "
    "number of seeds, only the trials of its first look are compared."
)
LOST_RUNS_COUNT_AGAINST = (
    "Runs that failed, or that lack a partner, are counted against each verdict: in the test of the mean "
    "each has the largest difference seen against the verdict. A value worse than that could undo it."
)
NOT_KNOWN = (
    "Not known, as these results were made elsewhere: whether rows were added after looking at the results, "
    "whether the arms differ in what their names say and in nothing else, and whether the rows are "
    "independent."
)


def list_notes(comparison: Comparison) -> list[str]:
    """Return sentences on how arms were compared; for a foreign table also on what cannot be known."""
    family = "declared contrasts" if comparison.design.is_study else "contrasts"
    correction = f"by Holm over all {family}"
    if any(arm.counted_arm.is_marked_exploratory for arm in comparison.arms):
        correction += ", for exploratory arms by Benjamini–Hochberg"
    test = f"The p of a difference, and the p of equivalence within ±δ, are corrected {correction}."
    arms = [] if comparison.has_too_few_pairs else comparison.arms_with_contrast
    contrasts = [arm.contrast for arm in arms if arm.contrast]
    one_run = describe_one_run_arms(comparison)
    perfect = describe_perfect_arms(comparison)
    repeated = describe_repeated_numbers(comparison)
    warnings = {
        f"With fewer than {FEWEST_SEEDS} pairs nothing is decided, whatever p is.": any(
            contrast.pair_count < FEWEST_SEEDS for contrast in contrasts
        ),
        f"WARNING: {one_run}.": one_run,
        f"WARNING: {perfect}.": perfect,
        f"WARNING: {repeated}.": repeated,
        STOPPED: comparison.is_sequential,
    }
    notes = [*select_phrases(warnings), *end_sentences(*map(describe_aa_check, arms))]
    return [test, *notes] if comparison.design.is_study else _list_foreign_notes(comparison, test, notes)


def _list_foreign_notes(comparison: Comparison, test: str, warnings: Sequence[str]) -> list[str]:
    """Return the notes on a table from elsewhere; the first is `test`, the last what cannot be known."""
    unpaired = {arm.name: _find_rows_without_partner(arm, comparison) for arm in comparison.arms}
    pairing = UNPAIRED
    if comparison.design.pairing_column:
        pairing = f"Pairs are rows of the same {comparison.design.pairing_column}."
    has_diverged = any(arm.diverged_count for arm in comparison.arms)
    has_independent_pairs = comparison.design.pairing_column and not comparison.design.test_share
    notes = {
        f"{test} {pairing}": True,
        comparison.design.averaging_note: True,
        FOLDS: comparison.design.test_share,
        ONLY_FIRST_LOOK: FIRST_LOOK in comparison.table,
        **dict.fromkeys(warnings, True),
        DIVERGED: has_diverged and has_independent_pairs,
        DIVERGED_DEPENDENT: has_diverged and not has_independent_pairs,
        LOST_RUNS_COUNT_AGAINST: any(arm.failed_count or unpaired[arm.name] for arm in comparison.arms),
    }
    doubts = [
        *filter(None, [describe_relative_shares(comparison)]),
        *comparison.design.doubts,
        *list_skewed_contrasts(comparison),
    ]
    return [
        *select_phrases(notes),
        *(f"WARNING: {sentence}." for sentence in doubts),
        *(
            f"{quote_name(name)}: {plural(len(rows), 'row')} without a partner: "
            f"{comparison.design.pairing_column} {join_first_names(rows, MOST_ROWS)}"
            for name, rows in unpaired.items()
            if rows
        ),
        NOT_KNOWN,
    ]


def _find_rows_without_partner(arm: ComparedArm, comparison: Comparison) -> Sequence[Any]:
    """Return the seeds that only one side of a contrast has; none if a side is one run under all seeds."""
    has_one_run_side = arm.is_one_run or comparison.find_base(arm).is_one_run
    return arm.contrast.seeds_without_partner if arm.contrast and not has_one_run_side else ()
