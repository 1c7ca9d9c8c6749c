"""Results of two kinds of machine: their pairs are named, and their clocks are not compared."""

from dataclasses import replace
from statistics import fmean

import pytest

from tests.helpers.arms import make_arm, set_metrics
from tests.helpers.designs import compare, design_arms, make_realistic_design
from unrolled.reports.chapter import extras as chapter
from unrolled.reports.compare.design import DesignArm
from unrolled.reports.page import cost_rows
from unrolled.reports.page.render import render, render_index
from unrolled.reports.words import page_warnings

THERE = {"cpu": "Xeon 8481C", "threads": 1, "cpu_capability": "AVX512", "mkldnn": True}
HERE = {**THERE, "cpu_capability": "DEFAULT", "mkldnn": False}
APART = "cpu capability DEFAULT / AVX512, oneDNN off / on"


def move_trials(arm: DesignArm, provenance: dict, seeds: range) -> DesignArm:
    """Return the arm with these seeds trained on another machine."""
    results = {s: replace(r, provenance=provenance) if s in seeds else r for s, r in arm.results.items()}
    return replace(arm, results=results)


@pytest.fixture(scope="module")
def two_machines():
    """Return ten seeds of a baseline and two arms; three seeds of one arm are of another kind of machine."""
    base, same, third = (
        move_trials(make_arm(name, effect, options={"hidden": 32 + n}), HERE, range(10))
        for n, (name, effect) in enumerate([("base", 0.0), ("same", 0.1), ("moved", 0.2)])
    )
    return compare(design_arms((base, same, move_trials(third, THERE, range(3)))))


def test_pairs_of_two_kinds_of_machine_are_named_on_page_and_index(two_machines, tmp_path) -> None:
    sentence = page_warnings.describe_mixed_machines(two_machines)
    assert "3 of 20 pairs" in sentence
    assert f"({APART})" in sentence
    assert sentence in page_warnings.list_warnings(two_machines)
    page = render(two_machines, tmp_path).read_text()
    assert sentence in page[page.index('id="answer"') : page.index("</section>")]
    assert sentence in render_index(tmp_path).read_text()


def test_arms_of_one_kind_or_of_none_have_no_sentence(two_machines) -> None:
    alike = compare(replace(two_machines.design, arms=two_machines.design.arms[:2]))
    silent = compare(
        replace(alike.design, arms=tuple(move_trials(a, {}, range(5)) for a in alike.design.arms))
    )
    for comparison in (alike, silent, compare(make_realistic_design())):
        assert page_warnings.describe_mixed_machines(comparison) == ""


def test_speeds_are_paired_on_like_machines_only(two_machines, tmp_path) -> None:
    base, same, third = two_machines.design.arms
    fast = set_metrics(third, speed_train=dict.fromkeys(range(3), 9e9))
    comparison = compare(replace(two_machines.design, arms=(base, same, fast)))
    ratios = [ratio for _, _, ratio in chapter.measure_throughput(comparison)[1:]]
    assert [(ratio.ratio, ratio.pair_count) for ratio in ratios] == [(1, 10), (1, 7)]
    speeds = base.collect_measured_values("speed_train")
    assert [ratio.base_mean for ratio in ratios] == pytest.approx(
        [fmean(speeds[seed] for seed in seeds) for seeds in (range(10), range(3, 10))]
    )
    reason = f"3 of 20 pairs of speeds not compared: unlike machines: {APART}"
    assert chapter.describe_unlike_speeds(comparison) == reason
    assert f"{reason}." in render(comparison, tmp_path).read_text()
    unlike = compare(replace(two_machines.design, arms=(base, same, move_trials(third, THERE, range(10)))))
    assert [ratio is None for _, _, ratio in chapter.measure_throughput(unlike)[1:]] == [False, True]
    assert chapter.describe_unlike_speeds(compare(replace(two_machines.design, arms=(base, same)))) == ""


def test_a_speed_of_an_unknown_machine_is_compared_with_none(two_machines) -> None:
    arms = tuple(move_trials(arm, {}, range(10)) for arm in two_machines.design.arms[:2])
    comparison = compare(replace(two_machines.design, arms=arms))
    assert chapter.measure_throughput(comparison)[1][2] is None
    sentence = "10 of 10 pairs of speeds not compared: the machine of some trials is not"
    assert sentence in chapter.describe_unlike_speeds(comparison)


def test_seconds_are_compared_on_like_machines_only(two_machines) -> None:
    base, same, third_costs = (
        baseline_costs for _, _, baseline_costs in cost_rows.average_costs(two_machines)
    )
    assert "seconds" in base
    assert "seconds" in same
    assert "seconds" not in third_costs
    assert "model_parameters" in third_costs
