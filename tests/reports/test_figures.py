"""Rules that every picture keeps, and what each shows."""

import re
from dataclasses import replace
from functools import cache

from markupsafe import escape
from synthetic import arm, hostile, labels, realistic, study, svgs, switched

from reports.book import hold
from reports.comparison import compare
from reports.factorial import factorial
from reports.figures import forest, panels
from reports.sections import sweeps


@cache
def drawn() -> dict[str, str]:
    c, parts = compare(realistic()), compare(switched())
    whole = factorial(parts)
    return {
        "forest": forest.arms(c),
        "curves": panels.curves(c),
        "book": panels.book(hold(c)),
        "sweep": panels.sweeps(sweeps(c), c),
        "effects": forest.effects(whole, parts),
        "interplay": panels.interactions(whole, parts),
    }


def test_no_two_elements_share_an_id_and_no_reference_dangles():
    page = "".join(drawn().values())
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids)) > 20
    assert set(re.findall(r'href="#([^"]+)"', page)) | set(re.findall(r"url\(#([^)]+)\)", page)) <= set(ids)


def test_every_picture_is_one_svg_with_a_title_and_a_description_that_can_be_scrolled_to():
    for markup in drawn().values():
        (svg,) = svgs(markup)
        title, description = svg[0], svg[1]
        assert (title.tag, description.tag) == ("title", "desc") and title.text and description.text
        assert svg.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
        assert f'tabindex="0" role="region" aria-label="Figure: {escape(title.text)}"' in markup


def test_a_picture_asks_for_nothing_that_the_policy_forbids():
    assert not re.search(r"\bstyle=|<style|<script|https?:|\bon\w+=", "".join(drawn().values()))


def test_colours_come_from_the_page_so_that_dark_mode_reaches_them():
    colours = re.findall(r'\b(?:fill|stroke)="([^"]+)"', "".join(drawn().values()))
    assert [c for c in colours if not c.startswith(("var(--", "currentColor", "none"))] == []


def test_equal_results_draw_equal_bytes():
    before = drawn()
    drawn.cache_clear()
    assert drawn() == before


def test_the_forest_has_a_row_of_seeds_for_every_compared_arm():
    (svg,) = svgs(drawn()["forest"])
    for row in compare(realistic()).compared:
        parts = svg.findall(f".//g[@data-arm='{row.index}']")
        text = [t for part in parts for t in labels(part)]
        assert row.arm.name in text and f"{row.verdict.symbol} {row.verdict.word.name}" in text
        assert max(len(part.findall(".//use")) for part in parts) == len(row.contrast.differences)


def test_a_diverged_seed_is_marked_and_not_dropped():
    assert "1 ✕" in labels(svgs(drawn()["forest"])[0])
    panel = svgs(drawn()["curves"])[0].find(".//g[@data-arm='7']")
    assert panel.findall(".//use[@fill='var(--worsens)']")


def test_effects_are_drawn_with_their_verdicts_as_claims():
    effects = factorial(compare(switched())).effects
    (svg,) = svgs(drawn()["effects"])
    assert {e.name for e in effects} <= set(labels(svg))
    claims = [t for g in svg.iter("g") if "data-claim" in g.attrib for t in labels(g)]
    assert claims == [f"{e.verdict.symbol} {e.verdict.word.name}" for e in effects]


def test_the_interaction_plot_has_a_panel_for_every_two_switches():
    (svg,) = svgs(drawn()["interplay"])
    assert [text for text in labels(svg) if " × " in text] == [
        "tying × dropout", "tying × AR", "tying × TAR", "dropout × AR", "dropout × TAR", "AR × TAR",
    ]  # fmt: skip
    assert labels(svg).count("no TAR") == labels(svg).count("TAR") == 3  # a line each in its three panels
    strokes = {p.get("stroke-dasharray") for p in svg.iter("path") if p.get("stroke") == "var(--muted)"}
    assert len(strokes) > 1  # off is dashed, so that colour is not all that tells it from on


def test_hostile_names_are_text_in_a_picture():
    c = compare(hostile())
    texts = [line for text in labels(svgs(forest.arms(c))[0]) for line in text.split("\n")]
    for name in ("$x_$ & \\frac", "nul␀␛[31m\ufffd", "=1+1", "x" * 22 + "…", "{{ 7*7 }}"):
        assert name in texts
    assert "_base" in labels(svgs(panels.curves(c))[0])  # matplotlib leaves out labels that begin with _
    titles = {"alpha": "<script>alert(1)</script>", "beta": "$x_$", "tying": "_base"}
    whole = factorial(parts := compare(replace(switched(), titles=titles)))
    for picture in (forest.effects(whole, parts), panels.interactions(whole, parts)):
        assert "$x_$" in picture and "_base" in picture and "<script" not in picture + forest.arms(c)


def test_long_names_that_differ_at_their_ends_are_told_apart():
    names = ("no tying, no dropout, no AR", "no tying, no dropout, no TAR")
    arms = [arm(name, 0.1, settings={"clip": float(i + 1)}) for i, name in enumerate(names)]
    (svg,) = svgs(forest.arms(compare(study((arm("base", 0.0), *arms)))))
    for ends in ("no AR", "no TAR"):
        assert any(text.endswith(ends) for text in labels(svg))


def test_curves_keep_few_points_however_long_the_training():
    c = compare(study((arm("base", 0.0, settings={"epochs": 2000}),)))
    assert len(panels.curves(c)) < 60_000
