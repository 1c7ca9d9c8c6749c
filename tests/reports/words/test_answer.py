"""The answer in words: each number is the ledger's, each verb the verdict's."""

import math
import re
from dataclasses import replace
from statistics import fmean

import pytest
from markupsafe import escape

from tests.helpers.arms import break_trials, make_arm, set_metrics
from tests.helpers.designs import (
    BOTH,
    HOSTILE_NAMES,
    compare,
    design_arms,
    make_hostile_design,
    make_laddered_design,
    make_looked_design,
    make_realistic_design,
)
from tests.helpers.pages import write_lines, write_texts
from unrolled import shipped
from unrolled.ablations.tables.study_tables import compare_study_table
from unrolled.reports.compare.design import DesignArm
from unrolled.reports.compare.factorial import find_parts, make_factorial
from unrolled.reports.page.render import write_answer_lines
from unrolled.reports.words.answer import write_answer
from unrolled.reports.words.contrast_lines import list_claims
from unrolled.reports.words.means import find_grid_lines


def test_the_answer_has_the_effects_of_arms_the_best_first():
    headline, *changes, undecided = write_texts(make_realistic_design())
    assert headline == (
        "LMModel7 has a validation loss of 0.82 nats, LMModel6 1.31 nats: better by 0.490 nats over "
        "10 seeds; dropout and tying and dropout 0.4 are better, too"
    )
    expected = [
        ("LMModel7 saves", "0.490 nats", "99.4 % CI [0.439, 0.579]"),
        ("dropout and tying saves", "0.242 nats", "99.4 % CI [0.203, 0.279]"),
        ("dropout 0.4 saves", "0.107 nats", "99.3 % CI [0.082, 0.132]"),
        ("lr 3e-2 costs", "0.32 nats in the median", "99 % CI [0.22, ∞]"),
        ("lr 3e-3 costs", "0.169 nats", "99.2 % CI [0.114, 0.222]"),
        ("clip 0.5 costs", "0.022 nats", "98.8 % CI [0.004, 0.038]"),
    ]
    for line, facts in zip(changes, expected, strict=True):
        assert line.startswith(facts[0])
        assert [fact for fact in facts if fact not in line] == []
    assert "1 of 10 against 0 of 10" in changes[3]
    assert undecided == "Open: tying, no reset and from scratch"


def test_an_arm_that_only_diverges_less_is_not_called_better():
    base = break_trials(make_arm("base", 0.0), diverged=tuple(range(9)))
    steady = make_arm("steady", 0.1, settings={"clip": 1.0})
    twin = break_trials(make_arm("twin", 0.0, settings={"clip": 2.0}), diverged=tuple(range(9)))
    headline = write_texts(design_arms((base, steady)))[0]
    assert "steady diverges less often: diverged 0 of 10 against 9 of 10" in headline
    headline = write_texts(design_arms((base, steady, twin)))[0]
    assert headline.startswith("No arm is shown to be better: 1 diverges less often, 1 open")


def test_an_accuracy_is_words_and_points_over_the_seeds_of_the_pair():
    design = make_looked_design()
    base, strong = ([r.metrics["valid_accuracy"] for r in a.results.values()] for a in design.arms[:2])
    gain = 100 * (fmean(strong[:10]) - fmean(base[:10]))
    first, second, *_ = write_texts(design)
    levels = (
        f"strong predicts {100 * fmean(strong[:10]):.2f} % of the words, base {100 * fmean(base[:10]):.2f} %"
    )
    assert first == f"{levels}: better by {gain:.1f} points over 10 seeds"
    assert second.startswith(f"strong gains {gain:.1f} points, 98.3 % CI [")


@pytest.mark.parametrize(
    ("effects", "headline"),
    [
        ({"b": 0.2}, r"b has .* of 1\.\d\d nats, base 1\.\d\d nats: worse by 0\.\d+ nats over 10 seeds"),
        ({"b": 0.001}, r"b has .*: the same within δ over 10 seeds"),
        ({"b": 0.02}, r"b has .*: open after 10 seeds"),
        (
            {"b": 0.2, "c": 0.001, "d": 0.3, "e": 0.02},
            r"No arm is shown to be better: 2 worse, 1 the same within δ, 1 open; base has .* nats",
        ),
    ],
)
def test_the_headline_says_which_arm_is_better_or_none(effects, headline):
    spreads = {0.02: 0.05}
    arms = [
        make_arm(name, effect, spreads.get(effect, 0.003), settings={"clip": 1.0 + i})
        for i, (name, effect) in enumerate(effects.items())
    ]
    assert re.fullmatch(headline, write_texts(design_arms((make_arm("base", 0.0, 0.003), *arms)))[0])


