"""What each arm cost: parameters, operations, tokens, seconds, and a GPU where there was one."""

import re
from dataclasses import replace

import pytest

from tests.helpers.arms import break_trials, make_arm, make_counting_arm, set_metrics
from tests.helpers.designs import (
    compare,
    design_arms,
    make_pair_design,
    make_program_design,
    make_realistic_design,
)
from tests.helpers.pages import read_page_text
from unrolled.bench.metric import Metric
from unrolled.reports.page import cost_rows
from unrolled.reports.page.render import render


def average_costs(design):
    """Return the mean cost of each arm, and of its baseline, by the arm's name."""
    return {
        row.name: (cost, baseline_cost)
        for row, cost, baseline_cost in cost_rows.average_costs(compare(design))
    }


def test_costs_have_their_difference_from_the_baseline(render_study):
    text = read_page_text(render_study("realistic"))
    costs = average_costs(make_realistic_design())
    gflops = 6 * 752640 / 1e9  # for each parameter of the synthetic trials
    assert costs["LMModel6"][0]["train_flops"] == pytest.approx(37598 * gflops)
    cost, baseline_cost = costs["LMModel7"]
    assert baseline_cost["train_flops"] - cost["train_flops"] == pytest.approx(4096 * gflops)
    assert "GFLOPs of training" in text
    assert "−18.5" in text  # 4096 · 6 · 752640 = 18.50e9
    assert {"model_parameters", "train_updates", "train_tokens", "seconds"} <= cost.keys()


def test_costs_show_a_gpu_only_where_there_was_one(render_study, tmp_path):
    text = read_page_text(render_study("pair"))
    cpu_section = text.rpartition("Costs of each arm")[2].partition("All trials")[0]
    assert "GPU" not in cpu_section
    assert "tokens/s" not in cpu_section
    machine = {"device": "cuda", "gpu": "NVIDIA A", "driver": "570.1", "cuda": "12.8"}

    def move_to_gpu(arm):
        results = set_metrics(arm, speed_steady=5e5, gpu_memory_peak=41.0).results
        moved_results = {s: replace(r, provenance={**r.provenance, **machine}) for s, r in results.items()}
        return replace(arm, results=moved_results)

    text = read_page_text(
        render(compare(design_arms(tuple(map(move_to_gpu, make_pair_design().arms)))), tmp_path)
    )
    for title in ("tokens/s after the first epoch", "peak GPU memory (MiB)"):
        assert title in text
    assert "20 trials on NVIDIA A, driver 570.1, CUDA 12.8." in text


def test_costs_are_shown_where_every_trial_of_the_baseline_failed(tmp_path):
    base, second = make_pair_design().arms
    design = design_arms((break_trials(base, failed=tuple(range(10))), second))
    section = read_page_text(render(compare(design), tmp_path)).rpartition("Costs of each arm")[2]
    assert "parameters" in section
    assert "37 598" in section


def test_the_main_figure_has_the_speed_and_the_parameters_of_each_arm(tmp_path):
    counts = set_metrics(make_counting_arm("counts", 0.4), speed_train=None, model_parameters=None)
    page = render(compare(design_arms((*make_pair_design().arms, counts))), tmp_path).read_text(
        encoding="utf-8"
    )
    table = page.partition('<table class="arms')[2].partition("</table>")[0]
    heads = re.findall(r'<th scope="col"[^>]*>(.*?)</th>', table)
    assert heads[-3:] == ["Tokens/s", "Parameters", "Verdict"]
    cells = re.findall(r'<td class="num cost"[^>]*data-value="([^"]*)">([^<]*)</td>', table)
    assert sorted(cells) == [("", "")] * 2 + [("37598.0", "37.6k")] * 2 + [("9000.0", "9.0k")] * 2
    figure = render(compare(make_program_design(Metric("error", 0.01))), tmp_path).read_text(encoding="utf-8")
    assert "Tokens/s" not in figure


def test_a_resumed_trial_costs_what_all_its_attempts_took():
    base, *other_arms = make_realistic_design().arms
    slow = replace(make_realistic_design(), arms=(set_metrics(base, seconds=900.0), *other_arms))
    assert average_costs(slow)["LMModel6"][0]["seconds"] == 900.0


def test_an_arm_whose_operations_nobody_counted_has_a_dash_among_the_costs(tmp_path):
    bare = set_metrics(make_arm("mine", 0.1, model="my-cell"), train_flops=None)
    design = design_arms((make_arm("base", 0.0), bare))
    assert "train_flops" not in average_costs(design)["mine"][0]
    assert '<td class="num" data-value="">–</td>' in render(compare(design), tmp_path).read_text()


def test_a_difference_that_rounds_to_nothing_is_not_shown_among_the_costs(tmp_path):
    base, second = (set_metrics(arm, memory_peak=100.0) for arm in make_pair_design().arms)
    for extra, is_shown in ((0.3, False), (-0.3, False), (0.7, True)):
        arms = (base, set_metrics(second, memory_peak=100.0 + extra))
        section = read_page_text(render(compare(design_arms(arms)), tmp_path)).rpartition(
            "Costs of each arm"
        )[2]
        assert "peak memory (MiB)" in section
        assert "+0" not in section
        assert "−0" not in section
        assert ("101 +1" in section) is is_shown


def test_an_arm_that_is_compared_with_none_has_no_difference_of_costs():
    costs = average_costs(
        design_arms((make_arm("base", 0.0), make_arm("other", 0.1), make_counting_arm("counts", 0.8)))
    )
    assert costs["counts"][0] and not costs["counts"][1]
    assert costs["other"][1] == costs["base"][0]


@pytest.mark.parametrize(("seconds", "decimals"), [(0.76, 1), (0.72, 2)])
def test_costs_have_the_decimals_with_which_they_subtract_to_their_difference(seconds, decimals):
    arms = make_arm("base", 0.0), make_arm("other", 0.1)
    timed = [set_metrics(a, seconds=x) for a, x in zip(arms, (0.66, seconds), strict=True)]
    comparison = compare(design_arms(tuple(timed)))
    assert (
        cost_rows.count_cost_decimals(cost_rows.average_costs(comparison), comparison)["seconds"] == decimals
    )
