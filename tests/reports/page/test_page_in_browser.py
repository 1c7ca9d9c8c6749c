"""The page in a real Chromium: what it asks for, what it shows, and whether everyone can use it."""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from tests.helpers.designs import compare, compare_table, make_program_design, make_realistic_design
from unrolled.bench.metric import Metric
from unrolled.reports.foreign.columns import Columns
from unrolled.reports.page.render import render, render_index

FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --hide-scrollbars"
)
NAMES = ("LSTM, two layers, dropout 0.4", "transformer-encoder with relative positions", "gru")
ELSEWHERE = pd.DataFrame(
    [
        {"arm": name, "seed": s, "accuracy": 0.7 + 0.03 * i + s % 3 / 100 * (i + 1)}
        for i, name in enumerate(NAMES)
        for s in range(10)
    ]
)
ALIKE = '[aria-label="Table: all trials"] tbody tr:nth-child(n + 13):not(:has(.warn))'
pytestmark = [pytest.mark.browser, pytest.mark.slow]


@dataclass(frozen=True)
class Browser:
    """A Chromium and the few things that the tests ask of it."""

    driver: Any

    def open(self, page: Path, *, width: int = 1280, scheme: str = "light", media: str = "screen") -> None:
        """Load the page at a width, in a colour scheme and medium, with empty logs."""
        self.show_at(width)
        self.show_in(scheme, media)
        self.driver.get("about:blank")
        for log in ("browser", "performance"):
            self.driver.get_log(log)
        self.driver.get(page.as_uri())

    def show_at(self, width: int) -> None:
        """Give the window a width."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def show_in(self, scheme: str, media: str = "screen") -> None:
        """Show the page in a colour scheme and medium."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": [feature]})

    def ask(self, script: str, *arguments: Any) -> Any:
        """Return what a script returns."""
        return self.driver.execute_script(script, *arguments)

    def requests(self) -> list[str]:
        """Return every address that was asked for since the page was opened."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]

    def violations(self, rules: str = "") -> list[str]:
        """Return what axe finds by all of its rules or some, with every fold opened, as `rule: element`.

        Of the trials that are done it sees a dozen: hundreds of rows that are alike take it seconds.
        """
        self.ask("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
        self.ask(f"document.querySelectorAll('{ALIKE}').forEach((row) => {{ row.remove(); }})")
        self.ask((resources.files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8"))
        report = self.driver.execute_async_script(
            f"axe.run({{resultTypes: ['violations'], {rules}}}).then(arguments[arguments.length - 1])"
        )
        return [f"{v['id']}: {node['html'][:120]}" for v in report["violations"] for node in v["nodes"]]


@pytest.fixture(scope="module")
def browser(need, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Return a browser without a window."""
    need("chromium", "chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in FLAGS.split():
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    driver.set_script_timeout(300)
    yield Browser(driver)
    driver.quit()


@pytest.fixture(scope="module")
def pages(render_study, tmp_path_factory) -> dict[str, Path]:
    """Return the pages to look at by name."""
    out = tmp_path_factory.mktemp("out")
    columns = Columns(("arm",), ("seed",), (Metric("accuracy", 0.02),))
    for page in (render_study("realistic"), render_study("hostile")):
        shutil.copytree(page.parent, out / page.parent.name)
    return {
        "report": render_study("realistic"),
        "switched": render_study("switched"),
        "ladder": render_study("laddered"),
        "hostile": render_study("hostile"),
        "program": render(
            compare(make_program_design(Metric("error", 0.01), Metric("train_loss", 0.1))), out
        ),
        "compare": render(compare_table(ELSEWHERE, columns), out),
        "audit": render_study("audited"),
        "index": render_index(out),
    }


WHOLE = {320: ".panel", 390: ".panel", 800: ".panel", 1280: ".scroll"}
"""What is not clipped, by the width of the window."""
EVERY = ("report", "switched", "ladder", "hostile", "program", "index", "compare", "audit")


@pytest.mark.parametrize("name", EVERY)
def test_the_page_asks_for_nothing_and_logs_nothing(browser, pages, name):
    browser.open(pages[name])
    assert browser.requests() == [pages[name].as_uri()]
    assert browser.driver.get_log("browser") == []


@pytest.mark.parametrize(
    ("name", "width"),
    [
        ("report", 1280),
        ("switched", 1280),
        ("ladder", 1280),
        ("hostile", 1280),
        ("program", 390),
        ("index", 390),
        ("compare", 390),
        ("audit", 390),
    ],
)
def test_axe_finds_nothing_in_any_colours(browser, pages, name, width):
    browser.open(pages[name], width=width)
    assert browser.violations() == []
    browser.show_in("dark")  # which changes colours alone
    assert browser.violations("runOnly: ['color-contrast']") == []


def test_axe_would_find_a_fault(browser, pages):
    browser.open(pages["index"])
    browser.ask("document.documentElement.removeAttribute('lang')")
    assert [v.split(":")[0] for v in browser.violations()] == ["html-has-lang"]


@pytest.mark.parametrize("name", EVERY)
def test_nothing_scrolls_sideways_and_a_wide_page_has_whole_figures_and_tables(browser, pages, name):
    browser.open(pages[name])
    browser.ask("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    for width, parts in WHOLE.items():
        browser.show_at(width)
        assert browser.ask("return document.documentElement.scrollWidth") == width
        wide_parts = (
            f"[...document.querySelectorAll('{parts}')].filter((e) => e.scrollWidth > e.clientWidth + 1)"
        )
        assert browser.ask(f"return {wide_parts}.map((e) => e.className)") == [], width


def test_a_verdict_of_the_figure_stands_in_one_line(browser, pages):
    browser.open(pages["report"])
    for width in (390, 1280):
        browser.show_at(width)
        heights = "[...document.querySelectorAll('.p1 .arms .verdict')].map((v) => v.offsetHeight)"
        words = browser.ask("return document.querySelector('.p1 .arms').textContent")
        assert "size not settled" in words
        assert max(browser.ask(f"return {heights}")) < 30


def test_the_identity_of_a_trial_stands_in_one_line(browser, pages):
    browser.open(pages["report"], width=390)
    browser.ask("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    heights = "[...document.querySelectorAll('td.mono')].map((cell) => cell.parentElement.offsetHeight)"
    assert sorted(browser.ask(f"return {heights}"))[0] < 60


def test_no_name_is_broken_in_mid_word(browser, pages):
    browser.open(pages["compare"], width=390)
    lines = """return [...document.querySelectorAll('tbody th')].flatMap((th) => [
        ...th.firstChild.textContent.matchAll(/[^ -]+/g)].map((word) => {
            const range = document.createRange();
            range.setStart(th.firstChild, word.index);
            range.setEnd(th.firstChild, word.index + word[0].length);
            return range.getClientRects().length;
        }))"""
    assert set(browser.ask(lines)) == {1}


@pytest.mark.parametrize(("name", "width"), [("report", 1280), ("switched", 1280), ("report", 390)])
def test_the_figure_begins_beneath_the_question_and_its_explanations_are_folded(browser, pages, name, width):
    browser.open(pages[name], width=width)
    top = "return document.querySelector('{}').getBoundingClientRect().top"
    question, first, arm = (browser.ask(top.format(it)) for it in (".lead", ".arms", ".arms tbody tr + tr"))
    assert question < first < 300
    assert arm < 450
    assert browser.ask("return document.querySelector('.legend').checkVisibility()") is False
    labels = "[...document.querySelectorAll('.choose label')].map((e) => e.getBoundingClientRect().height)"
    assert min(browser.ask(f"return {labels}")) >= 24  # px, which a finger meets


def test_the_learning_curves_are_those_of_the_metric_that_is_shown(browser, pages):
    browser.open(pages["ladder"])
    script = """return [...document.querySelectorAll('.multiples')].filter((e) => e.checkVisibility())
        .map((e) => e.dataset.metric)"""
    assert browser.ask(script) == ["valid_accuracy"]
    for radio, metric in ((2, "valid_loss"), (3, "valid_loss"), (1, "valid_accuracy")):
        browser.ask(f"document.querySelector('.r{radio}').click()")
        assert browser.ask(script) == [metric]


def test_every_token_role_is_seen_at_any_width_with_its_name(browser, pages):
    ends = "return [...document.querySelectorAll('.heat td')].map((e) => e.getBoundingClientRect().right)"
    browser.open(pages["report"])
    for width in (320, 390, 1280):
        browser.show_at(width)
        assert 0 < max(browser.ask(ends)) <= width
        label = "return getComputedStyle(document.querySelector('.heat td'), '::before').content"
        assert browser.ask(label) == ('"stops after numbers"' if width < 768 else "none")


@pytest.mark.parametrize("width", [320, 390])
def test_each_number_of_an_audited_change_is_seen_beside_its_heading(browser, pages, width):
    browser.open(pages["audit"], width=width)
    cells = "[...document.querySelectorAll('table.gate td')].filter((e) => e.checkVisibility())"
    ends = browser.ask(f"return {cells}.map((e) => e.getBoundingClientRect().right)")
    texts = browser.ask(f"return {cells}.map((e) => getComputedStyle(e, '::before').content + e.textContent)")
    assert max(ends) <= width
    assert any(re.fullmatch(r'"Without it"−0.\d+95 % CI \[−0.\d+, −0.\d+\]', text) for text in texts)
    assert '"Remark"takes no seed' in texts


def test_what_each_part_brings_is_told_for_all_parts(browser, pages):
    browser.open(pages["switched"])
    read = "return [...document.querySelectorAll('.parts tbody th')].map((e) => e.firstChild.textContent)"
    assert browser.ask(read) == ["tying", "dropout", "AR", "TAR", "weight decay"]


SEEN = "return [...document.querySelectorAll('.panel')].map((p) => getComputedStyle(p).display)"


def test_without_the_script_all_can_be_read_and_another_metric_chosen(browser, pages):
    browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.open(pages["ladder"])
        body = browser.driver.find_element("tag name", "body").text
        browser.driver.find_element("css selector", ".r2").click()
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    # accuracy and loss in curves and numbers; with perplexity in headline, figure and findings
    headline = figure = findings = ["none", "block", "none"]
    curves = numbers = ["none", "block"]
    assert browser.ask(SEEN) == [*headline, *figure, *findings, *curves, *numbers]

    assert all(text in body for text in ("better by more than δ", "10 of 10", "Provenance"))


def test_a_seeds_dot_shows_its_learning_curve(browser, pages):
    browser.open(pages["report"])
    browser.ask(
        'document.querySelector(\'.arms tr[data-arm="1"] [data-seed="4"]\')'
        ".dispatchEvent(new PointerEvent('pointerover', {bubbles: true}))"
    )
    read = "const t = document.querySelector('.tip'); return [t.hidden, t.firstChild.textContent, "
    hidden, text, lit, seed = browser.ask(
        f"{read} t.querySelectorAll('.lit path').length, t.querySelector('.lit').dataset.seed]"
    )
    loss = make_realistic_design().arms[1].results[4].metrics["valid_loss"]
    assert (hidden, text, lit, seed) == (False, f"seed 4: {loss:.2f} nats", 1, "4")
    browser.ask("document.body.dispatchEvent(new PointerEvent('pointerover', {bubbles: true}))")
    assert browser.ask("return document.querySelector('.tip').hidden")


def test_a_dot_of_another_metric_shows_the_curve_by_that_metric(browser, pages):
    browser.open(pages["program"])
    for panel, title in ((1, "Error"), (2, "Train loss")):
        browser.ask(
            f'document.querySelector(\'.p{panel} tr[data-arm="1"] [data-seed="4"]\')'
            ".dispatchEvent(new PointerEvent('pointerover', {bubbles: true}))"
        )
        assert browser.ask("return document.querySelector('.tip desc').textContent").startswith(title)


def test_dark_mode_reaches_the_pictures(browser, pages):
    colour = "return getComputedStyle(document.querySelector('.multiples svg text')).fill"
    colours = set()
    browser.open(pages["report"])
    for scheme in ("light", "dark"):
        browser.show_in(scheme)
        colours.add(browser.ask(colour))
    assert len(colours) == 2


def test_text_in_pictures_can_be_read_at_every_width(browser, pages):
    browser.open(pages["report"])
    texts = "[...document.querySelectorAll('figure svg text')].map((t) => t.getScreenCTM())"
    curves = "[...document.querySelectorAll('.multiples, .multiples svg')].map((e) => e.scrollWidth)"
    for width in WHOLE:
        browser.show_at(width)
        assert browser.ask(f"return Math.min(...{texts}.map((m) => 12 * Math.hypot(m.a, m.b)))") > 8.5  # px
        assert max(browser.ask(f"return {curves}")) <= width  # they wrap


def test_print_leaves_out_the_controls_and_stays_light(browser, pages):
    browser.open(pages["report"], media="print")
    assert browser.ask("return getComputedStyle(document.querySelector('.choose')).display") == "none"
    browser.show_in("dark", media="print")
    assert browser.ask("return getComputedStyle(document.body).color") == "rgb(22, 25, 29)"


def test_numbers_sort_by_p_with_arms_that_have_none_last(browser, pages):
    browser.open(pages["report"])
    table = "const t = [...document.querySelectorAll('table')].find((t) => t.textContent.includes('TOST p'));"
    browser.ask(table + "t.tHead.rows[0].cells[5].querySelector('button').click();")
    _, *texts, last = browser.ask(
        table + "return [...t.tBodies[0].rows].map((r) => r.cells[5]?.textContent ?? '')"
    )
    numbers = [float(text.replace("<", "")) for text in texts]
    assert numbers == sorted(numbers)
    assert len(numbers) == 9
    assert texts[0] == "<.001"
    assert last == ""


def test_a_press_on_a_heading_sorts_and_the_baseline_stays_first(browser, pages):
    browser.open(pages["report"])
    column = "const t = document.querySelector('table.arms'); const i = 3;"
    press = column + "t.tHead.rows[0].cells[i].querySelector('button').click();"
    read = column + "return [...t.tBodies[0].rows].map((r) => r.cells[i].dataset.value)"
    for order in (1, -1):
        browser.ask(press)
        base, *values = browser.ask(read)
        numbers = [float(value) * order for value in values]
        assert base == ""
        assert numbers == sorted(numbers)
        assert len(numbers) == 9
    assert browser.ask(column + "return t.tHead.rows[0].cells[i].ariaSort") == "descending"
