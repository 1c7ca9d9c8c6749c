"""MLflow's application reduced to what is open: its routes, and requests to its real server."""

import json
import re
import uuid
from functools import partial
from urllib.parse import quote

import mlflow_writers
import pytest

from ablations.tracking.mlflow_app import is_open

# Of Starlette, which MLflow 3.17 uses.
pytestmark = pytest.mark.filterwarnings("ignore:starlette.middleware.wsgi is deprecated")


# the routes of the installed MLflow

REFUSED = {
    "runs programs": """
        mlflow/assistant jobs mlflow/jobs mlflow/scorer mlflow/scorers mlflow/genai
        mlflow/prompt-optimization""",
    "sends requests to other servers": """
        /gateway mlflow/gateway POST:mlflow/gateway-proxy mlflow/webhooks mlflow/mcp-servers""",
    "traces of language models and their evaluation": """
        /v1/traces mlflow/traces mlflow/unified-traces mlflow/get-online-trace-details
        mlflow/get-trace-artifact mlflow/datasets mlflow/demo mlflow/issues mlflow/label-schemas
        mlflow/review-queues mlflow/runs/create-promptlab-run""",
    "registers models": """
        mlflow/registered-models mlflow/model-versions /model-versions mlflow/logged-models
        mlflow/runs/log-model mlflow/runs/outputs""",
    "manages users or tells others about them": "mlflow/workspaces mlflow/ui-telemetry",
    "a second way to what is open": """
        mlflow/upload-artifact mlflow/artifacts/presigned-download-url mlflow/artifacts/presigned-upload-url
        mlflow-artifacts/presigned mlflow-artifacts/mpu /build mlflow/experiments/search-datasets""",
    "not used": "DELETE:mlflow-artifacts/artifacts GET:/graphql",
}
"""Routes that neither the UI of training nor our clients need, by what they do; API prefixes are left out."""

NAMES = [name for names in REFUSED.values() for name in names.split()]


def routes():
    """Each (method, path) that the installed MLflow answers: FastAPI's, then those of Flask behind it."""
    from fastapi.routing import iter_route_contexts
    from mlflow.server import app as flask
    from mlflow.server.fastapi_app import app as fastapi
    from starlette.routing import Mount

    for route in iter_route_contexts(fastapi.routes):
        if isinstance(route.original_route, Mount):
            assert route.original_route.path == ""  # Flask's, below
        else:
            yield from ((method, route.path) for method in route.methods or ["no method"])
    for rule in flask.url_map.iter_rules():
        yield from ((method, rule.rule) for method in rule.methods - {"HEAD", "OPTIONS"})


def is_named(name, method, path):
    only, _, start = name.rpartition(":")
    short = re.sub(r"^/(ajax-)?api/[23]\.0/?", "", path)
    return only in ("", method) and f"{short}/".startswith(f"{start}/")


def test_every_route_of_the_installed_mlflow_is_open_or_refused_by_name():
    """Where this fails, MLflow has a route that nobody here has looked at: open it, or name it above."""
    found = set(routes())
    opened = {(method, path) for method, path in found if is_open(method, re.sub(r"[<{].+?[>}]", "a", path))}
    strange = {route for route in found - opened if not any(is_named(name, *route) for name in NAMES)}
    assert sorted(strange) == []
    assert {("GET", "/health"), ("POST", "/graphql")} < opened  # FastAPI's and Flask's


def test_what_is_refused_by_name_is_there():
    found = set(routes())
    assert [name for name in NAMES if not any(is_named(name, *route) for route in found)] == []


def test_graphql_only_reads():
    from mlflow.server.graphql.graphql_schema_extensions import schema

    kinds = schema.graphql_schema.query_type, schema.graphql_schema.mutation_type
    assert {name for kind in kinds for name in kind.fields} == {
        "mlflowGetExperiment", "mlflowGetMetricHistoryBulkInterval", "mlflowGetRun", "mlflowListArtifacts",
        "mlflowSearchDatasets", "mlflowSearchModelVersions", "mlflowSearchRuns", "test", "testMutation",
    }  # fmt: skip
    assert schema.graphql_schema.subscription_type is None


# requests to a running server

CLOSED = (404, "closed here")
API = "/ajax-api/2.0/mlflow"


@pytest.fixture(scope="module")
def ask(ui_of, template, tmp_path_factory):
    """`mlflow_writers.ask` a server of these tests."""
    database = tmp_path_factory.mktemp("app") / "mlflow.db"
    database.write_bytes(template.read_bytes())
    with pytest.MonkeyPatch.context() as patch, ui_of(database) as start:
        patch.setenv("MLFLOW_DEPLOYMENTS_TARGET", "http://127.0.0.1:9")  # where MLflow's gateway would ask
        start()
        yield partial(mlflow_writers.ask, start.address)


@pytest.fixture(scope="module")
def run(ask):
    """What MLflow tells of a run of its own experiment."""
    experiment = json.loads(ask("POST", f"{API}/experiments/create", {"name": "attacked"})[1])
    return json.loads(ask("POST", f"{API}/runs/create", experiment)[1])["run"]["info"]


