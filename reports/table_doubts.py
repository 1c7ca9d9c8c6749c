"""What makes the rows of a table from elsewhere doubtful: what its page and its screen warn of."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from unrolled.reports.formats import listed_up_to, short
from unrolled.reports.row_means import ITEM
from unrolled.reports.statistics.power import FEWEST_SEEDS

CHOSEN = 3  # arms from which on the best or the worst of them may have been chosen as the baseline


def find_doubts(
    frame: pd.DataFrame,
    table: pd.DataFrame,
    pair: tuple[str, ...],
    metrics: list[str],
    *,
    named_baseline: bool,
) -> Iterator[str]:
    """Sentences on rows `frame`, from which `table` was arranged; `pair` is () where its pairs are folds.

    Rows that were written twice, pairs that share something, and a baseline that results may have chosen.
    """
    if repeated := [*_find_repeated(table, metrics)]:
        names = listed_up_to([short(name) for name in repeated], 5)
        yield f"all numbers stand in several rows, which are then not independent runs: {names}"
    shared = _find_shared(frame, pair)
    if shared:
        column = next((name for name in shared if name.lower() == "seed"), shared[0])
        yield (
            f"pairs that share a {' or a '.join(shared)} are not independent: --pair {column} averages over "
            "what else there is"
        )
    if ITEM in table and not table[ITEM].iloc[0]:
        name = " and ".join(pair) or "fold"
        yield (
            f"no column tells the rows of one {name} apart: arms may have been judged on other documents, by "
            "which equal ones differ; with a column of their names they are matched"
        )
    if not named_baseline and (extreme := _rank_first(table, metrics[0])):
        yield (
            f"the baseline {short(table.arm.iloc[0])} is the arm of the first row and has the {extreme} "
            "mean: --baseline names one that no result has chosen"
        )


def _find_repeated(table: pd.DataFrame, metrics: list[str]) -> Iterator[str]:
    """The arms of which five different rows or more all stand there twice, thrice, or in multiples of it."""
    sizes = table.dropna(subset=metrics).groupby(["arm", *metrics], sort=False).size()
    for arm, of_arm in sizes.groupby(level="arm", sort=False):
        if len(of_arm) >= FEWEST_SEEDS and np.gcd.reduce(of_arm.to_numpy()) > 1:
            yield str(arm)


def _find_shared(frame: pd.DataFrame, pair: tuple[str, ...]) -> list[str]:
    """Of several columns that name a pair, those of which several pairs have one value."""
    if len(pair) < 2:
        return []
    pairs = frame[[*pair]].drop_duplicates()
    return [column for column in pair if pairs[column].nunique() < len(pairs)]


def _rank_first(table: pd.DataFrame, metric: str) -> str:
    """Whether the first arm of several has the highest or the lowest mean; "" otherwise."""
    means = table[metric].where(np.isfinite(table[metric])).groupby(table.arm, sort=False).mean()
    if len(means) < CHOSEN or means.nunique() < CHOSEN:
        return ""
    first = means.iloc[0]
    return "highest" if first == means.max() else "lowest" if first == means.min() else ""
