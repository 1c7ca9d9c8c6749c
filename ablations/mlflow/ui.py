"""`unrolled ui`: MLflow's own pages for this project's database, on 127.0.0.1 alone."""

import os
import socket
import sys

from unrolled.ablations.mlflow import views
from unrolled.ablations.mlflow.database import (
    artifacts_uri,
    prepare,
    public,
    set_environment,
    tracking_uri,
    translate_errors,
)
from unrolled.ablations.mlflow.experiment import studies
from unrolled.bench.errors import BadInput, visible


def ui(port: int) -> int:
    """Print each study's address and replace this process by `mlflow ui`. Raises BadInput."""
    where = tracking_uri()
    command = ui_command(where, port)
    _check_free(port)
    root = f"http://127.0.0.1:{port}/"
    with translate_errors(where, "read"):
        prepare(where)
        addresses = {name: views.view_link(number, views.ARMS) for name, number in studies(where)}
    print(f"MLflow: {root}{views.HOME} (Ctrl-C ends it)")
    for name, address in addresses.items():
        print(f"{visible(name)}: {root}{address}")
    sys.stdout.flush()
    # -m would otherwise import a user's own mlflow.py from the working folder
    os.execve(command[0], command, {**os.environ, "PYTHONSAFEPATH": "1"})


def ui_command(where: str, port: int) -> list[str]:
    """The command that shows a database at http://127.0.0.1:port; sets the environment that it needs.

    Raises BadInput where a server keeps the data. MLflow answers no other host name that leads here (DNS
    rebinding), and takes nothing from pages of other hosts.
    """
    if where.startswith("http"):
        raise BadInput(
            f"{public(where)} is a server already", place="MLFLOW_TRACKING_URI", cure="open it in a browser"
        )
    set_environment()
    options = {
        "backend-store-uri": where,
        "default-artifact-root": artifacts_uri(where),
        "host": "127.0.0.1",
        "port": str(port),
        "workers": "1",
        "allowed-hosts": f"127.0.0.1:{port},localhost:{port}",
        "cors-allowed-origins": f"http://127.0.0.1:{port}",
        # without --app-dir uvicorn would put the working folder first on its module path
        "uvicorn-opts": f"--no-access-log --timeout-graceful-shutdown 5 --app-dir {os.devnull}",
    }
    flags = [word for name, value in options.items() for word in (f"--{name}", value)]
    return [sys.executable, "-m", "mlflow", "ui", *flags]


def _check_free(port: int) -> None:
    """Raise BadInput if the port is in use on this machine."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        why = os.strerror(error.errno or 0)  # asyncio's message repeats the address
        raise BadInput(why, place=f"--port {port}", cure="choose another one") from error
