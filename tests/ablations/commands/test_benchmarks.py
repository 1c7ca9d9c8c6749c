import json
from pathlib import Path

import pytest

from ablations.cli import main

SECONDS = {"notebook": 24.0, "script": 9.0, "learner": 8.0, "loop": 6.0}
STORED = {
    "datetime": "2026-11-25T06:00:00+00:00",
    "benchmarks": [
        {
            "group": "trials",
            "stats": {"median": 1.0},
            "extra_info": {
                "model": "lm6",
                "title": "LMModel6",
                "measured_epochs": 2,
                "epochs": 15,
                "seconds": SECONDS,
            },
        }
    ],
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return tmp_path


def store(folder: Path, name: str, stored: object) -> Path:
    file = folder / ".benchmarks" / "Linux" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(stored))
    return file


def test_the_latest_run_becomes_a_page_a_table_and_one_run_of_mlflow(folder: Path) -> None:
    from mlflow import MlflowClient

    store(folder, "0001_run.json", STORED)
    readme = folder / "README.md"
    readme.write_text("before\n<!-- speed -->\n<!-- /speed -->\nafter\n")
    for _ in range(2):
        assert main(["benchmarks", "--readme", str(readme)]) == 0
    out = folder / "reports/out"
    assert "LMModel6" in (out / "benchmarks.html").read_text()
    assert 'href="benchmarks.html"' in (out / "index.html").read_text()
    assert "| LMModel6 | 24.0 | 9.0 | 8.0 | 6.0 | ×4.0 |" in readme.read_text()
    client = MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name("unrolled benchmarks")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.metrics == {f"seconds/lm6 {arm}": seconds for arm, seconds in SECONDS.items()}
    kept = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert kept == {"benchmarks.html", "0001_run.json"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], ".benchmarks: no benchmarks have been stored here; `make bench` measures and stores them"),
        (["nothing.json"], "nothing.json: there is no such file"),
        (["half.json"], "half.json: is not a file of pytest-benchmark"),
        (["foreign.json"], "these timings have no benchmark of this project"),
        (["older.json"], "older.json: was stored by another version; measure anew"),
        (["good.json", "--readme", "nothing.md"], "nothing.md: there is no such file"),
        (["good.json", "--readme", "latin.md"], "latin.md: byte 1 is not UTF-8"),
        (["good.json", "--readme", "bare.md"], "bare.md: has no place for the table"),
    ],
)
def test_what_cannot_be_shown_is_told_in_one_line(folder: Path, capsys, words, said) -> None:
    (folder / "half.json").write_text('{"benchmarks": [')
    (folder / "foreign.json").write_text('{"benchmarks": []}')
    (folder / "good.json").write_text(json.dumps(STORED))
    older = {"group": "trials", "stats": {"median": 1.0}, "extra_info": {"model": "lm6", "title": "LMModel6"}}
    (folder / "older.json").write_text(json.dumps({"benchmarks": [older]}))
    (folder / "latin.md").write_bytes("né".encode("latin-1"))
    (folder / "bare.md").write_text("nothing\n")
    assert main(["benchmarks", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
