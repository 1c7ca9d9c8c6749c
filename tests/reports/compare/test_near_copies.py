"""Runs that hardly differ: one run whose last digits jitter, or arms of small spread."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tests.helpers.arms import make_arm, set_metrics
from tests.helpers.designs import compare, compare_table, design_arms
from unrolled.bench.metric import Metric
from unrolled.reports.compare.repeated_numbers import describe_few_numbers
from unrolled.reports.foreign.columns import Columns
from unrolled.reports.words.page_warnings import list_warnings
from unrolled.reports.words.table_notes import list_notes

COLUMNS = Columns(("arm",), ("seed",), (Metric("accuracy", 0.01),))


@pytest.mark.parametrize("spread", [1e-6, 0.0])
def test_seeds_of_small_spread_are_no_copies(spread: float) -> None:
    """Six arms of which seeds collapse in .05: some honest one was called one run in .96 of tables."""
    rng = np.random.default_rng(0)
    rows = {"seed": np.arange(10), "accuracy": 0.985 + 0.0008 * rng.standard_normal(10)}
    collapsed = {**rows, "accuracy": np.where(rows["seed"] == 3, 0.1, rows["accuracy"] - 0.01)}
    comparison = compare_table(
        pd.concat([pd.DataFrame({"arm": "a", **rows}), pd.DataFrame({"arm": "b", **collapsed})]), COLUMNS
    )
    assert not any(arm.is_one_run for arm in comparison.arms)
    single = {**rows, "accuracy": 0.985 + spread * rng.standard_normal(10)}
    comparison = compare_table(
        pd.concat([pd.DataFrame({"arm": "a", **rows}), pd.DataFrame({"arm": "b", **single})]), COLUMNS
    )
    assert comparison.arms[1].is_one_run, "one run whose last digits differ"


def test_a_third_arm_that_collapsed_once_makes_no_copies_of_the_others() -> None:
    """Of sums of log-likelihoods, whose spread is small beside their size, all were called one run."""
    rng = np.random.default_rng(0)
    sums = {
        name: -34567 + gain + 0.6 * rng.standard_normal(10) for name, gain in (("a", 0), ("b", 7), ("c", 0))
    }
    sums["c"][3] -= 800
    frame = pd.concat(
        [pd.DataFrame({"arm": name, "seed": range(10), "score": x}) for name, x in sums.items()]
    )
    comparison = compare_table(frame, replace(COLUMNS, metrics=(Metric("score", 2.0, "higher"),)))
    assert not any(arm.is_one_run for arm in comparison.arms)
    assert comparison.arms[1].verdict.kind == "better"


@pytest.mark.parametrize(("delta", "is_copied"), [(10.0, True), (1.0, False)])
def test_runs_that_hardly_differ_are_one_run(delta, is_copied) -> None:
    """Whatever the other arm's spread, as both may be such runs; a claim of "the same" is lost by it."""
    scores = (10_000 + 0.009 * np.arange(10)).round(2)
    frame = pd.concat(
        [
            pd.DataFrame({"arm": name, "seed": range(10), "score": x})
            for name, x in (("a", scores), ("b", scores[::-1]))
        ]
    )
    comparison = compare_table(frame, replace(COLUMNS, metrics=(Metric("score", delta, "higher"),)))
    assert [arm.is_one_run for arm in comparison.arms] == [is_copied, is_copied]
    assert comparison.arms[1].verdict.kind == ("open" if is_copied else "same")


def draw_beside(numbers: np.ndarray, spread: float) -> pd.DataFrame:
    """Return a table of an arm with these numbers, and of one with such a spread about their mean."""
    seeds = np.arange(len(numbers))
    other = numbers.mean() + spread * np.linspace(-1, 1, len(numbers)) ** 3
    decimals = max(len(str(x).partition(".")[2]) for x in numbers)
    sides = (("a", other.round(decimals)), ("b", numbers))
    return pd.concat([pd.DataFrame({"arm": a, "seed": seeds, "accuracy": x}) for a, x in sides])


