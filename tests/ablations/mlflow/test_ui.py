"""`unrolled ui`: stock MLflow on this project's database, and what a web page can do to it."""

import http.client
from pathlib import Path

import pytest

from tests.helpers.command_call import refuse_command
from tests.helpers.command_process import COMMAND, make_environment
from tests.helpers.mlflow_writers import send_request
from tests.helpers.stub_results import build_plan, write_to_mlflow
from unrolled.ablations.mlflow.ui import make_ui_command
from unrolled.bench.errors import BadInput

CREATE = ("POST", "/api/2.0/mlflow/experiments/create")


@pytest.fixture(scope="module")
def server(serve, make_result, tmp_path_factory):
    """Serve a database of two studies by the command, in a folder with a user's own modules."""
    folder = tmp_path_factory.mktemp("served")
    for name in ("mlflow.py", "uvicorn.py", "types.py"):
        (folder / name).write_text("import os\nopen('executed', 'w').close()\nos._exit(1)\n")
    variables = make_environment(folder)
    for name in ("widths", "rates"):
        write_to_mlflow(
            build_plan(study=name), {"baseline": [make_result()]}, f"sqlite:///{folder}/mlflow.db"
        )
    with serve(folder / "mlflow.db", COMMAND, "ui", variables=variables) as mlflow_server:
        yield mlflow_server


@pytest.mark.slow
def test_it_prints_one_address_a_study_and_serves_it_there(server):
    main_page, *studies = map(str.split, server.log.read_text().splitlines()[:3])
    assert main_page[1].startswith(f"{server.address}/#/experiments?")
    view = "workflowType=machine_learning&viewStateShareKey=by-arm"
    assert studies == [
        [f"{name}:", f"{server.address}/#/experiments/{number}/runs?{view}"]
        for number, name in enumerate(("widths", "rates"), start=1)
    ]
    status, experiment = send_request(
        server.address, "GET", "/api/2.0/mlflow/experiments/get?experiment_id=2"
    )
    assert status == 200 and "mlflow.sharedViewState.by-arm" in experiment


@pytest.mark.slow
def test_it_imports_nothing_from_the_working_folder(server):
    assert server.log.exists() and not (server.log.parent / "executed").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "host", ["evil.example", "10.0.0.1:{port}", "192.168.0.1", "127.0.0.1:1", "[::1]:{port}"]
)
@pytest.mark.parametrize(
    "path", ["/", "/ajax-api/2.0/mlflow/experiments/search?max_results=9", "/get-artifact"]
)
def test_a_name_that_was_bent_to_this_machine_is_refused(server, host, path):
    """DNS rebinding; stock MLflow takes every private address."""
    assert send_request(server.address, "GET", path, Host=host.format(port=server.port))[0] == 403


@pytest.mark.slow
def test_a_page_of_another_host_writes_nothing_and_reads_nothing(server):
    origin = "http://evil.example"
    for method, path in (
        CREATE,
        ("POST", "/ajax-api/2.0/mlflow/runs/search"),
        ("PUT", "/ajax-api/2.0/mlflow-artifacts/artifacts/x"),
        ("PATCH", "/ajax-api/3.0/mlflow/traces/x/tags"),
        ("DELETE", "/ajax-api/2.0/mlflow/experiments/delete-tag"),
    ):
        assert send_request(server.address, method, path, {"name": "theirs"}, Origin=origin)[0] == 403
    search = "/api/2.0/mlflow/experiments/search?max_results=9"
    assert "theirs" not in send_request(server.address, "GET", search)[1]
    for method, headers in (("GET", {}), ("OPTIONS", {"Access-Control-Request-Method": "POST"})):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.request(method, search, headers={"Origin": origin, **headers})
        answer = connection.getresponse()
        assert answer.headers["Access-Control-Allow-Origin"] is None  # so that its browser hides the answer
        connection.close()


@pytest.mark.slow
def test_its_own_page_and_clients_are_served(server):
    for host in ("127.0.0.1", "localhost"):
        assert send_request(server.address, "GET", "/", Host=f"{host}:{server.port}")[0] == 200
    assert send_request(server.address, *CREATE, {"name": "ours"}, Origin=server.address)[0] == 200
    assert send_request(server.address, *CREATE, {"name": "also ours"})[0] == 200


@pytest.mark.slow
def test_only_this_machine_is_served(server):
    addresses = {line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]}
    assert f"0100007F:{server.port:04X}" in addresses  # 127.0.0.1, as proc(5) writes it
    assert f"00000000:{server.port:04X}" not in addresses


def test_a_server_needs_no_second_server():
    with pytest.raises(BadInput) as excinfo:
        make_ui_command("http://user:secret@host:5000", 5000)
    assert excinfo.value.place == "MLFLOW_TRACKING_URI"
    assert "secret" not in str(excinfo.value)


def test_a_file_that_is_no_database_is_one_line(tmp_path, find_port):
    (tmp_path / "mlflow.db").write_bytes(b"not a database " * 100)
    errors = refuse_command(tmp_path, "ui", "--port", str(find_port()))
    assert errors.count("\n") == 1 and "mlflow.db" in errors
