"""The answer in words: each number is the ledger's, each verb the verdict's."""

import math
import re
from dataclasses import replace
from statistics import fmean

import pytest
from markupsafe import escape
from rich.console import Console

from tests.helpers.synthetic_studies import (
    BOTH,
    HOSTILE,
    break_trials,
    compare,
    make_arm,
    make_hostile_study,
    make_laddered_study,
    make_looked_study,
    make_realistic_study,
    make_study,
    read_page_text,
    set_metrics,
)
from unrolled import shipped
from unrolled.ablations.tables.study_tables import compare_study_table
from unrolled.ablations.training.terminal_table import print_arms
from unrolled.reports.design import MeasuredArm
from unrolled.reports.exports import comparison_markdown, format_screen
from unrolled.reports.render import answer_lines, render
from unrolled.reports.words.answer import write_answer
from unrolled.reports.words.claims import list_claims, write_claims


def write_texts(design):
    """Return the lines of the answer to a study, without markup."""
    return write_lines(compare(design))


def write_lines(c):
    """Return the lines of the answer to a comparison, without markup."""
    return [line.striptags() for line in write_answer(c)]


def test_the_answer_has_the_effect_of_each_arm_the_best_first_and_the_open_ones_last():
    headline, *changes, undecided = write_texts(make_realistic_study())
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


def test_an_arm_that_only_diverges_less_often_is_called_neither_better_nor_best():
    base = break_trials(make_arm("base", 0.0), diverged=tuple(range(9)))
    steady = make_arm("steady", 0.1, settings={"clip": 1.0})
    twin = break_trials(make_arm("twin", 0.0, settings={"clip": 2.0}), diverged=tuple(range(9)))
    headline = write_texts(make_study((base, steady)))[0]
    assert "steady diverges less often: diverged 0 of 10 against 9 of 10" in headline
    headline = write_texts(make_study((base, steady, twin)))[0]
    assert headline.startswith("No arm is shown to be better: 1 diverges less often, 1 open")


def test_an_accuracy_is_words_and_points_over_the_seeds_of_the_pair():
    design = make_looked_study()
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
def test_the_headline_says_which_arm_is_better_or_that_none_is_shown_to_be(effects, headline):
    spreads = {0.02: 0.05}
    arms = [
        make_arm(name, effect, spreads.get(effect, 0.003), settings={"clip": 1.0 + i})
        for i, (name, effect) in enumerate(effects.items())
    ]
    assert re.fullmatch(headline, write_texts(make_study((make_arm("base", 0.0, 0.003), *arms)))[0])


def test_a_loss_read_as_a_perplexity_is_answered_in_per_cent():
    c = compare(make_realistic_study())
    in_nats, in_per_cent = (write_lines(view) for view in c.per_unit)
    assert len(in_nats) == len(in_per_cent)
    assert not any("nats" in line or "loss" in line for line in in_per_cent)
    row = c.arms[1]
    reading = math.exp(row.contrast.arm_mean), math.exp(row.contrast.base_mean)
    levels = "LMModel7 has a perplexity of {:.2f}, LMModel6 {:.2f}".format(*reading)
    change = 100 * (1 - math.exp(row.contrast.mean_difference))
    assert in_per_cent[0].startswith(f"{levels}: better by {change:.1f} % over 10 seeds")
    ends = sorted(100 * (1 - math.exp(x)) for x in (row.interval.low, row.interval.high))
    assert in_per_cent[1] == "LMModel7 saves {:.1f} %, 99.4 % CI [{:.1f}, {:.1f}]".format(change, *ends)


def test_a_line_says_where_the_second_metric_disagrees():
    def make_measured_arm(name: str, accuracy: float, loss: float) -> MeasuredArm:
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
    texts = write_texts(make_study((*jitter, worse), metrics=BOTH))
    assert "both gains 10.0 points" in texts, "one difference on all seeds has no interval"
    assert "against gains 10.0 points (perplexity 22 % higher)" in texts
    assert "Open by validation accuracy: loss (perplexity 22 % higher)" in texts, (
        "equal accuracies alone show no equality"
    )


