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

from unrolled.ablations.mlflow.fields import fit_text
from unrolled.bench.errors import BadInput, require

_SCHEMES = {
    "sqlite", "postgresql", "mysql", "mssql", "http", "https", "file", "databricks", "databricks-uc", "uc"
}  # fmt: skip
_REQUIRED_VARIABLES = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_SERVER_JOB_ENABLE_PERIODIC_TASKS": "false",
    "MLFLOW_SERVER_ENABLE_CUSTOM_SCORERS": "false",
    "MLFLOW_ENABLE_AI_GATEWAY": "false",
    "MLFLOW_ENABLE_REMOTE_ASSISTANT": "false",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # two lines a trial would clutter the progress
}
_FORBIDDEN_VARIABLES = (
    "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE",  # any value, even "false", disables it
    "MLFLOW_DEPLOYMENTS_TARGET",  # MLflow's server would send requests there
)
_DEFAULT_VARIABLES = {
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",  # errors are reported in one line
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # a blind second POST would write a trial twice
}


def set_environment() -> None:
    """Set the environment that MLflow reads on import: no telemetry, no jobs, no pickle, short waits."""
    os.environ.update(_REQUIRED_VARIABLES)
    for name in _FORBIDDEN_VARIABLES:
        os.environ.pop(name, None)
    for name, value in _DEFAULT_VARIABLES.items():
        os.environ.setdefault(name, value)


def find_tracking_uri() -> str:
    """Return $MLFLOW_TRACKING_URI, or else the URI of ./mlflow.db. Raises BadInput for an unknown scheme."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    check_uri(uri, "MLFLOW_TRACKING_URI")
    return uri


def check_uri(uri: str, place: str) -> None:
    """Raise BadInput, naming the place, for an address that is of none of MLflow's stores."""
    scheme = re.match(r"([a-z-]+)(\+\w+)?:", uri)
    schemes = _SCHEMES | {point.name for point in entry_points(group="mlflow.tracking_store")}
    require(
        scheme[1] in schemes if scheme else uri and not uri.endswith(".db"),  # a folder, or "databricks"
        f"MLflow has no store for {hide_credentials(uri)!r}",
        place=place,
        cure="use e.g. sqlite:///mlflow.db or http://127.0.0.1:5000",
    )


def find_sqlite_path(uri: str) -> Path | None:
    """Return the file of an SQLite database; None for another store."""
    path = uri.removeprefix("sqlite:///").partition("?")[0]
    return Path(path) if uri.startswith("sqlite:///") and path not in ("", ":memory:") else None


def make_artifacts_uri(uri: str) -> str:
    """Return the folder mlartifacts beside the database (or here), as a URI."""
    path = find_sqlite_path(uri)
    folder = path.parent if path else Path()
    return (folder / "mlartifacts").resolve().as_uri()


def prepare_database(uri: str) -> None:
    """Import mlflow, and create the SQLite database if there is none.

    The database is created under another name first: a database killed in its migration stays broken. Raises
    OSError if it cannot be opened or created, which MLflow would try for half a minute.
    """
    set_environment()
    from mlflow import MlflowClient

    path = find_sqlite_path(uri)
    if path is None:
        return
    if path.exists():
        path.open("rb").close()
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # the lock ends with this process
        if not path.exists():
            # drafts of killed processes, with their journals
            for draft in path.parent.glob(f".{path.name}.*.new*"):
                draft.unlink()
            draft = path.with_name(f".{path.name}.{time.time_ns()}.new")
            draft.touch()
            MlflowClient(tracking_uri=f"sqlite:///{draft}").search_experiments(max_results=1)
            draft.rename(path)
    finally:
        os.close(folder)


def hide_credentials(text: str) -> str:
    """Shorten the addresses in a text that may hold credentials: drop user, parameters, query and fragment.

    The text of an error may have only the end of an address. Its parameters and query are dropped, too.
    """
    text = re.sub(r"//(?:[^/@\s:]+:(?!\d+/)\S*|[^/\s]*)@", "//…@", text)
    text = re.sub(r"(\w://[^\s?#;]*)\S*", r"\1", text)
    text = re.sub(r"( url: /[^\s?#;]*)[?#;]\S*", r"\1", text)  # the form that urllib3 uses
    return re.sub(r"[?;&][\w.-]+=\S*", "", text)


def shorten_error(error: Exception) -> str:
    """Return the first line of an error's message, without credentials and without SQLAlchemy's advice."""
    message = re.sub(r"^\(raised as a result of .*?\)\s*", "", str(error).strip())
    first = (message or type(error).__name__).splitlines()[0]
    return fit_text(hide_credentials(first), 300)


@contextmanager
def translate_errors(uri: str, action: str, command: str = "") -> Iterator[None]:
    """Turn the errors of MLflow and its database into BadInput, within the block.

    `action` is what the block does ("read"), `command` the subcommand to run once more.
    """
    set_environment()
    try:
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError
    except ImportError as error:
        raise BadInput(f"MLflow cannot be imported ({shorten_error(error)})") from error
    place = f"MLflow at {hide_credentials(uri)}"
    next_step = f", then run `unrolled {command}` again" if command else ""
    try:
        yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error, ImportError, OSError) as error:
        if "Max retries exceeded" in str(error):  # the message of urllib3
            raise BadInput(
                "nothing answers",
                place=place,
                cure=f"start it (`make ui`), or correct the address{next_step}",
            ) from error
        if command:
            cure = f"put that right or change MLFLOW_TRACKING_URI{next_step}"
        else:
            cure = "install that" if isinstance(error, ImportError) else "correct the address"
        raise BadInput(f"{place} cannot be {action} ({shorten_error(error)})", cure=cure) from error
