"""The answer in words: each number is the ledger's, each verb the verdict's."""

import re
from dataclasses import replace
from statistics import fmean

import pytest
from markupsafe import escape
from synthetic import (
    BOTH,
    HOSTILE,
    arm,
    broken,
    compare,
    hostile,
    laddered,
    looked,
    measuring,
    realistic,
    study,
    text_of,
)

from unrolled.reports.answer import write_answer
from unrolled.reports.design import MeasuredArm
from unrolled.reports.render import render
from unrolled.reports.sentences import write_claims
from unrolled.reports.tables import comparison_markdown, format_screen


def said(design):
    return lines(compare(design))


def lines(c):
    return [line.striptags() for line in write_answer(c)]


def test_a_loss_is_saved_or_costs_best_and_worst_first_and_what_is_open_has_its_seeds():
    assert said(realistic()) == [
        "LMModel6 has a validation loss of 1.31 nats",
        "LMModel7 saves 0.490 nats, 99.4 % CI [0.439, 0.579]",
        "dropout and tying saves 0.242 nats, 99.4 % CI [0.203, 0.279]",
        "dropout 0.4 saves 0.107 nats, 99.3 % CI [0.082, 0.132]",
        "lr 3e-2 costs 0.32 nats in the median, 99 % CI [0.22, ∞] (diverged 1 of 10 against 0 of 10)",
        "lr 3e-3 costs 0.169 nats, 99.2 % CI [0.114, 0.222]",
        "clip 0.5 costs 0.022 nats, 98.8 % CI [0.004, 0.038]",
        "Open: tying, no reset and from scratch",
    ]


def test_an_accuracy_is_words_and_points_over_the_seeds_of_the_pair():
    design = looked()
    base, strong = ([r.metrics["valid_accuracy"] for r in a.results.values()] for a in design.arms[:2])
    gain = 100 * (fmean(strong[:10]) - fmean(base[:10]))
    first, second, *_ = said(design)
    assert first == f"base predicts {100 * fmean(base[:15]):.0f} % of the words"
    assert second.startswith(f"strong gains {gain:.1f} points, 98.3 % CI [")


def test_a_line_says_where_the_second_metric_disagrees():
    def measured(name: str, accuracy: float, loss: float) -> MeasuredArm:
        one = arm(name, 0.0, settings={"clip": 1.0 + len(name)} if name != "base" else {})
        accuracies = {s: 0.7 + accuracy + 0.001 * s % 3 for s in range(10)}
        return measuring(
            one, valid_accuracy=accuracies, valid_loss={s: 1 + loss + 0.01 * s for s in range(10)}
        )

    jitter = [measured("base", 0, 0), measured("both", 0.1, -0.2), measured("loss", 0.0, 0.2)]
    other = measured("against", 0.1, 0.2)
    found = said(study((*jitter, other), metrics=BOTH))
    assert "both gains 10.0 points, 98.3 % CI [10.0, 10.0]" in found
    assert "against gains 10.0 points, 97.5 % CI [10.0, 10.0] (perplexity × 1.221)" in found
    assert "Open: loss (perplexity × 1.221)" in found, "equal accuracies alone show no equality"


def test_a_ladder_names_its_highest_rungs_and_what_each_is_held_against():
    first, second, *rest = said(laddered())
    assert first == "rung 3 predicts 88 % of the words, rung 2 81 %, strong 78 %, base 68 %"
    assert second.startswith("rung 1 gains 14")
    assert any(line.startswith("rung 3 gains 7.4 points over rung 2, 9") for line in rest)
    worse = replace(arm("down", 0.4, settings={"clip": 9.0}), against="rung 3")
    lost = "\n".join(said(replace(laddered(), arms=(*laddered().arms, worse))))
    assert "\ndown loses " in lost
    assert " against rung 3, 9" in lost
    base = arm("chunked, two layers", -0.9, settings={"clip": 4.0})
    named = said(looked(base, replace(worse, against=base.name)))
    assert any(" against “chunked, two layers”, 9" in line for line in named)


