"""The mean of several rows of one arm and pair, such as the documents on which each seed is judged.

The rows of two arms are matched by an item, such as the document, so that no arm is better because of rows
that it lacks:

    seed 0     arm   baseline   difference
    doc 1      .8    .7         .1
    doc 2      .6    .6         .0
    doc 3      –     .5         unknown

The unknown difference is taken to be at most as large as the largest known one, in either direction. The
pair of seed 0 therefore has a lowest and a highest difference. A pair that lacks half of its rows is lost.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from unrolled.bench.metric import FEWEST_SEEDS
from unrolled.bench.table_columns import ROWS_AVERAGED
from unrolled.reports.compare.row_matches import ARM_LACKS, BASE_LACKS, name_match_columns

PAIR = ["arm", "seed"]  # columns whose values the rows of one arm and pair share
BY_CHANCE = 0.001  # an arm is not one run if its items agree by chance with a greater probability
_MOST_LACKING = 0.5  # a pair that lacks this share of its rows is lost


def average_rows(
    table: pd.DataFrame, metrics: Sequence[str], baseline: str, items: "pd.Series[str] | None"
) -> pd.DataFrame:
    """Return a row for each arm and pair, in the order of their first rows.

    A mean is over the rows that did not fail, and infinite if a row diverged. Further columns hold the
    matched values for `read_row_matches`. Without `items` the rows are independent samples, in any number.
    """
    diverged = table[[*metrics]].abs().eq(np.inf).where(table.status != "diverged", True)
    table = table.assign(**table[[*metrics]].mask(diverged, np.inf))
    by_pair = table.groupby(PAIR, sort=False)
    ended = table[table.status != "failed"]
    means = ended.groupby(PAIR, sort=False)[[*metrics]].mean().reindex(by_pair.size().index)
    means["status"] = by_pair.status.agg(_summarise_ends)
    means[ROWS_AVERAGED] = ended.groupby(PAIR, sort=False).size().reindex(means.index, fill_value=0)
    rows = table if items is None else table.assign(item=items)
    pair_rows = _match_samples if items is None else _match_items
    base = rows[rows.arm == baseline].drop(columns="arm")
    matches: dict[str, pd.DataFrame] = {}
    for arm, arm_rows in rows[rows.arm != baseline].groupby("arm", sort=False):
        for metric in metrics:
            pairs = pair_rows(arm_rows, base, metric)
            matched = _bound_values(pairs, means[metric].loc[arm], means[metric].loc[baseline])
            lacking = pairs[["arm_lacks", "base_lacks"]].set_axis([ARM_LACKS, BASE_LACKS], axis=1)
            matches.setdefault(str(arm), lacking)[name_match_columns(metric)] = matched
    return means.join(pd.concat(matches, names=PAIR)).reset_index() if matches else means.reset_index()


def find_one_run_arms(
    table: pd.DataFrame, metrics: Sequence[str], items: "pd.Series[str] | None"
) -> list[str]:
    """Return the arms that are one run, copied for every pair: each item has one value in all pairs.

    The means of such an arm may still differ from pair to pair, if rows failed. Two sorts of arms are
    not one run:

    - An arm whose items may agree by chance, as answers to easy questions do. Three questions in five pairs
      have r = 3 · 4 = 12 repeats. If each repeats the first answer with a chance c = .9, all do with
      cʳ = .9¹² = .28, which is above `BY_CHANCE`. c is estimated in two ways, and the larger estimate counts:
      the chance that two values drawn from the arm are equal; and, over the arms that vary, the largest
      1 − (items with several values) / r.
    - If no arm varies from pair to pair: an arm of which most items are in fewer than five pairs.
    """
    if items is None or not metrics:
        return []
    rows = table.assign(item=items)[table.status != "failed"]
    by_item = rows.groupby(["arm", "item"], sort=False)
    pairs = by_item.seed.nunique()
    is_shared = pairs > 1
    has_several = (by_item[[*metrics]].nunique() > 1).any(axis=1)[is_shared]
    varies = has_several.groupby(level="arm").any()
    is_repeated = pairs.groupby(level="arm").median() >= FEWEST_SEEDS
    repeats = (pairs - 1).groupby(level="arm").sum()
    by_arm = rows.groupby("arm")
    agreement = pd.DataFrame({m: by_arm[m].agg(_measure_agreement) for m in metrics}).min(axis=1)
    agreeing = 1 - has_several.groupby(level="arm").sum() / repeats
    of_others = agreeing[varies[varies].index].max()  # NaN if no other arm varies
    is_chance = np.fmax(agreement, of_others) ** repeats > BY_CHANCE
    constant = [str(arm) for arm in varies.index if not varies[arm] and not is_chance[arm]]
    return [arm for arm in constant if varies.any() or is_repeated[arm]]


def _measure_agreement(values: "pd.Series[float]") -> float:
    """Return the chance that two values drawn at random are equal: .5 for [0, 0, 1, 1]."""
    return float((values.value_counts(normalize=True, dropna=False) ** 2).sum())


def _summarise_ends(ends: "pd.Series[str]") -> str:
    """Return how a pair ended: diverged if any row did, failed if all did, and else done."""
    return next((end for end in ("diverged", "done") if (ends == end).any()), "failed")


def _match_items(arm_rows: pd.DataFrame, base_rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return, by pair, how many rows are lacking, and the mean difference of the others.

    `share` is the share of rows that are lacking, and `reach` the largest difference of any item.
    """
    rows = arm_rows.merge(base_rows, on=["seed", "item"], how="outer", suffixes=("", " of baseline"))
    rows = rows[rows.seed.isin(arm_rows.seed) & rows.seed.isin(base_rows.seed)]
    arm_lacks = rows.status.isna() | (rows.status == "failed")
    base_lacks = rows["status of baseline"].isna() | (rows["status of baseline"] == "failed")
    difference = (rows[metric] - rows[f"{metric} of baseline"]).where(~(arm_lacks | base_lacks))
    by_pair = pd.DataFrame(
        {"arm_lacks": arm_lacks, "base_lacks": base_lacks, "share": arm_lacks | base_lacks}
    ).groupby(rows.seed, sort=False)
    counts = by_pair.sum()
    return counts.assign(
        share=counts.share / by_pair.size(),
        difference=difference.groupby(rows.seed, sort=False).mean(),
        reach=difference[np.isfinite(difference)].abs().max(),
    )


