"""The arms of a comparison as a table of at most 80 columns, which a terminal shows in colours."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from unrolled.bench.phrases import make_visible
from unrolled.reports.compare.compared_arm import ComparedArm
from unrolled.reports.compare.comparison import Comparison
from unrolled.reports.formats import shorten
from unrolled.reports.statistics.power import CLAIM_SEEDS
from unrolled.reports.statistics.verdicts import Direction, Size, Verdict
from unrolled.reports.words.sentences import name_bases

WIDTH = 80
PROVISIONAL = "*"
_STYLES = {"better": "green", "worse": "red", "same": "cyan", "open": "yellow"}
_SIZES = {Size.MORE: " > δ", Size.LESS: " < δ", Size.UNSETTLED: ""}


def print_arms(comparison: Comparison, console: Console) -> None:
    """Print each arm's mean by the first metric, its difference, its seeds and its verdict.

    Beside a difference stand both means over the same seeds, so that they subtract to it.
    """
    has_other_base = name_bases(comparison) != comparison.arms[0].name
    unit = f"\n({comparison.scale.difference_unit})" if comparison.scale.difference_unit else ""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("arm")
    if has_other_base:
        table.add_column("against")
    mean = "\n".join(["mean", *make_visible(comparison.scale.title).split()])
    for heading in (mean, f"difference{unit}", "seeds"):
        table.add_column(Text(heading), justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for arm in comparison.arms:
        base = [Text(make_visible(arm.against))] if has_other_base else []
        contrast = arm.contrast
        level = comparison.scale.format_value(arm.summary.mean)
        if contrast and contrast.base_mean is not None and not contrast.uses_median:
            level = comparison.scale.format_change(contrast.base_mean, contrast.arm_mean)
        difference = comparison.scale.format_difference(arm.estimate, arm.interval, sign=True)
        numbers = level, difference, _describe_seeds(arm)
        table.add_row(Text(make_visible(arm.name)), *base, *map(Text, numbers), _format_verdict(arm))
    console.print(table, width=min(console.width, WIDTH))
    if any(row.verdict and row.verdict.is_provisional for row in comparison.arms):
        console.print(f"{PROVISIONAL} provisional: under {CLAIM_SEEDS} seeds")


def _describe_seeds(arm: ComparedArm) -> str:
    """Return how many seeds the means of a row are over: its pairs, if its base is one run on every seed."""
    contrast = arm.contrast
    seeds = arm.summary.n - arm.summary.diverged_count
    if contrast and contrast.is_paired and contrast.pair_count < seeds:
        return f"{contrast.pair_count} of {seeds}"
    return arm.describe_seeds_of_mean()


def _format_verdict(arm: ComparedArm) -> Text:
    """Return the verdict of an arm in two words, or what the arm is instead."""
    if arm.verdict:
        mark = PROVISIONAL if arm.verdict.is_provisional else ""
        words = f"{arm.verdict.symbol} {_shorten_verdict(arm.verdict)}{mark}"
        return Text(words, _STYLES[arm.verdict.kind])
    if not arm.index:
        return Text("baseline")
    return Text("A/A check" if arm.contrast else shorten(arm.reason_not_compared.partition(":")[0], 14))


def _shorten_verdict(verdict: Verdict) -> str:
    """Return a verdict in two words: better > δ, worse, same, open, diverges more."""
    if verdict.direction is not Direction.NONE:
        return f"{verdict.direction}{_SIZES[verdict.size]}"
    if verdict.has_known_size or not verdict.makes_claim:
        return verdict.kind
    return verdict.text.removesuffix(" often")
