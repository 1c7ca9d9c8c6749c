"""What a table from elsewhere is warned of: rows that were written twice, a chosen baseline."""

import io

import numpy as np
import pandas as pd
import pytest

from tests.helpers.arms import make_arm
from tests.helpers.designs import compare, compare_table, design_arms, make_realistic_design
from unrolled.bench.metric import Metric
from unrolled.reports.foreign.columns import Columns
from unrolled.reports.page.exports import write_screen, write_trials_csv
from unrolled.reports.words.page_warnings import list_warnings

LOSS = Metric("loss", 0.02)


def list_doubts(frame: pd.DataFrame, *pair: str, **columns: object) -> tuple[str, ...]:
    """Return the doubts about a table, which its warnings name."""
    comparison = compare_table(frame, Columns(("arm",), pair, (LOSS,), **columns))
    assert {*comparison.design.doubts} <= {*list_warnings(comparison)}
    assert all(f"WARNING: {sentence}" in write_screen(comparison) for sentence in comparison.design.doubts)
    return comparison.design.doubts


def make_runs(arms: str = "ab", seeds: int = 10, documents: int = 1) -> pd.DataFrame:
    """Return the rows of a table: losses by arm, seed and document."""
    rng = np.random.default_rng(2)
    rows = [(a, s, d, rng.normal()) for a in arms for s in range(seeds) for d in range(documents)]
    return pd.DataFrame(rows, columns=["arm", "seed", "document", "loss"])


@pytest.mark.parametrize(("times", "count"), [(1, 0), (2, 1), (3, 1)])
def test_rows_that_were_written_several_times_are_warned_of(times: int, count: int) -> None:
    """Ten rows of equal arms are called different in .04 of tables, written twice in .16, thrice in .28."""
    assert len(list_doubts(pd.concat([make_runs()] * times))) == count
    assert list_doubts(pd.concat([make_runs()] * times), "seed", item=("none",)) == (), (
        "rows of one pair are averaged"
    )


def test_arms_of_another_task_than_the_baseline_have_a_warning() -> None:
    frame = pd.read_csv(io.StringIO(write_trials_csv(compare(make_realistic_design()))))
    columns = Columns(("arm",), ("seed",), (Metric("valid_loss", 0.01),))
    doubts = compare_table(frame, columns).design.doubts
    assert next(doubt for doubt in doubts if "another task" in doubt).endswith(": random blocks")
    same_task = frame[frame.arm != "random blocks"]
    assert not any("another task" in doubt for doubt in compare_table(same_task, columns).design.doubts)


def test_rows_of_folds_without_pairs_are_warned_of() -> None:
    runs = make_runs(documents=4)
    assert not any("training rows" in doubt for doubt in list_doubts(runs))
    folds = runs.assign(cv_fold=runs.seed % 5)
    assert any("training rows" in doubt for doubt in list_doubts(folds))
    assert not any("training rows" in doubt for doubt in list_doubts(runs.assign(split="valid")))


@pytest.mark.parametrize(("share", "is_warned_of"), [(0.1, True), (0.19, False), (0.2, False)])
def test_a_test_share_that_is_too_small_for_its_folds_is_warned_of(share: float, is_warned_of: bool) -> None:
    folds = make_runs(seeds=5).rename(columns={"seed": "fold"})
    assert any("too small" in doubt for doubt in list_doubts(folds, "fold", test_share=share)) is is_warned_of
    splits = folds.rename(columns={"fold": "split"})
    assert not any("too small" in doubt for doubt in list_doubts(splits, "split", test_share=share))


def test_a_share_with_a_delta_in_per_cent_is_warned_of() -> None:
    frame = make_runs().rename(columns={"loss": "accuracy"}).assign(accuracy=lambda f: np.exp(f.accuracy))
    for metric, is_warned_of in (
        (Metric("accuracy", 2.0, ratio=True), True),
        (Metric("accuracy", 0.02), False),
    ):
        comparison = compare_table(frame, Columns(("arm",), ("seed",), (metric,)))
        assert any("not points" in warning for warning in list_warnings(comparison)) is is_warned_of
        assert ("not points" in write_screen(comparison)) is is_warned_of


def test_two_tasks_that_differ_from_the_baselines_by_one_setting_are_two() -> None:
    design = design_arms(
        tuple(make_arm(split, -0.9, settings={"split": split}) for split in ("tail", "blocks", "head"))
    )
    tasks = [design.describe_other_task(measured) for measured in design.arms]
    assert tasks[0] == "" and len(set(tasks)) == 3


def test_samples_whose_number_differs_between_pairs_are_warned_of() -> None:
    runs = make_runs(documents=4)
    assert list_doubts(runs, "seed", item=("none",)) == ()
    (doubt,) = list_doubts(runs.drop(index=[2, 7]), "seed", item=("none",))
    assert "3 to 4 rows" in doubt


