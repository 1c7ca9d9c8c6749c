"""A study that looks several times, by accuracy and then loss: what its page and its tables say of it."""

import csv
import io
import re
from dataclasses import replace
from statistics import fmean

import pytest
from rich.console import Console

from tests.helpers.arms import break_trials, make_arm
from tests.helpers.designs import BOTH, LOOKS, compare, design_arms, make_laddered_design, make_looked_design
from tests.helpers.pages import parse_svgs, read_arm_rows, read_page_text
from tests.helpers.study_rules import change_rules
from unrolled.ablations.training.terminal_table import print_arms
from unrolled.bench.table_columns import IS_COUNTED
from unrolled.reports.formats import format_duration, format_number
from unrolled.reports.page.exports import write_comparison_csv, write_comparison_markdown, write_trials_csv
from unrolled.reports.page.render import render, render_index
from unrolled.reports.page.summary import read_summary
from unrolled.reports.words.contrast_lines import list_claims, write_claims
from unrolled.reports.words.page_limits import list_limits
from unrolled.reports.words.sentences import describe_remarks, describe_verdict
from unrolled.reports.words.study_state import (
    describe_decided,
    describe_futile_contrasts,
    describe_seen_data,
    describe_trials,
)


@pytest.fixture(scope="module")
def comparison():
    """Return the comparison of the study that looked twice."""
    return compare(make_looked_design())


@pytest.fixture(scope="module")
def text(render_study):
    """Return the text of the page of the study that looked twice."""
    return read_page_text(render_study("looked"))


def list_differences(design, name, metric, seeds, baseline="base"):
    """Return the differences of two arms by a metric, seed by seed."""
    base, other_arm = (next(a for a in design.arms if a.name == n) for n in (baseline, name))
    return [other_arm.results[s].metrics[metric] - base.results[s].metrics[metric] for s in range(seeds)]


def test_the_page_begins_with_the_number_of_contrasts_that_are_decided(comparison, text):
    counts = "1 of 3 contrasts decided by validation accuracy"
    assert describe_decided(comparison) == counts
    assert counts in text
    assert "45 of 60 trials finished, 5 failed" in text
    assert describe_decided(compare(design_arms((make_arm("base", 0.0),)))) == ""


def test_a_claim_says_at_how_many_seeds_it_was_decided(comparison):
    texts = {x.arm.name: x.text for x in list_claims(comparison)}
    assert texts["strong"].endswith("better on 10 of 10 seeds, decided at 10 of 40 seeds")
    assert texts["weak"].endswith("of 15 seeds, open after 15 of 40 seeds")
    assert "5 pairs lost, the arm's 5, its baseline's 0" in texts["lost"]
    assert texts["lost"].endswith("open: seed 0 failed, seed 1 failed and 3 more")


def test_a_row_that_is_open_says_why(render_study):
    rows = read_arm_rows(render_study("looked"))
    assert rows["weak"]["verdict"].endswith("open after 15 of 40 seeds")
    assert rows["lost"]["verdict"].endswith("open: seed 0 failed, seed 1 failed and 3 more")


def test_a_given_up_contrast_says_how_many_seeds_would_decide(tmp_path):
    noisy = make_arm("noise", 0.0, 0.8, seeds=17, settings={"clip": 4.0})
    comparison = compare(make_looked_design(noisy))
    arm = comparison.arms[-1]
    assert arm.verdict.state.is_futile
    assert arm.state.text == "open"
    assert arm.contrast.pair_count == 15
    assert arm.wanted_seed_count == 15
    (claim,) = [x for x in list_claims(comparison) if x.arm.name == "noise"]
    assert "seeds would decide it" in claim.text
    assert "seeds would decide it" in describe_verdict(arm.verdict, "noise", "base", comparison.scale)
    page = read_page_text(render(comparison, tmp_path))
    assert describe_futile_contrasts(comparison) in page
    assert "noise; run again with --to-the-end" in page
    for design in (
        make_looked_design(noisy, to_the_end=True),
        make_looked_design(replace(noisy, is_marked_exploratory=True)),
    ):
        assert not compare(design).arms[-1].verdict.state.is_futile
        assert describe_futile_contrasts(compare(design)) == ""


