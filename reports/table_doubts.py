"""What makes the rows of a table from elsewhere doubtful: what its page and its screen warn of."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from unrolled.reports.formats import listed_up_to, short
from unrolled.reports.statistics.power import FEWEST_SEEDS

CHOSEN = 3  # arms from which on the best or the worst of them may have been chosen as the baseline


def find_doubts(table: pd.DataFrame, metrics: list[str], *, named_baseline: bool) -> Iterator[str]:
    """Sentences on rows that were written twice, and on a baseline that results may have chosen."""
    if repeated := [*_find_repeated(table, metrics)]:
        names = listed_up_to([short(name) for name in repeated], 5)
        yield f"all numbers stand in several rows, which are then not independent runs: {names}"
    if not named_baseline and (extreme := _rank_first(table, metrics[0])):
        yield (
            f"the baseline {short(table.arm.iloc[0])} is the arm of the first row and has the {extreme} "
            "mean: --baseline names one that no result has chosen"
        )


def _find_repeated(table: pd.DataFrame, metrics: list[str]) -> Iterator[str]:
    """The arms of which different rows all stand there twice, thrice, or in multiples of it.

    Five of them, or two beside an arm of which no two rows are alike: coarse numbers may be equal by chance.
    """
    rows = table.dropna(subset=metrics)
    sizes = rows.groupby(["arm", *metrics], sort=False).size().groupby(level="arm", sort=False)
    is_fine = any((of_arm == 1).all() and len(of_arm) >= FEWEST_SEEDS for _, of_arm in sizes)
    for arm, of_arm in sizes:
        if len(of_arm) >= (2 if is_fine else FEWEST_SEEDS) and np.gcd.reduce(of_arm.to_numpy()) > 1:
            yield str(arm)


def _rank_first(table: pd.DataFrame, metric: str) -> str:
    """Whether the first arm of several has the highest or the lowest mean; "" otherwise."""
    means = table[metric].where(np.isfinite(table[metric])).groupby(table.arm, sort=False).mean()
    if len(means) < CHOSEN or means.nunique() < CHOSEN:
        return ""
    first = means.iloc[0]
    return "highest" if first == means.max() else "lowest" if first == means.min() else ""
