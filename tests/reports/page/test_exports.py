"""The tables beside a page: comparison.csv, comparison.md and trials.csv."""

import csv
import io
import math
import re
from dataclasses import replace

import pytest

from tests.helpers.arms import make_arm, set_metrics
from tests.helpers.designs import (
    BASE_LOSSES,
    LOWER_LOSSES,
    compare,
    design_arms,
    make_hostile_design,
    make_laddered_design,
    make_pair_design,
    make_realistic_design,
)
from unrolled.reports.figures.intervals import draw_intervals
from unrolled.reports.formats import format_csv_cell
from unrolled.reports.page.exports import (
    write_comparison_csv,
    write_comparison_markdown,
    write_screen,
    write_trials_csv,
)
from unrolled.reports.page.render import render
from unrolled.reports.statistics.seed_values import Interval
from unrolled.reports.words.answer import write_answer


def read_rows(text):
    """Return the rows of a CSV file by column."""
    return list(csv.DictReader(io.StringIO(text)))


def test_the_csv_holds_the_contrast_in_full():
    """Of A against the baseline B: −.0450 [−.05682, −.03318], wins 8/8, r .977 (scipy 1.17)."""
    arm_b = set_metrics(make_arm("B", 0.0, seeds=8), valid_loss=BASE_LOSSES)
    arm_a = set_metrics(make_arm("A", 0.0, seeds=8, settings={"clip": 1.0}), valid_loss=LOWER_LOSSES)
    comparison = compare(design_arms((arm_b, arm_a), seeds=tuple(range(8)), delta=0.02))
    base, row = read_rows(write_comparison_csv(comparison))
    summary = [float(base[f"valid_loss_{key}"]) for key in ("mean", "sd")]
    assert summary == pytest.approx([1.28875, 0.057925], abs=1e-6)
    contrast = [
        float(row[f"valid_loss_{key}"])
        for key in ("difference", "difference_low", "difference_high", "ratio", "r")
    ]
    assert contrast == pytest.approx([-0.045, -0.06032, -0.03318, 0.9560, 0.977], abs=5e-5)
    pairs = [float(row[f"valid_loss_{key}"]) for key in ("arm_mean", "baseline_mean")]
    assert pairs[0] - pairs[1] == pytest.approx(contrast[0])
    assert (row["valid_loss_better"], row["pairs"], row["verdict"], base["verdict"]) == (
        "8",
        "8",
        "better by more than δ",
        "",
    )


def test_a_difference_that_is_a_median_is_called_one():
    comparison = compare(make_realistic_design())
    uses_median = {arm.name: arm.contrast.uses_median for arm in comparison.arms_with_contrast}
    lines = {
        line.split(" | ")[0].strip("| "): line for line in write_comparison_markdown(comparison).splitlines()
    }
    assert {name: "| median " in lines[name] for name in uses_median} == uses_median
    assert [name for name, median in uses_median.items() if median] == ["lr 3e-2"]  # another lost a pair


def test_every_interval_has_its_level_beside_it():
    comparison = compare(make_realistic_design())
    lines = {
        line.split(" | ")[0].strip("| "): line for line in write_comparison_markdown(comparison).splitlines()
    }
    records = {row["arm"]: row for row in read_rows(write_comparison_csv(comparison))}
    levels = {arm.name: arm.interval for arm in comparison.arms_with_contrast}
    assert len({ends.percent for ends in levels.values()}) > 3, "rows differ in it"
    assert draw_intervals(comparison).count(" % CI") == len(levels)
    for name, ends in levels.items():
        has_ends = math.isfinite(ends.high) or math.isfinite(ends.low)
        assert bool(re.search(rf"\[.*\\\] {ends.percent} \|", lines[name])) == has_ends
        assert float(records[name]["valid_loss_difference_level"]) == ends.confidence
        assert records[name]["valid_loss_mean_level"] == "0.95"


@pytest.mark.parametrize(("level", "percent"), [(0.9875, "98.8 %"), (1 - 0.05 / 200, "99.975 %")])
def test_a_level_in_per_cent_is_short_unless_that_rounds_it_up(level, percent):
    assert Interval(0, 1, level).percent == percent


@pytest.fixture
def seen_and_open():
    """Return a comparison of an arm that is better, and was seen, and of one that is open; 9 seeds."""
    strong = make_arm("strong", -0.5, seeds=9, settings={"clip": 1.0})
    weak = make_arm("weak", 0.0, 0.2, seeds=9, settings={"clip": 2.0})
    arms = make_arm("base", 0.0, seeds=9), strong, weak
    return compare(design_arms(arms, seeds=tuple(range(9)), seen_pairs={"strong": 9}))