def test_a_claim_has_the_levels_of_both_sides_over_the_same_seeds(comparison):
    accuracy, loss = (list_differences(comparison.design, "strong", m.name, 10) for m in BOTH)
    base = fmean(comparison.design.arms[0].results[s].metrics["valid_accuracy"] for s in range(10))
    (claim,) = [x for x in list_claims(comparison) if x.arm.name == "strong"]
    levels = f"{100 * base:.2f} → {100 * (base + fmean(accuracy)):.2f} %"  # 67.2 → 78.4 would make 11.2
    assert claim.text.startswith(f"{levels}, {100 * fmean(accuracy):.1f} points higher, 98.3 % CI [+")
    (by_loss,) = claim.other_metrics
    assert ": ▲ better by more than δ, " in by_loss
    assert f" nats, {-fmean(loss):.3f} nats lower, 9" in by_loss
    (strong_line,) = [line for line in write_claims(comparison) if "strong" in line]
    assert strong_line == f"▲ better by more than δ — strong against base: {claim.text}; {by_loss}."


def test_the_tables_show_both_metrics_over_the_seeds_that_count(comparison):
    rows = {row["arm"]: row for row in csv.DictReader(io.StringIO(write_comparison_csv(comparison)))}
    for metric in BOTH:
        strong = next(a for a in comparison.design.arms if a.name == "strong").results
        mean = fmean(strong[s].metrics[metric.name] for s in range(10))
        assert float(rows["strong"][f"{metric.name}_mean"]) == pytest.approx(mean)
        delta = fmean(list_differences(comparison.design, "strong", metric.name, 10))
        assert float(rows["strong"][f"{metric.name}_difference"]) == pytest.approx(delta)
        assert format_number(delta, sign=True) in write_comparison_markdown(comparison)
    states = [(rows[n]["state"], rows[n]["pairs"], rows[n]["most_seeds"]) for n in ("strong", "weak", "lost")]
    assert states == [("decided", "10", "40"), ("open", "15", "40"), ("open", "5", "40")]
    tables = write_comparison_markdown(comparison).split("validation loss (")
    seeds = [dict(re.findall(r"(?m)^\| (\w+) \| ([^|]*) \|", table))["strong"] for table in tables]
    assert seeds == ["10 decided", "10"], "of 12 that were trained; the first metric decides"


def test_the_seeds_beside_a_mean_are_those_that_it_is_over():
    strong = replace(make_arm("strong", -0.5, seeds=17, settings={"clip": 1.0}), against="base")
    slow = replace(make_arm("slow", -0.5, 0.2, seeds=17, settings={"clip": 2.0}), against="strong")
    comparison = compare(design_arms((make_arm("base", 0.0, seeds=17), strong, slow), metrics=BOTH, **LOOKS))
    _, first, second = comparison.arms
    assert first.done_count == 15
    assert first.contrast.pair_count == 10
    assert first.describe_seeds_of_mean() == "10"
    assert second.describe_seeds_of_mean() == "15 of 20"


@pytest.mark.parametrize("design", [make_looked_design(), make_laddered_design()])
def test_means_in_a_terminal_subtract_to_the_difference_beside_them(capsys, design):
    print_arms(compare(design), Console(width=80))
    output = capsys.readouterr().out.replace("−", "-")
    rows = re.findall(r"([\d.]+) → ([\d.]+) % +([+-][\d.]+)", output)
    assert len(rows) >= 3
    for before, after, difference in rows:
        digits = min(len(number.partition(".")[2]) for number in (before, after, difference))
        assert float(after) - float(before) == pytest.approx(float(difference), abs=0.51 * 10**-digits)


def test_the_estimate_that_allows_for_the_early_stop_stands_in_every_form():
    comparison = compare(make_looked_design(make_arm("near", -0.25, 0.1, settings={"clip": 4.0})))
    (row,) = [
        row for row in csv.DictReader(io.StringIO(write_comparison_csv(comparison))) if row["arm"] == "near"
    ]
    delta, unbiased = (float(row[f"valid_accuracy_{name}"]) for name in ("difference", "unbiased"))
    assert row["state"] == "decided" and 0 < unbiased < delta, "the difference was chosen for its size"
    (line,) = [claim.text for claim in list_claims(comparison) if claim.arm.name == "near"]
    assert f"+{100 * unbiased:.1f} allowing for the early stop" in line
    near_arm = next(arm for arm in comparison.arms if arm.name == "near")
    assert f"{unbiased:+.4f} allowing" in describe_verdict(near_arm.verdict, "near", "base", comparison.scale)
    by_accuracy, by_loss = write_comparison_markdown(comparison).split("validation loss (")
    assert f"| {unbiased:+.4f} |" in by_accuracy
    assert "| near |" in by_loss
    three_seeds = design_arms(
        (make_arm("base", 0.0, seeds=3), make_arm("near", -0.5, seeds=3)), seeds=(0, 1, 2)
    )
    assert "With fewer than 5 pairs nothing is decided" in write_comparison_markdown(compare(three_seeds))
    assert "unbiased" not in write_comparison_markdown(
        compare(design_arms((make_arm("base", 0.0), make_arm("near", -0.1))))
    )


