"""MLflow as a projection of the ledger: written behind the training, rebuilt from the results at any time.

The only module that imports mlflow, and only inside functions: the import costs more than a second.
"""

import fcntl
import math
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from ablations.entry import (
    NAME_LENGTH,
    PARAM_LENGTH,
    TAG_LENGTH,
    StudyFacts,
    digest,
    milliseconds,
    params,
    points,
    tags,
    text,
)
from bench.trial import BadInput, Result

METRICS_A_CALL, PARAMS_A_CALL = 800, 100  # log_batch takes 1000 things, 100 of them parameters

_SCHEMES = {
    "sqlite",
    "postgresql",
    "mysql",
    "mssql",
    "http",
    "https",
    "file",
    "databricks",
    "databricks-uc",
    "uc",
}
_ALWAYS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_SERVER_JOB_ENABLE_PERIODIC_TASKS": "false",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
}
_UNLESS_SET = {
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",  # trouble is told in one line of ours instead
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # a blind second POST would write a trial twice
}


def settings() -> None:
    """Set the environment that MLflow reads on import: no telemetry, no jobs, no pickle, short waits."""
    os.environ.update(_ALWAYS)
    for name, value in _UNLESS_SET.items():
        os.environ.setdefault(name, value)


def uri() -> str:
    """Where MLflow keeps its data: $MLFLOW_TRACKING_URI or ./mlflow.db. Raises BadInput on another scheme."""
    where = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    scheme = re.match(r"([a-z-]+)(\+\w+)?:", where)
    known = _SCHEMES | {point.name for point in entry_points(group="mlflow.tracking_store")}
    if scheme is None or scheme[1] in known:  # without a scheme it is a folder, or "databricks"
        return where
    raise BadInput(
        f"MLFLOW_TRACKING_URI: MLflow has no store for {public(where)!r}; "
        "use e.g. sqlite:///mlflow.db or http://127.0.0.1:5000"
    )


def ui_command(where: str, port: int = 5000) -> list[str]:
    """The command that shows `where` at http://127.0.0.1:port. Call `settings` first: it turns jobs off."""
    if where.startswith("http"):
        raise BadInput(f"MLFLOW_TRACKING_URI: {public(where)} is a server already; open it in a browser")
    store = ["--backend-store-uri", where, "--default-artifact-root", _artifacts(where)]
    address = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    return [sys.executable, "-m", "mlflow", "server", *store, *address]


def _sqlite_path(where: str) -> Path | None:
    """The database's file, or None where it is another kind of store."""
    path = where.removeprefix("sqlite:///").partition("?")[0]
    return Path(path) if where.startswith("sqlite:///") and path not in ("", ":memory:") else None


def _artifacts(where: str) -> str:
    """The folder mlartifacts beside the database (or here), as a URI."""
    path = _sqlite_path(where)
    return ((path.parent if path else Path()) / "mlartifacts").absolute().as_uri()


def _create_whole(where: str) -> None:
    """Create the SQLite database under another name first: one killed in its migration stays broken."""
    path = _sqlite_path(where)
    if path is None or path.exists():
        return
    from mlflow import MlflowClient

    path.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # ends with its process, whatever ends that
        if not path.exists():
            for left in path.parent.glob(f".{path.name}.*.new*"):  # and its journal
                left.unlink()
            draft = path.with_name(f".{path.name}.{time.time_ns()}.new")
            MlflowClient(tracking_uri=f"sqlite:///{draft}").search_experiments(max_results=1)
            draft.rename(path)
    finally:
        os.close(folder)


def public(where: str) -> str:
    """An address without credentials."""
    return re.sub(r"//[^/@\s]*@", "//…@", where)


def one_line(error: Exception) -> str:
    """What an error says first, without credentials."""
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return text(public(first), 300)


