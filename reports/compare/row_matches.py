"""The values of arms over the rows that their baselines have, too, from a table whose rows were averaged.

`reports.foreign.row_means` writes the columns that are read here.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd

ONE_RUN = "one run"  # column that says whether an arm is one run, copied for every pair
ARM_LACKS = "rows that the arm lacks"
BASE_LACKS = "rows that its baseline lacks"


class RowMatch(NamedTuple):
    """The values of an arm by pair, made from the rows that its baseline has, too."""

    values: Mapping[Any, float]
    bounds: Mapping[Any, tuple[float, float]]  # lowest and highest values of pairs that lack rows
    missing_row_counts: tuple[int, int]  # number of rows that the arm lacks, and that its baseline lacks


NO_MATCH = RowMatch({}, {}, (0, 0))


def read_row_matches(table: pd.DataFrame, metric: str) -> dict[str, RowMatch]:
    """Return the matches by arm of a table that `average_rows` made; {} for any other table."""
    columns = name_match_columns(metric)
    if not {*columns} <= {*table.columns}:
        return {}
    matches = {}
    for arm, rows in table.dropna(subset=ARM_LACKS).groupby("arm", sort=False):
        values, lowest, highest = (rows.set_index("seed")[column].dropna() for column in columns)
        bounds = dict(zip(lowest.index, zip(lowest, highest, strict=True), strict=True))
        compared = rows[rows.seed.isin(values.index)]  # a lost pair counts as lost, not by its rows
        missing_row_counts = int(compared[ARM_LACKS].sum()), int(compared[BASE_LACKS].sum())
        matches[str(arm)] = RowMatch(values.to_dict(), bounds, missing_row_counts)
    return matches


def name_match_columns(metric: str) -> list[str]:
    """Return the columns with the matched value of a pair and its lowest and highest value."""
    return [f"{name} {metric}" for name in ("matched", "lowest", "highest")]
