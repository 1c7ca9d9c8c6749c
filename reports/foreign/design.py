"""The design of a table from elsewhere: its arms, how they are paired, and what its page warns of."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from unrolled.bench.errors import BadInput, plural, require
from unrolled.bench.metric import FEWEST_SEEDS
from unrolled.bench.trial import ROWS_AVERAGED
from unrolled.reports.design import Design, MeasuredArm
from unrolled.reports.foreign.columns import SAMPLES, Columns, join_labels
from unrolled.reports.foreign.row_means import read_row_matches
from unrolled.reports.formats import join_first_names, shorten

CHOSEN = 3  # arms from which on the best or the worst of them may have been chosen as the baseline
_RUNS = {"seed", "run", "run_id", "run_name", "rep", "replicate", "trial"}  # columns that tell runs apart
_STEPS = {"step", "_step", "global_step", "epoch", "iteration", "iter"}


def make_design(frame: pd.DataFrame, table: pd.DataFrame, columns: Columns, source: str, page: str) -> Design:
    """Return how the arms of a table are compared.

    Raises BadInput for a table of one arm, and another baseline.
    """
    order = list(dict.fromkeys(table.arm))
    require(
        len(order) > 1,
        f"has one arm, {order[0]!r}",
        place=source,
        cure="name with --arm the columns in which arms differ",
    )
    baseline = columns.baseline or order[0]
    if baseline not in order:
        raise BadInput(f"has no arm {baseline!r}", place=source, cure=f"it has: {', '.join(order)}")
    order.sort(key=lambda name: name != baseline)
    labelled = frame[list(columns.arm)].astype(str).set_axis(join_labels(frame, columns.arm, source))
    levels = labelled[~labelled.index.duplicated()].to_dict("index")
    base = levels[baseline].items()
    changes = {
        name: {str(column): x for column, x in arm_levels.items() - base}
        for name, arm_levels in levels.items()
    }
    compared = plural(len(order) - 1, "arm")
    return Design(
        study=page,
        question=f"{source}: {compared} against {baseline}, {plural(len(frame), 'row')}",
        metrics=columns.metrics,
        arms=tuple(MeasuredArm(name=name, title=name, changes=changes[name]) for name in order),
        pairing_column="fold" if columns.test_share else " and ".join(columns.pair),
        test_share=columns.test_share,
        doubts=(*find_doubts(table, columns),),
        averaging_note=_describe_rows(table, columns),
    )


def _describe_rows(table: pd.DataFrame, columns: Columns) -> str:
    """Return a sentence on rows that were averaged; "" where there were none."""
    counts = table[ROWS_AVERAGED][table[ROWS_AVERAGED] > 0]
    smallest = int(counts.min())
    largest = int(counts.max())
    if largest < 2:
        return ""
    number = f"{largest}" if smallest == largest else f"{smallest} to {largest}"
    pair = " and ".join(columns.pair)
    matched = "taken as independent samples"
    if columns.item != (SAMPLES,):
        item = " and ".join(columns.item)
        matched = f"matched with the baseline's by {item}: verdicts are over {pair}s, for these {item}s alone"
    sentence = f"A value is the mean of {number} rows of one arm and {pair}, {matched}"
    matches = read_row_matches(table, columns.metrics[0].name)
    lacking = [f"{arm} {match.lacks[0]}" for arm, match in matches.items() if match.lacks[0]]
    lacking += [
        f"the baseline {match.lacks[1]} of {arm}'s" for arm, match in matches.items() if match.lacks[1]
    ]
    if not lacking:
        return f"{sentence}."
    return (
        f"{sentence}; rows lacking or failed: {join_first_names(lacking, 5)}. Each may have differed as much "
        "as any that was seen, in either direction."
    )


def find_doubts(table: pd.DataFrame, columns: Columns) -> Iterator[str]:
    """Return sentences on seeds that are items, rows that were written twice, and a chosen baseline."""
    metrics = [metric.name for metric in columns.metrics]
    if seeds := [name for name in columns.item if name.lower() in _RUNS]:
        cure = f"--pair {seeds[0]}"
        yield f"rows of one {seeds[0]} share its training, so that pairs are not independent: {cure}"
    elif steps := [name for name in columns.pair if name.lower().rsplit("/", 1)[-1] in _STEPS]:
        yield f"rows of one run's {steps[0]}s are not independent: --pair takes what tells runs apart, a seed"
    for metric in columns.metrics:
        perfect = (table[metric.name] == np.inf) & (table.status == "done")
        if perfect.any() and not metric.lower_is_better:
            rows = plural(int(perfect.sum()), "row")
            yield f"inf of {metric.name} in {rows} counts as diverged: if it is perfect, write a number"
    if repeated := [*_find_repeated(table, metrics)]:
        names = join_first_names([shorten(name) for name in repeated], 5)
        yield f"all numbers stand in several rows, which are then not independent runs: {names}"
    if not columns.baseline and (extreme := _rank_first(table, metrics[0])):
        yield (
            f"the baseline {shorten(table.arm.iloc[0])} is the arm of the first row and has the {extreme} "
            "mean: --baseline names one that no result has chosen"
        )


def _find_repeated(table: pd.DataFrame, metrics: list[str]) -> Iterator[str]:
    """Return the arms of which different rows all stand there twice, thrice, or in multiples of it.

    Five of them, or two beside an arm of which no two rows are alike: coarse numbers may be equal by chance.
    """
    rows = table.dropna(subset=metrics)
    sizes = rows.groupby(["arm", *metrics], sort=False).size().groupby(level="arm", sort=False)
    is_fine = any((of_arm == 1).all() and len(of_arm) >= FEWEST_SEEDS for _, of_arm in sizes)
    for arm, of_arm in sizes:
        if len(of_arm) >= (2 if is_fine else FEWEST_SEEDS) and np.gcd.reduce(of_arm.to_numpy()) > 1:
            yield str(arm)


def _rank_first(table: pd.DataFrame, metric: str) -> str:
    """Return whether the first arm of several has the highest or the lowest mean; "" otherwise."""
    means = table[metric].where(np.isfinite(table[metric])).groupby(table.arm, sort=False).mean()
    if len(means) < CHOSEN or means.nunique() < CHOSEN:
        return ""
    first = means.iloc[0]
    if first == means.max():
        return "highest"
    return "lowest" if first == means.min() else ""