def test_the_csv_says_what_is_exploratory_and_why_a_contrast_is_open(seen_and_open):
    _, strong, weak = read_rows(write_comparison_csv(seen_and_open))
    columns = ("exploratory", "valid_loss_provisional", "valid_loss_open_because")
    reason = "neither a difference nor equality within ±δ is shown at 9 seeds"
    assert [strong[column] for column in columns] == ["True", "True", ""]
    assert [weak[column] for column in columns] == ["False", "False", reason]


@pytest.mark.parametrize("write", [write_screen, write_comparison_markdown])
def test_a_table_says_what_is_exploratory_and_what_is_not_decided(seen_and_open, write):
    text = write(seen_and_open)
    assert "exploratory; provisional: under 10 seeds" in text
    assert "not decided at 9 seeds" in text


def test_the_answer_says_that_it_is_exploratory(seen_and_open):
    assert write_answer(seen_and_open)[1].striptags().endswith(" (exploratory, provisional)")


def test_a_failed_trial_has_no_number_in_the_tables():
    comparison = compare(make_realistic_design())
    trials = write_trials_csv(comparison)
    assert "0.123456" not in trials + write_comparison_csv(comparison)
    unfinished = [row for row in read_rows(trials) if row["status"] != "done"]
    cells = [(row["arm"], row["seed"], row["valid_loss"]) for row in unfinished]
    assert cells == [("lr 3e-2", "3", ""), ("no reset", "7", "")]


def test_a_study_without_trials_has_a_table_of_headings():
    comparison = compare(design_arms((make_arm("base", 0.0, seeds=0),)))
    assert write_trials_csv(comparison) == "arm,seed,status,first_look\n"


def test_a_table_to_paste_says_which_results_had_been_seen():
    assert "The results of 1 of 6 contrasts had been seen" in write_comparison_markdown(
        compare(make_laddered_design())
    )
    assert "seen" not in write_comparison_markdown(compare(make_pair_design()))


def test_a_spreadsheet_gets_text_and_never_a_formula():
    table = read_rows(write_comparison_csv(compare(make_hostile_design())))
    assert table[4]["arm"] == "'=1+1"
    assert table[4]["valid_loss_difference"].startswith(("0.", "-0."))  # numbers stay numbers
    assert [format_csv_cell(x) for x in ("=a", "+a", "-a", "@a", "a=")] == ["'=a", "'+a", "'-a", "'@a", "a="]
    assert format_csv_cell(-1.5) == -1.5


def test_hostile_names_stay_text_in_markdown():
    markdown = write_comparison_markdown(compare(make_hostile_design()))
    assert "&lt;script&gt;" in markdown
    assert "<script>" not in markdown
    assert len(markdown.splitlines()) == 2 + 2 + 7 + 2  # caption, blank, head, rule, seven arms, blank, note
    assert "\0" not in markdown


@pytest.fixture
def aa_comparison():
    """Return a comparison with an arm whose seeds are trained with 1,000 more."""
    repeated = make_arm("again", 0.1)
    shifted = {s: replace(r, trial=replace(r.trial, seed=s + 1000)) for s, r in repeated.results.items()}
    return compare(design_arms((make_arm("base", 0.0), replace(repeated, results=shifted))))


def test_the_csv_has_the_seeds_that_trained_an_aa_arm(aa_comparison):
    rows = read_rows(write_trials_csv(aa_comparison))
    results = [r for arm in aa_comparison.arms for r in arm.counted_arm.results.values()]
    assert [row["trained_seed"] for row in rows] == [str(r.trial.seed) for r in results]
    assert [row["seed"] for row in rows[:10]] == [row["seed"] for row in rows[10:]]


def test_the_page_has_the_seeds_that_trained_an_aa_arm(aa_comparison, tmp_path):
    html = render(aa_comparison, tmp_path).read_text(encoding="utf-8")
    cell = '<td class="num" data-value="3">3<span class="sub">trained with 1003</span></td>'
    assert f'<th scope="row">again</th>\n{cell}' in html
    assert 'data-seed="3"><title>seed 3, trained with 1003: ' in html


def test_the_csv_has_no_other_seeds_without_an_aa_arm():
    comparison = compare(design_arms((make_arm("base", 0.0), make_arm("other", 0.1))))
    assert "trained_seed" not in write_trials_csv(comparison)