def test_a_loss_read_as_a_perplexity_is_answered_in_per_cent():
    comparison = compare(make_realistic_design())
    in_nats, in_per_cent = (write_lines(view) for view in comparison.views_by_unit)
    assert len(in_nats) == len(in_per_cent)
    assert not any("nats" in line or "loss" in line for line in in_per_cent)
    arm = comparison.arms[1]
    reading = math.exp(arm.contrast.arm_mean), math.exp(arm.contrast.base_mean)
    levels = "LMModel7 has a perplexity of {:.2f}, LMModel6 {:.2f}".format(*reading)
    change = 100 * (1 - math.exp(arm.contrast.mean_difference))
    assert in_per_cent[0].startswith(f"{levels}: better by {change:.1f} % over 10 seeds")
    ends = sorted(100 * (1 - math.exp(x)) for x in (arm.interval.low, arm.interval.high))
    assert in_per_cent[1] == "LMModel7 saves {:.1f} %, 99.4 % CI [{:.1f}, {:.1f}]".format(change, *ends)


def test_a_line_says_where_the_second_metric_disagrees():
    def make_measured_arm(name: str, accuracy: float, loss: float) -> DesignArm:
        measured_arm = make_arm(name, 0.0, settings={"clip": 1.0 + len(name)} if name != "base" else {})
        accuracies = {s: 0.7 + accuracy + 0.001 * s % 3 for s in range(10)}
        return set_metrics(
            measured_arm, valid_accuracy=accuracies, valid_loss={s: 1 + loss + 0.01 * s for s in range(10)}
        )

    jitter = [
        make_measured_arm("base", 0, 0),
        make_measured_arm("both", 0.1, -0.2),
        make_measured_arm("loss", 0.0, 0.2),
    ]
    worse = make_measured_arm("against", 0.1, 0.2)
    texts = write_texts(design_arms((*jitter, worse), metrics=BOTH))
    assert "both gains 10.0 points" in texts, "one difference on all seeds has no interval"
    assert "against gains 10.0 points (perplexity 22 % higher)" in texts
    assert "Open by validation accuracy: loss (perplexity 22 % higher)" in texts, (
        "equal accuracies alone show no equality"
    )


def test_a_headline_without_gain_names_its_metric_where_another_gains():
    def set_both(name: str, loss: float) -> DesignArm:
        measured_arm = make_arm(name, 0.0, settings={"clip": ord(name[0])} if name != "base" else {})
        losses = {s: 1 + loss + 0.01 * s + 0.001 * (s % 3) * bool(loss) for s in range(10)}
        return set_metrics(
            measured_arm, valid_accuracy={s: 0.7 + 0.01 * (s % 3) for s in range(10)}, valid_loss=losses
        )

    headlines = [
        write_texts(
            design_arms((set_both("base", 0), set_both("b", loss), set_both("c", 0.3)), metrics=BOTH)
        )[0]
        for loss in (-0.2, 0.2)
    ]
    gain, loss = ("By validation accuracy, no" in headline for headline in headlines)
    assert gain and not loss, headlines


def test_a_ladder_names_its_largest_step_and_its_best_arm():
    step, levels = write_texts(make_laddered_design())[0].split("; ")
    same_task_arms = compare(make_laddered_design()).same_task_arms
    gains = {arm.name: arm.contrast.mean_difference for arm in same_task_arms if arm.contrast}
    largest = max(gains, key=gains.__getitem__)
    assert step.startswith(f"{largest} shows the largest gain over ")
    assert f": better by {100 * gains[largest]:.0f}" in step
    assert re.findall(r"(rung \d|strong|base)\D*(\d+) %", levels) == [("rung 3", "88"), ("base", "68")]


def test_every_rung_names_what_it_is_compared_with():
    _, largest, *lower_rungs = write_texts(make_laddered_design())
    assert largest.startswith("rung 1 gains 14")
    assert any(line.startswith("rung 3 gains 7.4 points over rung 2, 9") for line in lower_rungs)