@pytest.fixture
def elsewhere(tmp_path):
    """A folder that is not MLflow's, with files of the names that MLflow reads for a trace."""
    (tmp_path / "attachments").mkdir()
    for name in ("secret.txt", "traces.json", f"attachments/{uuid.UUID(int=0)}"):
        (tmp_path / name).write_text("top secret")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [
        "ajax-api/3.0/mlflow/assistant/providers",
        "ajax-api/3.0/mlflow/jobs/search",
        "ajax-api/3.0/jobs/",
        "ajax-api/3.0/mlflow/gateway/endpoints/list",
        "gateway/any/mlflow/invocations",
        "api/2.0/mlflow/webhooks",
        "api/3.0/mlflow/scorers/list",
        "v1/traces",
    ],
)
def test_what_runs_programs_or_sends_requests_is_closed_however_it_is_spelt(ask, path):
    first, *rest = path
    spellings = [
        f"/{path}", f"//{path}", f"///{path}", f"/{path}/", f"/{path}//", f"/{path.replace('/', '//')}",
        f"/./{path}", f"/health/../{path}", f"/static-files/../{path}", f"/static-files/%2e%2e/{path}",
        f"/static-files/..%2f{path}", f"/static-files//{path}", f"/%{ord(first):x}{''.join(rest)}",
        f"/{path.replace('/', '%2f')}", f"/%2f{path}", f"/\\{path}", f"/{path}%00", f"/{path};a",
        f"/{path}?a=/health", f"/{path.upper()}", f"http://127.0.0.1/{path}", f"http://127.0.0.1//{path}",
    ]  # fmt: skip
    said = {(method, spelt): ask(method, spelt) for method in ("GET", "POST") for spelt in spellings}
    assert {request: answer for request, answer in said.items() if answer != CLOSED} == {}


@pytest.mark.slow
def test_the_gateway_passes_nothing_on(ask):
    for query in ("", "?gateway_path=api/2.0/endpoints/"):
        assert ask("GET", f"{API}/gateway-proxy{query}") == (200, '{"endpoints":[]}')
        assert ask("GET", f"/{API}/gateway-proxy{query}") == CLOSED
        assert ask("GET", f"{API}/gateway-proxy/{query}") == CLOSED
    assert ask("POST", f"{API}/gateway-proxy", {"gateway_path": "api/2.0/endpoints/"}) == CLOSED


@pytest.mark.slow
def test_a_trace_cannot_say_which_folder_its_files_are_read_from(ask, run, elsewhere):
    """MLflow itself hands out a trace's files from any folder that a tag of the trace names."""
    where = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": run["experiment_id"]}}
    about = {
        "trace_id": "tr-1",
        "trace_location": where,
        "request_time": "2026-01-01T00:00:00Z",
        "state": "OK",
    }
    said = [ask("POST", "/api/3.0/mlflow/traces", {"trace": {"trace_info": about}})]
    for version in ("2.0", "3.0"):
        tag = {"key": "mlflow.artifactLocation", "value": elsewhere.as_uri()}
        file = f"/ajax-api/{version}/mlflow/get-trace-artifact?request_id=tr-1"
        said.append(ask("PATCH", f"/api/{version}/mlflow/traces/tr-1/tags", tag))
        said += [ask("GET", file), ask("GET", f"{file}&path={uuid.UUID(int=0)}")]
    assert set(said) == {CLOSED}


@pytest.mark.slow
def test_no_field_and_no_tag_moves_the_artifacts_of_a_run(ask, run, elsewhere):
    uri = elsewhere.as_uri()
    tag, run_id, experiment = (
        {"key": "mlflow.artifactLocation", "value": uri},
        run["run_id"],
        run["experiment_id"],
    )
    requests = {
        "runs/set-tag": {"run_id": run_id, **tag},
        "runs/update": {"run_id": run_id, "artifact_uri": uri},
        "experiments/set-experiment-tag": {"experiment_id": experiment, **tag},
        "experiments/update": {"experiment_id": experiment, "new_name": "moved", "artifact_location": uri},
    }
    for path, body in requests.items():
        assert ask("POST", f"{API}/{path}", body)[0] == 200
    new = ask("POST", f"{API}/runs/create", {"experiment_id": experiment, "artifact_uri": uri, "tags": [tag]})
    for info in (run, json.loads(new[1])["run"]["info"]):
        assert uri not in ask("GET", f"{API}/artifacts/list?run_id={info['run_id']}")[1]
        assert ask("GET", f"/get-artifact?run_id={info['run_id']}&path=secret.txt")[0] == 404
    model = {"name": "model", "source": uri, "run_id": run_id}
    assert ask("POST", f"{API}/registered-models/create", model) == CLOSED
    assert ask("POST", f"{API}/model-versions/create", model) == CLOSED
    assert ask("GET", "/model-versions/get-artifact?name=model&version=1&path=secret.txt") == CLOSED


@pytest.mark.slow
def test_no_path_leads_out_of_the_artifacts(ask, run, elsewhere):
    before = sorted(elsewhere.rglob("*"))
    up = "../" * 12 + str(elsewhere)[1:]
    folders = [
        str(elsewhere), f"/{elsewhere}", elsewhere.as_uri(), f"file:{elsewhere}", up, f"a/{up}", f"./{up}",
        f"file:{up}", quote(up, safe=""), quote(quote(up, safe=""), safe=""), up.replace("/", "\\"),
    ]  # fmt: skip
    said = {}
    for folder in folders:
        whole, parts = quote(folder, safe=""), quote(folder, safe="/%")  # in a query, in a path
        said[folder] = [
            ask("GET", f"/get-artifact?run_id={run['run_id']}&path={whole}%2Fsecret.txt"),
            ask("GET", f"{API}/artifacts/list?run_id={run['run_id']}&path={whole}"),
            ask("GET", f"{API}-artifacts/artifacts?path={whole}"),
        ]
        for inside in (whole, parts):
            said[folder] += [
                ask("GET", f"{API}-artifacts/artifacts/{inside}/secret.txt"),
                ask("GET", f"/static-files/{inside}/secret.txt"),
                ask("PUT", f"{API}-artifacts/artifacts/{inside}/written", {}),
            ]
    assert {folder for folder, answers in said.items() if "top secret" in str(answers)} == set()
    assert {folder for folder, answers in said.items() if "attachments" in str(answers)} == set()
    assert sorted(elsewhere.rglob("*")) == before
