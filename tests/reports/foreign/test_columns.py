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
from tests.simulations.simulate_compare import simulate_failure_rates
from unrolled.bench.metric import Metric
from unrolled.bench.table_columns import AA_NAME
from unrolled.reports.compare.comparison import Comparison
from unrolled.reports.figures.forest import make_panels
from unrolled.reports.foreign.columns import Columns, find_unnamed_failures
from unrolled.reports.page.exports import (
    write_comparison_csv,
    write_comparison_markdown,
    write_screen,
    write_trials_csv,
)
from unrolled.reports.page.render import render
from unrolled.reports.presentation import Extras
from unrolled.reports.words.caveats import describe_trials
from unrolled.reports.words.doubts import list_skewed_contrasts
from unrolled.reports.words.sentences import describe_remarks, describe_too_few_pairs

HOURS = Metric("extra", 1.0, "higher")
SLEEP = pd.DataFrame(
    # R's data set `sleep` (Student 1908): extra hours of sleep under two drugs, ten patients
    {
        "group": ["1"] * 10 + ["2"] * 10,
        "ID": [*range(1, 11)] * 2,
        "extra": [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0,
                  1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4],
    }
)  # fmt: skip
GROUP = Columns(("group",), ("ID",), (HOURS,))


def compare_sleep(pair: str, frame: pd.DataFrame = SLEEP, **columns: str) -> Comparison:
    """Return the comparison of a table like SLEEP, with or without pairs."""
    return compare_table(frame, Columns(("group",), (pair,) if pair else (), (HOURS,), **columns))


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
    assert read_arm_rows(path)["2"]["wins"] == "9 of 10"
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
    assert comparison.arms[1].contrast.pairs == 8
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


def test_a_table_counts_the_rows_that_diverged_and_those_that_failed() -> None:
    diverged = (RUNS.group == "2") & (RUNS.ID == 0)
    rows = fail_runs(2, "1").assign(extra=fail_runs(2, "1").extra.mask(diverged, float("inf")))
    counts = describe_trials(compare_sleep("ID", rows))
    assert [count for count in ("32 rows", "1 diverged", "2 failed") if count not in counts] == []


def test_the_first_look_of_a_pages_trials_is_compared() -> None:
    trials = pd.read_csv(io.StringIO(write_trials_csv(compare(make_looked_design()))))
    columns = Columns(("arm",), ("seed",), (Metric("valid_accuracy", 0.05),))
    comparison = compare_table(trials, columns)
    assert comparison.arms[2].name == "weak"
    assert comparison.arms[2].contrast.pairs == 10
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
    assert contrast.pairs == 10
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


RUNS = pd.DataFrame(
    [{"group": g, "ID": n, "extra": n % 3 + (g == "2") * (1 + n / 100), "status": "FINISHED"}
     for g in "12" for n in range(16)]
)  # fmt: skip


def fail_runs(number: int, arm: str = "2") -> pd.DataFrame:
    """Return the runs, of which some of an arm failed: they have no number."""
    failed = (RUNS.group == arm) & (number > RUNS.ID)
    return RUNS.assign(status=RUNS.status.mask(failed, "failed"), extra=RUNS.extra.mask(failed))


@pytest.mark.parametrize(("number", "word"), [(0, "better"), (3, "better"), (6, "open")])
def test_a_claim_survives_failed_runs_counted_against_it_or_is_open(number: int, word: str) -> None:
    comparison = compare_sleep("ID", fail_runs(number))  # 13 of 16 better: sign test p .021; 10 of 16: .45
    arm = comparison.arms[1]
    assert (arm.verdict.kind, arm.failed_count, arm.contrast.pairs) == (word, number, 16 - number)
    assert ("10 of 16, 6 failed" in write_screen(comparison)) is (number == 6) is bool(arm.halt_reason)
    assert ("counted against each verdict" in write_comparison_markdown(comparison)) is (number > 0)


def test_an_equal_arm_whose_worst_runs_crash_is_better_by_survivors_alone() -> None:
    survivors, all_runs = simulate_failure_rates(np.random.default_rng(0), 6, 60)
    assert survivors > 0.1
    assert all_runs < 0.05


INFINITE = SLEEP.replace({"extra": {5.5: float("inf")}})
LACKING = RUNS[(RUNS.group == "1") | (RUNS.ID >= 6)]


