"""MLflow's experiments: opened, written, read. mlflow is imported inside functions, as it takes a second."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unrolled.ablations.mlflow.database import (
    artifacts_uri,
    check_address,
    prepare,
    public,
    sqlite_path,
    translate_errors,
)
from unrolled.ablations.mlflow.fields import (
    NAME_LENGTH,
    PARAM_LENGTH,
    TAG_LENGTH,
    Point,
    key,
    milliseconds,
    text,
)
from unrolled.bench.errors import BadInput, require
from unrolled.bench.trial import Scalar

FIRST_LOOK_TAG = "unrolled.first_look"
"""The tag that tells whether a study's trial is of its first look, whose number no result has chosen."""


class Experiment:
    """The experiment of a title, made or restored where need be. Methods raise what MLflow raises.

    Raises BadInput for a database that was copied or moved: it would write into the original's artifacts.
    """

    def __init__(self, title: str, where: str) -> None:
        prepare(where)
        from mlflow import MlflowClient

        self.client = MlflowClient(tracking_uri=where)
        name = text(title, NAME_LENGTH)
        found = self.client.get_experiment_by_name(name)
        if found is None:
            folder = None if where.startswith("http") else artifacts_uri(where)
            self.id = str(self.client.create_experiment(name, folder))
            return
        self.id = str(found.experiment_id)
        _require_home(found.artifact_location, where)
        if found.lifecycle_stage == "deleted":
            self.client.restore_experiment(self.id)

    def write_run(
        self,
        title: str,
        tags: Mapping[str, str],
        *,
        started: float,
        ended: float,
        status: str = "FINISHED",
        points: Iterable[Point] = (),
        params: Mapping[str, Scalar] = {},
        dataset: Mapping[str, str] = {},
        artifacts: Iterable[Path] = (),
    ) -> str:
        """Write a whole run and end it, last of all; returns its id.

        Times in unix seconds. Names become keys of MLflow. Points that are not finite and empty tags are left
        out, long values cut, with a mark. `artifacts` are files, and folders whose content is meant.
        """
        from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param

        client = self.client
        kept = {key(name): text(value, TAG_LENGTH) for name, value in tags.items() if value}
        run = client.create_run(self.id, milliseconds(started), kept, text(title, NAME_LENGTH))
        run_id = str(run.info.run_id)
        values = [Param(key(name), text(str(value), PARAM_LENGTH)) for name, value in params.items()]
        # MLflow would turn inf into 1.8e308
        client.log_batch(run_id, [Metric(*point) for point in points if math.isfinite(point[1])], values)
        if dataset:
            context = InputTag("mlflow.data.context", "training, validation")
            client.log_inputs(run_id, [DatasetInput(Dataset(**dataset), [context])])
        for path in artifacts:
            log = client.log_artifacts if path.is_dir() else client.log_artifact
            log(run_id, str(path))
        client.set_terminated(run_id, status, milliseconds(ended))
        return run_id


def runs(client: Any, experiment: str) -> Iterator[Any]:
    """Every run of an experiment, page by page."""
    token = None
    while True:
        page = client.search_runs([experiment], max_results=50, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _require_home(folder: str, where: str) -> None:
    """Raise BadInput for a database whose artifacts are in another project's folder."""
    elsewhere = folder.startswith("file:") and not f"{folder}/".startswith(f"{artifacts_uri(where)}/")
    require(
        not (sqlite_path(where) and elsewhere),
        f"was copied or moved: its artifacts are in {folder}",
        place=where,
        cure="move it away, and `unrolled sync` writes another one",
    )


def studies(where: str) -> list[tuple[str, str]]:
    """The name and the experiment's id of every study, in the order in which they were made.

    Raises BadInput for a database that was copied or moved.
    """
    from mlflow import MlflowClient

    found = MlflowClient(tracking_uri=where).search_experiments(
        filter_string="name LIKE 'unrolled/%'", order_by=["creation_time ASC"]
    )
    for one in found:
        _require_home(one.artifact_location, where)
    return [(one.name.removeprefix("unrolled/"), str(one.experiment_id)) for one in found]


@dataclass(frozen=True)
class EndedRun:
    """A run that ended, whoever logged it."""

    status: str  # FINISHED | FAILED | KILLED
    params: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: Mapping[str, float]

    @property
    def done(self) -> bool:
        """Whether the training finished, so that its numbers may be used."""
        return self.status == "FINISHED"

    @property
    def end(self) -> str:
        """How it ended: done, diverged or failed."""
        diverged = self.tags.get("unrolled.status") == "diverged"
        return "diverged" if diverged else "done" if self.done else "failed"


def read_ended_runs(where: str, study: str) -> tuple[str, list[EndedRun]]:
    """A study's name and its ended runs: of the experiment `unrolled/STUDY`, or STUDY; the only one for "".

    The runs come in the order of their starts. Raises BadInput with the reason when MLflow cannot be read, or
    several studies fit.
    """
    check_address(where, public(where))
    path = sqlite_path(where)
    if path is not None and not path.exists():  # MLflow would create it
        raise BadInput("there is no such database", place=where, cure="correct the address")
    with translate_errors(where, "read"):
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=where)
        known = {e.name: e.experiment_id for e in client.search_experiments()}
        ours = [name for name in known if name.startswith("unrolled/")]
        named = [n for n in (text(f"unrolled/{study}", NAME_LENGTH), study) if n in known] if study else ours
        if not named or (len(named) > 1 and not study):
            have = ", ".join(sorted(ours or known)) or "there is none"
            none = f"it has no experiment {study!r}" if study else "it has no study"
            what = "it has several studies" if named else none
            raise BadInput(what, place=public(where), cure=f"choose an experiment with --experiment: {have}")
        every = sorted(runs(client, known[named[0]]), key=lambda run: run.info.start_time or 0)
    return named[0].removeprefix("unrolled/"), [
        EndedRun(run.info.status, run.data.params, run.data.tags, run.data.metrics)
        for run in every
        if run.info.end_time and run.data.tags.get("unrolled.role", "trial") == "trial"
    ]
