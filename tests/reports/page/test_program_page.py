"""The page of a program: its own metrics in their own unit, its curves, and nothing of language models."""

import csv
import io
import re
from dataclasses import replace

import pytest

from tests.helpers.arms import set_metrics
from tests.helpers.designs import compare, make_program_design
from tests.helpers.pages import read_arm_rows, read_page_text
from tests.helpers.study_rules import change_rules
from unrolled.bench.metric import Metric
from unrolled.reports.compare.contrast_decisions import decide_looks
from unrolled.reports.figures.curves import draw_curves
from unrolled.reports.page.exports import write_comparison_csv
from unrolled.reports.page.render import render
from unrolled.reports.presentation import FigureColumn, Presentation
from unrolled.reports.scale import Scale
from unrolled.reports.words.page_limits import list_limits
from unrolled.reports.words.page_warnings import list_warnings

ERROR = Metric("error", 0.01)
LOSS = Metric("train_loss", 0.1)
SECONDS = Metric("seconds", 5.0, ratio=True)


def test_nothing_of_language_models_is_on_the_page(tmp_path):
    text = read_page_text(render(compare(make_program_design(ERROR, LOSS, SECONDS)), tmp_path))
    words = "nats|perplexity|tokens?|book|words|chapter|passage"
    assert not re.search(rf"\b({words})\b", text, re.IGNORECASE)
    assert "toggles" not in " ".join(
        list_limits(compare(change_rules(make_program_design(ERROR), looks=(5, 10))), {})
    )


def test_numbers_have_the_unit_of_their_metric(tmp_path):
    rows = read_arm_rows(render(compare(make_program_design(ERROR)), tmp_path))
    assert rows["baseline"]["levels"].startswith("0.204 ")
    assert rows["lr 0.5"]["levels"] == "0.204 → 0.106"
    assert rows["lr 0.5"]["effect"] == "0.098 lower 95 % CI [−0.099, −0.097]"
    rows = read_arm_rows(render(compare(make_program_design(SECONDS)), tmp_path))
    assert rows["lr 0.5"]["levels"] == "4.07 → 2.04 s"
    assert rows["lr 0.5"]["effect"].startswith("50 % lower")


def test_a_column_beside_the_figure_is_written_as_its_trainer_says(tmp_path):
    percent = Scale(multiplier=100.0, value_unit="%", decimals=1)
    columns = {"train_loss": FigureColumn("Loss", percent.format_value)}
    design = replace(make_program_design(ERROR), presentation=Presentation(figure_columns=columns))
    page = render(compare(design), tmp_path).read_text()
    cells = re.findall(r'<td class="num cost" data-head="loss" [^>]*>([^<]*)</td>', page)
    means = [arm.average_measured_values("train_loss") for arm in design.arms]
    assert cells == [f"{100 * mean:.1f} %" for mean in means]


def test_a_judged_time_has_a_warning_of_a_fixed_order():
    design = make_program_design(SECONDS)
    base, second = design.arms
    first_results = {s: replace(r, started=10.0 * s + 1) for s, r in base.results.items()}
    for reversed_seeds, first, has_warning in ((range(0, 10, 2), 5, False), ((), 0, True), ({1, 3}, 2, True)):
        second_results = {
            s: replace(r, started=10.0 * s + 2 * (s not in reversed_seeds)) for s, r in second.results.items()
        }
        comparison = compare(
            replace(
                design, arms=(replace(base, results=first_results), replace(second, results=second_results))
            )
        )
        assert f"it is compared with: lr 0.5 on {first} of 10." in " ".join(list_limits(comparison, {}))
        assert any("trained first on most seeds" in line for line in list_warnings(comparison)) is has_warning
    slow = compare(change_rules(comparison.design, metrics=(ERROR,)))
    assert "compared with: lr 0.5 on" not in " ".join(list_limits(slow, {}))
    assert not any("trained first on most seeds" in line for line in list_warnings(slow))


def test_judged_metrics_have_their_curves_and_the_first_one_where_none_has():
    curves = {(ERROR, SECONDS): ["error"], (LOSS, ERROR): ["train_loss", "error"], (SECONDS,): ["train_loss"]}
    for metrics, names in curves.items():
        design = replace(make_program_design(*metrics), arms=make_program_design(*metrics).arms[:1])
        assert list(draw_curves(compare(design))) == names


def test_a_mean_curve_ends_where_a_seed_has_no_more_points():
    picture = draw_curves(compare(make_program_design(ERROR)))["error"][0]
    lines = re.findall(
        r'<path d="M ([^"z]*)"[^>]*stroke="([^"]+)" stroke-(?:opacity="0.4"|width="2")', picture
    )
    lengths = [(stroke, path.count(" L ") + 1) for path, stroke in lines]
    assert lengths == [("var(--muted)", 4)] * 9 + [("var(--muted)", 3), ("currentColor", 3)]


def test_a_curve_that_explodes_is_drawn_as_far_as_numbers_go():
    design = make_program_design(ERROR)
    base, second = design.arms
    steep = replace(second.results[0], curves={"error": ((0.0, 1.0), (1.0, 1.7e308), (2.0, -1.7e308))})
    pictures = draw_curves(compare(replace(design, arms=(base, replace(second, results={0: steep})))))
    assert list(pictures["error"]) == [0, 1]


def test_the_table_of_all_trials_has_the_digits_of_delta(tmp_path):
    fine = render(compare(make_program_design(Metric("error", 1e-7), SECONDS)), tmp_path).read_text()
    assert '<td class="num">0.200000000</td><td class="num">4.0000</td>' in fine


def test_tables_have_a_ratios_differences_in_per_cent():
    base, fast = csv.DictReader(
        io.StringIO(write_comparison_csv(compare(make_program_design(ERROR, SECONDS))))
    )
    assert float(base["seconds_mean"]) == pytest.approx(4.07, abs=0.02)
    assert float(fast["seconds_difference"]) == pytest.approx(-50)
    assert fast["seconds_difference_low"] == "", "all pairs have one ratio"
    assert float(fast["error_difference_low"]) < -0.09
    assert not [name for name in base if "log" in name or "perplexity" in name]


def test_a_ratio_at_zero_has_nothing_to_judge_and_did_not_fail():
    design = make_program_design(Metric("error", 5.0, ratio=True))
    base, second = design.arms
    design = replace(design, arms=(base, set_metrics(second, error=0.0)))
    arm = compare(design).arms[1]
    assert arm.reason_not_compared.startswith("open: seed 0 has no error to judge")
    assert arm.failed_count == 0
    assert not any(decide_looks(design).next_seed_counts.values()), "the driver decides as the page does"


def test_one_value_without_a_ratio_leaves_its_contrast_open():
    design = make_program_design(Metric("error", 5.0, ratio=True))
    base, second = design.arms
    last_seed = max(second.results)
    results = {**second.results, last_seed: set_metrics(second, error=0.0).results[last_seed]}
    assert compare(design).arms[1].verdict.makes_claim
    arm = compare(replace(design, arms=(base, replace(second, results=results)))).arms[1]
    assert not arm.verdict.makes_claim and arm.verdict.state.halt_reason
