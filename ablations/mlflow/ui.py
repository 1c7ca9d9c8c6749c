"""`unrolled ui`: MLflow's own pages for this project's database, on 127.0.0.1 alone."""

import os
import socket
import sys

from unrolled.ablations.mlflow import views
from unrolled.ablations.mlflow.database import (
    find_tracking_uri,
    hide_credentials,
    make_artifacts_uri,
    prepare_database,
    set_environment,
    translate_errors,
)
from unrolled.ablations.mlflow.experiment import list_studies
from unrolled.bench.errors import BadInput
from unrolled.bench.phrases import make_visible


def show_ui(port: int) -> int:
    """Print each study's address and replace this process by `mlflow ui`. Raises BadInput."""
    uri = find_tracking_uri()
    command = make_ui_command(uri, port)
    _require_free_port(port)
    root = f"http://127.0.0.1:{port}/"
    with translate_errors(uri, "read"):
        prepare_database(uri)
        studies = list_studies(uri)
    print(f"MLflow: {root}{views.HOME} (Ctrl-C ends it)")
    for name, experiment_id in studies.items():
        print(f"{make_visible(name)}: {root}{views.make_view_link(experiment_id, views.ARMS)}")
    sys.stdout.flush()
    # with -m alone, Python would import a user's own mlflow.py from the working folder
    os.execve(command[0], command, {**os.environ, "PYTHONSAFEPATH": "1"})


def make_ui_command(uri: str, port: int) -> list[str]:
    """Return the command that shows a database at http://127.0.0.1:port; set the environment that it needs.

    Raises BadInput if a server keeps the data. MLflow answers under no other host name that leads here (DNS
    rebinding), and accepts no requests from pages of other hosts.
    """
    if uri.startswith("http"):
        rule = f"{hide_credentials(uri)} is a server already"
        raise BadInput(rule, place="MLFLOW_TRACKING_URI", cure="open it in a browser")
    set_environment()
    options = {
        "backend-store-uri": uri,
        "default-artifact-root": make_artifacts_uri(uri),
        "host": "127.0.0.1",
        "port": str(port),
        "workers": "1",
        "allowed-hosts": f"127.0.0.1:{port},localhost:{port}",
        "cors-allowed-origins": f"http://127.0.0.1:{port}",
        # without --app-dir, uvicorn would put the working folder first on its module path; with a lifespan,
        # which serves MLflow's assistant alone, Ctrl-C could end in a traceback
        "uvicorn-opts": "--no-access-log --timeout-graceful-shutdown 5 --lifespan off"
        f" --app-dir {os.devnull}",
    }
    flags = [word for name, value in options.items() for word in (f"--{name}", value)]
    return [sys.executable, "-m", "mlflow", "ui", *flags]


def _require_free_port(port: int) -> None:
    """Raise BadInput if the port is in use on this machine."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        reason = os.strerror(error.errno or 0)  # asyncio's message repeats the address
        raise BadInput(reason, place=f"--port {port}", cure="choose another one") from error