@pytest.mark.parametrize(
    ("first", "unit", "spread", "is_copied"),
    [
        (0.7130, 1e-4, 0.2, True),
        (86.13, 1e-2, 20.0, True),
        (0.7130, 1e-4, 0.005, False),
        (86.1, 1e-1, 40.0, False),
        (0.71, 1e-2, 0.5, False),
        (0.9980, 1e-4, 0.2, False),
        (0.0130, 1e-4, 0.2, False),
    ],
    ids=["four decimals", "per cent", "spread", "tenths of per cent", "two decimals", "near 1", "near 0"],
)
def test_a_run_whose_last_decimal_jitters_is_a_copy(
    first: float, unit: float, spread: float, is_copied: bool
) -> None:
    """Of equal arms, one of them such a run, .57 were called different."""
    metric = Metric("accuracy", 0.02 if first < 1 else 0.5)
    numbers = (first + unit * LAST_DECIMAL).round(4)
    comparison = compare_table(draw_beside(numbers, spread), replace(COLUMNS, metrics=(metric,)))
    assert comparison.arms[1].is_one_run is is_copied
    if is_copied:
        assert comparison.arms[1].verdict.kind == "open"


LAST_DECIMAL = np.array([1, 1, 0, 0, 1, 0, 0, 0, 2, 0])


@pytest.mark.parametrize(
    ("numbers", "is_doubted"),
    [
        ([0.6911] * 9 + [0.7012], True),
        ([0.6911] * 7 + [0.7012] * 3, True),
        ([0.6911] * 4 + [0.7012] * 3 + [0.6522] * 3, True),
        ([0.6911, 0.6912, 0.6522, 0.7012, 0.6703, 0.6666, 0.6911, 0.6912, 0.71, 0.64], False),
        ([1.0] * 9 + [0.9999], False),
    ],
)
def test_rows_that_repeat_fine_numbers_are_doubted(numbers: list[float], is_doubted: bool) -> None:
    """A copied run with one seed of its own is no copy on every seed; equal arms then differed in .57."""
    comparison = compare_table(draw_beside(np.array(numbers), 0.2), COLUMNS)
    assert any(" b" in doubt for doubt in comparison.design.doubts) is is_doubted
    coarse = np.random.default_rng(0).binomial(20, 0.95, 10) / 20
    assert not compare_table(draw_beside(coarse, 0.2), COLUMNS).design.doubts


def test_two_arms_that_both_repeat_fine_numbers_are_doubted() -> None:
    """No arm shows that the numbers differ by nature; equal arms of 3, 3, 2 and 2 copies differed in .26."""
    numbers = [0.691171] * 3 + [0.701248] * 3 + [0.652291] * 2 + [0.7112] * 2
    second_numbers = [round(1.9 - 1.013 * number, 6) for number in reversed(numbers)]
    frame = pd.DataFrame(
        {"arm": ["a"] * 10 + ["b"] * 10, "seed": [*range(10)] * 2, "accuracy": numbers + second_numbers}
    )
    assert any("half of the rows" in doubt for doubt in compare_table(frame, COLUMNS).design.doubts)


