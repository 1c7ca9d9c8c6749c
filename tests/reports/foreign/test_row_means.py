"""A table whose pairs have several rows: matched by item, averaged, and judged by what both sides have."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tests.helpers.bad_input import raises_bad_input
from tests.helpers.designs import compare_table
from unrolled.bench.errors import BadInput
from unrolled.bench.metric import Metric
from unrolled.reports.foreign.columns import Columns
from unrolled.reports.page.exports import write_screen


def make_documents(
    rng: np.random.Generator, seeds: int, number: int = 20, better: float = 0.0
) -> pd.DataFrame:
    """Return the losses of two arms on documents of which some are harder than others."""
    hard = np.sort(rng.normal(0, 0.1, number))
    shift = {"1": 0.0, "2": -better}
    return pd.DataFrame(
        [{"group": g, "seed": s, "document": f"d{d}", "extra": hard[d] + shift[g] + rng.normal(0, 0.02)}
         for g in "12" for s in range(seeds) for d in range(number)]
    )  # fmt: skip


METRIC = Metric("extra", 0.02, "lower")
BY_SEED = Columns(("group",), ("seed",), (METRIC,), item=("document",))
LACKING = {
    "each other ones": lambda f: (
        f.group.eq("1") & f.document.isin(["d0", "d1", "d2"])
        | f.group.eq("2") & f.document.isin(["d17", "d18", "d19"])
    ),
    "the arm the hardest": lambda f: f.group.eq("2") & f.document.isin(["d18", "d19"]),
    "the baseline the easiest": lambda f: f.group.eq("1") & f.document.isin(["d0", "d1"]),
    "some seeds the hardest": lambda f: f.group.eq("2") & f.document.eq("d19") & (f.seed < 5),
}


def arms_differ(frame: pd.DataFrame, columns: Columns = BY_SEED) -> bool:
    """Return whether the second arm is called better or worse."""
    verdict = compare_table(frame, columns).arms[1].verdict
    return verdict is not None and verdict.kind in ("better", "worse")


@pytest.mark.parametrize("lacking", LACKING.values(), ids=LACKING)
@pytest.mark.parametrize("kind", ["missing", "failed"])
def test_equal_arms_that_lack_different_rows_are_not_called_different(lacking, kind: str) -> None:
    """Matched by document; by the means of what each has, they are in most tables."""
    rng = np.random.default_rng(3)
    different = 0
    for _ in range(5):
        frame = make_documents(rng, 10)
        lacking_rows = lacking(frame)
        table = (
            frame[~lacking_rows]
            if kind == "missing"
            else frame.assign(status=np.where(lacking_rows, "failed", "done"))
        )
        arm = compare_table(table, BY_SEED).arms[1]
        assert abs(arm.contrast.mean_difference) < 0.02
        assert arm.contrast.lost_count == 0
        different += arm.verdict.kind in ("better", "worse")
    assert different <= 1


@pytest.mark.parametrize("item", ["document", "none"])
def test_an_arm_whose_collapses_fail_is_not_called_better(item: str) -> None:
    """Equal arms, of which one row in twenty collapses: the baseline's are there, the arm's failed."""
    rng = np.random.default_rng(5)
    better = 0
    for _ in range(10):
        frame = make_documents(rng, 10).assign(status="done")
        collapsed = rng.random(len(frame)) < 0.05
        frame.loc[collapsed, "extra"] += 30 * 0.02
        frame.loc[collapsed & (frame.group == "2"), "status"] = "failed"
        better += arms_differ(frame, replace(BY_SEED, item=(item,)))
    assert better <= 1


@pytest.mark.parametrize("item", ["document", "none"])
@pytest.mark.parametrize("last", [0.0, np.nan, np.inf], ids=["a number", "an empty cell", "inf"])
def test_averaged_rows_that_diverged_are_no_result_whatever_number_they_have(item: str, last: float) -> None:
    columns = replace(BY_SEED, item=(item,))
    better = make_documents(np.random.default_rng(3), 10, better=0.1).assign(status="done")
    equal = make_documents(np.random.default_rng(3), 10).assign(status="done")
    one_row = (equal.seed < 6) & (equal.document == "d0")
    for frame, is_diverged, kind, counts in (
        (better, one_row & (better.group == "2"), "worse", (6, 0)),
        (equal, one_row, "open", (6, 6)),
        (equal, one_row & (equal.seed == 0) & (equal.group == "2"), "open", (1, 0)),
    ):
        rows = frame.assign(
            extra=frame.extra.mask(is_diverged, last), status=frame.status.mask(is_diverged, "diverged")
        )
        arm = compare_table(rows, columns).arms[1]
        assert (arm.contrast.arm_diverged_count, arm.contrast.base_diverged_count) == counts
        assert arm.verdict.kind == kind


def test_a_missing_row_costs_little_and_twelve_of_thirty_the_claim() -> None:
    frame = make_documents(np.random.default_rng(3), 10, 100, better=0.02)
    one_a_seed = frame.drop(index=frame.index[frame.group == "2"][3::100])
    complete, arm = (compare_table(f, BY_SEED).arms[1] for f in (frame, one_a_seed))
    assert arm.verdict.kind == complete.verdict.kind == "better"
    assert arm.contrast.mean_difference == pytest.approx(complete.contrast.mean_difference, abs=2e-3)
    equal = make_documents(np.random.default_rng(3), 10, 30)
    worst = equal[equal.group == "2"].groupby("seed").extra.rank() > 18
    remaining = equal.drop(index=worst.index[worst])
    assert not arms_differ(remaining)
    assert "rows lacking or failed: 2 120" in write_screen(compare_table(remaining, BY_SEED))


def test_arms_are_not_the_same_where_rows_are_lacking() -> None:
    frame = make_documents(np.random.default_rng(3), 10)
    hard = frame.assign(extra=10.0 * frame.document.isin(HALF) + 0.1 * frame.extra)
    lacks = (hard.group == "2") & hard.document.isin(HALF)
    for remaining in (hard[~lacks], hard.assign(status=np.where(lacks, "failed", "done"))):
        assert (arm := compare_table(remaining, BY_SEED).arms[1]).verdict is None
        assert arm.contrast is None
    single_row = (hard.group == "2") & hard.document.eq("d9")
    assert compare_table(hard, BY_SEED).arms[1].verdict.kind == "same"
    assert compare_table(hard[~single_row], BY_SEED).arms[1].verdict.kind == "open"


HALF = [f"d{number}" for number in range(10, 20)]


def test_lacking_rows_never_turn_an_open_contrast_into_a_claim() -> None:
    frame = make_documents(np.random.default_rng(3), 10)
    shift = frame.seed.map({seed: 4.0 if seed == 3 else 0.3 for seed in range(10)})
    frame["extra"] += shift.where(frame.group == "2", 0.0)
    lacking = (frame.group == "2") & (frame.seed == 3) & frame.document.isin(HALF[1:])
    assert not arms_differ(frame)
    assert not arms_differ(frame[~lacking])


def test_a_copied_run_that_lacks_a_document_is_one_run() -> None:
    rng = np.random.default_rng(3)
    frame = make_documents(rng, 10)
    losses = frame[(frame.group == "2") & (frame.seed == 0)].set_index("document").extra
    copied = frame.assign(extra=frame.extra.where(frame.group == "1", frame.document.map(losses)))
    comparison = compare_table(copied[(copied.group == "1") | copied.document.ne("d3")], BY_SEED)
    assert comparison.arms[1].is_one_run
    assert not comparison.arms[1].verdict.makes_claim
    third = frame[frame.group == "2"].assign(group="3", document=lambda f: "other " + f.document)
    three_arms = compare_table(pd.concat([frame, third]), BY_SEED)
    assert (
        three_arms.arms[1].verdict.contrast.mean_difference
        == compare_table(frame, BY_SEED).arms[1].contrast.mean_difference
    )
    assert three_arms.arms[2].verdict is None, "no document in common"


def test_a_copied_run_with_other_failed_rows_is_one_run() -> None:
    """A greedy model of which one answer a seed timed out: equal arms are called different in .43."""
    rng = np.random.default_rng(3)
    frame = make_documents(rng, 10).assign(status="done")
    losses = frame[(frame.group == "2") & (frame.seed == 0)].set_index("document").extra
    frame["extra"] = frame.extra.where(frame.group == "1", frame.document.map(losses))
    for seed in range(10):
        row = frame[(frame.group == "2") & (frame.seed == seed)].sample(1, random_state=seed)
        frame.loc[row.index, "status"] = "failed"
    arm = compare_table(frame, BY_SEED).arms[1]
    assert arm.is_one_run
    assert not arm.verdict.makes_claim


def test_rows_of_folds_with_items_of_their_own_are_no_copies() -> None:
    rng = np.random.default_rng(3)
    rows = [(g, d % 10, d, rng.random() < p) for g, p in (("1", 0.6), ("2", 0.9)) for d in range(200)]
    frame = pd.DataFrame(rows, columns=["group", "seed", "document", "extra"]).astype({"extra": float})
    metric = Metric("extra", 0.02, "higher")
    arm = compare_table(frame, replace(BY_SEED, metrics=(metric,), test_share=0.1)).arms[1]
    assert not arm.is_one_run
    assert arm.verdict.kind == "better"


def test_a_copied_run_on_documents_drawn_by_seed_is_one() -> None:
    rng = np.random.default_rng(3)
    frame = make_documents(rng, 10, number=200)
    one_run = frame[(frame.group == "2") & (frame.seed == 0)].set_index("document").extra
    copied = frame.assign(extra=frame.extra.where(frame.group == "1", frame.document.map(one_run)))
    drawn = {(seed, f"d{d}") for seed in range(10) for d in rng.choice(200, 80, replace=False)}
    is_drawn = [pair in drawn for pair in zip(frame.seed, frame.document, strict=True)]
    assert compare_table(copied[is_drawn], BY_SEED).arms[1].is_one_run
    assert not compare_table(frame[is_drawn], BY_SEED).arms[1].is_one_run


def test_a_clock_among_the_metrics_hides_no_copied_run() -> None:
    rng = np.random.default_rng(3)
    frame = make_documents(rng, 10).assign(status="done", seconds=lambda f: rng.random(len(f)))
    one_run = frame[(frame.group == "2") & (frame.seed == 0)].set_index("document").extra
    frame["extra"] = frame.extra.where(frame.group == "1", frame.document.map(one_run))
    frame.loc[frame[frame.group == "2"].sample(5, random_state=0).index, "status"] = "failed"
    columns = replace(BY_SEED, metrics=(METRIC, Metric("seconds", 1.0)))
    assert compare_table(frame, columns).arms[1].is_one_run


@pytest.mark.parametrize("item", ["document", "none"])
def test_rows_that_are_judged_by_their_ratio_have_a_geometric_mean(item: str) -> None:
    frame = make_documents(np.random.default_rng(3), 10).assign(extra=lambda f: 1000 * np.exp(f.extra))
    ratio = replace(BY_SEED, metrics=(Metric("extra", 5.0, "lower", ratio=True),), item=(item,))
    contrast = compare_table(frame, ratio).arms[1].contrast
    logs = compare_table(frame.assign(extra=lambda f: 100 * np.log(f.extra)), replace(BY_SEED, item=(item,)))
    assert contrast.mean_difference == pytest.approx(logs.arms[1].contrast.mean_difference)
    frame.loc[3, "extra"] = 0.0
    with raises_bad_input("row 4: 0 has no ratio", key="extra"):
        compare_table(frame, ratio)


def test_a_repeated_item_is_refused_and_one_without_a_name_failed() -> None:
    frame = make_documents(np.random.default_rng(3), 10).assign(status="done")
    with pytest.raises(BadInput, match="row 401 repeats an item"):
        compare_table(pd.concat([frame, frame[:1]], ignore_index=True), BY_SEED)
    numbers = frame.assign(document=frame.document.str[1:].astype(float))
    numbers.loc[5, ["status", "document"]] = "failed", np.nan
    match = compare_table(numbers, BY_SEED).arms[1].contrast
    assert (match.lost_count, match.missing_row_counts, len(match.bounds)) == (0, (1, 2), 1)


def test_seeds_that_are_matched_as_items_are_warned_of() -> None:
    """Fifty documents of ten seeds: equal arms are called different in .61 by document, in .03 by seed."""
    frame = make_documents(np.random.default_rng(3), 10)
    by_document = write_screen(compare_table(frame, replace(BY_SEED, pair=("document",), item=("seed",))))
    assert "WARNING: rows of one seed come from one training" in by_document
    assert "verdicts are over documents, for these seeds alone" in by_document
    assert "WARNING: rows of one seed" not in write_screen(compare_table(frame, BY_SEED))


def test_a_pair_whose_rows_all_failed_is_lost_and_counted_once() -> None:
    frame = make_documents(np.random.default_rng(3), 10).assign(status="done")
    frame.loc[(frame.group == "2") & (frame.seed == 2), "status"] = "failed"
    comparison = compare_table(frame, BY_SEED)
    contrast = comparison.arms[1].contrast
    assert (contrast.lost_count, contrast.missing_row_counts) == (1, (0, 0))
    assert "mean of 20 rows" in write_screen(comparison)


def test_pairs_without_shared_rows_are_lost_and_diverged_rows_make_diverged_pairs() -> None:
    frame = make_documents(np.random.default_rng(3), 10)
    frame.loc[(frame.group == "2") & (frame.seed == 9) & (frame.document == "d3"), "extra"] = float("inf")
    first = (frame.seed == 0) & frame.document.isin(HALF)
    remaining = frame[~((frame.seed == 0) & (first == frame.group.eq("1")))]
    contrast = compare_table(remaining, BY_SEED).arms[1].contrast
    assert (contrast.pair_count, contrast.lost_count, contrast.arm_diverged_count) == (9, 1, 1)