def test_an_arm_that_loses_names_what_it_is_compared_with():
    worse = replace(make_arm("down", 0.4, settings={"clip": 9.0}), against="rung 3")
    ladder = make_laddered_design()
    (line,) = [x for x in write_texts(replace(ladder, arms=(*ladder.arms, worse))) if x.startswith("down")]
    assert line.startswith("down loses ")
    assert " against rung 3, 9" in line
    base = make_arm("chunked, two layers", -0.9, settings={"clip": 4.0})
    texts = write_texts(make_looked_design(base, replace(worse, against=base.name)))
    assert any(" against “chunked, two layers”, 9" in line for line in texts)


def test_a_grid_counts_the_verdicts_of_its_arms_and_names_the_best_of_each_of_its_lines():
    losses = {"a": (0.5, 0.9, 0.7), "b": (0.4, 0.1, 0.2)}
    arms = [
        replace(make_arm(f"{line} {i}", effect), against=f"{line} 0" if i else "")
        for line, effects in losses.items()
        for i, effect in enumerate(effects)
    ]
    counts, levels = write_texts(design_arms(tuple(arms)))[0].split(". ", 1)
    assert re.findall(r"[\d.]+", counts) == ["2", "4", "0.21", "0.32", "2"]  # of 4, two better, two worse
    assert re.findall(r"(\w \d)\D*([\d.]+) nats", levels) == [("b 1", "1.41"), ("a 0", "1.82")]


def test_an_arm_that_diverges_is_not_the_best_of_its_line():
    losses = {"a": (0.5, 0.9, 0.7), "b": (0.4, 0.1, 0.2)}
    arms = {
        f"{line} {i}": replace(make_arm(f"{line} {i}", effect), against=f"{line} 0" if i else "")
        for line, effects in losses.items()
        for i, effect in enumerate(effects)
    }
    arms["b 1"] = break_trials(arms["b 1"], diverged=(0, 1, 2))
    _, levels = write_texts(design_arms(tuple(arms.values())))[0].split(". ", 1)
    assert re.findall(r"(\w \d)\D*([\d.]+) nats", levels) == [("b 2", "1.52"), ("a 0", "1.82")]


def test_names_with_a_comma_are_quoted_and_never_escaped():
    arms = make_arm("base", 0.0), make_arm("o'neil's & <co>, new", -0.9, settings={"clip": 1.0})
    texts = write_answer_lines(compare(design_arms(arms)))
    assert "“o'neil's & <co>, new”" in texts[0]


def test_the_baseline_under_other_seeds_is_no_answer():
    repeated = make_arm("again", -0.9)  # by luck the best
    assert "again" not in "".join(
        write_texts(replace(make_laddered_design(), arms=(*make_laddered_design().arms, repeated)))
    )


@pytest.mark.parametrize(
    ("arms", "words"),
    [
        ([make_arm("twin", 0.0, 0.0, model="lm6b")], "twin equals base in validation loss on all 10 seeds"),
        (
            [break_trials(make_arm("gone", 0.0, settings={"clip": 1.0}), diverged=tuple(range(10)))],
            "gone diverged 10 of 10 against 0 of 10 (McNemar, adjusted p .002)",
        ),
        ([break_trials(make_arm("few", 0.0, 0.0, model="lm6b"), failed=(0, 1, 2, 3))], "Open: few"),
    ],
)
def test_an_arm_without_an_effect_is_described_in_words(arms, words):
    texts = write_texts(design_arms((make_arm("base", 0.0, 0.0), *arms)))
    assert words in texts
    assert len(texts) == 2


MANY = [make_arm(f"clip {i}", 0.1 * i, 0.01, settings={"clip": float(i)}) for i in range(1, 14)]
"""Thirteen arms, each worse than the one before."""


def test_many_arms_are_named_by_effect_and_the_others_counted():
    comparison = compare(design_arms((make_arm("base", 0.0, 0.01), *MANY)))
    sizes = sorted((abs(arm.contrast.mean_difference) for arm in comparison.arms_with_contrast), reverse=True)
    _, *named_arms, remainder = write_lines(comparison)
    assert len(named_arms) == 8
    assert remainder == f"5 others cost {sizes[-1]:.3f} to {sizes[8]:.2f} nats"


def test_nine_arms_are_all_named():
    lines = write_lines(compare(design_arms((make_arm("base", 0.0, 0.01), *MANY[:9]))))
    assert len(lines) == 10
    assert "others" not in "".join(lines)


