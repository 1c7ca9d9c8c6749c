"""`unrolled ui`: stock MLflow on this project's database, and what a web page can do to it."""

import http.client
from pathlib import Path

import pytest
from as_typed import COMMAND, environment
from called import call
from mlflow_writers import ask
from stub_plans import planned, sync

from unrolled.ablations.mlflow.ui import ui_command
from unrolled.bench.errors import BadInput

CREATE = ("POST", "/api/2.0/mlflow/experiments/create")


@pytest.fixture(scope="module")
def served(serve, result, tmp_path_factory):
    """The command on a database of two studies, in a folder with a user's own modules."""
    folder = tmp_path_factory.mktemp("served")
    for name in ("mlflow.py", "uvicorn.py", "types.py"):
        (folder / name).write_text("import os\nopen('executed', 'w').close()\nos._exit(1)\n")
    variables = environment(folder)
    for name in ("widths", "rates"):
        sync(planned(study=name), {"baseline": [result()]}, f"sqlite:///{folder}/mlflow.db")
    with serve(folder / "mlflow.db", COMMAND, "ui", variables=variables) as server:
        yield server


@pytest.mark.slow
def test_it_prints_one_address_a_study_and_serves_it_there(served):
    first, *studies = map(str.split, served.log.read_text().splitlines()[:3])
    assert first[1].startswith(f"{served.address}/#/experiments?")
    view = "workflowType=machine_learning&viewStateShareKey=by-arm"
    assert studies == [
        [f"{name}:", f"{served.address}/#/experiments/{number}/runs?{view}"]
        for number, name in enumerate(("widths", "rates"), start=1)
    ]
    status, shown = ask(served.address, "GET", "/api/2.0/mlflow/experiments/get?experiment_id=2")
    assert status == 200 and "mlflow.sharedViewState.by-arm" in shown


@pytest.mark.slow
def test_it_imports_nothing_from_the_working_folder(served):
    assert served.log.exists() and not (served.log.parent / "executed").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "host", ["evil.example", "10.0.0.1:{port}", "192.168.0.1", "127.0.0.1:1", "[::1]:{port}"]
)
@pytest.mark.parametrize(
    "path", ["/", "/ajax-api/2.0/mlflow/experiments/search?max_results=9", "/get-artifact"]
)
def test_a_name_that_was_bent_to_this_machine_is_refused(served, host, path):
    """DNS rebinding; stock MLflow takes every private address."""
    assert ask(served.address, "GET", path, Host=host.format(port=served.port))[0] == 403


@pytest.mark.slow
def test_a_page_of_another_host_writes_nothing_and_reads_nothing(served):
    evil = "http://evil.example"
    for method, path in (
        CREATE,
        ("POST", "/ajax-api/2.0/mlflow/runs/search"),
        ("PUT", "/ajax-api/2.0/mlflow-artifacts/artifacts/x"),
        ("PATCH", "/ajax-api/3.0/mlflow/traces/x/tags"),
        ("DELETE", "/ajax-api/2.0/mlflow/experiments/delete-tag"),
    ):
        assert ask(served.address, method, path, {"name": "theirs"}, Origin=evil)[0] == 403
    listed = "/api/2.0/mlflow/experiments/search?max_results=9"
    assert "theirs" not in ask(served.address, "GET", listed)[1]
    for method, headers in (("GET", {}), ("OPTIONS", {"Access-Control-Request-Method": "POST"})):
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
        connection.request(method, listed, headers={"Origin": evil, **headers})
        answer = connection.getresponse()
        assert answer.headers["Access-Control-Allow-Origin"] is None  # so that its browser hides the answer
        connection.close()


@pytest.mark.slow
def test_its_own_page_and_clients_are_served(served):
    for host in ("127.0.0.1", "localhost"):
        assert ask(served.address, "GET", "/", Host=f"{host}:{served.port}")[0] == 200
    assert ask(served.address, *CREATE, {"name": "ours"}, Origin=served.address)[0] == 200
    assert ask(served.address, *CREATE, {"name": "also ours"})[0] == 200


@pytest.mark.slow
def test_only_this_machine_is_served(served):
    addresses = {line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]}
    assert f"0100007F:{served.port:04X}" in addresses  # 127.0.0.1, as proc(5) writes it
    assert f"00000000:{served.port:04X}" not in addresses


def test_a_server_needs_no_second_server():
    with pytest.raises(BadInput) as refused:
        ui_command("http://user:secret@host:5000", 5000)
    assert refused.value.place == "MLFLOW_TRACKING_URI"
    assert "secret" not in str(refused.value)


def test_a_file_that_is_no_database_is_one_line(tmp_path, find_port):
    (tmp_path / "mlflow.db").write_bytes(b"not a database " * 100)
    done = call(tmp_path, "ui", "--port", str(find_port()))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "mlflow.db" in done.stderr
