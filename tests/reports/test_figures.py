import re
from xml.etree import ElementTree as ET

import pytest

from reports.book import hold
from reports.comparison import compare
from reports.figures import panels as figures
from reports.sections import sweeps


@pytest.fixture(scope="module")
def drawn(evidence):
    c = compare(evidence)
    return {
        "forest": figures.forest(c),
        "slopes": figures.slopes(c),
        "curves": figures.curves(c),
        "book": figures.book(hold(c)),
        "sweep": figures.sweeps(sweeps(c), c),
    }


def svgs(markup):
    return [ET.fromstring(text) for text in re.findall(r"<svg.*?</svg>", markup, re.S)]


def test_no_two_elements_share_an_id_and_no_reference_dangles(drawn):
    page = "".join(drawn.values())
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids)) > 20
    assert set(re.findall(r'href="#([^"]+)"', page)) | set(re.findall(r"url\(#([^)]+)\)", page)) <= set(ids)


def test_every_picture_has_a_title_and_a_description(drawn):
    for markup in drawn.values():
        for svg in svgs(markup):
            title, description = svg[0], svg[1]
            assert (title.tag, description.tag) == ("title", "desc")
            assert title.text and description.text
            assert svg.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"


def test_pictures_are_drawn_wide_and_narrow(drawn):
    for markup in drawn.values():
        widths = [float(svg.get("viewBox").split()[2]) for svg in svgs(markup)]
        assert widths == [940, 360]


def test_a_picture_asks_for_nothing_that_the_policy_forbids(drawn):
    page = "".join(drawn.values())
    assert not re.search(r"\bstyle=|<style|<script|https?:|\bon\w+=", page)


def test_colours_come_from_the_page_so_that_dark_mode_reaches_them(drawn):
    colours = set(re.findall(r'\b(?:fill|stroke)="([^"]+)"', "".join(drawn.values())))
    assert {c for c in colours if not c.startswith(("var(--", "currentColor", "none"))} == set()


def test_the_forest_has_a_row_of_seeds_for_every_compared_arm(evidence, drawn):
    wide, _ = svgs(drawn["forest"])
    for row in compare(evidence).compared:
        parts = wide.findall(f".//g[@data-arm='{row.index}']")
        text = [t.text for part in parts for t in part.iter("text")]
        assert row.arm.name in text and any(row.verdict.word.name in t for t in text)
        assert max(len(part.findall(".//use")) for part in parts) == len(row.contrast.differences)


def test_a_diverged_seed_is_marked_and_not_dropped(drawn):
    wide, _ = svgs(drawn["forest"])
    assert "1 ✕" in [t.text for t in wide.iter("text")]
    panel = svgs(drawn["curves"])[0].find(".//g[@data-arm='7']")
    assert panel.findall(".//use[@fill='var(--worsens)']")


def test_verdicts_are_told_apart_without_colour(drawn):
    texts = {t.text for t in svgs(drawn["forest"])[0].iter("text")}
    assert {"▲ IMPROVES", "▼ WORSENS", "≡ EQUIVALENT", "? INCONCLUSIVE"} <= texts


def test_equal_results_draw_equal_bytes(evidence, drawn):
    c = compare(evidence)
    assert figures.forest(c) == drawn["forest"]
    assert figures.curves(c) == drawn["curves"]


def test_hostile_names_are_text_in_a_picture(hostile_evidence):
    texts = [t.text for t in svgs(figures.forest(compare(hostile_evidence)))[0].iter("text")]
    for shown in (
        "<script>alert(1)</scri…",
        "$x_$ & \\frac",
        "nul␀␛[31m\ufffd",
        "=1+1",
        "x" * 22 + "…",
        "{{ 7*7 }}",
    ):
        assert shown in texts


def test_long_names_that_differ_at_their_ends_are_told_apart(make_arm, make_study):
    names = ("no tying, no dropout, no AR", "no tying, no dropout, no TAR")
    arms = [make_arm(name, 0.1, settings={"clip": float(i + 1)}) for i, name in enumerate(names)]
    wide, narrow = svgs(figures.forest(compare(make_study((make_arm("base", 0.0), *arms)))))
    for ends in ("no AR", "no TAR"):
        assert any((t.text or "").endswith(ends) for t in wide.iter("text"))
    assert set(names) <= {t.text for t in narrow.iter("text")}


def test_a_private_looking_name_keeps_its_panel(hostile_evidence):
    titles = [t.text for t in svgs(figures.curves(compare(hostile_evidence)))[0].iter("text")]
    assert "_base" in titles


def test_curves_keep_few_points_however_long_the_training(make_arm, make_study):
    c = compare(make_study((make_arm("base", 0.0, settings={"epochs": 2000}),)))
    assert len(figures.curves(c)) < 120_000
