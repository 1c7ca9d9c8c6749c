"""What a person sees in MLflow's own pages. UNROLLED_SCREENSHOTS names a folder to look at afterwards."""

import json
import os
import re
import time
import urllib.parse
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

from ablations.tracking import projection
from reports.answer import sentences
from reports.comparison import compare
from reports.evidence import Arm, Evidence
from reports.render import render

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
SEEDS = 6
EVERY_FIFTH = tuple(5.0 * i for i in range(1, 13))  # seconds


class Page:
    """MLflow's UI in a browser; texts are waited for, since the pages fill in slowly."""

    def __init__(self, driver, address, projection, trial, shots):
        self.driver, self.address, self.shots = driver, address, shots
        self.trial = f"{address}/{projection.link('baseline', trial)}"
        self.trials = self.trial.partition("/runs/")[0] + "/runs"

    def open(self, address):
        self.driver.get("about:blank")  # else a new fragment would not load anything
        self.driver.get(address)

    def text(self):
        return self.driver.find_element("tag name", "body").text

    def shows(self, *words, seconds=120):
        deadline = time.monotonic() + seconds
        while missing := [word for word in words if word not in self.text()]:
            assert time.monotonic() < deadline, f"{missing} not in {self.text()}"
            time.sleep(0.3)

    def find(self, path, seconds=120):
        deadline = time.monotonic() + seconds
        while not (found := self.driver.find_elements("xpath", path)):
            assert time.monotonic() < deadline, f"no {path} in {self.text()}"
            time.sleep(0.3)
        return found

    def describe(self):
        """Unfold the experiment's description; where its links lead, by their words."""
        self.open(self.trials)
        self.shows("What carries the gain?")
        self.find("//*[text() = 'What carries the gain?']/following::button")[1].click()
        self.shows("Charts by arm")
        links = self.driver.execute_script(  # at once: the page may be drawn again in between
            "return Object.fromEntries([...document.links].map(link => [link.innerText, link.href]))"
        )
        return {words: links[words] for words in ("Trials by arm", "Charts by arm", "Report")}

    def shoot(self, name):
        assert self.driver.save_screenshot(str(self.shots / f"{name}.png"))


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    for flag in [*FLAGS.split(), f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(flag)
    driver = webdriver.Chrome(options, webdriver.ChromeService("/usr/bin/chromedriver"))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def page(ui_of, browser, template, result, tmp_path_factory):
    """The UI of a study of two arms and six seeds, one of whose names is hostile, with its report."""
    folder = tmp_path_factory.mktemp("browsed")
    database = folder / "mlflow.db"
    database.write_bytes(template.read_bytes())
    results = {
        arm: {
            s: result(
                seed=s,
                losses=(3.0, 2.0, 1.5 + i + s / 10),
                options={"dropout": 0.4 * (1 - i)},
            )
            for s in range(SEEDS)
        }
        for i, arm in enumerate(ARMS)
    }
    busy = {"seconds": EVERY_FIFTH, "cpu": (99.0,) * 12, "memory": tuple(400.0 + s for s in EVERY_FIFTH)}
    results["baseline"][0] = replace(results["baseline"][0], usage=busy)
    told = {"study": "regularization", "question": "What carries the gain?", "plan": "f00d"}
    arms = [Arm(name=arm, model="lm7", title=arm, changes={"dropout": 0.0} if i else {}, results=results[arm])
            for i, arm in enumerate(ARMS)]  # fmt: skip
    evidence = Evidence(
        **told, metric="valid_loss", equivalence=0.02, seeds=tuple(range(SEEDS)), arms=tuple(arms),
        planned=1.7e9, command="unrolled run regularization",
    )  # fmt: skip
    facts = projection.StudyFacts(
        name=told["study"], question=told["question"], plan="f00d", arms=tuple(ARMS), factors=("dropout",)
    )
    comparison = compare(evidence)
    made = render(comparison, folder / "out").parent, sentences(comparison)
    by_arm = {arm: list(of_arm.values()) for arm, of_arm in results.items()}
    projection.sync(facts, by_arm, f"sqlite:///{database}", lambda links: made)
    shots = Path(os.environ.get("UNROLLED_SCREENSHOTS") or folder / "shots")
    shots.mkdir(parents=True, exist_ok=True)
    mine = projection.Projection(facts, f"sqlite:///{database}")
    with ui_of(database) as start:
        start()
        yield Page(browser, start.address, mine, results["baseline"][0].trial.id, shots)


def test_a_first_visit_shows_the_studies_and_no_assistant(page):
    page.open(page.address)
    page.shows("unrolled/regularization", "What carries the gain?")
    page.shoot("home")
    assert "Welcome to MLflow Assistant" not in page.text()
    assert "collects usage data" not in page.text()
    assert page.driver.execute_script("return localStorage['mlflow.workflowType_v1']") == '"machine_learning"'


def test_trials_are_listed_flat_by_arm_and_seed_with_their_data_set(page):
    page.open(page.trials)
    page.shows("study regularization", "What carries the gain?", "13 matching runs", "human-numbers (5a5a")
    page.shoot("list")
    listed = re.findall(r"^.*/seed=\d$", page.text(), re.MULTILINE)
    assert sorted(listed) == [f"{arm}/seed={seed}" for arm in ARMS for seed in range(SEEDS)]


def test_the_description_asks_and_answers(page):
    page.describe()
    page.shows("▼ WORSENS — no <b>dropout</b> against baseline: +1.0000 nats", "better on 0 of 6 seeds")
    page.shoot("description")
    assert "<b>" in page.text()  # as text: nothing of it is bold


def test_the_saved_table_has_one_line_an_arm_with_its_means(page):
    page.open(page.describe()["Trials by arm"])
    page.shows("Group by: arm", "12 matching runs", "valid/accuracy", "dropout")
    page.shows(*[f"Group: {arm}\n6" for arm in ARMS], "1.75", "2.75")  # the means of 1.5 … 2.0 and 2.5 … 3.0
    page.shoot("table")
    assert "/seed=" not in page.text()
    found = sorted(page.find("//*[@role = 'columnheader']"), key=lambda heading: heading.location["x"])
    headings = dict.fromkeys(heading.text for heading in found)  # each stands within another
    wanted = ["valid/loss", "valid/accuracy", "speed/train", "dropout", "Dataset"]
    assert [heading for heading in headings if heading in wanted] == wanted


def test_the_saved_charts_are_grouped_by_arm(page):
    page.open(page.describe()["Charts by arm"])
    page.shows("Group by: arm", "Arms\n(3)")
    drawn = "//*[local-name() = 'g' and contains(@class, '{}')]//*[local-name() = 'path']"
    bars, lines = (page.find(drawn.format(kind)) for kind in ("bars", "scatterlayer"))
    page.shoot("charts")
    assert (len(bars), bool(lines)) == (len(ARMS), True)
    sections = dict(re.findall(r"^(\w+)\n\((\d)\)$", page.text(), re.MULTILINE))
    # Arms: bars and lines of valid/loss, lines of train/loss; the others below, by the prefix of the metric:
    # valid: accuracy, perplexity; train: ar, tar; speed: train and the seconds of both
    assert sections == {"Arms": "3", "memory": "1", "speed": "3", "train": "2", "valid": "2"}


def test_the_report_works_inside_mlflow(page):
    page.open(page.describe()["Report"])
    page.driver.switch_to.frame(page.find("//iframe")[0])
    try:
        page.shows("What carries the gain?", "WORSENS", "no <b>dropout</b>")
        cells = page.find("//*[@data-arm]")
        page.find("//fieldset[contains(@class, 'switch')]//input")[0].click()  # its script runs
        assert any("off" in (cell.get_attribute("class") or "") for cell in cells)
    finally:
        page.driver.switch_to.default_content()
        page.shoot("report")


def test_a_long_trial_shows_what_it_used(page):
    page.open(f"{page.trial}/system-metrics")
    page.shows("cpu_utilization_percentage", "process_memory_megabytes")
    page.find("//*[local-name() = 'g' and contains(@class, 'scatterlayer')]//*[local-name() = 'path']")
    page.shoot("system")


WHOLE = {
    "{trial}/model-metrics": ["train_seconds", "valid_seconds"],
    "{trial}/artifacts": ["No Artifacts Recorded"],
    "{trial}/traces": ["No traces found"],
    "{experiment}/models": ["Track and compare versions of your models"],
    "{experiment}/traces": ["Start tracing your LLM application"],
    "{address}/#/models": ["Registered Models", "Create model"],
    "{address}/#/compare-runs?{two}": ["Comparing 2 Runs from 1 Experiment", "Parallel Coordinates Plot"],
}
"""What stands on the pages that the navigation leads to, by their addresses."""


@pytest.mark.parametrize("address", WHOLE)
def test_what_is_closed_leaves_no_hole_in_a_page(page, address):
    root, _, run = page.trial.partition("/runs/")
    experiment = root.rpartition("/")[2]
    search = json.dumps({"experiment_ids": [experiment]}).encode()
    request = urllib.request.Request(
        f"{page.address}/api/2.0/mlflow/runs/search", search, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        other = json.load(answer)["runs"][0]["info"]["run_id"]
    two = urllib.parse.urlencode({"runs": json.dumps([run, other]), "experiments": json.dumps([experiment])})
    page.open(address.format(trial=page.trial, experiment=root, address=page.address, two=two))
    page.shows(*WHOLE[address])
    page.shoot(f"whole {list(WHOLE).index(address)}")
    assert not re.search(
        "not found|couldn't|failed", page.text().replace("No traces found", ""), re.IGNORECASE
    )


UNHEEDED = {
    "/ajax-api/2.0/mlflow/users/current",
    "/ajax-api/3.0/mlflow/assistant/config",
    "/ajax-api/3.0/mlflow/assistant/providers",
    "/ajax-api/3.0/mlflow/datasets/search",
    "/ajax-api/3.0/mlflow/scorers/list",
}
"""What the pages ask without showing an error where it is closed."""


def test_a_link_of_the_report_opens_the_trial_and_nothing_leaves_the_machine(page):
    page.open(page.trial)
    page.shows(
        "baseline/seed=0", "valid/loss\n1.5", "model\nlm7", "arm\nbaseline", "unrolled.trial", "Finished"
    )
    page.shoot("trial")
    events = [json.loads(entry["message"])["message"] for entry in page.driver.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    hosts = {urllib.parse.urlsplit(address).hostname for address in asked if address.startswith("http")}
    assert hosts == {"127.0.0.1"}
    answers = [e["params"]["response"] for e in events if e["method"] == "Network.responseReceived"]
    closed = {urllib.parse.urlsplit(answer["url"]).path for answer in answers if answer["status"] >= 400}
    assert closed <= UNHEEDED