def test_a_ladder_names_its_largest_step_its_best_arm_and_what_each_is_compared_with():
    first, second, *lower_rungs = write_texts(make_laddered_study())
    step, levels = first.split("; ")
    gains = {
        row.name: row.contrast.mean_difference
        for row in compare(make_laddered_study()).same_task_arms
        if row.contrast
    }
    largest = max(gains, key=gains.__getitem__)
    assert step.startswith(f"{largest} shows the largest gain over ")
    assert f": better by {100 * gains[largest]:.0f}" in step
    assert re.findall(r"(rung \d|strong|base)\D*(\d+) %", levels) == [("rung 3", "88"), ("base", "68")]
    assert second.startswith("rung 1 gains 14")
    assert any(line.startswith("rung 3 gains 7.4 points over rung 2, 9") for line in lower_rungs)
    worse = replace(make_arm("down", 0.4, settings={"clip": 9.0}), against="rung 3")
    text = "\n".join(write_texts(replace(make_laddered_study(), arms=(*make_laddered_study().arms, worse))))
    assert "\ndown loses " in text
    assert " against rung 3, 9" in text
    base = make_arm("chunked, two layers", -0.9, settings={"clip": 4.0})
    texts = write_texts(make_looked_study(base, replace(worse, against=base.name)))
    assert any(" against “chunked, two layers”, 9" in line for line in texts)


def test_a_grid_names_the_best_arm_of_each_of_its_lines():
    losses = {"a": (0.5, 0.9, 0.7), "b": (0.4, 0.1, 0.2)}
    arms = [
        replace(make_arm(f"{line} {i}", effect), against=f"{line} 0" if i else "")
        for line, effects in losses.items()
        for i, effect in enumerate(effects)
    ]
    levels = write_texts(make_study(tuple(arms)))[0]
    assert re.findall(r"(\w \d)\D*([\d.]+) nats", levels) == [("b 1", "1.41"), ("a 0", "1.82")]


def test_an_arm_that_diverges_is_not_the_best_of_its_line():
    losses = {"a": (0.5, 0.9, 0.7), "b": (0.4, 0.1, 0.2)}
    arms = {
        f"{line} {i}": replace(make_arm(f"{line} {i}", effect), against=f"{line} 0" if i else "")
        for line, effects in losses.items()
        for i, effect in enumerate(effects)
    }
    arms["b 1"] = break_trials(arms["b 1"], diverged=(0, 1, 2))
    levels = write_texts(make_study(tuple(arms.values())))[0]
    assert re.findall(r"(\w \d)\D*([\d.]+) nats", levels) == [("b 2", "1.52"), ("a 0", "1.82")]


def test_names_in_plain_text_are_quoted_where_they_have_a_comma_and_never_escaped():
    arms = make_arm("base", 0.0), make_arm("o'neil's & <co>, new", -0.9, settings={"clip": 1.0})
    texts = answer_lines(compare(make_study(arms)))
    assert "“o'neil's & <co>, new”" in texts[0]


def test_the_baseline_under_other_seeds_is_no_answer():
    repeated = make_arm("again", -0.9)  # by luck the best
    assert "again" not in "".join(
        write_texts(replace(make_laddered_study(), arms=(*make_laddered_study().arms, repeated)))
    )


def test_the_same_arms_on_two_tasks_are_said_to_keep_their_order_or_to_change_places():
    def split_arms(name: str, effects: tuple[float, ...]) -> list[MeasuredArm]:
        clips = [{"clip": float(i), "split": name} for i in range(len(effects))]
        return [make_arm(f"{name[0]}{i}", e, settings=clips[i]) for i, e in enumerate(effects)]

    tail = split_arms("tail", (0.0, 0.2, 0.4, 0.4))
    blocks = split_arms("blocks", (-0.9, -0.5, -0.7, -0.7))
    design = make_study((*tail, *(replace(a, against="b0") for a in blocks)))
    order, changed, unsure, tail_levels, block_levels = write_texts(design)
    assert order.startswith("3 of 6 pairs")
    assert changed.startswith("t1 and t2; t1 and t3 change")
    assert unsure.endswith(" for t2 and t3")
    assert tail_levels.startswith("On split tail t0 ")
    best = fmean(r.metrics["valid_loss"] for r in blocks[0].results.values())
    assert block_levels.startswith("On split blocks t0 ")
    assert f"{best:.2f} nats, t3 0." in block_levels
    results = {a.name: {s: r for s, r in a.results.items() if s < 9 or a.name != "b3"} for a in blocks}
    waiting = make_study((*tail, *(replace(a, against="b0", results=results[a.name]) for a in blocks)))
    # one seed of b3 has not ended: no declared contrast has had its first look
    order, changed, unsure, *_ = write_texts(waiting)
    assert order.startswith("0 of 6 pairs")
    assert changed.startswith("t1 and t2 change")
    assert unsure.endswith(" for t0 and t1; t0 and t2; t0 and t3; t1 and t3; t2 and t3")
    one_task = make_study((*tail, *(replace(a, against="b1") for a in blocks[1:2])))
    assert "order" not in write_texts(one_task)[0]  # one arm alone is on both


