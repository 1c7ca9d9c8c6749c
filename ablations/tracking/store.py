"""Where MLflow keeps its data: the address, a database that is whole, the environment that MLflow reads.

mlflow is imported inside `create_whole` alone.
"""

import fcntl
import os
import re
import time
from importlib.metadata import entry_points
from pathlib import Path

from ablations.tracking.entry import text
from bench.trial import BadInput

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
    "MLFLOW_SERVER_ENABLE_CUSTOM_SCORERS": "false",
    "MLFLOW_ENABLE_AI_GATEWAY": "false",
    "MLFLOW_ENABLE_REMOTE_ASSISTANT": "false",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # two lines a trial, into the progress
}
_NEVER = (
    "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE",  # any value, even "false", disables it
    "MLFLOW_DEPLOYMENTS_TARGET",  # MLflow's server would send requests there
)
_UNLESS_SET = {
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",  # trouble is told in one line of ours instead
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # a blind second POST would write a trial twice
}


def settings() -> None:
    """Set the environment that MLflow reads on import: no telemetry, no jobs, no pickle, short waits."""
    os.environ.update(_ALWAYS)
    for name in _NEVER:
        os.environ.pop(name, None)
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


def sqlite_path(where: str) -> Path | None:
    """The database's file, or None where it is another kind of store."""
    path = where.removeprefix("sqlite:///").partition("?")[0]
    return Path(path) if where.startswith("sqlite:///") and path not in ("", ":memory:") else None


def artifacts(where: str) -> str:
    """The folder mlartifacts beside the database (or here), as a URI."""
    path = sqlite_path(where)
    return ((path.parent if path else Path()) / "mlartifacts").absolute().as_uri()


def create_whole(where: str) -> None:
    """Create the SQLite database under another name first: one killed in its migration stays broken."""
    path = sqlite_path(where)
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
