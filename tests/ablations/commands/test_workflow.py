"""The workflow of docs/github-actions: what runs a pull request's code may only read."""

import re
from pathlib import Path
from typing import Any

import pytest

WORKFLOW = Path(__file__).parents[3] / "docs" / "github-actions" / "gate.yml"


@pytest.fixture
def workflow() -> dict[Any, Any]:
    """Return the workflow's file, which is read by a package that MLflow brings."""
    parsed_file: dict[Any, Any] = pytest.importorskip("yaml").safe_load(WORKFLOW.read_text())
    return parsed_file


def test_the_workflow_names_each_action_by_its_commit() -> None:
    actions = [line.partition("uses:")[2] for line in WORKFLOW.read_text().splitlines() if "uses:" in line]
    assert actions
    assert all(re.fullmatch(r" actions/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action) for action in actions)


def test_no_job_of_the_workflow_may_write(workflow) -> None:
    assert workflow[True] == "pull_request"  # "on" is a boolean of YAML; with "_target" every job could write
    assert set(workflow["permissions"].values()) == {"read"}
    assert not any("permissions" in job for job in workflow["jobs"].values())


def test_the_workflow_fetches_the_history_and_runs_the_gate(workflow) -> None:
    (job,) = workflow["jobs"].values()
    checkout, *_ = job["steps"]
    assert checkout["with"]["fetch-depth"] == 0 and checkout["with"]["persist-credentials"] is False
    assert any("unrolled gate" in step.get("run", "") for step in job["steps"])
