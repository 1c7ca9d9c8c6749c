"""Arms that repeat numbers more often than chance does, and may be copies of fewer runs."""

import math
from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from unrolled.bench.metric import FEWEST_SEEDS, Metric
from unrolled.reports.compare.trial_frame import read_numbers
from unrolled.reports.formats import join_first_names, join_names
from unrolled.reports.statistics.estimators import Floats
from unrolled.reports.statistics.values import count_decimals

FEW_ITEMS = (20, 200)  # the least and the most that `_count_few_items` returns
MOST_ITEMS = 20_000  # items that a share may have
MOST_UNITS = 1e15  # a number of last digits that a float has exactly
RARE = 0.001  # chance below which equal numbers are told


def describe_few_numbers(
    table: pd.DataFrame, metrics: Sequence[Metric], noun: str, left_out: Collection[str] = ()
) -> str:
    """Return a sentence on the arms that repeat numbers of these metrics; "" if there are none.

    A row is called `noun`: "seed" in a study. Arms of `left_out` are not named.
    """
    qualities = [metric.name for metric in metrics if metric.is_quality]
    arms = [arm for arm in _find_arms_with_few_numbers(table, qualities) if arm not in left_out]
    if not arms:
        return ""
    return (
        f"half of the {noun}s or more repeat the {join_names(qualities)} of an earlier {noun}, more than by "
        f"chance, and may be copies of fewer runs: {join_first_names(arms, 5)}"
    )


def _find_arms_with_few_numbers(table: pd.DataFrame, qualities: Sequence[str]) -> list[str]:
    """Return the arms in which at least half of the rows are repeats, and more than chance repeats.

    A row is a repeat if an earlier row of its arm has the same numbers of all qualities. By chance, numbers
    of one quality repeat: if those of any are too many, the arm is returned. Two sorts of numbers repeat in
    ways that no smooth law has, and do not count as repeats: the best and the worst number of the table, as
    many runs may reach a limit, and ratios of few items, such as 2/7 of a sentence's words. Arms with one
    number in all rows are not returned: see `find_one_run_arms`.
    """
    numbers = pd.DataFrame({name: read_numbers(table, name) for name in qualities})
    numbers = numbers.where(np.isfinite(numbers)).dropna()
    if numbers.empty:
        return []
    steps = {name: _find_step(numbers[name].unique()) for name in qualities}
    is_usual = (numbers == numbers.min()) | (numbers == numbers.max()) | numbers.apply(_are_ratios_of_few)
    few = []
    for arm, rows in numbers.groupby(table.arm, sort=False):
        has_few = len(rows) >= FEWEST_SEEDS and 1 < len(rows.drop_duplicates()) <= len(rows) / 2
        chances = [
            _find_chance_of_ties(
                _count_ties(rows[~is_usual.loc[rows.index, name]]), np.asarray(rows[name] / step, np.float64)
            )
            for name, step in steps.items()
            if has_few
        ]
        if min(chances, default=1.0) < RARE:
            few.append(str(arm))
    return few


def _are_ratios_of_few(levels: "pd.Series[float]") -> "pd.Series[bool]":
    """Return for each number whether it is a ratio of few items, a share of them in per cent, or a count."""
    decimals = count_decimals(np.asarray(levels, np.float64))
    are_ratios = pd.Series(False, levels.index)
    for unit, largest, more_decimals in ((1.0, FEW_ITEMS[0], 0), (100.0, 1, 2)):
        items = np.arange(1, _count_few_items(decimals + more_decimals) + 1)
        ratios = levels.abs() / unit
        counts = np.multiply.outer(ratios.to_numpy(), items)
        tolerances = 0.51 * 10.0**-decimals / unit * items + 1e-9
        are_ratios |= (ratios <= largest) & (np.abs(counts - counts.round()) <= tolerances).any(axis=1)
    return are_ratios


def _count_few_items(decimals: int) -> int:
    """Return the number of items of which ratios are few beside the numbers with so many decimals.

    Of n items or fewer there are about 3 n²/π² different ratios up to 1: here a tenth of such numbers.
    """
    fewest, most = FEW_ITEMS
    return min(most, max(fewest, math.isqrt(10**decimals // 3)))


def _count_ties(rows: pd.DataFrame) -> int:
    """Return the number of pairs of equal rows."""
    counts = rows.value_counts()
    return int((counts * (counts - 1) // 2).sum())


def _find_step(levels: Floats) -> float:
    """Return the distance between numbers that are possible: of shares of 50 items 0.02, of steps 100.

    Shares are those of the smallest number of items, up to `MOST_ITEMS`, that explains all levels. Other
    numbers are the largest number of last digits apart that divides all their distances.
    """
    last_digit: float = 10.0 ** -count_decimals(levels)
    gaps = np.diff(np.sort(levels) / last_digit)
    spacing = last_digit
    if len(gaps) and gaps.max() < MOST_UNITS:
        spacing *= int(np.gcd.reduce(gaps.round().astype(np.int64))) or 1
    for unit in (1.0, 100.0):  # a share, or per cent
        items = np.arange(1, min(MOST_ITEMS, unit / last_digit) + 1)
        for level in levels:
            counts = level / unit * items
            is_share = np.abs(counts - counts.round()) <= 0.51 * last_digit / unit * items + 1e-9
            items = items[is_share]
        if levels.max() <= unit and len(items):
            return max(spacing, unit / float(items[0]))
    return spacing


def _find_chance_of_ties(ties: int, xs: Floats) -> float:
    """Return the chance of so many pairs of equal numbers among `xs`, which are given in steps.

    The number of such pairs is about Poisson. Its mean is the larger of two estimates: of normal numbers, two
    of which are equal with a chance of 1/(2 √π SD), and of any smooth law, by which numbers are half as often
    equal as a step apart. Far values widen the SD, and leave the second estimate as it is.
    """
    from scipy import special  # takes half a second

    if not ties or xs.min() == xs.max():
        return 1.0
    n = len(xs)
    of_normal = n * (n - 1) / 2 / (2 * math.sqrt(math.pi) * xs.std(ddof=1))
    distances = np.abs(xs[:, None] - xs)[np.triu_indices(n, 1)].round()
    of_neighbours = max(
        np.count_nonzero((distances >= 1) & (distances <= width)) / (2 * width) for width in (1, 2)
    )
    return float(special.pdtrc(ties - 1, max(of_normal, of_neighbours)))
