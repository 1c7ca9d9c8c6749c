"""What is printed of a tracking address and of its errors."""

import pytest

from tests.helpers.stub_results import build_plan
from unrolled.ablations.mlflow.database import shorten_error
from unrolled.ablations.mlflow.writer import Writer


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:1/x?token=SECRET",
        "http://127.0.0.1:1/x#SECRET",
        "https://me:SECRET@127.0.0.1:1/x",
        "mysql://127.0.0.1:1/db?password=SECRET",
        "http://127.0.0.1:1/?a=1&token=SECRET",
        "http://127.0.0.1:1/x;token=SECRET",
        "http://127.0.0.1:1/x?SECRET",
        "http://me:a@SECRET/b@127.0.0.1:1/x",
    ],
)
def test_a_secret_in_an_address_is_printed_nowhere(
    address: str, call_command, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ("--experiment", "e", "--arm", "arm", "--metric", "acc=0.1")
    code, output, errors = call_command("compare", f"mlflow:{address}", *flags)
    assert code == 2
    assert "127.0.0.1:1/" in errors
    assert "SECRET" not in output + errors
    writer = Writer(address)  # of `run`
    writer.open_study(build_plan())
    report = writer.finish_writing() + "".join(capsys.readouterr())
    assert "MLflow lacks" in report
    assert "MLflow cannot be written" in report
    assert "SECRET" not in report


@pytest.mark.parametrize("address", ["mlflow.db", "ftp://u:SECRET@host", ""])
def test_an_address_of_no_store_is_refused_with_an_example(address: str, call_command, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address or "x.db")
    flags = ("--arm", "arm", "--metric", "acc=0.1")
    for words in (("compare", f"mlflow:{address}", *flags), ("ui",)):
        code, _, errors = call_command(*words)
        assert code == 2
        assert "use e.g. sqlite:///" in errors
        assert errors.count("\n") == 1
        assert "SECRET" not in errors


def test_the_reason_of_a_failure_is_not_sqlalchemys_advice() -> None:
    advice = "(raised as a result of Query-invoked autoflush; consider using … prematurely)"
    assert shorten_error(RuntimeError(f"{advice}\n(OperationalError) database is locked\n[SQL: …]")) == (
        "(OperationalError) database is locked"
    )
