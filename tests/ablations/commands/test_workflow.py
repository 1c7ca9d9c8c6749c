"""The workflow of docs/github-actions: what runs a pull request's code may only read."""

import re
from pathlib import Path
from typing import Any

import pytest

WORKFLOW = Path(__file__).parents[3] / "docs" / "github-actions" / "gate.yml"


@pytest.fixture
def workflow() -> dict[Any, Any]:
    read: dict[Any, Any] = pytest.importorskip("yaml").safe_load(WORKFLOW.read_text())  # MLflow brings it
    return read


def test_the_workflow_names_each_action_by_its_commit() -> None:
    used = [line.partition("uses:")[2] for line in WORKFLOW.read_text().splitlines() if "uses:" in line]
    assert used and all(re.fullmatch(r" actions/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one) for one in used)


def test_no_job_of_the_workflow_that_may_write_runs_the_code_of_a_pull_request(workflow) -> None:
    assert workflow[True] == "pull_request"  # "on" is a boolean of YAML; with "_target" every job could write
    assert set(workflow["permissions"].values()) == {"read"}
    writing = [job for job in workflow["jobs"].values() if "write" in job.get("permissions", {}).values()]
    (comment,) = writing
    assert comment["permissions"] == {"pull-requests": "write"}
    assert [step["uses"].partition("@")[0] for step in comment["steps"] if "uses" in step] == [
        "actions/download-artifact"  # no checkout
    ]
    commands = [line for step in comment["steps"] for line in step.get("run", "").splitlines()]
    assert {line.split()[0] for line in commands} == {"test", "head", "gh"}
    assert "${{" not in "".join(commands)