def test_arms_that_are_not_named_are_counted_by_cost_and_by_divergence():
    diverged = [
        break_trials(make_arm(f"wd {i}", 0.0, settings={"wd": float(i)}), diverged=tuple(range(10)))
        for i in range(11)
    ]
    *_, last_cost, divergence = write_texts(design_arms((make_arm("base", 0.0, 0.01), *MANY[:1], *diverged)))
    assert last_cost == "1 other costs 0.096 nats"
    assert divergence == "3 others differ by how often seeds diverge"


def test_a_study_without_results_has_no_answer_and_hostile_names_are_text():
    assert write_texts(design_arms((make_arm("base", 0.0, seeds=0),), metrics=BOTH)) == []
    text = "".join(write_answer(compare(replace(make_hostile_design(), arms=make_hostile_design().arms[:4]))))
    assert "<script" not in text
    assert escape(HOSTILE_NAMES[1]) in text
    assert "\0" not in text


def test_the_largest_gain_is_the_largest_of_the_contrasts_named():
    comparison = compare_study_table(shipped("models"))
    for view in comparison.views_by_unit:
        claims = [
            x
            for x in list_claims(view)
            if not x.arm.counted_arm.find_task_differences(view.arms[0].counted_arm)
        ]
        headline = write_lines(view)[0]
        assert f"{claims[0].arm.name} shows the largest gain over {claims[0].arm.against}" in headline
        largest = max(list_claims(view), key=lambda x: abs(x.verdict.contrast.estimate))
        assert headline.startswith("Of the contrasts on LMModel4’s task, ") or claims[0] == largest
    noisy = replace(make_arm("rung 4", -2.0, 4.0, settings={"clip": 4.0}), against="rung 3")
    ladder = replace(make_laddered_design(), arms=(*make_laddered_design().arms, noisy))
    assert write_texts(ladder)[0].startswith(
        "Of the decided contrasts, rung 1 shows the largest gain over counts"
    )


def test_an_arm_that_is_no_part_is_in_the_parts_answer():
    switches = {"a": {"clip": 1.0}, "b": {"alpha": 1.0}, "both": {"clip": 1.0, "alpha": 1.0}}
    arms = [make_arm("base", 0.0), make_arm("lr 0.3", -0.6, settings={"lr": 0.3})]
    arms += [make_arm(name, 0.0, settings=settings) for name, settings in switches.items()]
    comparison = compare(design_arms(tuple(arms)))
    parts = find_parts(comparison, make_factorial(comparison))
    assert len(parts) >= 2
    lines = [line.striptags() for line in write_answer(comparison, parts)]
    assert [line for line in lines if line.startswith("lr 0.3 saves ")]


def test_parts_beside_a_grid_are_not_counted_as_its_arms_and_its_bases_are_named():
    switches = {"a": {"clip": 1.0}, "b": {"alpha": 1.0}, "both": {"clip": 1.0, "alpha": 1.0}}
    arms = [make_arm("base", 0.0), make_arm("wide", 0.4, settings={"lr": 0.3})]
    arms += [make_arm(name, -0.2 * len(settings), settings=settings) for name, settings in switches.items()]
    arms += [
        replace(make_arm(f"wide {wd}", 0.2, settings={"lr": 0.3, "wd": wd}), against="wide")
        for wd in (0.1, 0.2)
    ]
    comparison = compare(design_arms(tuple(arms)))
    assert find_grid_lines(comparison)
    headline, *lines = [
        line.striptags()
        for line in write_answer(comparison, find_parts(comparison, make_factorial(comparison)))
    ]
    assert " of 2 arms" not in headline and "shows the largest gain" in headline
    assert [line for line in lines if line.startswith("Other arms")] == ["Other arms:"]
    assert any(line.startswith("wide 0.1") and " over wide" in line for line in lines)


def test_a_gain_on_another_task_is_not_denied():
    other_task = {"split": "blocks"}
    arms = (
        make_arm("base", 0.0),
        make_arm("worse", 0.9, settings={"clip": 1.0}),
        make_arm("far", 0.9, settings=other_task),
        replace(make_arm("far, better", -0.9, settings={**other_task, "clip": 2.0}), against="far"),
    )
    headline = write_texts(design_arms(arms))[0]
    assert "No arm is shown to be better on base’s task: 1 worse" in headline
