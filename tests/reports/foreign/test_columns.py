"""Verdicts on tables that this project did not make."""

import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.helpers.arms import make_arm
from tests.helpers.bad_input import raises_bad_input
from tests.helpers.designs import compare, compare_table, design_arms, make_looked_design
from tests.helpers.pages import read_arm_rows, read_page_text
from tests.reports.foreign.sleep_runs import GROUP, HOURS, RUNS, SLEEP, compare_sleep, fail_runs
from unrolled.bench.metric import Metric
from unrolled.bench.table_columns import AA_NAME
from unrolled.reports.figures.forest import make_panels
from unrolled.reports.foreign.columns import Columns
from unrolled.reports.page.exports import (
    write_comparison_csv,
    write_comparison_markdown,
    write_screen,
    write_trials_csv,
)
from unrolled.reports.page.render import render
from unrolled.reports.presentation import Extras
from unrolled.reports.statistics.error_contrasts import Unpaired
from unrolled.reports.words.page_warnings import list_skewed_contrasts
from unrolled.reports.words.sentences import describe_remarks, describe_too_few_pairs


def test_pairs_give_the_numbers_that_rs_documentation_prints() -> None:
    # ?t.test: t = -4.0621, df = 9, p-value = 0.002833, of 1 minus 2
    contrast = compare_sleep("ID").arms[1].contrast
    ends = contrast.interval()  # the other end is Hall's, as the pairs are skewed
    assert (round(contrast.p, 6), round(contrast.mean_difference, 2)) == (0.002833, 1.58)
    assert round(ends.low, 7) == 0.7001142
    assert ends.high > 2.4598858


def test_without_pairs_the_numbers_are_welchs_of_rs_documentation() -> None:
    # t = -1.8608, df = 17.776, p-value = 0.07939, of 1 minus 2: −3.3654832 to 0.2054832
    contrast = compare_sleep("").arms[1].contrast
    assert isinstance(contrast, Unpaired)
    assert (round(contrast.mean_difference / contrast.error, 4), round(contrast.df, 3)) == (1.8608, 17.776)
    ends = contrast.interval()
    assert contrast.p == pytest.approx(0.08145, abs=0.01)
    assert contrast.p >= 0.07939  # of all 184,756 permutations
    assert -0.3 < ends.low < -0.2054832
    assert 3.3654832 <= ends.high < 3.46


def test_a_verdict_without_pairs_is_called_unpaired_and_counts_no_wins(tmp_path) -> None:
    comparison = compare_sleep("")
    page = render(comparison, tmp_path)
    for text in (write_screen(comparison), write_comparison_markdown(comparison), read_page_text(page)):
        assert "open (unpaired)" in text
        assert "better in" not in text
    assert "wins" not in read_arm_rows(page)["2"]


def test_the_page_of_a_table_has_no_part_of_a_study(tmp_path) -> None:
    path = render(compare_sleep("ID"), tmp_path)
    assert read_arm_rows(path)["2"]["wins"] == "9 of 10 1 equal"
    page = read_page_text(path)
    assert page.count("9 of 10") == 1
    assert "IDs better" in page
    assert not any(word in page for word in ("seed", "trial", "Provenance", "Costs", "validation set"))
    assert "Holm over all contrasts" in page and "declared" not in page, "a table declares nothing"
    assert "model" not in write_comparison_csv(compare_sleep("ID")).splitlines()[0].split(",")


@pytest.mark.parametrize(
    ("unit", "text"),
    [
        (1, "+1.58 [+0.70, +"),
        (1e-6, "+0.00000158 [+0.00000070, "),
        (1e-13, "+0.000000000000158 [+0.000000000000070, +0.000000000000521]"),
        (1e3, "+1580 ["),
    ],
)
def test_numbers_have_two_digits_beyond_their_delta(unit: float, text: str) -> None:
    scaled = SLEEP.assign(extra=SLEEP.extra * unit)
    assert text in write_screen(
        compare_table(scaled, Columns(("group",), ("ID",), (Metric("extra", unit, "higher"),)))
    )


def test_rows_without_a_partner_are_listed_and_not_compared(tmp_path) -> None:
    comparison = compare_sleep("ID", SLEEP.drop(index=[2, 15]))
    assert comparison.arms[1].contrast.pair_count == 8
    for text in (
        write_screen(comparison),
        write_comparison_markdown(comparison),
        read_page_text(render(comparison, tmp_path)),
    ):
        assert "2: 2 rows without a partner: ID 3, 6" in text


