"""What the parts of a model bring: one question, three designs. The study's true effects are in conftest."""

import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from reports.comparison import compare
from reports.factorial import ALONE, AVERAGE, BESIDE, VIEWS, factorial, parts
from reports.figures import panels as figures
from reports.render import render, render_index
from reports.statistics.verdicts import Word


@pytest.fixture(scope="module")
def c(switched_evidence):
    return compare(switched_evidence)


@pytest.fixture(scope="module")
def whole(c):
    return factorial(c)


@pytest.fixture(scope="module")
def asked(c, whole):
    return {part.switch.name: part for part in parts(c, whole)}


def test_the_largest_full_factorial_is_found_and_its_effects_recovered(whole):
    assert [s.name for s in whole.switches] == ["tying", "dropout", "AR", "TAR"]
    found = {e.name: e for e in whole.effects}
    # −.2 + .08/2, −.1 + .08/2, −.05 and half of .08, with noise of .004 in each of 160 trials
    expected = {"tying": -0.16, "dropout": -0.06, "AR": -0.05, "TAR": 0.0, "tying × dropout": 0.04}
    for name, mean in expected.items():
        assert found[name].mean == pytest.approx(mean, abs=0.003)
    assert len(found) == 4 + 6


def test_every_effect_has_one_of_the_five_verdicts(whole):
    words = {e.name: e.verdict.word for e in whole.effects}
    assert words["tying"] is words["dropout"] is words["AR"] is Word.IMPROVES
    assert words["TAR"] is words["tying × AR"] is Word.EQUIVALENT  # δ is .03
    assert words["tying × dropout"] is Word.WORSENS  # together they bring less than the sum


def test_a_switch_is_on_where_it_is_not_nothing_whichever_level_the_baseline_has(evidence):
    found = factorial(compare(evidence))  # its baseline has neither
    assert [(s.name, s.off, s.on) for s in found.switches] == [("dropout", 0.0, 0.4), ("tying", False, True)]
    # with both .12, .06 and .24 below: (−.12 − .18)/2, (−.06 − .12)/2 and half of −.06
    expected = (-0.15, -0.09, -0.03)
    assert [e.mean for e in found.effects] == pytest.approx(expected, abs=0.03)


def test_the_a_a_arm_does_not_stand_in_for_the_baseline(switched_evidence, make_arm, whole, asked):
    again = replace(make_arm("A/A", 0.5), model="lm7", changes={})
    seeded = {
        s: replace(r, trial=switched_evidence.arms[0].results[s].trial) for s, r in again.results.items()
    }
    c = compare(replace(switched_evidence, arms=(*switched_evidence.arms, replace(again, results=seeded))))
    assert factorial(c) == whole
    assert {part.switch.name: part for part in parts(c, whole)} == asked


def test_a_study_without_a_full_factorial_has_none(evidence):
    arms = [arm for arm in evidence.arms if arm.name != "dropout and tying"]
    assert factorial(compare(replace(evidence, arms=tuple(arms)))) is None


def test_a_diverged_seed_leaves_the_effects_given_convergence_and_undecided(
    make_arm, make_broken, make_study, tmp_path
):
    clip, tying = {"settings": {"clip": 1.0}}, {"options": {"tying": True}}
    both = make_broken(make_arm("both", 0.4, **clip, **tying), diverged=(3,))
    arms = (make_arm("base", 0.0), make_arm("clip", 0.2, **clip), make_arm("tying", 0.2, **tying), both)
    effect = factorial(compare(make_study(arms))).effects[0]
    assert (effect.left_out, effect.diverged, len(effect.seeds)) == ((3,), (3,), 9)
    assert effect.p_adjusted < 0.001 and effect.verdict.word is Word.INCONCLUSIVE
    html = render(compare(make_study(arms)), tmp_path).read_text(encoding="utf-8")
    assert "Seeds left out: 3" in html and "decides nothing" in html


def test_a_seed_that_is_not_trained_everywhere_is_left_out_and_the_rest_decides(switched_evidence):
    last = switched_evidence.arms[-1]
    fewer = replace(last, results={s: r for s, r in last.results.items() if s != 5})
    effect = factorial(
        compare(replace(switched_evidence, arms=(*switched_evidence.arms[:-1], fewer)))
    ).effects[0]
    assert (effect.left_out, effect.diverged) == ((5,), ())
    assert effect.verdict.word is Word.IMPROVES


def test_leave_one_out_add_one_and_the_factorial_stand_side_by_side(asked):
    expected = {  # on minus off: beside all others, alone, averaged over the rest
        "tying": (-0.12, -0.2, -0.16),
        "dropout": (-0.02, -0.1, -0.06),
        "AR": (-0.05, -0.05, -0.05),
        "TAR": (0.0, 0.0, 0.0),
    }
    for name, means in expected.items():
        seen = [asked[name].views[view].contrast.mean for view in VIEWS]
        assert seen == pytest.approx(means, abs=0.006)
    assert asked["weight decay"].views[AVERAGE] is None  # no factor of the factorial
    assert list(asked) == ["tying", "dropout", "AR", "TAR", "weight decay"]


def test_leave_one_out_is_the_arms_own_contrast_turned_round(c, asked):
    row = next(row for row in c.rows if row.arm.name == "no tying")
    view = asked["tying"].views[BESIDE].contrast
    assert view.mean == pytest.approx(-row.contrast.mean)
    assert view.p == pytest.approx(row.contrast.p)


