"""What a person sees in MLflow's own pages. UNROLLED_SCREENSHOTS names a folder to look at afterwards."""

import json
import math
import os
import shutil
import time
import urllib.parse
from collections import Counter
from pathlib import Path
from statistics import fmean

import many_trials
import pytest
from as_typed import empty_database
from mlflow import MlflowClient
from stub_plans import kept, planned

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

    def __init__(self, driver, served, study):
        self.driver, self.client = driver, MlflowClient(tracking_uri=served.store)
        self.experiment = self.client.get_experiment_by_name(f"unrolled/{study}").experiment_id
        driver.get(served.address)  # and its assistant, which unfolds at the first visit, is closed
        driver.execute_script("localStorage['mlflow.assistant.fab.autoOpenedOnFirstLoad_v1'] = 'true'")
        self.runs = f"{served.address}/#/experiments/{self.experiment}/runs"
        self.trials = f"{self.runs}?workflowType=machine_learning"
        self.view = f"{self.trials}&viewStateShareKey=by-arm"  # as `unrolled ui` prints it

    def open(self, address):
        self.driver.get("about:blank")  # else a new fragment would not load anything
        self.driver.get(address)

    def text(self):
        return self.driver.execute_script("return document.body.innerText")

    def until(self, find, wanted):
        """What `find` returns, once it is something."""
        deadline = time.monotonic() + 120
        while not (found := find()):
            assert time.monotonic() < deadline, f"no {wanted} in {self.text()}"
            time.sleep(0.3)
        return found

    def shows(self, *words):
        self.until(lambda: all(word in self.text() for word in words), words)

    def find(self, path):
        return self.until(lambda: self.driver.find_elements("xpath", path), path)

    def describe(self, question="What carries the gain?"):
        """Unfold the experiment's description; where its links lead, by their words."""
        self.open(self.trials)
        self.shows(question)
        self.find(f"//*[text() = '{question}']/following::button")[1].click()
        self.shows("Charts by arm")
        links = self.driver.execute_script(  # at once: the page may be drawn again in between
            "return Object.fromEntries([...document.links].map(link => [link.innerText, link.href]))"
        )
        return {words: links[words] for words in ("Means by arm", "Charts by arm", "Trials by arm", "Report")}

    def table(self, *columns):
        """The cells of those columns, as they are shown, by the name of the run; waits until it is filled."""
        read = """
            const cells = {}
            for (const row of document.querySelectorAll("[role=row][row-index]"))
                for (const one of row.querySelectorAll("[role=gridcell]"))
                    (cells[row.getAttribute("row-index")] ??= {})[one.getAttribute("col-id")] = one.innerText
            return Object.values(cells)"""

        def rows():
            found = self.driver.execute_script(read)
            return found if all(column in row for row in found for column in columns) else []

        filled = self.until(rows, columns)
        names = [row["attributes.`Run Name`"].splitlines()[-1].partition(" · ")[0] for row in filled]
        return {n: [row[column].strip() for column in columns] for n, row in zip(names, filled, strict=True)}

    def shoot(self, name):
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
def small(result):
    """The results of two arms and six seeds, one of whose names is hostile."""
    return {
        arm: [
            result(seed=s, losses=(3.0, 2.0, 1.5 + i + s / 10), options={"dropout": 0.4 * (1 - i)})
            for s in range(SEEDS)
        ]
        for i, arm in enumerate(ARMS)
    }


@pytest.fixture(scope="module")
def large():
    """The results of 110 trials, one of which diverged."""
    results = many_trials.study()
    results["hidden = 12"][4] = many_trials.diverged(results["hidden = 12"][4])
    return results


@pytest.fixture(scope="module")
def served(browser, serve, small, large, tmp_path_factory):
    """The two studies, as `unrolled sync` writes them from a ledger; not where no browser can look."""
    folder = tmp_path_factory.mktemp("browsed")
    database = folder / "mlflow.db"
    database.write_bytes(empty_database())
    told = {"study": "regularization", "question": "What carries the gain?"}
    kept(folder / "results", planned(small, {ARMS[1]: {"dropout": 0.0}}, **told), small)
    many_trials.keep(folder / "results", large)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
        assert main(["sync", "--results", str(folder / "results")]) == 0
    with serve(database) as server:
        yield server


@pytest.fixture(scope="module")
def page(served, browser):
    return Page(browser, served, "regularization")


@pytest.fixture(scope="module")
def many(served, browser):
    return Page(browser, served, "width")


def test_the_description_asks_and_answers(page):
    page.describe()
    page.shows(
        "▼ worse by more than δ — no <b>dropout</b> against baseline",
        "1.00 nats higher",
        "better on 0 of 6 seeds",
    )
    page.shoot("description")
    assert "<b>" in page.text()  # as text: nothing of it is bold