@pytest.mark.parametrize(
    ("columns", "word"),
    [
        ({"item": ("run_id",)}, "--pair run_id"),
        ({"pair": ("step",), "item": ("seed",)}, "--pair seed"),
        ({"pair": ("trainer/global_step",), "item": ("seed",)}, "--pair seed"),
        ({}, ""),
    ],
)
def test_runs_that_are_items_and_steps_that_are_pairs_are_warned_of(columns: dict, word: str) -> None:
    """Equal runs are called different in .62 by `--item run_id`, and by `--pair step` in .69."""
    frame = make_runs(documents=2).assign(run_id=lambda f: f.seed, step=lambda f: f.document)
    frame["trainer/global_step"] = frame.document
    pair = columns.pop("pair", ("document",) if columns else ("seed",))
    sentences = list_doubts(frame, *pair, **{"item": ("document",), **columns})
    assert any(word in sentence for sentence in sentences) if word else sentences == ()


def test_an_infinite_best_value_has_a_warning() -> None:
    """The PSNR of an equal image is infinite, and no divergence."""
    frame = make_runs().assign(psnr=lambda f: f.loss.mask(f.index == 12, np.inf))
    comparison = compare_table(frame, Columns(("arm",), ("seed",), (Metric("psnr", 1.0),)))
    assert any("inf of psnr in 1 row" in sentence for sentence in comparison.design.doubts)


def test_an_arm_of_two_runs_each_under_five_seeds_has_a_warning() -> None:
    frame = make_runs()
    losses = frame.loss.where(frame.arm == "a", 0.1 + frame.seed % 2)
    (doubt,) = list_doubts(frame.assign(loss=losses), "seed")
    assert doubt.endswith(": b")


def test_seeds_that_repeat_the_numbers_of_others_are_warned_of() -> None:
    frame = make_runs()
    (doubt,) = list_doubts(frame.assign(loss=np.tile(frame.loss[:5], 4)), "seed")
    assert doubt.endswith("a, b")
    assert list_doubts(frame.assign(loss=frame.loss.round(0)), "seed") == ()


@pytest.mark.parametrize(("first", "word"), [("low", "lowest"), ("middle", ""), ("high", "highest")])
def test_a_baseline_that_results_may_have_chosen_has_a_warning(first: str, word: str) -> None:
    """Sixteen equal arms, best mean first: some one is called different in .14 of tables of thirty seeds."""
    means = {"low": 0.0, "middle": 1.0, "high": 2.0}
    order = [first, *(name for name in means if name != first)]
    frame = pd.concat(
        [make_runs("x").assign(arm=name, loss=means[name] + 0.1 * make_runs("x").loss) for name in order]
    )
    doubts = list_doubts(frame, "seed")
    assert (len(doubts) == 1 and word in doubts[0]) if word else doubts == ()
    assert list_doubts(frame, "seed", baseline=first) == ()
    assert list_doubts(frame[frame.arm != order[2]], "seed") == (), "of two arms one is always the better"


@pytest.mark.parametrize(
    ("scale", "delta", "count"), [(1, 2.0, 1), (1, 0.02, 0), (100, 0.02, 1), (100, 0.5, 0)]
)
def test_a_delta_in_another_unit_than_a_share_is_doubted(scale: float, delta: float, count: int) -> None:
    """Accuracies that were .2 lower were the same within a δ of 2."""
    accuracies = np.random.default_rng(0).normal(0.8, 0.02, 20)
    frame = make_runs().iloc[:20].assign(arm=["a"] * 10 + ["b"] * 10, seed=[*range(10)] * 2)
    frame = frame.assign(accuracy=scale * accuracies)
    comparison = compare_table(frame, Columns(("arm",), ("seed",), (Metric("accuracy", delta),)))
    assert len(comparison.design.doubts) == count


def test_unpaired_rows_of_a_seed_and_repeated_validations_are_warned_of() -> None:
    runs = make_runs(documents=5)
    (doubt,) = list_doubts(runs)
    assert doubt.endswith("--pair seed")
    assert list_doubts(make_runs()) == ()
    (doubt,) = list_doubts(runs, "document", item=("none",))
    assert doubt.endswith("--pair seed")
    (doubt,) = list_doubts(make_runs(seeds=1, documents=9), "document")
    assert doubt.endswith("--pair seed")
    assert list_doubts(runs, "seed", item=("document",)) == ()
    repeats = make_runs().rename(columns={"seed": "repeat"})
    (doubt,) = list_doubts(repeats, "repeat")
    assert "not independent" in doubt
    assert list_doubts(repeats, "repeat", test_share=0.1) == ()