@dataclass(frozen=True)
class Synced:
    """What `sync` did: trials written, trials that were there already, leftovers removed."""

    written: int
    kept: int
    removed: int

    def __str__(self) -> str:
        return f"{self.written} written, {self.kept} there already, {self.removed} leftovers removed"


@dataclass(frozen=True)
class _Row:
    """What has to be known of a run that is there."""

    run_id: str
    role: str
    status: str
    start: int  # unix milliseconds
    plan: str


class Projection:
    """One study in MLflow: what is there is read and tidied once, then trials are written one by one.

    Slow to construct: imports mlflow, creates the database. Every method raises what MLflow raises; after
    that it is unknown what was written, so construct another one, which reads everything again.
    """

    def __init__(self, study: StudyFacts, where: str) -> None:
        settings()
        from mlflow import MlflowClient

        _create_whole(where)
        self._study, self._plan = study, text(study.plan, TAG_LENGTH)
        self._client = MlflowClient(tracking_uri=where)
        self._served = where if where.startswith("http") else ""
        self._experiment = self._open_experiment(_artifacts(where))
        self.removed = 0
        self._trials: dict[tuple[str, str], _Row] = {}  # by (arm, trial id)
        self._of_study: list[_Row] = []
        self._read()

    def _open_experiment(self, artifacts: str) -> str:
        client, name = self._client, text(f"unrolled/{self._study.name}", NAME_LENGTH)
        found = client.get_experiment_by_name(name)
        if found is None:
            number = client.create_experiment(name, None if self._served else artifacts)
        else:
            number = found.experiment_id
            if found.lifecycle_stage == "deleted":
                client.restore_experiment(number)
        client.set_experiment_tag(number, "mlflow.note.content", self._study.note)
        # Without a kind the UI asks for one.
        client.set_experiment_tag(number, "mlflow.experimentKind", "custom_model_development")
        return str(number)

    def _read(self) -> None:
        """Index what is there; delete half-written trials and second copies."""
        for run in self._pages():
            seen, info = run.data.tags, run.info
            role, plan = seen.get("unrolled.role", ""), seen.get("unrolled.plan", "")
            row = _Row(info.run_id, role, info.status, info.start_time, plan)
            cell = (seen.get("unrolled.arm", ""), seen.get("unrolled.trial", ""))
            if role == "study":
                self._of_study.append(row)
            elif role == "trial" and (cell in self._trials or info.status not in ("FINISHED", "FAILED")):
                self._delete(row)
            elif role == "trial":
                self._trials[cell] = row

    def _pages(self) -> Iterator[Any]:
        token = None
        while True:
            page = self._client.search_runs([self._experiment], max_results=1000, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def _delete(self, row: _Row) -> None:
        self._client.delete_run(row.run_id)
        self.removed += 1

    def record(self, arm: str, result: Result) -> bool:
        """Write one trial, unless this very attempt is there. Returns whether it was written."""
        cell = (text(arm, TAG_LENGTH), result.trial.id)
        status = "FINISHED" if result.done else "FAILED"
        there = self._trials.get(cell)
        if there and (there.status, there.start) == (status, milliseconds(result.started)):
            if there.plan != self._plan:
                self._client.set_tag(there.run_id, "unrolled.plan", self._plan)
            return False
        if there:
            self._delete(self._trials.pop(cell))
        self._trials[cell] = self._write(arm, result, status)
        return True

    def _write(self, arm: str, result: Result, status: str) -> _Row:
        from mlflow.entities import Metric, Param

        client, start = self._client, milliseconds(result.started)
        title = f"{text(arm, 200)}/seed={result.trial.seed}"
        run_id = client.create_run(self._experiment, start, tags(self._study, arm, result), title).info.run_id
        metrics = [Metric(*point) for point in points(result) if math.isfinite(point[1])]
        whole = params(arm, result)
        short = [Param(name, text(value, PARAM_LENGTH)) for name, value in whole.items()]
        while metrics or short:
            client.log_batch(run_id, metrics[:METRICS_A_CALL], short[:PARAMS_A_CALL])
            metrics, short = metrics[METRICS_A_CALL:], short[PARAMS_A_CALL:]
        for name, value in whole.items():
            if len(value) > PARAM_LENGTH:
                client.log_text(run_id, value, f"params/{digest(name)[:16]}.txt")
        client.set_terminated(run_id, status, milliseconds(result.started + result.seconds))
        return _Row(run_id, "trial", status, start, self._plan)

    def begin(self, started: float) -> None:
        """Open the study's own run; one that a killed parent left RUNNING is closed as KILLED."""
        start = milliseconds(started)
        for row in [row for row in self._of_study if row.status == "RUNNING"]:
            if (row.plan, row.start) != (self._plan, start):
                self._client.set_terminated(row.run_id, "KILLED")
                self._of_study.remove(row)
        if home := self._home():
            self._client.update_run(home, status="RUNNING")
            return
        facts = {"study": self._study.name, "role": "study", "plan": self._plan}
        marks = {f"unrolled.{name}": text(value, TAG_LENGTH) for name, value in facts.items()}
        marks["mlflow.note.content"] = self._study.note
        title = text(f"study {self._study.name}", NAME_LENGTH)
        run_id = self._client.create_run(self._experiment, start, marks, title).info.run_id
        self._of_study.append(_Row(run_id, "study", "RUNNING", start, self._plan))

    def _home(self) -> str | None:
        """The run that holds this plan's report, if there is one."""
        rows = (row for row in self._of_study if row.plan == self._plan)
        return next((row.run_id for row in rows if row.status in ("RUNNING", "FINISHED")), None)

    def publish(self, folder: Path) -> None:
        """Put report.html, tables and figures into the study's own run. Raises BadInput without a folder."""
        if not folder.is_dir():
            raise BadInput(f"{folder}: there is no such folder to publish; run `unrolled report` first")
        alone = self._home() is None
        if alone:
            self.begin(time.time())
        self._client.log_artifacts(self._home(), str(folder))
        if alone:
            self.finish()

    def finish(self, status: str = "FINISHED", ended: float | None = None) -> None:
        """Close the study's own run, if there is one: FINISHED, FAILED or KILLED."""
        if home := self._home():
            self._client.set_terminated(home, status, None if ended is None else milliseconds(ended))

    def settle(self, results: Iterable[Result]) -> None:
        """Close the study's own run with the times of its trials, as `sync` finds them."""
        started = [(r.started, r.started + r.seconds) for r in results]
        if started:
            self.begin(min(start for start, _ in started))
            self.finish(ended=max(end for _, end in started))

    def link(self, arm: str, trial_id: str) -> str | None:
        """The page of one trial in MLflow's UI: a whole address on a server, else from the UI's root."""
        row = self._trials.get((text(arm, TAG_LENGTH), trial_id))
        root = re.sub(r"//[^/@]*@", "//", self._served).rstrip("/") + "/" if self._served else ""
        return f"{root}#/experiments/{self._experiment}/runs/{row.run_id}" if row else None


def sync(study: StudyFacts, results: Mapping[str, Iterable[Result]], where: str) -> Synced:
    """Bring MLflow level with the ledger's results (by arm), exactly once. Hold the study's lock meanwhile.

    Raises BadInput with the reason when MLflow cannot be read or written.
    """
    settings()
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    cells = [(arm, result) for arm, of_arm in results.items() for result in of_arm]
    try:
        projection = Projection(study, where)
        written = sum(projection.record(arm, result) for arm, result in cells)
        projection.settle(result for _, result in cells)
    except (MlflowException, SQLAlchemyError, ImportError, OSError) as error:
        raise BadInput(
            f"MLflow at {public(where)} cannot be written ({one_line(error)}); "
            "put that right or change MLFLOW_TRACKING_URI, then run `unrolled sync` again"
        ) from error
    return Synced(written, len(cells) - written, projection.removed)
