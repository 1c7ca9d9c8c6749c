"""What a person sees in MLflow's own pages. UNROLLED_SCREENSHOTS names a folder to look at afterwards."""

import json
import math
import os
import shutil
import time
import urllib.parse
from collections import Counter
from functools import cached_property
from pathlib import Path
from statistics import fmean

import pytest
from mlflow import MlflowClient

from tests.helpers import many_trials
from tests.helpers.command_process import empty_database
from tests.helpers.stub_results import build_plan, store_plan_and_results
from unrolled.ablations.cli import main

webdriver = pytest.importorskip("selenium.webdriver")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
]

FLAGS = """--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run
--disable-background-networking --disable-component-update --disable-sync --window-size=1280,900
--force-prefers-reduced-motion"""

SHOTS = os.environ.get("UNROLLED_SCREENSHOTS") and Path(os.environ["UNROLLED_SCREENSHOTS"]).absolute()

ARMS = ["baseline", "no <b>dropout</b>"]
SEEDS = 6


class Page:
    """MLflow's UI in a browser; texts are waited for, since the pages fill in slowly."""

    def __init__(self, driver, server, study, question):
        self.driver = driver
        self.question = question
        self.client = MlflowClient(tracking_uri=server.store)
        self.experiment = self.client.get_experiment_by_name(f"unrolled/{study}").experiment_id
        # Its assistant, which would unfold at the first visit, is closed, on the page that loads fastest.
        driver.get(f"{server.address}/health")
        driver.execute_script("localStorage['mlflow.assistant.fab.autoOpenedOnFirstLoad_v1'] = 'true'")
        self.runs = f"{server.address}/#/experiments/{self.experiment}/runs"
        self.trials = f"{self.runs}?workflowType=machine_learning"
        self.view = f"{self.trials}&viewStateShareKey=by-arm"  # as `unrolled ui` prints it

    def open_address(self, address):
        self.driver.get("about:blank")  # else a new fragment would not load anything
        self.driver.get(address)

    def read_text(self):
        return self.driver.execute_script("return document.body.innerText")

    def wait_until(self, find, description):
        """Return what `find` returns, once it is not empty."""
        deadline = time.monotonic() + 120
        while not (value := find()):
            assert time.monotonic() < deadline, f"no {description} in {self.read_text()}"
            time.sleep(0.3)
        return value

    def wait_for_words(self, *words):
        self.wait_until(lambda: all(word in self.read_text() for word in words), words)

    def find_elements(self, path):
        return self.wait_until(lambda: self.driver.find_elements("xpath", path), path)

    @cached_property
    def links(self):
        """Unfold the experiment's description and return the addresses of its links, by their words."""
        self.open_address(self.trials)
        self.wait_for_words(self.question)
        self.find_elements(f"//*[text() = '{self.question}']/following::button")[1].click()
        self.wait_for_words("Charts by arm")
        return self.driver.execute_script(  # at once: the page may be drawn again in between
            "return Object.fromEntries([...document.links].map(link => [link.innerText, link.href]))"
        )

    def read_table(self, *columns):
        """Return the cells of the columns by the name of the run, once the table is filled."""
        read = """
            const cells = {}
            for (const row of document.querySelectorAll("[role=row][row-index]"))
                for (const one of row.querySelectorAll("[role=gridcell]"))
                    (cells[row.getAttribute("row-index")] ??= {})[one.getAttribute("col-id")] = one.innerText
            return Object.values(cells)"""

        def rows():
            rows_found = self.driver.execute_script(read)
            return rows_found if all(column in row for row in rows_found for column in columns) else []

        rows_read = self.wait_until(rows, columns)
        names = [row["attributes.`Run Name`"].splitlines()[-1].partition(" · ")[0] for row in rows_read]
        return {
            n: [row[column].strip() for column in columns] for n, row in zip(names, rows_read, strict=True)
        }

    def save_screenshot(self, name):
        if SHOTS:
            SHOTS.mkdir(parents=True, exist_ok=True)
            assert self.driver.save_screenshot(str(SHOTS / f"{name}.png"))