@pytest.mark.parametrize("pairs", [3, 6])
def test_a_table_says_where_its_pairs_are_too_few(pairs: int) -> None:
    unlike = SLEEP.assign(extra=[*range(10), *(i + 3 * (-1) ** i for i in range(10))])
    comparison = compare_sleep("ID", unlike[pairs >= SLEEP.ID])
    reason = f"{pairs} IDs: nothing is decided, as a verdict needs at least 5" if pairs < 5 else ""
    assert describe_too_few_pairs(comparison) == reason
    assert describe_remarks(comparison.arms[1], comparison) == (
        "" if reason else f"not decided at {pairs} IDs"
    )


def test_the_first_look_of_a_pages_trials_is_compared() -> None:
    trials = pd.read_csv(io.StringIO(write_trials_csv(compare(make_looked_design()))))
    columns = Columns(("arm",), ("seed",), (Metric("valid_accuracy", 0.05),))
    comparison = compare_table(trials, columns)
    assert comparison.arms[2].name == "weak"
    assert comparison.arms[2].contrast.pair_count == 10
    assert len(trials[trials.arm == "weak"]) == 15
    assert "first look" in write_screen(comparison)
    with raises_bad_input("first look", place="elsewhere.csv"):
        compare_table(trials.assign(first_look=False), columns)


@pytest.mark.parametrize(("effect", "word"), [(0.0, "passed"), (0.5, "failed")])
def test_the_aa_arm_of_a_pages_trials_is_a_check_there_too(effect: float, word: str, tmp_path) -> None:
    arms = [make_arm(name, loss) for name, loss in (("base", 0.0), ("wide", 0.3), (AA_NAME, effect))]
    trials = pd.read_csv(io.StringIO(write_trials_csv(compare(design_arms(arms)))))
    columns = Columns(("arm",), ("seed",), (Metric("valid_loss", 0.05),))
    comparison = compare_table(trials, columns)
    assert [arm.name for arm in comparison.judged_arms] == ["wide"]
    assert f"A/A check {word} on 10 seeds" in write_screen(comparison)
    assert f"A/A check {word}" in read_page_text(render(comparison, tmp_path))
    other_baseline = compare_table(trials, replace(columns, baseline="wide"))
    assert [arm.name for arm in other_baseline.judged_arms] == ["base", AA_NAME]
    assert any(AA_NAME in doubt for doubt in other_baseline.design.doubts)


# Rows that are not independent, and runs that have no number.


def test_rows_that_share_a_pair_are_averaged_and_said_to_be(tmp_path) -> None:
    documents = pd.concat([SLEEP.assign(extra=SLEEP.extra + shift) for shift in (-1.0, 0.0, 1.0)])
    comparison = compare_sleep("ID", documents, item=("none",))
    contrast = comparison.arms[1].contrast
    single = compare_sleep("ID").arms[1].contrast
    assert contrast.pair_count == 10
    assert (contrast.mean_difference, contrast.p) == pytest.approx((single.mean_difference, single.p))
    for text in (write_screen(comparison), read_page_text(render(comparison, tmp_path))):
        assert "mean of 3 rows of one arm and ID, taken as independent samples" in text
    assert "mean of 1 to 2 rows" in write_screen(
        compare_sleep("ID", pd.concat([SLEEP, SLEEP[:1]]), item=("none",))
    )
    with raises_bad_input("arm '1' and ID 1", "--item", place="elsewhere.csv"):
        compare_sleep("ID", documents)


def test_equal_numbers_beyond_the_digits_of_delta_have_a_page(tmp_path) -> None:
    metric = Metric("flops", 1.0)
    columns = Columns(("group",), ("ID",), (metric,))
    comparison = compare_table(SLEEP.assign(flops=2e18), columns)
    assert "one run, with the same numbers on every ID" in read_page_text(render(comparison, tmp_path))


def test_the_axis_of_small_numbers_has_their_labels() -> None:
    small = SLEEP.assign(extra=1e-10 * SLEEP.extra)
    comparison = compare_table(small, Columns(("group",), ("ID",), (Metric("extra", 1e-10, "higher"),)))
    assert [label for _, label in make_panels(comparison, Extras())[0].ticks] == ["0", "2e−10", "4e−10"]


def test_the_order_of_rows_decides_only_the_baseline() -> None:
    assert write_comparison_csv(compare_sleep("ID", SLEEP[::-1], baseline="1")) == write_comparison_csv(
        compare_sleep("ID")
    )
    metric = Metric("rows", HOURS.delta, "higher")
    comparison = compare_table(
        SLEEP.rename(columns={"extra": "rows"}), Columns(("group",), ("ID",), (metric,))
    )
    assert comparison.arms[1].verdict == compare_sleep("ID").arms[1].verdict