METRICS = ("valid/accuracy", "valid/perplexity", "valid/loss", "speed_train")
COLUMNS = tuple(f"metrics.`{name}`" for name in METRICS)


def ledgers_means(results):
    """Of one arm, in the order of the columns; perplexity is exp of the mean loss."""
    accuracy, loss, speed = (
        fmean(r.metrics[name] for r in results) for name in ("valid_accuracy", "valid_loss", "speed_train")
    )
    return [accuracy, math.exp(loss), loss, speed]


def test_the_address_of_a_study_shows_each_arms_means_over_all_its_seeds_the_best_first(many, large):
    many.open(many.view)
    many.shows("11 matching runs", "9 of 10, 1 diverged")
    many.shoot("means")
    shown = many.table(*COLUMNS, "tags.`unrolled.seeds`")
    assert set(shown) == set(many_trials.ARMS)
    for arm, (*cells, seeds) in shown.items():
        if arm == "hidden = 12":
            assert cells == ["-"] * 4 and seeds.startswith("9 of 10, 1 diverged: no mean")
        else:
            assert [float(cell) for cell in cells] == pytest.approx(ledgers_means(large[arm]), rel=1e-4)
            assert seeds == "10 of 10"
    first = [float(cells[0]) for cells in shown.values() if cells[0] != "-"]
    assert first == sorted(first, reverse=True)


def test_the_charts_draw_each_arms_mean_as_a_bar_and_by_epoch_as_a_line(many, large):
    many.open(many.describe("How wide?")["Charts by arm"])
    many.shows("Arms\n(7)", "11 matching runs")
    means = [ledgers_means(large[arm]) for arm in many_trials.ARMS if arm != "hidden = 12"]
    wanted = Counter(f"{value:.2f}" for values in means for value in values[:3])  # the first row of charts
    many.until(lambda: wanted <= Counter(many.text().splitlines()), wanted)
    many.shoot("charts")
    below = many.find("//*[text() = 'valid']")[-1]  # the section after the arms', whose last charts are lines
    many.driver.execute_script("arguments[0].scrollIntoView(false)", below)
    many.find("//*[local-name() = 'g' and contains(@class, 'scatterlayer')]//*[local-name() = 'path']")
    many.shows("train_loss")
    many.shoot("curves")


def test_an_arm_unfolds_into_all_its_trials(many, large):
    many.open(many.describe("How wide?")["Trials by arm"])
    many.shows("hidden = 128", "100 matching runs", "Load more")  # MLflow loads a hundred runs at a time
    many.find("//button[. = 'Load more']")[0].click()
    many.shows("121 matching runs")
    many.find("//a[starts-with(., 'hidden = 16 ')]/ancestor::*[@role = 'row'][1]//button")[-1].click()
    many.shows(*(f"hidden = 16/seed={seed}" for seed in range(10)))
    many.shoot("trials")
    shown = many.table(*COLUMNS)
    for seed, result in enumerate(large["hidden = 16"]):
        cells = [float(cell) for cell in shown[f"hidden = 16/seed={seed}"]]
        assert cells == pytest.approx(ledgers_means([result]), rel=1e-4)
    assert [float(cell) for cell in shown["hidden = 16"]] == pytest.approx(
        ledgers_means(large["hidden = 16"]), rel=1e-4
    )


def test_the_report_works_inside_mlflow(page):
    page.open(page.describe()["Report"])
    page.driver.switch_to.frame(page.find("//iframe")[0])
    try:
        page.shows("What carries the gain?", "worse by more than δ", "no <b>dropout</b>")
        page.find("//th/button[contains(., 'Mean')]")  # made by its script, which runs
    finally:
        page.driver.switch_to.default_content()
        page.shoot("report")


def test_a_trial_is_shown_whole_and_nothing_leaves_the_machine(page):
    (run,) = page.client.search_runs([page.experiment], "tags.`mlflow.runName` = 'baseline/seed=0'")
    page.open(f"{page.runs}/{run.info.run_id}")
    page.shows(
        "baseline/seed=0", "valid/loss\n1.5", "model\nlm7", "arm\nbaseline", "unrolled.trial", "Finished"
    )
    page.shoot("trial")
    shown = page.text()
    assert shown.index("valid/loss") < shown.index("train_loss")
    page.open(f"{page.runs}/{run.info.run_id}/model-metrics")
    page.shows("valid/loss", "Model metrics\n(")
    page.shoot("curves-of-a-trial")
    charts = page.text()
    assert charts.index("valid/loss") < charts.index("Model metrics\n(")
    events = [json.loads(entry["message"])["message"] for entry in page.driver.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    hosts = {urllib.parse.urlsplit(address).hostname for address in asked if address.startswith("http")}
    assert hosts == {"127.0.0.1"}