def test_add_one_is_held_against_the_model_that_it_is_added_to(c, asked):
    losses = {row.arm.name: row.summary.values for row in c.rows}
    pairs = [losses["LMModel6 + alpha"][s] - losses["LMModel6"][s] for s in range(10)]
    assert asked["AR"].views[ALONE].contrast.mean == pytest.approx(sum(pairs) / 10)


def test_where_the_views_differ_a_sentence_from_their_verdicts_says_so(asked, switched_evidence, tmp_path):
    assert asked["dropout"].differs and not asked["AR"].differs
    said = (
        "dropout: the views differ: DETECTABLE BUT NEGLIGIBLE beside all the others, "
        "IMPROVES alone and on average."
    )
    assert asked["dropout"].sentence == said
    html = render(compare(switched_evidence), tmp_path).read_text(encoding="utf-8")
    assert said in html and asked["AR"].sentence not in html
    assert asked["AR"].sentence == "AR: IMPROVES beside all the others and alone and on average."


def test_a_view_that_no_part_has_is_no_column(evidence, tmp_path):
    html = render(compare(evidence), tmp_path).read_text(encoding="utf-8")
    assert "Alone</th>" in html and "On average</th>" in html and "Beside all the others</th>" not in html


def test_the_index_shows_what_each_part_brings_with_a_link_to_the_interactions(switched_evidence, tmp_path):
    html = render_index([compare(switched_evidence)], tmp_path).read_text(encoding="utf-8")
    assert html.count("What each part brings") == 1 and 'href="switched/index.html#interactions"' in html


def test_a_study_that_asks_in_one_way_alone_has_no_such_table(make_arm, make_study, tmp_path):
    one = make_study((make_arm("base", 0.0), make_arm("b", 0.1, settings={"clip": 1.0})))
    assert parts(compare(one), None) == ()
    assert "What each part brings" not in render(compare(one), tmp_path).read_text(encoding="utf-8")


def test_a_setting_with_several_levels_is_no_switch(make_arm, make_study):
    several = make_study(
        (
            make_arm("base", 0.0),
            *(make_arm(f"clip {x}", 0.1, settings={"clip": x}) for x in (1.0, 2.0)),
            make_arm("tying", 0.1, options={"tying": True}),
            make_arm("tying, clip 1", 0.1, options={"tying": True}, settings={"clip": 1.0}),
        )
    )
    c = compare(several)
    assert [part.switch.key for part in parts(c, factorial(c))] == ["tying"]


def svgs(markup):
    return [ET.fromstring(text) for text in re.findall(r"<svg.*?</svg>", markup, re.S)]


def test_the_interaction_plot_has_a_panel_for_every_two_switches(c, whole):
    for svg in svgs(figures.interactions(whole, c)):
        texts = [t.text for t in svg.iter("text")]
        titles = [text for text in texts if " × " in text]
        assert titles == [
            "tying × dropout", "tying × AR", "tying × TAR", "dropout × AR", "dropout × TAR", "AR × TAR",
        ]  # fmt: skip
        assert (
            texts.count("no TAR") == texts.count("TAR") == 3
        )  # a line each in the three panels that have it
        strokes = {p.get("stroke-dasharray") for p in svg.iter("path") if p.get("stroke") == "var(--muted)"}
        assert len(strokes) > 1  # off is dashed, so that colour is not all that tells it from on


def test_a_panel_shows_the_mean_over_seeds_and_its_t_interval(whole):
    off, on = (whole.at((0, 1), (True, level)) for level in (False, True))
    assert on.mean - off.mean == pytest.approx(-0.02, abs=0.003)  # dropout with tying: −.1 + .08
    assert off.interval.low < off.mean < off.interval.high and off.n == 10
    untied = [whole.at((0, 1), (False, level)).mean for level in (False, True)]
    half = ((on.mean - off.mean) - (untied[1] - untied[0])) / 2
    assert half == pytest.approx({e.name: e.mean for e in whole.effects}["tying × dropout"])


def test_the_effects_are_drawn_with_their_verdicts(c, whole):
    wide, narrow = svgs(figures.effects(whole, c))
    for svg in (wide, narrow):
        assert {e.name for e in whole.effects} <= {t.text for t in svg.iter("text")}
    assert [t.text for g in wide.iter("g") if "data-claim" in g.attrib for t in g.iter("text")] == [
        f"{e.verdict.symbol} {e.verdict.word.name}" for e in whole.effects
    ]


def test_the_pictures_of_a_factorial_keep_to_the_rules_of_the_page(c, whole):
    drawn = figures.effects(whole, c) + figures.interactions(whole, c)
    assert drawn == figures.effects(whole, c) + figures.interactions(whole, c)
    colours = set(re.findall(r'\b(?:fill|stroke)="([^"]+)"', drawn))
    assert {x for x in colours if not x.startswith(("var(--", "currentColor", "none"))} == set()
    ids = re.findall(r'\bid="([^"]+)"', drawn)
    assert len(ids) == len(set(ids)) > 8
    assert all(svg[0].tag == "title" and svg[1].tag == "desc" for svg in svgs(drawn))
    assert not re.search(r"\bstyle=|<style|<script|https?:", drawn)


def test_hostile_switches_are_text_in_every_picture(switched_evidence):
    names = {"alpha": "<script>alert(1)</script>", "beta": "$x_$", "tying": "_base"}
    c = compare(replace(switched_evidence, titles=names))
    whole = factorial(c)
    for drawn in (figures.effects(whole, c), figures.interactions(whole, c)):
        assert "<script" not in drawn and "$x_$" in drawn and "_base" in drawn