def test_a_study_at_its_last_look_did_not_stop_early():
    seeds = {"seeds": 40}
    arms = make_arm("base", 0.0, **seeds), make_arm("weak", 0.02, 0.3, **seeds, settings={"clip": 1.0})
    comparison = compare(design_arms(arms, metrics=BOTH, to_the_end=True, **LOOKS))
    verdict = comparison.arms[1].verdict
    assert verdict.unbiased_difference != verdict.contrast.mean_difference
    assert not verdict.state.has_ended
    text = " ".join((*write_claims(comparison), describe_verdict(verdict, "weak", "base", comparison.scale)))
    assert "early" not in text
    assert "open at the last look, 40 of 40 seeds" in text


def test_a_direction_of_open_size_is_not_called_undecided():
    noisy = make_arm("noisy", -0.06, 0.03, settings={"clip": 2.0})
    facts = {"delta": 0.05, "looks": (5, 10), "seeds": tuple(range(10)), "stopping_rule": "size"}
    comparison = compare(design_arms((make_arm("base", 0.0, 0.003), noisy), to_the_end=True, **facts))
    assert comparison.arms[1].verdict.text == "better, size not settled"
    assert describe_remarks(comparison.arms[1], comparison) == "its size is not decided at 10 seeds"


def test_a_trial_beyond_the_looks_enters_no_mean(comparison, text):
    # base 16 and weak 17 of 20 at the next look; strong 12 and lost 12, whose looks ended at 10
    assert comparison.uncounted_count == 1 + 2 + 2 + 2
    reasons = "seeds 15, 16, whose look is incomplete, and seeds 10, 11, whose contrast gets no more seeds"
    assert f"7 beyond the looks enter no verdict or mean: {reasons}." in text
    uncounted = list(
        comparison.table.loc[~comparison.table.counts, ["arm", "seed"]].itertuples(index=False, name=None)
    )
    early = [(name, seed) for name in ("lost", "strong") for seed in (10, 11)]
    assert sorted(uncounted) == sorted([*early, ("base", 15), ("weak", 15), ("weak", 16)])
    listed = {(r["arm"], int(r["seed"])) for r in csv.DictReader(io.StringIO(write_trials_csv(comparison)))}
    assert listed
    assert not listed.intersection(uncounted)
    assert describe_trials(comparison).endswith(
        ", 3 trained for a look that is not complete"
    )  # one of base, two of weak


def test_a_page_in_short_sums_the_seconds_of_all_trials_also_of_those_that_do_not_count(comparison, tmp_path):
    page = render(comparison, tmp_path)
    seconds = comparison.table.seconds
    assert seconds[comparison.table[IS_COUNTED]].sum() < 0.9 * seconds.sum()
    assert f"; {format_duration(seconds.sum())} of training" in read_summary(page).facts


def test_sentences_on_looks_stand_once_and_only_where_there_are_several(text, tmp_path):
    sentences = (
        "Stopping early exaggerates differences a little",
        "separately for each metric and each test",
        "up to 3/n of all seeds",
        "other contrasts or looks the same pairs have another interval",  # as those of models and split
    )
    assert [text.count(sentence) for sentence in sentences] == [1, 1, 1, 1]
    fixed = design_arms(make_looked_design().arms[:2], seeds=tuple(range(10)))
    plain = read_page_text(render(compare(fixed), tmp_path))
    assert not [
        sentence
        for sentence in (*sentences, "not exactly normal", "decided at", "looked at")
        if sentence in plain
    ]
    assert "not exactly normal" in " ".join(list_limits(compare(make_looked_design()), {}))


def test_sections_of_several_arms_use_the_seeds_that_all_of_them_have(comparison, text):
    assert len(comparison.common_seeds) == 5  # ten were trained in every arm
    assert "the 5 seeds that finished in every arm shown here" in text  # the learning curves


@pytest.fixture(scope="module")
def ladder(render_study):
    """Return the page of the ladder."""
    return compare(make_laddered_design()), render_study("laddered")


