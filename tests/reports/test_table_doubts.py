"""What a table from elsewhere is warned of: rows that were written twice, a chosen baseline."""

import numpy as np
import pandas as pd
import pytest
from synthetic import compare_table

from unrolled.bench.metric import Metric
from unrolled.reports.caveats import list_warnings
from unrolled.reports.foreign_table import Columns
from unrolled.reports.tables import format_screen

LOSS = Metric("loss", 0.02)


def doubts(frame: pd.DataFrame, *pair: str, **columns: object) -> tuple[str, ...]:
    found = compare_table(frame, Columns(("arm",), pair, (LOSS,), **columns))
    assert {*found.design.doubts} <= {*list_warnings(found)}
    assert all(f"WARNING: {sentence}" in format_screen(found) for sentence in found.design.doubts)
    return found.design.doubts


def runs(arms: str = "ab", seeds: int = 10, documents: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    rows = [(a, s, d, rng.normal()) for a in arms for s in range(seeds) for d in range(documents)]
    return pd.DataFrame(rows, columns=["arm", "seed", "document", "loss"])


@pytest.mark.parametrize(("times", "told"), [(1, 0), (2, 1), (3, 1)])
def test_rows_that_were_written_several_times_are_warned_of(times: int, told: int) -> None:
    """Ten rows of equal arms are called different in .04 of tables, written twice in .16, thrice in .28."""
    assert len(doubts(pd.concat([runs()] * times))) == told
    assert doubts(pd.concat([runs()] * times), "seed", item=("none",)) == (), "rows of one pair are averaged"


@pytest.mark.parametrize(
    ("columns", "word"),
    [
        ({"item": ("run_id",)}, "--pair run_id"),
        ({"pair": ("step",), "item": ("seed",)}, "--pair seed"),
        ({}, ""),
    ],
)
def test_runs_that_are_items_and_steps_that_are_pairs_are_warned_of(columns: dict, word: str) -> None:
    """Equal runs are called different in .62 by `--item run_id`, and by `--pair step` in .69."""
    frame = runs(documents=2).assign(run_id=lambda f: f.seed, step=lambda f: f.document)
    pair = columns.pop("pair", ("document",) if columns else ("seed",))
    sentences = doubts(frame, *pair, **{"item": ("document",), **columns})
    assert any(word in sentence for sentence in sentences) if word else sentences == ()


def test_an_infinite_value_of_which_higher_is_better_is_warned_of() -> None:
    """The PSNR of an equal image is infinite, and no divergence."""
    frame = runs().assign(psnr=lambda f: f.loss.mask(f.index == 12, np.inf))
    found = compare_table(frame, Columns(("arm",), ("seed",), (Metric("psnr", 1.0),)))
    assert any("inf of psnr in 1 row" in sentence for sentence in found.design.doubts)


def test_two_runs_each_under_five_seeds_are_warned_of_beside_an_arm_of_ten() -> None:
    frame = runs()
    two = frame.loss.where(frame.arm == "a", 0.1 + frame.seed % 2)
    (told,) = doubts(frame.assign(loss=two), "seed")
    assert told.endswith(": b")


def test_seeds_that_repeat_the_numbers_of_others_are_warned_of_and_a_few_equal_ones_are_not() -> None:
    frame = runs()
    (told,) = doubts(frame.assign(loss=np.tile(frame.loss[:5], 4)), "seed")
    assert told.endswith("a, b")
    assert doubts(frame.assign(loss=frame.loss.round(0)), "seed") == ()


@pytest.mark.parametrize(("first", "word"), [("low", "lowest"), ("middle", ""), ("high", "highest")])
def test_a_baseline_that_nobody_named_and_results_may_have_chosen_is_warned_of(first: str, word: str) -> None:
    """Sixteen equal arms, best mean first: some one is called different in .14 of tables of thirty seeds."""
    means = {"low": 0.0, "middle": 1.0, "high": 2.0}
    order = [first, *(name for name in means if name != first)]
    frame = pd.concat([runs("x").assign(arm=name, loss=means[name] + 0.1 * runs("x").loss) for name in order])
    told = doubts(frame, "seed")
    assert (len(told) == 1 and word in told[0]) if word else told == ()
    assert doubts(frame, "seed", baseline=first) == ()
    assert doubts(frame[frame.arm != order[2]], "seed") == (), "of two arms one is always the better"