def test_a_grid_names_the_best_arm_of_each_of_its_lines():
    losses = {"a": (0.5, 0.9, 0.7), "b": (0.4, 0.1, 0.2)}
    arms = [
        replace(arm(f"{line} {i}", effect), against=f"{line} 0" if i else "")
        for line, effects in losses.items()
        for i, effect in enumerate(effects)
    ]
    assert said(study(tuple(arms)))[0] == "b 1 has a validation loss of 1.41 nats, a 0 1.82 nats"


def test_the_baseline_under_other_seeds_is_no_answer():
    again = arm("again", -0.9)  # by luck the best
    assert "again" not in "".join(said(replace(laddered(), arms=(*laddered().arms, again))))


def test_the_same_arms_on_two_tasks_are_said_to_keep_their_order_or_to_change_places():
    def split(name: str, effects: tuple[float, ...]) -> list[MeasuredArm]:
        clips = [{"clip": float(i), "split": name} for i in range(len(effects))]
        return [arm(f"{name[0]}{i}", e, settings=clips[i]) for i, e in enumerate(effects)]

    tail = split("tail", (0.0, 0.2, 0.4, 0.4))
    blocks = split("blocks", (-0.9, -0.5, -0.7, -0.7))
    both = study((*tail, *(replace(a, against="b0") for a in blocks)))
    order, changed, unsure, tail_levels, block_levels = said(both)
    assert order == "3 of 6 pairs of arms keep their order"
    assert changed == "t1 and t2; t1 and t3 change places"
    assert unsure == "Which is better is not shown on every task for t2 and t3"
    assert tail_levels.startswith("On split tail t0 has a ")
    best = fmean(r.metrics["valid_loss"] for r in blocks[0].results.values())
    assert block_levels.startswith(f"On split blocks t0 has a validation loss of {best:.2f} nats, t3 0.")
    own = {a.name: {s: r for s, r in a.results.items() if s < 9 or a.name != "b3"} for a in blocks}
    waiting = study((*tail, *(replace(a, against="b0", results=own[a.name]) for a in blocks)))
    # one seed of b3 has not ended
    assert said(waiting)[:2] == ["2 of 6 pairs of arms keep their order", "t1 and t2 change places"]
    assert said(waiting)[2].endswith(" on every task for t0 and t3; t1 and t3; t2 and t3")
    one_task = study((*tail, *(replace(a, against="b1") for a in blocks[1:2])))
    assert "order" not in said(one_task)[0]  # one arm alone is on both


@pytest.mark.parametrize(
    ("arms", "words"),
    [
        ([arm("twin", 0.0, 0.0, model="lm6b")], "twin equals base in validation loss on all 10 seeds"),
        (
            [broken(arm("gone", 0.0, settings={"clip": 1.0}), diverged=tuple(range(10)))],
            "gone diverged 10 of 10 against 0 of 10 (McNemar, adjusted p .002)",
        ),
        ([broken(arm("few", 0.0, 0.0, model="lm6b"), failed=(0, 1, 2, 3))], "Open: few"),
    ],
)
def test_what_has_no_effect_to_quote_is_said_in_words(arms, words):
    found = said(study((arm("base", 0.0, 0.0), *arms)))
    assert words in found
    assert len(found) == 2


@pytest.mark.parametrize(("seeds", "words"), [(1, "the one seed"), (2, "both seeds"), (4, "all 4 seeds")])
def test_an_arm_that_equals_its_base_on_too_few_seeds_is_open_as_in_the_table(seeds, words):
    twin = arm("twin", 0.0, 0.0, seeds=seeds, model="lm6b")
    other = arm("other", 0.9, settings={"clip": 1.0})
    assert said(study((arm("base", 0.0, 0.0), other, twin)))[1:] == [
        f"twin equals base in validation loss on {words}",
        "Open: other and twin",
    ]


