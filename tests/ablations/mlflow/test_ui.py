"""`unrolled ui`: stock MLflow on this project's database, what a web page can do to it, and what it shows.

UNROLLED_SCREENSHOTS names a folder to look at afterwards.
"""

import http.client
import json
import math
import shutil
import urllib.parse
from collections import Counter
from pathlib import Path
from statistics import fmean

import pytest

from tests.ablations.mlflow.mlflow_page import Page
from tests.helpers import many_trials
from tests.helpers.command_call import refuse_command
from tests.helpers.command_process import COMMAND, make_environment
from tests.helpers.mlflow_writers import send_request
from tests.helpers.stub_results import build_plan, store_plan_and_results
from unrolled.ablations.cli import main
from unrolled.ablations.mlflow.ui import make_ui_command
from unrolled.bench.errors import BadInput

CREATE = ("POST", "/api/2.0/mlflow/experiments/create")
FLAGS = """--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run
--disable-background-networking --disable-component-update --disable-sync --window-size=1280,900
--force-prefers-reduced-motion"""
ARMS = ["baseline", "no <b>dropout</b>"]
SEEDS = 6


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
def server(serve, small_results, large_results, tmp_path_factory):
    """Serve two studies by the command, as `unrolled sync` writes them, in a folder with a user's modules."""
    folder = tmp_path_factory.mktemp("served")
    for name in ("mlflow.py", "uvicorn.py", "types.py"):
        (folder / name).write_text("import os\nopen('executed', 'w').close()\nos._exit(1)\n")
    variables = make_environment(folder)
    facts = {"study": "regularization", "question": "What carries the gain?"}
    plan = build_plan(small_results, {ARMS[1]: {"dropout": 0.0}}, **facts)
    store_plan_and_results(folder / "results", plan, small_results)
    many_trials.store_results(folder / "results", large_results)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", variables["MLFLOW_TRACKING_URI"])
        assert main(["sync", "--results", str(folder / "results")]) == 0
    with serve(folder / "mlflow.db", COMMAND, "ui", variables=variables) as mlflow_server:
        yield mlflow_server


@pytest.mark.slow
def test_it_prints_one_address_a_study_and_serves_it_there(server):
    main_page, *studies = map(str.split, server.log.read_text().splitlines()[:3])
    assert main_page[1].startswith(f"{server.address}/#/experiments?")
    view = "workflowType=machine_learning&viewStateShareKey=by-arm"
    assert studies == [
        [f"{name}:", f"{server.address}/#/experiments/{number}/runs?{view}"]
        for number, name in enumerate(("regularization", "width"), start=1)
    ]
    status, experiment = send_request(
        server.address, "GET", "/api/2.0/mlflow/experiments/get?experiment_id=2"
    )
    assert status == 200 and "mlflow.sharedViewState.by-arm" in experiment


@pytest.mark.slow
def test_it_imports_nothing_from_the_working_folder(server):
    assert server.log.exists() and not (server.log.parent / "executed").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "host", ["evil.example", "10.0.0.1:{port}", "192.168.0.1", "127.0.0.1:1", "[::1]:{port}"]
)
@pytest.mark.parametrize(
    "path", ["/", "/ajax-api/2.0/mlflow/experiments/search?max_results=9", "/get-artifact"]
)
def test_a_name_that_was_bent_to_this_machine_is_refused(server, host, path):
    """DNS rebinding; stock MLflow takes every private address."""
    assert send_request(server.address, "GET", path, Host=host.format(port=server.port))[0] == 403


@pytest.mark.slow
def test_a_page_of_another_host_writes_nothing_and_reads_nothing(server):
    origin = "http://evil.example"
    for method, path in (
        CREATE,
        ("POST", "/ajax-api/2.0/mlflow/runs/search"),
        ("PUT", "/ajax-api/2.0/mlflow-artifacts/artifacts/x"),
        ("PATCH", "/ajax-api/3.0/mlflow/traces/x/tags"),
        ("DELETE", "/ajax-api/2.0/mlflow/experiments/delete-tag"),
    ):
        assert send_request(server.address, method, path, {"name": "theirs"}, Origin=origin)[0] == 403
    search = "/api/2.0/mlflow/experiments/search?max_results=9"
    assert "theirs" not in send_request(server.address, "GET", search)[1]
    for method, headers in (("GET", {}), ("OPTIONS", {"Access-Control-Request-Method": "POST"})):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.request(method, search, headers={"Origin": origin, **headers})
        answer = connection.getresponse()
        assert answer.headers["Access-Control-Allow-Origin"] is None  # so that its browser hides the answer
        connection.close()


@pytest.mark.slow
def test_its_own_page_and_clients_are_served(server):
    for host in ("127.0.0.1", "localhost"):
        assert send_request(server.address, "GET", "/", Host=f"{host}:{server.port}")[0] == 200
    assert send_request(server.address, *CREATE, {"name": "ours"}, Origin=server.address)[0] == 200
    assert send_request(server.address, *CREATE, {"name": "also ours"})[0] == 200


@pytest.mark.slow
def test_only_this_machine_is_served(server):
    addresses = {line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]}
    assert f"0100007F:{server.port:04X}" in addresses  # 127.0.0.1, as proc(5) writes it
    assert f"00000000:{server.port:04X}" not in addresses


def test_a_server_needs_no_second_server():
    with pytest.raises(BadInput) as excinfo:
        make_ui_command("http://user:secret@host:5000", 5000)
    assert excinfo.value.place == "MLFLOW_TRACKING_URI"
    assert "secret" not in str(excinfo.value)


def test_a_file_that_is_no_database_is_one_line(tmp_path, find_port):
    (tmp_path / "mlflow.db").write_bytes(b"not a database " * 100)
    errors = refuse_command(tmp_path, "ui", "--port", str(find_port()))
    assert errors.count("\n") == 1 and "mlflow.db" in errors


# in a browser


@pytest.fixture(scope="module")
def browser(need, tmp_path_factory):
    need("chromium", "chromedriver")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    for flag in [*FLAGS.split(), f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(flag)
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def page(server, browser):
    return Page(browser, server, "regularization", "What carries the gain?")


@pytest.fixture(scope="module")
def width_page(server, browser):
    return Page(browser, server, "width", "How wide?")


@pytest.mark.browser
@pytest.mark.slow
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


@pytest.mark.browser
@pytest.mark.slow
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


@pytest.mark.browser
@pytest.mark.slow
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


@pytest.mark.browser
@pytest.mark.slow
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


@pytest.mark.browser
@pytest.mark.slow
def test_the_report_works_inside_mlflow(page):
    page.open_address(page.links["Report"])
    page.driver.switch_to.frame(page.find_elements("//iframe")[0])
    try:
        page.wait_for_words("What carries the gain?", "worse, size not settled", "no <b>dropout</b>")
        page.find_elements("//th/button[contains(., 'Mean')]")  # made by its script, which runs
    finally:
        page.driver.switch_to.default_content()
        page.save_screenshot("report")


@pytest.mark.browser
@pytest.mark.slow
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