@pytest.mark.parametrize("task", [{"tokens": "char"}, {"vocab": 100}, {"split": "blocks"}])
def test_each_setting_that_defines_the_task_makes_another_task(task):
    def make_pair(name: str, settings: dict) -> list[MeasuredArm]:
        return [make_arm(f"{name}{i}", 0.9 * i, settings={"clip": float(i), **settings}) for i in range(2)]

    others = [replace(arm, against="b0") for arm in make_pair("b", task)]
    order, *means = write_texts(make_study((*make_pair("a", {}), *others)))
    assert order.startswith("1 of 1 pair ")
    assert len(means) == 2


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
def test_what_has_no_effect_to_quote_is_said_in_words(arms, words):
    texts = write_texts(make_study((make_arm("base", 0.0, 0.0), *arms)))
    assert words in texts
    assert len(texts) == 2


@pytest.mark.parametrize(("seeds", "words"), [(1, "the one seed"), (2, "both seeds"), (4, "all 4 seeds")])
def test_an_arm_that_equals_its_base_on_too_few_seeds_is_open_as_in_the_table(seeds, words):
    twin = make_arm("twin", 0.0, 0.0, seeds=seeds, model="lm6b")
    worse = make_arm("other", 0.9, settings={"clip": 1.0})
    _, equality, undecided = write_texts(make_study((make_arm("base", 0.0, 0.0), worse, twin)))
    assert equality.startswith("twin equals base ")
    assert equality.endswith(f" on {words}")
    assert undecided == "Open: other and twin"


@pytest.mark.parametrize(("seeds", "number"), [(1, "One seed"), (4, "4 seeds")])
def test_too_few_seeds_rank_all_arms_and_say_once_that_nothing_is_decided(seeds, number, tmp_path):
    arms = [
        make_arm(name, effect, 0.0, seeds=seeds, settings={"clip": effect})
        for name, effect in (("base", 0.0), ("bad", 0.9), ("good", -0.5), ("middling", 0.4))
    ]
    elsewhere_arm = make_arm("elsewhere", -0.9, 0.0, seeds=seeds, settings={"split": "blocks"})
    c = compare(make_study((*arms, elsewhere_arm), seeds=tuple(range(seeds)), metrics=BOTH[::-1]))
    levels = {row.name: f"{row.summary.mean:.2f} nats" for row in c.arms}
    ranked = f"base {levels['base']}, middling {levels['middling']}, bad {levels['bad']}"
    undecided, ranking, elsewhere = write_lines(c)
    assert undecided.startswith(f"{number}: ")
    assert undecided.endswith(" at least 5")
    assert ranking.startswith("good ")
    assert ranking.endswith(f" {levels['good']}, {ranked}")
    assert elsewhere.startswith("On another task elsewhere ")
    assert elsewhere.endswith(f" {levels['elsewhere']}")
    page = render(c, tmp_path)
    figure = page.read_text(encoding="utf-8").partition('<table class="arms')[2]
    rows = re.findall(r'<tr data-arm="(\d)"', figure.partition("</table>")[0])
    assert rows == ["2", "0", "3", "1", "4"]
    texts = (read_page_text(page).partition("Learning curves")[0], format_screen(c), comparison_markdown(c))
    for text in (*texts, "\n".join(write_claims(c))):
        assert text.count("nothing is decided") == text.count(f"{number}: ") > 0
    assert all(text.count("nothing is decided") == 1 for text in texts[1:])
    assert all(text.count("at least") == text.count("nothing is decided") for text in texts)