@pytest.mark.parametrize(("seeds", "told"), [(1, "One seed"), (4, "4 seeds")])
def test_too_few_seeds_rank_all_arms_and_say_once_that_nothing_is_decided(seeds, told, tmp_path):
    arms = [
        arm(name, effect, 0.0, seeds=seeds, settings={"clip": effect})
        for name, effect in (("base", 0.0), ("bad", 0.9), ("good", -0.5), ("middling", 0.4))
    ]
    split = arm("elsewhere", -0.9, 0.0, seeds=seeds, settings={"split": "blocks"})
    c = compare(study((*arms, split), seeds=tuple(range(seeds)), metrics=BOTH[::-1]))
    nothing = f"{told}: nothing is decided, as a verdict needs at least 5"
    levels = {row.arm.name: f"{row.summary.mean:.2f} nats" for row in c.rows}
    ranked = f"base {levels['base']}, middling {levels['middling']}, bad {levels['bad']}"
    other = f"On another task elsewhere has a validation loss of {levels['elsewhere']}"
    assert lines(c) == [nothing, f"good has a validation loss of {levels['good']}, {ranked}", other]
    page = render(c, tmp_path)
    figure = page.read_text(encoding="utf-8").partition('<table class="arms')[2]
    rows = re.findall(r'<tr data-arm="(\d)"', figure.partition("</table>")[0])
    assert rows == ["2", "0", "3", "1", "4"]
    texts = (text_of(page).partition("Learning curves")[0], format_screen(c), comparison_markdown(c))
    for text in (*texts, "\n".join(write_claims(c))):
        assert text.count("nothing is decided") == text.count(f"{told}: ") > 0
    assert all(text.count("nothing is decided") == 1 for text in texts[1:])
    assert all(text.count("at least") == text.count("nothing is decided") for text in texts)


def test_how_many_seeds_diverged_is_said_wherever_an_arm_is_named():
    def compared(*arms):
        return compare(study(arms, delta=0.02, seeds=tuple(range(40))))

    def one(name, effect, *diverged):
        clip = {"settings": {"clip": 1.0}} if name != "base" else {}
        return broken(arm(name, effect, 0.0003, seeds=40, **clip), diverged=diverged)

    told = "diverged 5 of 40 against 0 of 40"  # McNemar's p is .0625
    for effect, line in ((-0.01, "{} changes less than 0.02 nats"), (0.0, "Open: {}")):
        c = compared(one("base", 0.0), one("near", effect, 3, 9, 11, 20, 31))
        assert lines(c)[1] == line.format(f"near ({told})")
        assert told in write_claims(c)[0]
        assert "5 diverged" in format_screen(c)
        assert "5 diverged" in comparison_markdown(c)
    c = compared(one("base", 0.0, 3, 9, 11, 20, 31), one("other", 0.0))
    assert lines(c)[0] == "base has a validation loss of 1.29 nats (5 of 40 diverged)"
    assert lines(c)[1] == "Open: other (diverged 0 of 40 against 5 of 40)"
    many = lines(compared(one("base", 0.0), *(one(f"wd {i}", -0.01, 0) for i in range(10))))
    assert many[1].endswith("and 2 others (seeds of 2 diverged) change less than 0.02 nats")


def test_of_many_arms_the_largest_are_named_and_the_others_counted_with_their_range():
    arms = [arm(f"clip {i}", 0.1 * i, 0.01, settings={"clip": float(i)}) for i in range(1, 14)]
    c = compare(study((arm("base", 0.0, 0.01), *arms)))
    sizes = sorted((abs(r.contrast.mean) for r in c.rows_with_contrast), reverse=True)
    assert all(row.verdict.kind == "worse" for row in c.rows_with_contrast)
    _, *named, rest = lines(c)
    assert len(named) == 8
    assert rest == f"5 others cost {sizes[-1]:.3f} to {sizes[8]:.2f} nats"
    nine = lines(compare(study((arm("base", 0.0, 0.01), *arms[:9]))))
    assert len(nine) == 10
    assert "others" not in "".join(nine)
    gone = [
        broken(arm(f"wd {i}", 0.0, settings={"wd": float(i)}), diverged=tuple(range(10))) for i in range(11)
    ]
    *_, few, all_gone = said(study((arm("base", 0.0, 0.01), *arms[:1], *gone)))
    assert few == "1 other costs 0.096 nats"
    assert all_gone == "3 others differ by how often seeds diverge"


def test_a_study_without_results_has_no_answer_and_hostile_names_are_text():
    assert said(study((arm("base", 0.0, seeds=0),), metrics=BOTH)) == []
    text = "".join(write_answer(compare(replace(hostile(), arms=hostile().arms[:4]))))
    assert "<script" not in text
    assert escape(HOSTILE[1]) in text
    assert "\0" not in text