@pytest.mark.parametrize(
    ("pair", "frame", "word"),
    [
        pytest.param("ID", fail_runs(6, "1"), "open", id="failures of the baseline undo a better arm"),
        pytest.param(
            "ID", fail_runs(6, "1").assign(extra=-fail_runs(6, "1").extra), "open", id="and a worse one"
        ),
        pytest.param("ID", RUNS[(RUNS.group == "2") | (RUNS.ID >= 6)], "open", id="so do its missing rows"),
        pytest.param("ID", LACKING, "open", id="missing partners count as failures"),
        pytest.param("ID", LACKING[LACKING.ID >= 6], "better", id="but where both lack the pair"),
        pytest.param("", RUNS, "better", id="without pairs"),
        pytest.param("", fail_runs(1), "open", id="without pairs nothing is claimed where a run failed"),
        pytest.param("", INFINITE, "open", id="nor where one is infinite"),
    ],
)
def test_runs_that_failed_and_pairs_that_are_lacking_count_for_a_verdict(pair, frame, word) -> None:
    assert compare_sleep(pair, frame).arms[1].verdict.kind == word


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


def test_a_diverged_status_counts_beside_any_number() -> None:
    diverged = RUNS.assign(status=RUNS.status.mask((RUNS.group == "2") & (RUNS.ID < 2), "diverged"))
    assert compare_sleep("ID", diverged).arms[1].diverged_count == 2


@pytest.mark.parametrize("column", ["Status", "State", "state"])
def test_the_column_of_ends_is_known_as_others_write_it(column: str) -> None:
    """W&B exports `State`: four crashed runs of ten are no evidence."""
    assert (
        compare_sleep("ID", fail_runs(4).rename(columns={"status": column})).arms[1].contrast.lost_count == 4
    )
    running = fail_runs(4).replace({"status": {"failed": "running"}})
    assert compare_sleep("ID", running.rename(columns={"status": column})).arms[1].contrast.lost_count == 4
    states = RUNS.drop(columns="status").assign(State=["OK", "UT"] * 16)
    assert compare_sleep("ID", states).arms[1].contrast.lost_count == 0, "those of a country are no ends"


def test_a_failed_run_counts_without_its_pair() -> None:
    frame = fail_runs(6)
    frame["ID"] = frame.ID.mask(frame.status == "failed").astype(object)
    assert compare_sleep("ID", frame).arms[1].failed_count == 6
    frame["group"] = frame.group.mask(frame.status == "failed")
    assert find_unnamed_failures(frame, GROUP, "elsewhere.csv").sum() == 6


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
        (SLEEP.replace({"extra": {3.7: None}}), Columns(("group",), (), (HOURS,)), "extra", "row 7"),
        (SLEEP.replace({"ID": {4: None}}), GROUP, "", "row 4 has no ID"),
        # row 1 failed before it told its ID
        (fail_runs(1, "1").assign(ID=RUNS.ID.replace({0: None, 4: None})), GROUP, "", "row 5 has no ID"),
    ],
)
def test_a_table_that_cannot_be_judged_is_refused(
    frame: pd.DataFrame, columns: Columns, key: str, named: str
) -> None:
    with raises_bad_input(named, place="elsewhere.csv", key=key):
        compare_table(frame, columns)


def test_a_run_whose_loss_is_infinite_diverged_by_every_metric() -> None:
    """An arm whose loss diverges in 7 of 12 runs was better by more than its accuracy's δ."""
    rng = np.random.default_rng(0)
    base = pd.DataFrame(
        {"arm": "base", "seed": range(12), "accuracy": rng.normal(0.8, 0.02, 12), "loss": 0.4}
    )
    base["loss"] += rng.normal(0, 0.02, 12)
    arm = base.assign(arm="new", accuracy=base.accuracy + 0.05, loss=base.loss.mask(base.seed < 7, np.inf))
    metrics = (Metric("accuracy", 0.02), Metric("loss", 0.02))
    comparison = compare_table(pd.concat([base, arm]), Columns(("arm",), ("seed",), metrics))
    assert [view.arms[1].verdict.divergence_direction for view in comparison.views] == ["worse", "worse"]
    assert [view.arms[1].diverged_count for view in comparison.views] == [7, 7]
    assert not any("perfect" in doubt for doubt in comparison.design.doubts)
    finite = compare_table(
        pd.concat([base, arm.assign(loss=base.loss)]), Columns(("arm",), ("seed",), metrics)
    )
    assert finite.arms[1].verdict.kind == "better"