@pytest.mark.parametrize("spread", [1.0, 2.0, 25.0])
def test_shares_of_many_items_may_be_equal_by_chance(spread: float) -> None:
    """A probe of small spread beside a net of large spread was doubted in .22 to .57 of honest tables."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        items = np.concatenate([rng.normal(9300, 25, 10), rng.normal(9100, spread, 10)]).round()
        frame = pd.DataFrame(
            {"arm": ["a"] * 10 + ["b"] * 10, "seed": [*range(10)] * 2, "accuracy": items / 10_000}
        )
        assert not any("half of the rows" in doubt for doubt in compare_table(frame, COLUMNS).design.doubts)


@pytest.mark.parametrize("law", ["one seed in ten is far worse", "steps are multiples of 100"])
def test_honest_arms_of_far_values_or_coarse_steps_are_not_doubted(law: str) -> None:
    """They were in .92 and all of such tables of 20 rows an arm."""
    rng = np.random.default_rng(0)
    doubted = 0
    for _ in range(40):
        numbers = (1 + 0.02 * rng.standard_normal((2, 20)) + 0.5 * (rng.random((2, 20)) < 0.1)).round(2)
        if law == "steps are multiples of 100":
            numbers = 100 * (20 + 2 * rng.standard_normal((2, 20))).round()
        arms = [pd.DataFrame({"arm": arm, "accuracy": row}) for arm, row in zip("ab", numbers, strict=True)]
        doubted += bool(describe_few_numbers(pd.concat(arms, ignore_index=True), COLUMNS.metrics, "row"))
    assert doubted <= 2


@pytest.mark.parametrize(
    "scores", ["ratings from 1 to 5", "errors in words", "words to four decimals", "words in per cent"]
)
def test_scores_of_items_are_no_copies(scores: str) -> None:
    """Honest ratings were doubted in .15 of tables, and shares of a sentence's words in all of them."""
    rng = np.random.default_rng(0)
    doubted = 0
    for _ in range(20):
        words = rng.integers(5, 13, (2, 100))
        longer = rng.integers(21, 61, (2, 300))
        numbers = {
            "ratings from 1 to 5": rng.choice([1, 2, 3, 4, 5], (2, 100), p=[0.02, 0.04, 0.12, 0.62, 0.2]),
            "errors in words": rng.binomial(words, 0.15) / words,
            "words in per cent": (100 * rng.binomial(longer, 0.85) / longer).round(2),
            "words to four decimals": (rng.binomial(longer, 0.85) / longer).round(4),
        }[scores]
        arms = [pd.DataFrame({"arm": arm, "accuracy": row}) for arm, row in zip("ab", numbers, strict=True)]
        doubted += bool(describe_few_numbers(pd.concat(arms, ignore_index=True), COLUMNS.metrics, "row"))
    assert not doubted


@pytest.mark.parametrize(("loss_is_copied", "is_doubted"), [(True, True), (False, False)])
def test_rows_with_another_judged_number_are_no_copies(loss_is_copied: bool, is_doubted: bool) -> None:
    """An arm scored on 50 items beside one scored on 1,000 was doubted, though its losses all differed."""
    rng = np.random.default_rng(0)
    accuracy = rng.binomial([[1000], [50]], 0.8, (2, 20)) / [[1000], [50]]
    loss = 1 - accuracy if loss_is_copied else rng.normal(1, 0.1, (2, 20))
    frame = pd.DataFrame(
        {"arm": np.repeat(["a", "b"], 20), "seed": [*range(20)] * 2}
        | {"accuracy": accuracy.ravel(), "loss": loss.ravel()}
    )
    columns = replace(COLUMNS, metrics=(*COLUMNS.metrics, Metric("loss", 0.01)))
    doubts = compare_table(frame, columns).design.doubts
    assert any("half of the rows" in doubt for doubt in doubts) is is_doubted


@pytest.mark.parametrize(("period", "is_doubted"), [(3, True), (5, True), (10, False)])
def test_an_arm_of_a_study_that_repeats_its_numbers_is_doubted_on_page_and_screen(
    period: int, is_doubted: bool
) -> None:
    """A program that seeds with `seed % 3` has copies on every third seed; equal arms differed in .60."""
    honest = make_arm("honest", 0.0)
    by_seed = honest.collect_measured_values("valid_loss")
    copies = {seed: by_seed[seed % period] + 0.01 for seed in by_seed}
    comparison = compare(design_arms((honest, set_metrics(make_arm("copied", 0.01), valid_loss=copies))))
    sentences = [text for text in list_warnings(comparison) if "copied" in text and "copies" in text]
    assert bool(sentences) is is_doubted
    assert all(sentence in " ".join(list_notes(comparison)) for sentence in sentences)
