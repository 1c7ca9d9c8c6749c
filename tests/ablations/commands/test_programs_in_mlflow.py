"""What MLflow has of a program's study, and a program whose patterns match its database."""

import sqlite3
from pathlib import Path

from tests.helpers.command_call import check_command, read_trial_counts, run_command
from tests.helpers.command_process import read_mlflow_runs
from tests.helpers.program_project import PROGRAM, STUDY, write_project
from unrolled.ablations.ledger import Ledger


def test_mlflow_has_every_trial_with_its_curve(program_folder: Path) -> None:
    assert read_mlflow_runs(program_folder, "trial") == ["FINISHED"] * 15
    with sqlite3.connect(program_folder / "mlflow.db") as db:
        steps = db.execute("SELECT DISTINCT step FROM metrics WHERE key = 'accuracy' ORDER BY step")
        assert [step for (step,) in steps] == [0, 1, 2]
        counts = db.execute(
            "SELECT metrics.key, COUNT(*) FROM metrics JOIN tags USING (run_uuid) WHERE tags.key = "
            "'unrolled.role' AND tags.value = 'arm' AND metrics.key IN ('accuracy', 'seconds') "
            "GROUP BY metrics.key"
        )
        assert dict(counts.fetchall()) == {"accuracy": 9, "seconds": 3}, "3 arms of 3 epochs"


def test_each_study_decides_by_its_metric_which_results_diverged(tmp_path: Path) -> None:
    metrics = '"loss": float("nan") if given.dropout and given.seed == 1 else 1 - accuracy, "accuracy"'
    folder = write_project(tmp_path / "project", PROGRAM.replace('"accuracy"', metrics))
    (folder / "other.toml").write_text(STUDY.replace('"accuracy"', '"loss"').replace('"mine"', '"other"'))
    states = []
    for order in (("mine", "other"), ("other", "mine")):
        words = "--seeds", "0-1", "--results", f"{order[0]} first"
        outputs = {name: check_command(folder, "run", f"{name}.toml", *words) for name in order}
        diverged = {name: read_trial_counts(output).diverged for name, output in outputs.items()}
        assert diverged == {"mine": 0, "other": 1}
        ledger = Ledger(folder / f"{order[0]} first")
        ledger_results = ledger.read_results(ledger.find_result_files())
        states.append({id: (r.status, r.reason, r.fingerprints) for id, r in ledger_results.items()})
        assert "diverged: loss is nan" in (folder / "out" / "other" / "index.html").read_text()
        assert "3 of 3 bit-identical" in check_command(folder, "verify", "other.toml", "-n", "3", *words[2:])
    assert states[0] == states[1] and {status for status, *_ in states[0].values()} == {"done"}
    with sqlite3.connect(folder / "mlflow.db") as db:
        query = (
            "SELECT tags.value, COUNT(*) FROM tags JOIN runs USING (run_uuid) WHERE key = 'unrolled.status' "
            "AND lifecycle_stage = 'active' GROUP BY tags.value"
        )
        assert dict(db.execute(query).fetchall()) == {"done": 11, "diverged": 1}


def test_a_plan_knows_the_seconds_of_a_program_that_was_measured(tmp_path: Path) -> None:
    """Though it keeps a copy of its source, and its patterns match results, pages and MLflow's database."""
    program = PROGRAM + "import os, shutil\nshutil.copy(__file__, os.environ['UNROLLED_OUT'])\n"
    study = STUDY.replace(
        "[baseline]", 'keep = ["*.py"]\ncode = ["**/*.py"]\ndata = ["*", "**/*.csv"]\n[baseline]'
    )
    (tmp_path / "data.csv").touch()
    output = run_command(write_project(tmp_path, program, study), "plan", "mine.toml").stdout
    assert "unknown until the first has ended" in output and " min on " not in output and " h;" not in output
    assert "data.csv" in output
    assert "python 3" in output
    process = run_command(tmp_path, "run", "mine.toml", "--seeds", "0", "--budget", "50s")
    assert read_trial_counts(process.stdout).trained == 3, process.stderr
    assert list(tmp_path.glob("results/kept/*/train.py"))
    output = run_command(tmp_path, "plan", "mine.toml").stdout
    assert "unknown until" not in output and "trainings: 15; 3 have ended" in output
