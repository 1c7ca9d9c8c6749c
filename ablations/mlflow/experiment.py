"""Opening, writing and reading MLflow's experiments. Functions import mlflow, which takes a second."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unrolled.ablations.mlflow.database import (
    check_uri,
    find_sqlite_path,
    hide_credentials,
    make_artifacts_uri,
    prepare_database,
    translate_errors,
)
from unrolled.ablations.mlflow.fields import (
    NAME_LENGTH,
    PARAM_LENGTH,
    TAG_LENGTH,
    Point,
    fit_text,
    to_key,
    to_milliseconds,
)
from unrolled.bench.errors import BadInput, require
from unrolled.bench.table_columns import FIRST_LOOK, STANDING
from unrolled.bench.trial import Scalar

FIRST_LOOK_TAG = f"unrolled.{FIRST_LOOK}"
"""The tag that says whether a trial belongs to its study's first look."""
STANDING_TAG = f"unrolled.{STANDING}"
"""The tag with the standing of a trial's arm, such as "exploratory, attempt 2"."""


@dataclass(frozen=True, kw_only=True)
class RunContent:
    """The content of a run. Names become MLflow's keys, and long values are cut, with a mark."""

    title: str
    tags: Mapping[str, str]  # empty ones are not written
    started: float  # unix seconds
    ended: float
    status: str = "FINISHED"
    points: Iterable[Point] = ()  # only finite ones are written: MLflow would turn inf into 1.8e308
    params: Mapping[str, Scalar] = field(default_factory=dict)
    dataset: Mapping[str, str] = field(default_factory=dict)  # fields of MLflow's Dataset
    artifacts: Path | None = None  # the folder whose content is written


class Experiment:
    """The experiment of a title, created or restored if necessary. Methods raise what MLflow raises.

    Raises BadInput for a database that was copied or moved: writing would go to the original's artifacts.
    """

    def __init__(self, title: str, uri: str) -> None:
        prepare_database(uri)
        from mlflow import MlflowClient

        self.client = MlflowClient(tracking_uri=uri)
        name = fit_text(title, NAME_LENGTH)
        stored_experiment = self.client.get_experiment_by_name(name)
        if stored_experiment is None:
            folder = None if uri.startswith("http") else make_artifacts_uri(uri)
            self.id = str(self.client.create_experiment(name, folder))
            return
        self.id = str(stored_experiment.experiment_id)
        _check_artifacts(stored_experiment.artifact_location, uri)
        if stored_experiment.lifecycle_stage == "deleted":
            self.client.restore_experiment(self.id)

    def write_run(self, content: RunContent) -> str:
        """Write a complete run, end it last, and return its id."""
        from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param

        client = self.client
        tags = {to_key(name): fit_text(value, TAG_LENGTH) for name, value in content.tags.items() if value}
        title = fit_text(content.title, NAME_LENGTH)
        run = client.create_run(self.id, to_milliseconds(content.started), tags, title)
        run_id = str(run.info.run_id)
        metrics = [Metric(*point) for point in content.points if math.isfinite(point[1])]
        params = [
            Param(to_key(name), fit_text(str(value), PARAM_LENGTH)) for name, value in content.params.items()
        ]
        client.log_batch(run_id, metrics, params)
        if content.dataset:
            context = InputTag("mlflow.data.context", "training, validation")
            client.log_inputs(run_id, [DatasetInput(Dataset(**content.dataset), [context])])
        if content.artifacts:
            client.log_artifacts(run_id, str(content.artifacts))
        client.set_terminated(run_id, content.status, to_milliseconds(content.ended))
        return run_id


def read_runs(client: Any, experiment_id: str) -> Iterator[Any]:
    """Read every run of an experiment, page by page."""
    token: str | None = ""
    while token is not None:
        page = client.search_runs([experiment_id], max_results=50, page_token=token or None)
        yield from page
        token = page.token or None


def _check_artifacts(folder: str, uri: str) -> None:
    """Raise BadInput for a database whose artifacts are in another project's folder."""
    elsewhere = folder.startswith("file:") and not f"{folder}/".startswith(f"{make_artifacts_uri(uri)}/")
    require(
        not (find_sqlite_path(uri) and elsewhere),
        f"was copied or moved: its artifacts are in {folder}",
        place=uri,
        cure="move it away, and `unrolled sync` writes another one",
    )


def list_studies(uri: str) -> dict[str, str]:
    """Return the experiment's id of every study, by name, in the order of their creation.

    Raises BadInput for a database that was copied or moved.
    """
    from mlflow import MlflowClient

    experiments = MlflowClient(tracking_uri=uri).search_experiments(
        filter_string="name LIKE 'unrolled/%'", order_by=["creation_time ASC"]
    )
    for experiment in experiments:
        _check_artifacts(experiment.artifact_location, uri)
    return {
        experiment.name.removeprefix("unrolled/"): str(experiment.experiment_id) for experiment in experiments
    }


def read_trial_runs(uri: str, study: str) -> tuple[str, list[Any]]:
    """Read a study's name and its runs, as MLflow has them, in the order of their starts.

    The experiment is `unrolled/STUDY` or STUDY; for "" it is the only study. A user's run that has not ended
    is included, because a killed run never ends. A study's trial that has not ended is not, because it is
    written again. Raises BadInput with the reason if MLflow cannot be read, or if no study, or several, fit.
    """
    check_uri(uri, hide_credentials(uri))
    path = find_sqlite_path(uri)
    # a missing database would be created by MLflow
    require(path is None or path.exists(), "there is no such database", place=uri, cure="correct the address")
    with translate_errors(uri, "read"):
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=uri)
        ids = {experiment.name: experiment.experiment_id for experiment in client.search_experiments()}
        name = _choose_experiment(list(ids), study, uri)
        runs = sorted(read_runs(client, ids[name]), key=lambda run: run.info.start_time or 0)
    return name.removeprefix("unrolled/"), [*filter(_is_trial, runs)]


def _is_trial(run: Any) -> bool:
    """Return True for a user's own run, which has no role, and for a study's trial that was written whole."""
    role = run.data.tags.get("unrolled.role")
    return role is None or (role == "trial" and has_ended(run))


def has_ended(run: Any) -> bool:
    """Return True if a run has finished, failed or been stopped. A run that was killed never ends."""
    return bool(run.info.end_time)


def describe_end(run: Any) -> str:
    """Return how a run ended: done, diverged or failed."""
    if run.data.tags.get("unrolled.status") == "diverged":
        return "diverged"
    return "done" if run.info.status == "FINISHED" else "failed"


def _choose_experiment(names: Sequence[str], study: str, uri: str) -> str:
    """Return the name of a study's experiment; for "", of the only study. Raises BadInput for none."""
    studies = [name for name in names if name.startswith("unrolled/")]
    if study:
        matches = [name for name in (fit_text(f"unrolled/{study}", NAME_LENGTH), study) if name in names]
        rule = f"it has no experiment {study!r}"
    else:
        matches = studies[:1] if len(studies) == 1 else []
        rule = "it has several studies" if studies else "it has no study"
    if not matches:
        alternatives = ", ".join(sorted(studies or names)) or "there is none"
        cure = f"choose an experiment with --experiment: {alternatives}"
        raise BadInput(rule, place=hide_credentials(uri), cure=cure)
    return matches[0]
