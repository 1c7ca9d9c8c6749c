"""How people read a metric: its digits, its unit, and, of one that is judged as a ratio, per cent."""

import math

import numpy as np
import pandas as pd
import pytest

from tests.helpers.bad_input import raises_bad_input
from tests.helpers.designs import compare_table
from tests.helpers.pages import write_lines
from unrolled.ablations.study.loading import declare_study
from unrolled.bench.metric import Metric
from unrolled.reports.chapter.chapter_pages import CHAPTER_PRESENTATION
from unrolled.reports.foreign.columns import Columns
from unrolled.reports.formats import MINUS
from unrolled.reports.page.exports import write_screen
from unrolled.reports.presentation import PROGRAM_PRESENTATION
from unrolled.reports.scale import NO_SPREAD
from unrolled.reports.statistics.seed_values import Interval
from unrolled.reports.words.page_limits import format_zone
from unrolled.reports.words.sentences import describe_verdict

ACCURACY = CHAPTER_PRESENTATION.find_scale("valid_accuracy").adapt_to(Metric("valid_accuracy", 0.02))
SECONDS = PROGRAM_PRESENTATION.find_scale("seconds").adapt_to(Metric("seconds", 5.0, ratio=True))


@pytest.mark.parametrize(
    "low, high, text",
    [
        (0.0003, 0.0252, "[+0.03, +2.52]"),
        (-0.030, -0.0004, "[−3.00, −0.04]"),
        (-0.03, 0.0, "[−3.0, 0.0]"),
        (-0.0301, 0.0123, "[−3.0, +1.2]"),
        (1e-9, 0.02, "[0.000, +2.000]"),
    ],
)
def test_only_a_tiny_end_of_an_interval_is_shown_as_zero(low, high, text) -> None:
    assert ACCURACY.format_interval(Interval(low, high, 0.95)) == f"95 % CI {text}"


@pytest.mark.parametrize(
    "low, high, text",
    [
        (-0.0096, 0.003, "[−0.0096, +0.0030]"),
        (-0.01, 0.003, "[−0.010, +0.003]"),
        (0.0101, 0.02, "[+0.0101, +0.0200]"),
        (0.012, 0.02, "[+0.012, +0.020]"),
    ],
)
def test_an_end_is_shown_as_delta_only_where_it_is_delta(low, high, text) -> None:
    top1 = PROGRAM_PRESENTATION.find_scale("top1").adapt_to(Metric("top1", 0.01))
    assert top1.format_interval(Interval(low, high, 0.95)) == f"95 % CI {text}"


@pytest.mark.parametrize(
    "before, after, text",
    [(0.88, 0.834, "88.0 → 83.4 %"), (0.88049, 0.83351, "88.05 → 83.35 %"), (0.881, math.inf, "88.1 → ∞ %")],
)
def test_two_levels_subtract_to_their_difference(before, after, text) -> None:
    assert ACCURACY.format_change(before, after) == text


def test_a_metric_is_read_as_its_trainer_reads_it() -> None:
    loss = Metric("valid_loss", 0.05)
    assert (
        CHAPTER_PRESENTATION.find_scale("valid_loss").adapt_to(loss).describe_difference(-0.25)
        == "0.25 nats lower"
    )
    assert (
        PROGRAM_PRESENTATION.find_scale("valid_loss").adapt_to(loss).describe_difference(-0.25)
        == "0.25 lower"
    )
    assert (
        PROGRAM_PRESENTATION.find_scale("top1").adapt_to(Metric("top1", 0.5)).format_change(92.31, 93.0)
        == "92.31 → 93.00"
    )


def test_a_ratio_is_judged_by_its_logarithm() -> None:
    metric = Metric("seconds", 5.0, ratio=True)
    assert metric.to_judged_scale(math.e) == pytest.approx(100)
    assert metric.to_judged_scale(math.inf) == math.inf
    assert math.isnan(metric.to_judged_scale(0.0))
    assert Metric("seconds", 5.0).to_judged_scale(2.0) == 2.0


def test_a_share_is_a_ratio_that_its_fall_undoes() -> None:
    half_more = Metric("seconds", 50.0, ratio=True)
    assert half_more.zone == pytest.approx(100 * math.log(1.5))
    assert Metric("seconds", 5.0).zone == 5.0
    columns = Columns(("arm",), ("seed",), (half_more,))
    noise = np.exp(0.001 * np.random.default_rng(0).standard_normal(20))
    for ratio, text in (
        (1.57, "worse by more than δ"),
        (1.45, "worse by less than δ"),
        (0.65, "by more than"),
    ):
        frame = pd.DataFrame({"arm": ["a"] * 20 + ["b"] * 20, "seed": [*range(20)] * 2})
        frame["seconds"] = [*(10 * noise), *[10 * ratio] * 20] * np.tile(noise, 2)
        comparison = compare_table(frame, columns)
        assert text in comparison.arms[1].verdict.text
    assert format_zone(comparison) == f"{MINUS}33.3 to +50 %"
    assert "δ −33.3 to +50 %" in write_screen(comparison)