def test_skewed_values_and_too_few_pairs_have_a_warning() -> None:
    seven_pairs = compare_sleep("ID", RUNS[RUNS.ID < 7])
    assert seven_pairs.arms[1].verdict.kind == "better"
    assert not seven_pairs.arms[1].contrast.is_skewed
    (warning,) = list_skewed_contrasts(seven_pairs)
    assert "cannot show" in warning
    assert "2 (7 IDs)" in warning
    assert warning in write_screen(seven_pairs)
    assert (
        list_skewed_contrasts(compare_sleep("ID", RUNS))
        == list_skewed_contrasts(compare_sleep("ID", RUNS[RUNS.ID < 4]))
        == ()
    )
    tail = np.exp(1.5 * np.random.default_rng(0).standard_normal(50))
    unequal = pd.DataFrame({"group": ["1"] * 50 + ["2"] * 5, "extra": [*tail, *tail[:5] + 0.1]})
    comparison = compare_sleep("", unequal)
    assert comparison.arms[1].contrast.skewness == pytest.approx(stats.skew(tail))
    assert "2 against 1 (skewness" in list_skewed_contrasts(comparison)[0], "it is the baseline's"
    assert "over 50 rows" in list_skewed_contrasts(comparison)[0]


def test_several_columns_may_name_an_arm() -> None:
    frame = pd.DataFrame(
        [{"model": m, "lr": lr, "seed": s, "loss": s % 3 + lr * 10 + (m == "b") + s / 100 * lr}
         for m in "ab" for lr in (0.1, 0.2) for s in range(12)]
    )  # fmt: skip
    loss = Metric("loss", 0.1)
    base, *other_arms = compare_table(frame, Columns(("model", "lr"), ("seed",), (loss,))).arms
    assert base.name == "a / 0.1"
    assert {arm.name: arm.verdict.kind for arm in other_arms} == dict.fromkeys(
        ("a / 0.2", "b / 0.1", "b / 0.2"), "worse"
    )
    assert [arm.describe_changes() for arm in other_arms[:2]] == ["lr = 0.2", "model = b"]


def test_hostile_names_and_pairs_are_shown_as_text(tmp_path) -> None:
    bites = SLEEP.assign(group=SLEEP.group.map({"1": "<script>alert(1)</script>", "2": "=1+1"}))
    bites = bites.assign(ID=[f"<img src=x>{i}" for i in bites.ID])
    comparison = compare_sleep("ID", bites)
    page = render(comparison, tmp_path).read_text()
    assert "<img" not in page
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "&lt;img src=x&gt;3" in page
    assert "'=1+1" in write_comparison_csv(comparison)


@pytest.mark.parametrize(
    ("frame", "columns", "key", "named"),
    [
        (SLEEP, Columns(("group",), ("id",), (HOURS,)), "", "'id'"),
        (SLEEP[:10], GROUP, "", "--arm"),
        (SLEEP.assign(status="asleep"), GROUP, "status", "row 1: 'asleep'"),
        (SLEEP.assign(extra="high"), GROUP, "extra", "row 1: 'high'"),
        (SLEEP.replace({"extra": {3.7: -1e308}}), GROUP, "extra", "row 7: -1e+308"),
        (SLEEP.assign(group="x" * 201), GROUP, "", "201"),
        (SLEEP.replace({"group": {"2": "1 "}}), GROUP, "", "'1 '"),
        (SLEEP.replace({"extra": {3.7: None}}), Columns(("group",), (), (HOURS,)), "extra", "row 7"),
        (SLEEP.replace({"ID": {4: None}}), GROUP, "", "row 4 has no ID"),
        (
            SLEEP.assign(a=["x / y"] * 10 + ["x"] * 10, b=["z"] * 10 + ["y / z"] * 10),
            Columns(("a", "b"), ("ID",), (HOURS,)),
            "a, b",
            "'x / y / z'",
        ),
        # row 1 failed before it told its ID
        (fail_runs(1, "1").assign(ID=RUNS.ID.replace({0: None, 4: None})), GROUP, "", "row 5 has no ID"),
    ],
)
def test_a_table_that_cannot_be_judged_is_refused(
    frame: pd.DataFrame, columns: Columns, key: str, named: str
) -> None:
    with raises_bad_input(named, place="elsewhere.csv", key=key):
        compare_table(frame, columns)
