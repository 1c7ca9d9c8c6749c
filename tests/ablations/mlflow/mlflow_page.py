"""MLflow's own pages in a browser, as a test opens, waits for and reads them."""

import os
import time
from functools import cached_property
from pathlib import Path

from mlflow import MlflowClient

SHOTS = os.environ.get("UNROLLED_SCREENSHOTS") and Path(os.environ["UNROLLED_SCREENSHOTS"]).absolute()


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
