"""MLflow's web application, reduced to the requests of the UI and of this project's clients.

MLflow's server finds it by its entry point (`--app-name unrolled`).
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ablations.tracking.browsing import first_table

_API = r"/(?:ajax-)?api/2\.0/mlflow"
_PATH = r"(?:/(?!\.{1,2}(?:/|\Z))[^/\\\x00-\x1f\x7f]+)+"  # no empty segment, no "." or ".."

OPEN = re.compile(
    rf"""
    # the page, its scripts, and whether the server is up; the client asks for the server's features
      GET\ (?: / | /static-files{_PATH} | /health | /version | /(?:ajax-)?api/3\.0/mlflow/server-info )
    # studies: written by a projection; the UI also renames, deletes and restores them
    | GET\ {_API}/experiments/(?: get | get-by-name | search )
    | POST\ {_API}/experiments/(?: create | search | update | delete | restore | search-datasets
        | set-experiment-tag | delete-experiment-tag )
    # trials: written by a projection; the UI also renames, tags, deletes and restores them
    | GET\ {_API}/runs/get
    | POST\ {_API}/runs/(?: create | search | update | delete | restore | set-tag | delete-tag
        | log-batch | log-inputs | log-metric | log-parameter )
    # curves: one metric, of one run or of many
    | GET\ {_API}/metrics/get-history(?: -bulk(?: -interval )? )?
    # reports and long parameters; MLflow keeps both below the folder of the run or of the server
    | GET\ (?: /get-artifact | {_API}/artifacts/list | {_API}-artifacts/artifacts )
    | (?: GET | PUT )\ {_API}-artifacts/artifacts{_PATH}
    # what a run's page asks in one go; fields that only read
    | POST\ /graphql
    # asked by the pages of a study and of a run: empty, since nothing can be registered or traced
    | GET\ {_API}/(?: model-versions | registered-models )/search
    | POST\ (?: {_API}/logged-models/search | /ajax-api/3\.0/mlflow/traces/(?: search | metrics ) )
    # answered below, never by MLflow, which may pass it on: else the list of trials shows an error
    | GET\ /ajax-api/2\.0/mlflow/gateway-proxy
    """,
    re.VERBOSE,
)
"""The requests that are answered, as `METHOD /path` with the path decoded; all others are closed."""

FIRST_LOOK = """<script>
for (const [key, value] of Object.entries({
  "mlflow.workflowType_v1": '"machine_learning"',
  "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true",
  "mlflow.settings.telemetry.enabled_v1": "false",
  "mlflow.telemetry.info.alert.dismissed_v1": "true",
})) if (localStorage.getItem(key) === null) localStorage.setItem(key, value)
const stored = Storage.prototype.getItem
Storage.prototype.getItem = function (key) {
  return stored.call(this, key) ?? (/-ExperimentPage-.*-ReactComponentState$/.test(key) ? TABLE : null)
}
</script>"""
"""Defaults for a browser without settings of its own: training, no assistant, no telemetry, and TABLE."""

HEADERS = {
    "Cache-Control": "no-cache",
    # nothing from other hosts: MLflow's empty pages would fetch pictures and films
    "Content-Security-Policy": "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:",
}
"""Headers of the page, which hold for all that it loads."""


def is_open(method: str, path: str) -> bool:
    """Whether a request is allowed. `path` is percent-decoded once, as ASGI's `scope["path"]` is.

    The path is compared literally. A doubled or trailing slash or a dot segment is refused, since MLflow's
    router may resolve it to another path.
    """
    return OPEN.fullmatch(f"{method} {path}") is not None


def app() -> Callable[..., Any]:
    """MLflow's application for requests that are `OPEN`, with artifacts in no folder but the server's."""
    import mlflow.server
    from mlflow.exceptions import MlflowException
    from mlflow.server.fastapi_app import app as whole
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse
    from starlette.routing import Route

    create = SqlAlchemyStore.create_experiment

    def create_here(
        self: Any, name: str, artifact_location: str | None = None, *rest: Any, **more: Any
    ) -> Any:
        if artifact_location:  # MLflow would serve, and write to, any folder that its user can reach
            raise MlflowException.invalid_parameter_value("this server keeps artifacts in its own folder")
        return create(self, name, artifact_location, *rest, **more)

    SqlAlchemyStore.create_experiment = create_here
    page = (Path(mlflow.server.__file__).parent / "js/build/index.html").read_text("utf-8")
    first = HTMLResponse(
        page.replace("<head>", f"<head>{FIRST_LOOK.replace('TABLE', repr(first_table()))}", 1),
        headers=HEADERS,
    )
    whole.router.routes[:0] = [  # behind MLflow's checks of hosts and origins
        Route("/", lambda request: first),
        Route("/ajax-api/2.0/mlflow/gateway-proxy", lambda request: JSONResponse({"endpoints": []})),
    ]

    async def reduced(scope: Any, receive: Any, send: Any) -> None:
        closed = scope["type"] != "lifespan" and not is_open(scope.get("method", ""), scope["path"])
        await (PlainTextResponse("closed here", 404) if closed else whole)(scope, receive, send)

    return reduced
