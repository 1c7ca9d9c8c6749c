"""The index of a folder of pages: ranked links and answers, whatever happened to a page's summary."""

import json
import math
import re
import shutil
from pathlib import Path

import pytest

from tests.helpers.designs import compare, make_hostile_design, make_pair_design
from tests.helpers.pages import read_page_text
from unrolled.reports.page import render as render_module
from unrolled.reports.page.render import render, render_index
from unrolled.reports.page.summary import find_page, read_summary
from unrolled.reports.templates.filling import fill_page_template


def name_folder(name):
    """Return the folder of a study's page."""
    return find_page(name, Path("out")).parent.relative_to("out").as_posix()


def test_a_studys_folder_is_never_a_path():
    assert name_folder("learning-rate_2") == "learning-rate_2"
    begins = {"digits dropout": "digits-dropout-", "größe, 2×": "groe-2-", "x" * 65: "x" * 64 + "-"}
    begins |= {"../../etc": "etc-", "a/b": "a-b-", "-rf": "rf-"}
    begins |= dict.fromkeys(("", "..", "数字", "\0", "\u202e", "\ud800"), "")
    for name, letters in begins.items():
        assert re.fullmatch(rf"{letters}[0-9a-f]{{8}}", name_folder(name))
    alike = ("a & b", "a-b", "a b", '"a" b', "a&amp; b", "a/b")
    assert len(set(map(name_folder, alike))) == len(alike), "no two studies share a folder"


def list_links(index):
    """Return the addresses in an index, but for that of its own main part."""
    return re.findall(r'<a [^>]*href="([^"]+)"', index.read_text(encoding="utf-8"))[1:]


@pytest.fixture
def three_pages(render_study, tmp_path):
    """Return a folder with the pages of three studies, two of them copied, and their ranked addresses."""
    render(compare(make_pair_design(study="small")), tmp_path)
    for name in ("realistic", "hostile"):
        shutil.copytree(render_study(name).parent, tmp_path / render_study(name).parent.name)
    # the largest sure effects: about .61, .49 and .10 nats
    return tmp_path, [
        f"{name}/index.html"
        for name in (name_folder(make_hostile_design().rules.name), "regularization", "small")
    ]


def test_the_index_ranks_studies_and_links_to_their_pages_and_to_others(three_pages):
    folder, ranked = three_pages
    assert list_links(render_index(folder)) == ranked
    (folder / "chapter12.html").touch()
    assert list_links(render_index(folder)) == ["chapter12.html", *ranked]


def delete_summary(summary):
    """Delete the summary."""
    summary.unlink()


def cut_summary(summary):
    """Cut the end of the summary off."""
    summary.write_bytes(summary.read_bytes()[:-9])


def write_other_types(summary):
    """Write values of other types into the summary."""
    fields = json.loads(summary.read_text())
    summary.write_text(json.dumps({**fields, "answer": 7, "largest_effect": math.nan}))


def make_folder(summary):
    """Replace the summary by a folder."""
    summary.unlink()
    summary.mkdir()


def change_page(summary):
    """Change the page after its summary was written."""
    page = summary.with_name("index.html")
    page.write_text(page.read_text() + " ")


@pytest.mark.parametrize("spoil", [delete_summary, cut_summary, write_other_types, make_folder, change_page])
def test_a_page_without_a_sound_summary_has_only_a_link(three_pages, spoil):
    folder, (first, *ranked) = three_pages
    page = folder / ranked[0]
    spoil(page.with_name("summary.json"))
    assert read_summary(page) is None
    assert read_summary(folder / first)
    index = render_index(folder)
    assert list_links(index) == [ranked[0], first, ranked[1]]
    assert "108 of 110 trials finished" not in read_page_text(index)


def test_the_index_says_what_failed(render_study, tmp_path):
    text = read_page_text(render_index(render_study("realistic").parents[1]))
    assert "108 of 110 trials finished, 1 diverged, 1 failed" in text
    assert "No study has results yet" in read_page_text(render_index(tmp_path))


def test_the_index_has_a_page_that_is_written_meanwhile(tmp_path, monkeypatch):
    later = [compare(make_pair_design(study="later"))]

    def fill_and_render(template, context):
        filled = fill_page_template(template, context)
        if template == "index.html" and later:
            render(later.pop(), tmp_path)
        return filled

    monkeypatch.setattr(render_module, "fill_page_template", fill_and_render)
    render(compare(make_pair_design(study="earlier")), tmp_path)
    assert list_links(render_index(tmp_path)) == ["earlier/index.html", "later/index.html"]