@pytest.fixture(scope="module")
def browser(need, tmp_path_factory):
    need("chromium", "chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    for flag in [*FLAGS.split(), f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(flag)
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def small_results(make_result):
    """Return the results of two arms and six seeds, one of whose names is hostile."""
    return {
        arm: [
            make_result(seed=s, losses=(3.0, 2.0, 1.5 + i + s / 10), options={"dropout": 0.4 * (1 - i)})
            for s in range(SEEDS)
        ]
        for i, arm in enumerate(ARMS)
    }


@pytest.fixture(scope="module")
def large_results():
    """Return the results of 110 trials, one of which diverged."""
    results = many_trials.make_arms()
    results["hidden = 12"][4] = many_trials.make_diverged(results["hidden = 12"][4])
    return results


@pytest.fixture(scope="module")
def server(browser, serve, small_results, large_results, tmp_path_factory):
    """Serve the two studies, as `unrolled sync` writes them, where there is a browser."""
    folder = tmp_path_factory.mktemp("browsed")
    database = folder / "mlflow.db"
    database.write_bytes(empty_database())
    facts = {"study": "regularization", "question": "What carries the gain?"}
    store_plan_and_results(
        folder / "results", build_plan(small_results, {ARMS[1]: {"dropout": 0.0}}, **facts), small_results
    )
    many_trials.store_results(folder / "results", large_results)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
        assert main(["sync", "--results", str(folder / "results")]) == 0
    with serve(database) as mlflow_server:
        yield mlflow_server


@pytest.fixture(scope="module")
def page(server, browser):
    return Page(browser, server, "regularization", "What carries the gain?")


@pytest.fixture(scope="module")
def width_page(server, browser):
    return Page(browser, server, "width", "How wide?")


def test_the_description_asks_and_answers(page):
    assert {"Means by arm", "Charts by arm", "Arms and trials", "Report"} <= page.links.keys()
    page.wait_for_words(
        "↓ worse, size not settled — no <b>dropout</b> against baseline",
        "1.0 nats higher",
        "better on 0 of 6 seeds",
    )
    page.save_screenshot("description")
    assert "<b>" in page.read_text()  # as text: nothing of it is bold


METRICS = ("valid/accuracy", "valid/perplexity", "valid/loss", "speed_train")
COLUMNS = tuple(f"metrics.`{name}`" for name in METRICS)


def compute_means(results):
    """Return an arm's means in the order of the columns; perplexity is exp of the mean loss."""
    accuracy, loss, speed = (
        fmean(r.metrics[name] for r in results) for name in ("valid_accuracy", "valid_loss", "speed_train")
    )
    return [accuracy, math.exp(loss), loss, speed]


def test_the_address_of_a_study_shows_each_arms_means_the_best_first(width_page, large_results):
    width_page.open_address(width_page.view)
    width_page.wait_for_words("11 matching runs", "9 of 10, 1 diverged")
    width_page.save_screenshot("means")
    table = width_page.read_table(*COLUMNS, "tags.`unrolled.seeds`")
    assert set(table) == set(many_trials.ARMS)
    for arm, (*cells, seeds) in table.items():
        if arm == "hidden = 12":
            assert cells == ["-"] * 4 and seeds.startswith("9 of 10, 1 diverged: no mean")
        else:
            assert [float(cell) for cell in cells] == pytest.approx(
                compute_means(large_results[arm]), rel=1e-4
            )
            assert seeds == "10 of 10"
    accuracies = [float(cells[0]) for cells in table.values() if cells[0] != "-"]
    assert accuracies == sorted(accuracies, reverse=True)


def test_charts_draw_an_arms_mean_as_a_bar_and_epochs_as_lines(width_page, large_results):
    width_page.open_address(width_page.links["Charts by arm"])
    width_page.wait_for_words("Arms\n(7)", "11 matching runs")
    means = [compute_means(large_results[arm]) for arm in many_trials.ARMS if arm != "hidden = 12"]
    numbers = Counter(f"{value:.2f}" for values in means for value in values[:3])  # the first row of charts
    width_page.wait_until(lambda: numbers <= Counter(width_page.read_text().splitlines()), numbers)
    width_page.save_screenshot("charts")
    # the section after the arms', whose last charts are lines
    section = width_page.find_elements("//*[text() = 'valid']")[-1]
    width_page.driver.execute_script("arguments[0].scrollIntoView(false)", section)
    width_page.find_elements(
        "//*[local-name() = 'g' and contains(@class, 'scatterlayer')]//*[local-name() = 'path']"
    )
    width_page.wait_for_words("train_loss")
    width_page.save_screenshot("curves")


def test_an_arm_unfolds_into_all_its_trials(width_page, large_results):
    width_page.open_address(width_page.links["Arms and trials"])
    # MLflow loads a hundred runs at a time
    width_page.wait_for_words("hidden = 128", "100 matching runs", "Load more")
    width_page.find_elements("//button[. = 'Load more']")[0].click()
    width_page.wait_for_words("121 matching runs")
    width_page.find_elements("//a[starts-with(., 'hidden = 16 ')]/ancestor::*[@role = 'row'][1]//button")[
        -1
    ].click()
    width_page.wait_for_words(*(f"hidden = 16/seed={seed}" for seed in range(10)))
    width_page.save_screenshot("trials")
    table = width_page.read_table(*COLUMNS)
    for seed, result in enumerate(large_results["hidden = 16"]):
        cells = [float(cell) for cell in table[f"hidden = 16/seed={seed}"]]
        assert cells == pytest.approx(compute_means([result]), rel=1e-4)
    assert [float(cell) for cell in table["hidden = 16"]] == pytest.approx(
        compute_means(large_results["hidden = 16"]), rel=1e-4
    )


def test_the_report_works_inside_mlflow(page):
    page.open_address(page.links["Report"])
    page.driver.switch_to.frame(page.find_elements("//iframe")[0])
    try:
        page.wait_for_words("What carries the gain?", "worse, size not settled", "no <b>dropout</b>")
        page.find_elements("//th/button[contains(., 'Mean')]")  # made by its script, which runs
    finally:
        page.driver.switch_to.default_content()
        page.save_screenshot("report")


def test_a_trial_is_shown_whole_and_nothing_leaves_the_machine(page):
    (run,) = page.client.search_runs([page.experiment], "tags.`mlflow.runName` = 'baseline/seed=0'")
    page.open_address(f"{page.runs}/{run.info.run_id}")
    page.wait_for_words(
        "baseline/seed=0", "valid/loss\n1.5", "model\nlm7", "arm\nbaseline", "unrolled.trial", "Finished"
    )
    page.save_screenshot("trial")
    text = page.read_text()
    assert text.index("valid/loss") < text.index("train_loss")
    page.open_address(f"{page.runs}/{run.info.run_id}/model-metrics")
    page.wait_for_words("valid/loss", "Model metrics\n(")
    page.save_screenshot("curves-of-a-trial")
    charts = page.read_text()
    assert charts.index("valid/loss") < charts.index("Model metrics\n(")
    events = [json.loads(entry["message"])["message"] for entry in page.driver.get_log("performance")]
    addresses = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    hosts = {urllib.parse.urlsplit(address).hostname for address in addresses if address.startswith("http")}
    assert hosts == {"127.0.0.1"}
