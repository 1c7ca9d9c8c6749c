"""Several rows of one arm and pair, averaged: they share it, and are not independent.

They may be the documents that each seed is judged on. Where a column tells them apart, an arm's rows are
matched with the baseline's: equal arms that lack other documents were called different in .75 of tables. What
a row that one side lacks would have shown is not known, so that each mean has the lowest and the highest one
beside it.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

ROWS = "rows averaged"  # the column with the number of rows of a mean; no metric has this name
ITEM = "rows matched by"  # the column with the name of the one that tells the rows of a pair apart
LOWEST = "{}, rows that a side lacks at their lowest"  # the columns of a metric's bounds
HIGHEST = "{}, rows that a side lacks at their highest"
PAIR = ["arm", "seed"]


def find_item(frame: pd.DataFrame, table: pd.DataFrame, baseline: str, columns: Sequence[str]) -> str:
    """Return the first column but these `columns` that tells the rows of a pair apart; "" where none does.

    No two rows of an arm and pair have one value of it, and each arm shares half of its rows or more with the
    baseline, by pair and value. Fractions are measurements, and tell nothing apart.
    """
    for column in (name for name in frame.columns if name not in columns):
        values = frame[column]
        if pd.api.types.is_float_dtype(values) or values.isna().any():
            continue
        rows = table[PAIR].assign(item=values.astype(str))
        if not rows.duplicated().any() and _share_rows(rows, baseline):
            return str(column)
    return ""


def _share_rows(rows: pd.DataFrame, baseline: str) -> bool:
    of_baseline = pd.MultiIndex.from_frame(rows.loc[rows.arm == baseline, ["seed", "item"]])
    for _, own in rows.groupby("arm"):
        shared = pd.MultiIndex.from_frame(own[["seed", "item"]]).isin(of_baseline).sum()
        if 2 * shared < min(len(own), len(of_baseline)):
            return False
    return True


def average_rows(
    table: pd.DataFrame, metrics: Sequence[str], baseline: str, items: "pd.Series[str] | None"
) -> pd.DataFrame:
    """Return a row for each arm and pair, in the order of the first of them, with the bounds of its means.

    A mean is of the rows that did not fail; one that diverged makes it infinite. Where rows of a pair are
    lacking, the arm's is the baseline's plus the mean difference of the `items` that both have. A pair
    without any is lost: the arm has no number.
    """
    by_pair = table.groupby(PAIR, sort=False)
    ended = table[table.status != "failed"].groupby(PAIR, sort=False)
    means = ended[[*metrics]].mean().reindex(by_pair.size().index)
    means["status"] = by_pair.status.agg(_summarise_ends)
    means[ROWS] = by_pair.size()
    means[[end.format(metric) for metric in metrics for end in (LOWEST, HIGHEST)]] = np.nan
    rows = table if items is None else table.assign(item=items)
    base = rows[rows.arm == baseline].drop(columns="arm")
    for arm, own in rows[rows.arm != baseline].groupby("arm", sort=False):
        for metric in metrics:
            pairs = _count_rows(own, base, metric) if items is None else _match_rows(own, base, metric)
            bounded = _bound_means(pairs, means[metric].loc[arm], means[metric].loc[baseline])
            index = pd.MultiIndex.from_product([[arm], bounded.index])
            means.loc[index, [metric, LOWEST.format(metric), HIGHEST.format(metric)]] = bounded.to_numpy()
    return means.reset_index()


def _bound_means(pairs: pd.DataFrame, own: "pd.Series[float]", base: "pd.Series[float]") -> pd.DataFrame:
    """Return the arm's mean, the lowest and the highest one, of the pairs of which a side lacks rows."""
    converged = np.isfinite((own + base).reindex(pairs.index))
    lacking = pairs[(pairs.shared < pairs.rows) & converged]
    share = 1 - lacking.shared / lacking.rows
    mean = base[lacking.index] + lacking.difference
    low = mean + share * (lacking.lowest - lacking.difference)
    high = mean + share * (lacking.highest - lacking.difference)
    return pd.concat([mean, low, high], axis=1)


def _summarise_ends(ends: "pd.Series[str]") -> str:
    """Return how a pair ended: a row that failed is lacking, and a pair failed if all of its rows did."""
    return next((end for end in ("diverged", "done") if (ends == end).any()), "failed")


def _match_rows(own: pd.DataFrame, base: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return, by pair, the mean difference of the rows that both sides have, and how many rows there are."""
    rows = own.merge(base, on=["seed", "item"], how="outer", suffixes=("", " of baseline"))
    rows = rows[rows.seed.isin(own.seed) & rows.seed.isin(base.seed)]
    ended = (rows.status != "failed") & (rows["status of baseline"] != "failed")
    difference = (rows[metric] - rows[f"{metric} of baseline"]).where(ended)
    by_pair = difference.groupby(rows.seed, sort=False)
    finite = difference[np.isfinite(difference)]
    return pd.DataFrame(
        {
            "difference": by_pair.mean(),
            "shared": by_pair.count(),
            "rows": by_pair.size(),
            "lowest": finite.min(),
            "highest": finite.max(),
        }
    )


def _count_rows(own: pd.DataFrame, base: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the same of rows that nothing tells apart: how many there are is all that is known of them."""
    sides = [side.set_index("seed") for side in (own, base)]
    ended = [side.loc[side.status != "failed", metric] for side in sides]
    means = [side.groupby(level=0, sort=False).mean() for side in ended]
    finite = [side[np.isfinite(side)] for side in ended]
    counts = [pd.concat([side.groupby(level=0).size() for side in those], axis=1) for those in (ended, sides)]
    return pd.DataFrame(
        {
            "difference": means[0] - means[1],
            "shared": counts[0].min(axis=1, skipna=False).fillna(0),
            "rows": counts[1].max(axis=1, skipna=False),
            "lowest": finite[0].min() - finite[1].max(),
            "highest": finite[0].max() - finite[1].min(),
        }
    ).dropna(subset="rows")
