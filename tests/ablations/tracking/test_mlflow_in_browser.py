"""What a person sees in MLflow's own pages: flat trials, sections of metrics, groups by arm."""

import json
import re
import time
import urllib.parse

import pytest

from ablations import tracking

webdriver = pytest.importorskip("selenium.webdriver")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    # MLflow 3.17 uses a loader that SQLAlchemy 2.1 deprecates.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning"),
]

FLAGS = """--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run
--disable-background-networking --disable-component-update --disable-sync --window-size=1600,1100"""

ARMS = ["baseline", "no <b>dropout</b>"]


@pytest.fixture
def browser(tmp_path):
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    for flag in [*FLAGS.split(), f"--user-data-dir={tmp_path / 'profile'}"]:
        options.add_argument(flag)
    driver = webdriver.Chrome(options, webdriver.ChromeService("/usr/bin/chromedriver"))
    yield driver
    driver.quit()


class Page:
    """MLflow's UI in a browser; texts are waited for, since the pages fill in slowly."""

    def __init__(self, driver, link, shots):
        self.driver, self.link, self.shots = driver, link, shots
        self.trials = link.partition("/runs/")[0] + "/runs"

    def open(self, address):
        self.driver.get(address)

    def text(self):
        return self.driver.find_element("tag name", "body").text

    def shows(self, *words, seconds=60):
        deadline = time.monotonic() + seconds
        while missing := [word for word in words if word not in self.text()]:
            assert time.monotonic() < deadline, f"{missing} not in {self.text()}"
            time.sleep(0.3)

    def click(self, path):
        self.driver.find_element("xpath", path).click()

    def shoot(self, name):
        assert self.driver.save_screenshot(str(self.shots / f"{name}.png"))


@pytest.fixture
def page(server, browser, study, store, result, tmp_path):
    """The UI of a study of two arms and three seeds, one of whose names is hostile."""
    results = {
        arm: [result(seed=s, losses=(3.0, 2.0, 1.5 + i + s / 10), options={"arm": i}) for s in range(3)]
        for i, arm in enumerate(ARMS)
    }
    tracking.sync(study, results, store)
    link = tracking.Projection(study, store).link("baseline", results["baseline"][0].trial.id)
    server()
    return Page(browser, f"{server.address}/{link}", tmp_path)


def test_trials_are_listed_flat_by_arm_and_seed_under_the_question(page):
    page.open(page.trials)
    page.shows("study regularization", "What carries the gain?", "7 matching runs")
    page.shoot("list")
    listed = re.findall(r"^.*/seed=\d$", page.text(), re.MULTILINE)
    assert sorted(listed) == [f"{arm}/seed={seed}" for arm in ARMS for seed in range(3)]


def test_charts_come_in_sections_by_the_prefix_of_the_metric(page):
    page.open(f"{page.trials}?compareRunsMode=CHART")
    page.shows("valid\n(3)")
    page.shoot("charts")
    sections = dict(re.findall(r"^(\w+)\n\((\d)\)$", page.text(), re.MULTILINE))
    # valid: loss, accuracy, perplexity; train: loss, ar, tar; speed: train and the seconds of both
    assert sections == {"memory": "1", "speed": "3", "train": "3", "valid": "3"}


def test_trials_can_be_grouped_by_arm(page):
    page.open(page.trials)
    page.shows("7 matching runs", "Group by")
    page.click("//button[contains(., 'Group by')]")
    page.shows("Params\n")
    page.click("//*[starts-with(@role, 'menuitem') and normalize-space() = 'arm']")
    page.shows(*[f"Group: {arm}\n3" for arm in ARMS])
    page.shoot("groups")


def test_a_link_of_the_report_opens_the_trial_and_nothing_leaves_the_machine(page):
    page.open(page.link)
    page.shows(
        "baseline/seed=0", "valid/loss\n1.5", "model\nlm7", "arm\nbaseline", "unrolled.trial", "Finished"
    )
    page.shoot("trial")
    events = [json.loads(entry["message"])["message"] for entry in page.driver.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    hosts = {urllib.parse.urlsplit(address).hostname for address in asked if address.startswith("http")}
    assert hosts == {"127.0.0.1"}
