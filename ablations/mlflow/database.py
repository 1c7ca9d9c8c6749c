"""MLflow's database: its address, its creation, and the environment that MLflow reads.

mlflow is imported inside functions, as that takes a second.
"""

import fcntl
import os
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path

from unrolled.ablations.mlflow.fields import text
from unrolled.bench.errors import BadInput, require

_SCHEMES = {
    "sqlite", "postgresql", "mysql", "mssql", "http", "https", "file", "databricks", "databricks-uc", "uc"
}  # fmt: skip
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
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",  # errors are reported in one line
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # a blind second POST would write a trial twice
}


def set_environment() -> None:
    """Set the environment that MLflow reads on import: no telemetry, no jobs, no pickle, short waits."""
    os.environ.update(_ALWAYS)
    for name in _NEVER:
        os.environ.pop(name, None)
    for name, value in _UNLESS_SET.items():
        os.environ.setdefault(name, value)


def tracking_uri() -> str:
    """Where MLflow keeps its data: $MLFLOW_TRACKING_URI or ./mlflow.db. Raises BadInput on another scheme."""
    where = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    check_address(where, "MLFLOW_TRACKING_URI")
    return where


def check_address(where: str, place: str) -> None:
    """Raise BadInput, naming the place, for an address that is of none of MLflow's stores."""
    scheme = re.match(r"([a-z-]+)(\+\w+)?:", where)
    known = _SCHEMES | {point.name for point in entry_points(group="mlflow.tracking_store")}
    require(
        scheme[1] in known if scheme else where and not where.endswith(".db"),  # a folder, or "databricks"
        f"MLflow has no store for {public(where)!r}",
        place=place,
        cure="use e.g. sqlite:///mlflow.db or http://127.0.0.1:5000",
    )


def sqlite_path(where: str) -> Path | None:
    """The database's file, or None where it is another kind of store."""
    path = where.removeprefix("sqlite:///").partition("?")[0]
    return Path(path) if where.startswith("sqlite:///") and path not in ("", ":memory:") else None


def artifacts_uri(where: str) -> str:
    """The folder mlartifacts beside the database (or here), as a URI."""
    path = sqlite_path(where)
    return ((path.parent if path else Path()) / "mlartifacts").resolve().as_uri()


def prepare(where: str) -> None:
    """Import mlflow, and create the SQLite database if there is none.

    It is created under another name first: one killed in its migration stays broken. Raises OSError for one
    that cannot be opened or created, which MLflow would try for half a minute.
    """
    set_environment()
    from mlflow import MlflowClient

    path = sqlite_path(where)
    if path is None:
        return
    if path.exists():
        path.open("rb").close()
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone_in(path.parent):
        if not path.exists():
            for left in path.parent.glob(f".{path.name}.*.new*"):  # and its journal
                left.unlink()
            draft = path.with_name(f".{path.name}.{time.time_ns()}.new")
            draft.touch()
            MlflowClient(tracking_uri=f"sqlite:///{draft}").search_experiments(max_results=1)
            draft.rename(path)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which ends with this process."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def public(where: str) -> str:
    """A text with its addresses cut where credentials may be: no user, parameters, query, nor fragment.

    An error may quote the end of an address alone, which is cut, too.
    """
    where = re.sub(r"//(?:[^/@\s:]+:(?!\d+/)\S*|[^/\s]*)@", "//…@", where)
    where = re.sub(r"(\w://[^\s?#;]*)\S*", r"\1", where)
    where = re.sub(r"( url: /[^\s?#;]*)[?#;]\S*", r"\1", where)  # as urllib3 has it
    return re.sub(r"[?;&][\w.-]+=\S*", "", where)


def one_line(error: Exception) -> str:
    """The first line of an error, without credentials and SQLAlchemy's advice on its autoflush."""
    message = re.sub(r"^\(raised as a result of .*?\)\s*", "", str(error).strip())
    first = (message or type(error).__name__).splitlines()[0]
    return text(public(first), 300)


@contextmanager
def translate_errors(where: str, how: str, again: str = "") -> Iterator[None]:
    """Turn what MLflow or its database raises into BadInput with the reason.

    `again` is the subcommand to run once more.
    """
    set_environment()
    try:
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError
    except ImportError as error:
        raise BadInput(f"MLflow cannot be imported ({one_line(error)})") from error
    then = f", then run `unrolled {again}` again" if again else ""
    try:
        yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error, ImportError, OSError) as error:
        if "Max retries exceeded" in str(error):  # of urllib3
            raise BadInput(
                "nothing answers",
                place=f"MLflow at {public(where)}",
                cure=f"start it (`make ui`), or correct the address{then}",
            ) from error
        cure = "install that" if isinstance(error, ImportError) else "correct the address"
        cure = f"put that right or change MLFLOW_TRACKING_URI{then}" if again else cure
        raise BadInput(f"MLflow at {public(where)} cannot be {how} ({one_line(error)})", cure=cure) from error