def test_each_rung_of_a_ladder_is_compared_with_the_one_before(ladder):
    comparison, page = ladder
    means = {arm.name: arm.contrast.mean_difference for arm in comparison.arms if arm.contrast}
    gained = list_differences(comparison.design, "rung 3", "valid_accuracy", 10, "rung 2")
    assert means["rung 3"] == pytest.approx(fmean(gained))
    assert describe_decided(comparison).endswith(
        "4 of 6 contrasts decided by validation accuracy, 1 in direction only"
    )
    assert "rung 3 against rung 2" in read_arm_rows(page)
    assert "rung 3 gains 7.4 points over rung 2, 9" in read_page_text(render_index(page.parents[1]))


def test_counts_that_are_a_base_are_a_line_among_the_curves(ladder):
    comparison, page = ladder
    assert "counts" not in [arm.name for arm in comparison.judged_arms]
    assert read_arm_rows(page)["counts"]["verdict"].startswith("reference")
    curves = [svg for svg in parse_svgs(page.read_text()) if svg[0].text == "Learning curves of rung 1"]
    assert len(curves) == len(comparison.views)
    for svg in curves:
        assert [path for path in svg.iter("path") if path.get("stroke-dasharray")]


def test_a_contrast_that_was_seen_before_its_plan_is_exploratory(tmp_path):
    comparison = compare(make_looked_design(seen_pairs={"strong": 12}))
    sentence = describe_seen_data(comparison)
    assert "1 of 3 contrasts" in sentence
    assert "exploratory" in sentence
    assert "--seeds 40-79" in sentence
    gate = replace(comparison, design=change_rules(comparison.design, stopping_rule="gate"))
    assert "--seeds" not in describe_seen_data(gate), "a gate refuses it"
    text = read_page_text(render(comparison, tmp_path))
    assert "1 of 3 contrasts had been seen" in text.partition("About this study")[0]
    assert "1 of its 3 contrasts" in text
    assert [x.arm.name for x in list_claims(comparison) if x.arm.is_exploratory] == ["strong"]
    assert "strong against base (exploratory): " in write_claims(comparison)[0]
    assert "pairs of any of its contrasts" not in text
    assert describe_seen_data(compare(make_looked_design())) == ""
    assert "showed 3 pairs of any of its contrasts" in read_page_text(
        render(compare(make_looked_design()), tmp_path)
    )


def test_an_arm_that_failed_on_every_seed_is_open_for_good():
    lost = break_trials(make_arm("lost", 0.3, seeds=12, settings={"clip": 3.0}), failed=tuple(range(12)))
    arms = [measured for measured in make_looked_design().arms if measured.name != "lost"]
    comparison = compare(design_arms((*arms, lost), metrics=BOTH, **LOOKS))
    assert comparison.arms[-1].reason_not_compared == "open: seed 0 failed, seed 1 failed and 8 more", (
        "of the first look"
    )


def test_seeds_that_failed_count_against_a_contrast_that_is_not_declared(comparison):
    arms = {arm.name: arm for arm in comparison.arms}
    verdict = comparison.judge_undeclared({"lost": (arms["lost"], arms["strong"])})["lost"]
    assert (verdict.contrast.worse_count, verdict.contrast.lost_count, verdict.kind) == (5, 5, "open")


@pytest.mark.parametrize(("seeds", "judged"), [(9, False), (10, True)])
def test_an_undeclared_contrast_is_not_judged_before_the_first_look_has_ended(seeds, judged):
    """Looked at after every five seeds, two equal arms of a study of forty were called different in .19."""
    base = make_arm("base", 0.0)
    first = make_arm("a", 0.3, settings={"clip": 1.0})
    late = make_arm("b", -0.3, seeds=seeds, settings={"clip": 2.0})
    comparison = compare(design_arms((base, first, late), metrics=BOTH, **LOOKS))
    arms = {arm.name: arm for arm in comparison.arms}
    verdicts = comparison.judge_undeclared(
        {"late": (arms["b"], arms["a"]), "whole": (arms["a"], arms["base"])}
    )
    assert ("late" in verdicts) is judged
    assert verdicts["whole"].adjusted_difference.alpha == 0.025 or judged, "both are in the family_size"


def test_a_contrast_with_failed_pairs_is_undecided_at_the_last_look() -> None:
    base = make_arm("base", 0.0, seeds=20)
    weak = break_trials(make_arm("weak", 0.02, 0.06, seeds=20, settings={"clip": 1.0}), failed=(4, 9, 13))
    design = design_arms((base, weak), seeds=tuple(range(20)), looks=(10, 15, 20))
    arm = compare(design).arms[1]
    assert (arm.contrast.pair_count, arm.verdict.kind) == (17, "open")
    state = describe_remarks(arm, compare(design))
    assert "open after" not in state and "not decided at 17 seeds" in state
    (sentence,) = write_claims(compare(design))
    assert "open after" not in sentence