def _match_samples(arm_rows: pd.DataFrame, base_rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the columns of `_match_items` for independent samples, of which only failed rows are lacking."""
    rows = pd.concat({"arm": arm_rows, "base": base_rows}, names=["side"])
    values = rows[metric].where(rows.status != "failed")
    is_lacking = (rows.status == "failed").groupby([rows.seed, "side"], sort=False)
    lacking = is_lacking.sum().unstack()
    means = values.groupby([rows.seed, "side"], sort=False).mean().unstack()
    finite = values[np.isfinite(values)]
    pairs = pd.DataFrame(
        {
            "arm_lacks": lacking.arm,
            "base_lacks": lacking.base,
            "share": is_lacking.mean().unstack().sum(axis=1, skipna=False),
            "difference": means.arm - means.base,
            "reach": finite.max() - finite.min(),
        }
    )
    return pairs.dropna(subset="share")


def _bound_values(
    pairs: pd.DataFrame, arm_means: "pd.Series[float]", base_means: "pd.Series[float]"
) -> pd.DataFrame:
    """Return the value of each pair as it is compared, with its lowest and highest value; NaN if it is lost.

    If rows are missing, the value is the baseline's mean plus the difference of the rows that both have.
    """
    arm_means = arm_means.reindex(pairs.index)
    base_means = base_means.reindex(pairs.index)
    is_partial = (pairs.share > 0) & np.isfinite(arm_means + base_means)
    values = arm_means.mask(is_partial, base_means + pairs.difference).mask(pairs.share >= _MOST_LACKING)
    shared_difference = (1 - pairs.share) * pairs.difference
    ends = [
        base_means + shared_difference - pairs.share * pairs.reach,
        base_means + shared_difference + pairs.share * pairs.reach,
    ]
    return pd.concat([values, *(end.where(is_partial & values.notna()) for end in ends)], axis=1)