def test_how_many_seeds_diverged_is_said_wherever_an_arm_is_named():
    def compare_arms(*arms):
        return compare(make_study(arms, delta=0.02, seeds=tuple(range(40))))

    def make_diverged_arm(name, effect, *diverged):
        clip = {"settings": {"clip": 1.0}} if name != "base" else {}
        return break_trials(make_arm(name, effect, 0.0003, seeds=40, **clip), diverged=diverged)

    rates = "diverged 5 of 40 against 0 of 40"  # McNemar's p is .0625
    for effect, line in ((-0.01, "{} changes less than 0.02 nats"), (0.0, "Open: {}")):
        c = compare_arms(make_diverged_arm("base", 0.0), make_diverged_arm("near", effect, 3, 9, 11, 20, 31))
        assert write_lines(c)[1] == line.format(f"near ({rates})")
        assert rates in write_claims(c)[0]
        assert "5 diverged" in format_screen(c)
        assert "5 diverged" in comparison_markdown(c)
    c = compare_arms(make_diverged_arm("base", 0.0, 3, 9, 11, 20, 31), make_diverged_arm("other", 0.0))
    headline, undecided = write_lines(c)
    assert headline.endswith("nats (5 of 40 diverged); other is open after 40 seeds")
    assert undecided == "Open: other (diverged 0 of 40 against 5 of 40)"
    texts = write_lines(
        compare_arms(
            make_diverged_arm("base", 0.0), *(make_diverged_arm(f"wd {i}", -0.01, 0) for i in range(10))
        )
    )
    assert texts[1].endswith("and 2 others (seeds of 2 diverged) change less than 0.02 nats")


def test_of_many_arms_the_largest_are_named_and_the_others_counted_with_their_range():
    arms = [make_arm(f"clip {i}", 0.1 * i, 0.01, settings={"clip": float(i)}) for i in range(1, 14)]
    c = compare(make_study((make_arm("base", 0.0, 0.01), *arms)))
    sizes = sorted((abs(r.contrast.mean_difference) for r in c.arms_with_contrast), reverse=True)
    assert all(row.verdict.kind == "worse" for row in c.arms_with_contrast)
    _, *named_arms, remainder = write_lines(c)
    assert len(named_arms) == 8
    assert remainder == f"5 others cost {sizes[-1]:.3f} to {sizes[8]:.2f} nats"
    nine_lines = write_lines(compare(make_study((make_arm("base", 0.0, 0.01), *arms[:9]))))
    assert len(nine_lines) == 10
    assert "others" not in "".join(nine_lines)
    diverged = [
        break_trials(make_arm(f"wd {i}", 0.0, settings={"wd": float(i)}), diverged=tuple(range(10)))
        for i in range(11)
    ]
    *_, last_cost, divergence = write_texts(make_study((make_arm("base", 0.0, 0.01), *arms[:1], *diverged)))
    assert last_cost == "1 other costs 0.096 nats"
    assert divergence == "3 others differ by how often seeds diverge"


def test_a_study_without_results_has_no_answer_and_hostile_names_are_text():
    assert write_texts(make_study((make_arm("base", 0.0, seeds=0),), metrics=BOTH)) == []
    text = "".join(write_answer(compare(replace(make_hostile_study(), arms=make_hostile_study().arms[:4]))))
    assert "<script" not in text
    assert escape(HOSTILE[1]) in text
    assert "\0" not in text


def test_what_brings_the_most_does_so_among_all_contrasts_or_the_sentence_says_among_which():
    c = compare_study_table(shipped("models"))
    for view in c.per_unit:
        claims = [
            x for x in list_claims(view) if not x.arm.measured.find_task_differences(view.arms[0].measured)
        ]
        headline = write_lines(view)[0]
        assert (
            f"{claims[0].arm.name} shows the largest gain over {claims[0].arm.measured.against}" in headline
        )
        largest = max(list_claims(view), key=lambda x: abs(x.verdict.contrast.estimate))
        assert headline.startswith("Of the contrasts on LMModel4’s task, ") or claims[0] == largest
    noisy = replace(make_arm("rung 4", -2.0, 4.0, settings={"clip": 4.0}), against="rung 3")
    ladder = replace(make_laddered_study(), arms=(*make_laddered_study().arms, noisy))
    assert write_texts(ladder)[0].startswith(
        "Of the decided contrasts, rung 1 shows the largest gain over counts"
    )


def test_a_claim_on_few_seeds_is_marked_provisional_wherever_it_stands(capsys):
    def make_comparison(effect: float):
        arms = make_arm("base", 0, 0, seeds=6), make_arm("b", effect, effect / 20, seeds=6, model="lm7")
        return compare(make_study(arms, seeds=tuple(range(6))))

    for effect in (-0.3, 0.3, 0.0):
        c = make_comparison(effect)
        assert all("provisional" in line for line in write_lines(c)), effect
        assert "provisional" in list_claims(c)[0].sentence
        print_arms(c, Console(width=80))
        row, note = capsys.readouterr().out.splitlines()[-2:]
        assert row.rstrip().endswith("*") and note == "* provisional: under 10 seeds"