@pytest.mark.parametrize(("metric", "kind"), [("tokens_per_second", "speed"), ("seconds", "time")])
def test_a_small_difference_is_bounded_in_its_own_direction(metric: str, kind: str) -> None:
    ratios = {"a": 1.0, "low": 0.9, "high": 1.1, "same": 1.001}
    noise = np.exp(0.01 * np.random.default_rng(0).standard_normal((len(ratios), 20)))
    rows = [
        (arm, seed, 10 * ratio * noise[index, seed])
        for index, (arm, ratio) in enumerate(ratios.items())
        for seed in range(20)
    ]
    frame = pd.DataFrame(rows, columns=["arm", "seed", metric])
    judged = Metric(metric, 25.0, ratio=True, kind=kind)
    comparison = compare_table(frame, Columns(("arm",), ("seed",), (judged,), "a"))
    text = "\n".join(write_lines(comparison))
    low, high = ("better", "worse") if judged.lower_is_better else ("worse", "better")
    assert f"low is {low} by less than 20 %" in text and f"high is {high} by less than 25 %" in text
    assert f"same changes by less than δ, {MINUS}20 to +25 %" in text
    sentence = describe_verdict(comparison.arms[3].verdict, "same", "a", comparison.scale)
    assert f"within {MINUS}20 to +25 % (TOST" in sentence


def test_levels_are_as_measured_and_differences_in_per_cent() -> None:
    half = 100 * math.log(0.5)
    ends = Interval(100 * math.log(0.4), 100 * math.log(0.8), 0.95)
    assert SECONDS.format_change(100 * math.log(4.0), 100 * math.log(2.0)) == "4.00 → 2.00 s"
    assert SECONDS.describe_difference(half, ends) == "50 % lower"
    assert SECONDS.describe_difference(-half) == "100 % higher"
    assert SECONDS.format_interval(ends) == "95 % CI [−60, −20]"
    share = CHAPTER_PRESENTATION.find_scale("valid_accuracy").adapt_to(
        Metric("valid_accuracy", 5.0, ratio=True)
    )
    assert share.format_value(100 * math.log(0.876)) == "87.6 %"
    assert share.describe_difference(half, ends) == "50 % lower"


def test_tables_have_what_was_measured_and_per_cent() -> None:
    assert SECONDS.format_cell(100 * math.log(0.0804)) == "0.08040"
    assert SECONDS.format_difference_cell(-5.0) == "−4.9 %"
    ends = Interval(100 * math.log(0.8), 100 * math.log(1.1), 0.99)
    assert SECONDS.format_interval_cell(ends) == "[−20.0 %, +10.0 %] 99 %"


@pytest.mark.parametrize("delta", ["5", "-5%", "5%%", "0%", "much", True, 0, -0.1, math.nan])
def test_a_delta_that_is_no_number_and_no_share_is_refused(delta: object) -> None:
    with raises_bad_input(place="study 'mine'") as refusal:
        declare_study("mine", baseline={"model": "lm4"}, metrics=[{"name": "valid_loss", "delta": delta}])
    assert refusal.value.key.startswith("metrics.0.delta = ")


def test_a_share_makes_a_ratio_of_the_chapter_s_time_too() -> None:
    study = declare_study("mine", baseline={"model": "lm4"}, metrics=[{"name": "seconds", "delta": "2.5 %"}])
    assert study.rules.metrics == (Metric("seconds", 2.5, "lower", ratio=True),)


def test_json_has_ratios_in_per_cent_and_null_for_no_size():
    scale = PROGRAM_PRESENTATION.find_scale("loss").adapt_to(Metric("loss", 25.0, ratio=True))
    assert scale.convert_finite_difference(Metric("loss", 25.0, ratio=True).zone) == pytest.approx(25.0)
    assert [scale.convert_finite_difference(x) for x in (None, math.inf)] == [None, None]


def test_a_cell_of_a_small_relative_delta_has_digits_beyond_it() -> None:
    scale = PROGRAM_PRESENTATION.find_scale("seconds").adapt_to(Metric("seconds", 0.05, ratio=True))
    assert scale.format_difference_cell(0.06) != scale.format_difference_cell(0.09)


def test_an_interval_without_width_or_ends_is_told_in_words() -> None:
    point = Interval(0.02, 0.02, 0.95)
    assert ACCURACY.format_interval(point) == ACCURACY.format_interval_cell(point) == NO_SPREAD
    assert ACCURACY.format_interval_cell(Interval(-math.inf, math.inf, 0.95)) == ""
