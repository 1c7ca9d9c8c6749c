"""Arms that repeat numbers more often than chance does, and may be copies of fewer runs."""

import math
from collections.abc import Collection, Iterator

import numpy as np
import pandas as pd

from unrolled.bench.metric import FEWEST_SEEDS, Metric, is_quality_name
from unrolled.reports.compare.trial_frame import read_numbers
from unrolled.reports.formats import join_first_names
from unrolled.reports.statistics.estimators import Floats
from unrolled.reports.statistics.values import count_decimals

MOST_ITEMS = 20_000  # items that a share may have
MOST_UNITS = 1e15  # a number of last digits that a float has exactly
RARE = 0.001  # chance below which equal numbers are told


def describe_few_numbers(
    table: pd.DataFrame, metric: Metric, noun: str, left_out: Collection[str] = ()
) -> str:
    """Return a sentence on the arms that repeat numbers of a metric; "" if there are none.

    A row is called `noun`: "seed" in a study. Arms of `left_out` are not named.
    """
    arms = [arm for arm in _list_arms_with_few_numbers(table, metric) if arm not in left_out]
    if not arms:
        return ""
    return (
        f"half of the {noun}s or more repeat a number of {metric.name}, more than by chance, and may be "
        f"copies of fewer runs: {join_first_names(arms, 5)}"
    )


def _list_arms_with_few_numbers(table: pd.DataFrame, metric: Metric) -> Iterator[str]:
    """Yield the arms in which at least half of the numbers are repeats, and more than chance repeats.

    The best and the worst number of the table may be limits, which many runs reach: their rows do not count.
    Arms with one number in all rows are not returned: see `find_one_run_seeds`.
    """
    numbers = read_numbers(table, metric.name)
    numbers = numbers.where(np.isfinite(numbers)).dropna()
    if numbers.empty or not is_quality_name(metric.name):
        return
    step = _find_step(numbers.unique())
    limits = numbers.min(), numbers.max()
    for arm, xs in numbers.groupby(table.arm, sort=False):
        counts = xs[~xs.isin(limits)].value_counts()
        ties = int((counts * (counts - 1) // 2).sum())
        has_few = len(xs) >= FEWEST_SEEDS and 1 < xs.nunique() <= len(xs) / 2
        if has_few and ties and _find_chance_of_ties(ties, np.asarray(xs / step, np.float64)) < RARE:
            yield str(arm)


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

    n = len(xs)
    of_normal = n * (n - 1) / 2 / (2 * math.sqrt(math.pi) * xs.std(ddof=1))
    distances = np.abs(xs[:, None] - xs)[np.triu_indices(n, 1)].round()
    of_neighbours = max(
        np.count_nonzero((distances >= 1) & (distances <= width)) / (2 * width) for width in (1, 2)
    )
    return float(special.pdtrc(ties - 1, max(of_normal, of_neighbours)))
