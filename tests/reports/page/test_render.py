"""Pages: what they say, and that hostile names stay text."""

import base64
import errno
import hashlib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import fields, replace
from html import unescape
from html.parser import HTMLParser

import pytest
from jinja2 import meta, nodes

from tests.helpers.arms import make_arm
from tests.helpers.bad_input import raises_bad_input
from tests.helpers.designs import SHOWN_NAMES, compare, design_arms, make_pair_design, make_switched_design
from tests.helpers.pages import is_self_contained, read_page_text
from tests.helpers.processes import helpers_path
from unrolled.bench.metric import Metric
from unrolled.reports.chapter import extras as chapter
from unrolled.reports.page.render import Page, PageSentences, render
from unrolled.reports.presentation import Extras
from unrolled.reports.templates import filling


class Tags(HTMLParser):
    """Tags and attributes of a page, and what stands in its style and script."""

    def __init__(self, html):
        super().__init__()
        self.all = []
        self.inline = {}
        self._inside = None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.all.append((tag, dict(attrs)))
        self._inside = tag

    def handle_data(self, data):
        if self._inside in ("style", "script"):
            self.inline.setdefault(self._inside, data)


SHARED_TEMPLATES = ("report.html", "parts.html", "parts_table.html")


def parse_template(template):
    jinja = filling._make_environment()
    return jinja.parse(jinja.loader.get_source(jinja, template)[0])


def list_free_names(template):
    """Return the variables that a template reads and neither sets nor imports."""
    tree = parse_template(template)
    bound = {name.name for name in tree.find_all(nodes.Name) if name.ctx == "store"}
    bound |= {name for statement in tree.find_all(nodes.FromImport) for name in statement.names}
    bound |= {macro.name for macro in tree.find_all(nodes.Macro)}
    return meta.find_undeclared_variables(tree) - bound - filling._make_environment().globals.keys()


def list_attributes(name, templates):
    """Return the attributes of a name that templates read."""
    attributes = [x for template in templates for x in parse_template(template).find_all(nodes.Getattr)]
    return {x.attr for x in attributes if isinstance(x.node, nodes.Name) and x.node.name == name}


def list_fields(kind):
    return {field.name for field in fields(kind)}


def test_templates_read_the_fields_of_a_page_and_nothing_else():
    assert set().union(*map(list_free_names, (*SHARED_TEMPLATES, "chapter.html"))) == list_fields(Page)
    assert list_attributes("sentences", SHARED_TEMPLATES) == list_fields(PageSentences)


def test_shared_templates_read_no_extras_of_one_trainer():
    extras = list_attributes("extras", SHARED_TEMPLATES)
    assert extras == list_fields(Extras) - {"warnings", "marks"}, "which a page's warnings and panels have"
    assert list_attributes("extras", ["chapter.html"]) == list_fields(chapter.ChapterExtras) - list_fields(
        Extras
    )


@pytest.fixture(scope="module")
def html(render_study):
    """Return the page of the realistic study."""
    return render_study("realistic").read_text(encoding="utf-8")


def test_a_full_disk_leaves_the_whole_of_the_report_that_was_there(tmp_path, small_disk):
    with small_disk(tmp_path / "disk", "4m"):
        folder = render(compare(make_pair_design()), tmp_path / "disk").parent
        contents = {path.name: path.read_bytes() for path in folder.iterdir()}
        (tmp_path / "disk" / "filling").write_bytes(bytes(shutil.disk_usage(folder).free - 20_000))
        longer = replace(make_pair_design(), command=f"unrolled run {'x' * 100_000}")
        with raises_bad_input(os.strerror(errno.ENOSPC)):
            render(compare(longer), tmp_path / "disk")
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == contents
        (tmp_path / "disk" / "filling").unlink()
        assert b"unrolled run xxx" in render(compare(longer), tmp_path / "disk").read_bytes()


def test_another_process_gives_the_same_bytes_and_tables_beside_the_page(render_study, tmp_path):
    # Hash randomisation and a fresh import must not show.
    code = (
        "import sys, pathlib; from tests.helpers import designs;"
        "from unrolled.reports.page.render import render;"
        "render(designs.compare(designs.make_pair_design()), pathlib.Path(sys.argv[1]))"
    )
    variables = {**os.environ, "PYTHONPATH": helpers_path()}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=variables, check=True)
    contents = {path.name: path.read_bytes() for path in (tmp_path / "regularization").iterdir()}
    assert contents.keys() == {"index.html", "comparison.csv", "comparison.md", "trials.csv", "summary.json"}
    assert contents == {path.name: path.read_bytes() for path in render_study("pair").parent.iterdir()}


def test_the_policy_allows_the_inline_style_and_script_and_nothing_else(html):
    tags = Tags(html)
    policy = next(a["content"] for _, a in tags.all if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert is_self_contained(html)
    assert not {tag for tag, _ in tags.all} & {"link", "img", "iframe", "object", "image", "base"}
    assert not [name for _, attributes in tags.all for name in attributes if name.startswith("on")]
    for name, text in tags.inline.items():
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy


def test_no_id_is_given_twice_and_every_reference_within_the_page_arrives(html):
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    targets = {a["href"][1:] for tag, a in Tags(html).all if tag == "a" and a["href"].startswith("#")}
    targets |= set(re.findall(r'<use [^>]*href="#([^"]+)"', html)) | set(re.findall(r"url\(#([^)]+)\)", html))
    assert len(targets) > 10
    assert targets <= set(ids)


def list_headings(html):
    """Return the headings of a page's sections."""
    return re.findall(r"<h2[^>]*>([^<]+)</h2>", unescape(html))


def test_each_section_with_data_is_there_and_none_without(html, tmp_path):
    assert list_headings(html) == [
        "Answer", "Learning curves", "Interactions", "The book's values", "Accuracy by token role",
        "Predictions", "Learning-rate sweep", "All numbers", "Throughput",
        "Costs of each arm", "All trials", "Limits", "Provenance",
    ]  # fmt: skip
    page = render(compare(design_arms((make_arm("base", 0.0, seeds=2),))), tmp_path)
    assert list_headings(page.read_text(encoding="utf-8")) == [
        "Answer", "Learning curves", "Accuracy by token role", "Predictions", "All numbers", "Throughput",
        "Costs of each arm", "All trials", "Limits", "Provenance",
    ]  # fmt: skip
    text = read_page_text(page)
    assert "No arm can be compared with the baseline: the table says why." in text
    assert "There is no result yet" not in text


def test_hostile_names_are_shown_and_do_nothing(render_study):
    page = render_study("hostile")
    html = page.read_text(encoding="utf-8")
    text = read_page_text(page)
    assert [tag for tag, _ in Tags(html).all if tag in ("script", "img")] == ["script"]
    assert all(name in text for name in SHOWN_NAMES)
    assert "\0" not in html
    assert "a\ufffdb" in text


def test_the_page_of_230_trials_stays_under_one_and_a_half_megabytes(render_study):
    assert sum(len(arm.results) for arm in make_switched_design().arms) == 230
    assert render_study("switched").stat().st_size < 1_500_000


def test_each_of_many_metrics_can_be_chosen(tmp_path):
    metrics = tuple(Metric(f"loss {i}", 0.1, "lower") for i in range(9))
    page = render(compare(make_pair_design(metrics=metrics)), tmp_path).read_text()
    assert all(f".r{n}:checked) .p{n} " in page for n in range(2, 10))
    assert ".r10:checked" not in page
