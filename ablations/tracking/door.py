"""MLflow's application as our server runs it: behind a door, in the server's own processes.

MLflow's server finds it by its entry point (`--app-name unrolled`).
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

CLOSED = re.compile(
    r"/gateway/|/(ajax-)?api/\d\.\d/(mlflow/)?"
    r"(assistant|demo|gateway|genai|jobs|prompt-optimization|scorers?|webhooks)(?![\w-])"
)
"""Paths that run programs or send requests on behalf of whoever reaches the port."""

FIRST_LOOK = """<script>
for (const [key, value] of Object.entries({
  "mlflow.workflowType_v1": '"machine_learning"',
  "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true",
  "mlflow.settings.telemetry.enabled_v1": "false",
  "mlflow.telemetry.info.alert.dismissed_v1": "true",
})) if (localStorage.getItem(key) === null) localStorage.setItem(key, value)
</script>"""
"""What a browser is told that has no choices of its own yet: training, no assistant, no telemetry."""


def app() -> Callable[..., Any]:
    """MLflow's application less what is `CLOSED`, and with artifacts in no folder but the server's."""
    import mlflow.server
    from mlflow.exceptions import MlflowException
    from mlflow.server.fastapi_app import app as whole
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from starlette.responses import HTMLResponse, PlainTextResponse
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
        page.replace("<head>", f"<head>{FIRST_LOOK}", 1), headers={"Cache-Control": "no-cache"}
    )
    whole.router.routes.insert(0, Route("/", lambda request: first))  # behind the guards

    async def door(scope: Any, receive: Any, send: Any) -> None:
        closed = scope["type"] == "http" and CLOSED.match(scope["path"])
        await (PlainTextResponse("closed here", 404) if closed else whole)(scope, receive, send)

    return door
