"""A study of a program of the user's: what is checked before it is trained, and what its user is told."""

import itertools
import os
import shutil
import sqlite3
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from as_typed import mlflow_runs
from called import check_command, run_command
from stub_plans import build_plan

from unrolled.ablations.api import Study, results, verdicts
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.study import plan_store
from unrolled.ablations.study.program import ProgramSettings
from unrolled.ablations.study.retraining import attach_files
from unrolled.ablations.study.study_file import ProgramTable
from unrolled.ablations.training import first_trials
from unrolled.ablations.training.study_run import Budget
from unrolled.bench.errors import BadInput
from unrolled.bench.metric import MEASURED, Metric
from unrolled.bench.program.trial import ProgramTrial
from unrolled.bench.trial import STUDY_COLUMNS, Result
from unrolled.reports.table import make_trial_record

PROGRAM = """
import argparse, json, random
parser = argparse.ArgumentParser()
parser.add_argument("--dropout", type=float)
parser.add_argument("--deep", action=argparse.BooleanOptionalAction)
parser.add_argument("--seed", type=int)
given = parser.parse_args()
random.seed(given.seed)
accuracy = 0.8 + random.gauss(0, 0.01) + given.dropout / 10 + 0.05 * given.deep
for epoch in range(3):
    print(json.dumps({"epoch": epoch, "accuracy": accuracy + epoch / 100}))
print("done")
"""
STUDY = """
name = "mine"
question = "Does dropout help?"
metrics = [{ name = "accuracy", delta = 0.01 }]
seeds = 5

[program]
run = "python train.py --dropout {dropout} {deep?--deep:--no-deep} --seed {seed}"

[baseline]
dropout = 0.0
deep = false

[design.one_at_a_time]
dropout = [0.5]
deep = [true]
"""


def write_project(folder: Path, program: str = PROGRAM, study: str = STUDY) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "train.py").write_text(program)
    (folder / "mine.toml").write_text(study)
    return folder


@pytest.fixture(scope="module")
def source_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that was run to its end."""
    folder = write_project(tmp_path_factory.mktemp("whole"))
    check_command(folder, "run", "mine.toml")
    return folder


@pytest.fixture
def finished_project(source_project: Path, tmp_path: Path) -> Path:
    """A copy of it, which a test may change."""
    return Path(shutil.copytree(source_project, tmp_path / "copy"))


def test_a_program_is_trained_and_judged_like_a_model(source_project: Path) -> None:
    table = verdicts("mine", folder=source_project / "results").set_index("arm")
    assert table.difference.to_dict() == pytest.approx({"dropout 0.5": 0.05, "deep": 0.05})
    rows = results("mine", source_project / "results")
    assert len(rows) == 15 and set(rows.status) == {"done"}
    assert {"accuracy", "seconds", "memory_peak", "dropout", "deep"} <= set(rows.columns)
    assert all(
        str(source_project) not in path.read_text() for path in (source_project / "results").rglob("*.json")
    ), "no folder"
    page = (source_project / "out" / "mine" / "index.html").read_text("utf-8")
    assert "dropout 0.5" in page
    assert page.count('data-metric="accuracy"') == 2, "its figure and its curves"


def test_a_run_in_which_no_trial_begins_leaves_a_page_without_results(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("unrolled.ablations.training.study_run.Budget.allows_trial", lambda *_: False)
    process = run_command(write_project(tmp_path), "run", "mine.toml", "--budget", "50s")
    assert "0 trained" in process.stdout, process.stderr
    assert (tmp_path / "out" / "mine" / "trials.csv").exists()


def test_mlflow_has_every_trial_with_its_curve(source_project: Path) -> None:
    assert mlflow_runs(source_project, "trial") == ["FINISHED"] * 15
    with sqlite3.connect(source_project / "mlflow.db") as db:
        steps = db.execute("SELECT DISTINCT step FROM metrics WHERE key = 'accuracy' ORDER BY step")
        assert [step for (step,) in steps] == [0, 1, 2]
        counts = db.execute(
            "SELECT metrics.key, COUNT(*) FROM metrics JOIN tags USING (run_uuid) WHERE tags.key = "
            "'unrolled.role' AND tags.value = 'arm' AND metrics.key IN ('accuracy', 'seconds') "
            "GROUP BY metrics.key"
        )
        assert dict(counts.fetchall()) == {"accuracy": 9, "seconds": 3}, "3 arms of 3 epochs"


def test_what_is_there_is_not_trained_again_until_the_program_is_edited(finished_project: Path) -> None:
    assert "0 trained, 15 already there" in run_command(finished_project, "run", "mine.toml").stdout
    name_output, file_output = (
        run_command(finished_project, "report", name).stdout for name in ("mine", "mine.toml")
    )
    assert name_output == file_output == "report: out/mine/index.html\n"
    (finished_project / "train.py").write_text(PROGRAM + "# edited\n")
    preview = check_command(finished_project, "plan", "mine.toml", "--seeds", "0-1")
    process = run_command(finished_project, "run", "mine.toml", "--seeds", "0-1")
    for output in (preview, process.stdout):
        assert "the code was edited: 6 trials to train" in output
        assert "its newest file is train.py" in output
    assert "index.html: is of other seeds or settings and is replaced" in process.stdout


def test_a_page_is_said_to_be_replaced_where_it_is(finished_project: Path) -> None:
    page = finished_project / "out" / "mine" / "index.html"
    words = ("run", "mine.toml", "--seeds", "0-1")
    page_bytes = page.read_bytes()
    (finished_project / "train.py").write_text("raise SystemExit('broken')")
    process = run_command(finished_project, *words)
    assert process.returncode == 2 and "is replaced" not in process.stdout
    assert page.read_bytes() == page_bytes
    (finished_project / "train.py").write_text(PROGRAM)
    output = check_command(finished_project, *words)
    assert "0 trained" in output
    assert "index.html: is of other seeds or settings and is replaced" in output
    assert page.read_bytes() != page_bytes
    assert "is replaced" not in check_command(finished_project, *words)


@pytest.mark.parametrize(("metric", "is_advised"), [("accuracy", True), ("loss", False)])
def test_a_finer_metric_is_advised_where_none_is_judged(metric: str, is_advised: bool) -> None:
    results = [Result(trial=ProgramTrial(seed=seed, run="train"), status="done") for seed in range(5)]
    plan = build_plan({"base": results, "b": results}, metrics=(Metric(metric, 0.1),), trainer="program")
    with pytest.raises(BadInput, match="no effect") as excinfo:
        first_trials._refuse_tie((plan.arms[0], plan.arms[0]), plan)
    assert ("finer" in excinfo.value.cure) is is_advised


def test_a_page_s_trials_are_compared_without_naming_arm_and_pair(
    source_project: Path, tmp_path: Path
) -> None:
    page = source_project / "out" / "mine"
    flags = ("--metric", "accuracy=0.01", "--out", str(tmp_path))
    assert "dropout 0.5" in check_command(source_project, "compare", str(page / "trials.csv"), *flags)
    process = run_command(source_project, "compare", str(page / "comparison.csv"), *flags)
    assert process.returncode == 2 and "trials.csv" in process.stderr


def test_a_plan_knows_the_trials_that_another_study_has_trained(finished_project: Path) -> None:
    (finished_project / "second.toml").write_text(
        STUDY.replace('"mine"', '"second"').replace("0.01", '"1 %"')
    )
    output = check_command(finished_project, "plan", "second.toml", "--seeds", "0-9")
    assert "trainings: 30, and 1 that repeats the baseline's first; 15 have ended" in output
    assert "δ = 1 %" in output
    assert "30 trials expected, 15 left to train, " in output
    assert "measured where there are results" in output
    check_command(finished_project, "run", "second.toml")
    attempt = plan_store.load_plan("second", Ledger(finished_project / "results")).earlier_verdicts["deep"][0]
    assert (attempt.study, attempt.delta) == ("mine", "0.01")
    assert Metric("seconds", 5.0, ratio=True).shown_delta == "5 %"


@pytest.mark.parametrize("words", [(), ("--retry",)])
def test_a_misspelt_metric_trains_nothing_that_another_study_has_trained(
    finished_project: Path, words: tuple[str, ...]
) -> None:
    (finished_project / "typo.toml").write_text(
        STUDY.replace('"mine"', '"typo"').replace('"accuracy"', '"acuracy", better = "higher"')
    )
    contents = {path: path.read_bytes() for path in (finished_project / "results").rglob("*.json")}
    process = run_command(finished_project, "run", "typo.toml", *words)
    assert process.returncode == 2 and process.stderr.count("\n") == 1
    assert "baseline" in process.stderr and "did you mean 'accuracy'" in process.stderr
    assert {path: path.read_bytes() for path in (finished_project / "results").rglob("*.json")} == contents
    assert not (finished_project / "out" / "typo").exists()


def test_what_one_arm_lacks_is_told_without_training_it_again(tmp_path: Path) -> None:
    name = '"loss" if given.seed > 1 and given.deep else "accuracy"'
    program = PROGRAM.replace('"accuracy": accuracy', f"{name}: accuracy")
    folder = write_project(tmp_path / "project", program)
    process = run_command(folder, "run", "mine.toml")
    contents = {path: path.read_bytes() for path in folder.glob("results/trials/*/*.json")}
    retry = run_command(folder, "run", "mine.toml", "--retry")
    assert process.returncode == retry.returncode == 1
    assert "12 trained" in process.stdout and "it tells no accuracy" in retry.stdout
    assert "--retry" not in retry.stdout, "it would tell none again"
    assert {path: path.read_bytes() for path in folder.glob("results/trials/*/*.json")} == contents


def test_a_run_removes_the_checkpoint_of_a_trial_that_has_its_result(finished_project: Path) -> None:
    ledger = Ledger(finished_project / "results")
    results = [result for id in ledger.files() if (result := ledger.read(id)).trial.seed > 1]
    finished, failure, *_ = results  # those of the first two seeds would be trained again
    ledger.path(failure.trial.id).unlink()  # a failure replaces no training that ended
    ledger.record(replace(failure, status="failed", reason="exit code 1"))
    stale, useful = (ledger.checkpoints / f"{result.trial.id}.pt" for result in (finished, failure))
    stale.parent.mkdir(exist_ok=True)
    stale.touch()
    useful.touch()
    run_command(finished_project, "run", "mine.toml")
    assert not stale.exists()
    assert useful.exists(), "another study may be training that trial again"


@pytest.mark.parametrize("words", [["run"], ["verify"], ["bundle", "-o", "mine.zip"]])
def test_plug_ins_are_refused_for_a_program_which_would_not_use_them(
    finished_project: Path, words: list[str]
) -> None:
    check_command(finished_project, "new", "cell", "my_cell.py")
    process = run_command(finished_project, *words, "mine.toml", "--plugin", "my_cell.py")
    assert process.returncode == 2 and "--plugin: " in process.stderr


def test_a_program_of_which_every_first_trial_diverges_is_refused_within_any_budget(tmp_path: Path) -> None:
    program = PROGRAM.replace('"accuracy": accuracy + epoch / 100', '"accuracy": float("nan")')
    process = run_command(write_project(tmp_path / "project", program), "run", "mine.toml", "--budget", "50s")
    assert process.returncode == 2 and "each of its first trials" in process.stderr


def test_a_trial_that_is_trained_again_keeps_no_file_that_it_writes() -> None:
    result = Result(trial=ProgramTrial(seed=0, run="./train", keep=("*.pt",)), status="done")
    program = ProgramSettings(ProgramTable(run="./train", folder="here"), {}, {})
    new_result = attach_files(result, program)
    assert (new_result.trial.folder, new_result.trial.keep, new_result.trial.id) == (
        "here",
        (),
        result.trial.id,
    )


def test_verify_runs_a_program_from_its_file_alone(finished_project: Path) -> None:
    assert "3 of 3 bit-identical" in run_command(finished_project, "verify", "mine.toml", "-n", "3").stdout
    for command in (["verify", "mine"], ["bundle", "mine", "-o", "mine.zip"]):
        process = run_command(finished_project, *command)
        assert process.returncode == 2 and "its file's path" in process.stderr
    (finished_project / "train.py").write_text(PROGRAM + "# edited\n")
    verification = run_command(finished_project, "verify", "mine.toml", "-n", "1")
    assert verification.returncode == 1 and "the code was edited" in verification.stdout


def test_a_bundle_has_the_program_and_runs_it_only_if_it_is_trusted(finished_project: Path, need) -> None:
    """Also what only one arm's command line names."""
    study = STUDY.replace("[baseline]", 'data = ["d*"]\n[baseline]\nbonus = "none.txt"')
    study = study.replace("{seed}", "{seed} {bonus}").replace("deep = [true]", 'bonus = ["some.txt"]')
    program = PROGRAM.replace("given =", 'parser.add_argument("bonus")\ngiven =')
    program = program.replace("for epoch", "accuracy += float(open(given.bonus).read())\nfor epoch")
    write_project(finished_project, program, study)
    for name, text in (("dé (1) %41.csv", ""), ("none.txt", "0"), ("some.txt", ".1")):
        (finished_project / name).write_text(text)
    check_command(finished_project, "run", "mine.toml", "--seeds", "0-1")
    check_command(finished_project, "bundle", "mine.toml", "-o", "mine.zip")
    for name in ("train.py", "mine.toml", "none.txt", "some.txt"):
        (finished_project / name).unlink()
    process = run_command(finished_project, "verify", "mine.zip", "-n", "2")
    assert process.returncode == 1 and "0 faults" in process.stdout
    assert "no trial was trained again" in process.stdout
    assert (
        "6 of 6 bit-identical"
        in run_command(finished_project, "verify", "mine.zip", "-n", "9", "--trust").stdout
    )


def test_a_bundle_tells_of_data_at_an_absolute_path_which_it_does_not_have(tmp_path: Path) -> None:
    data = tmp_path / "large" / "data.csv"
    data.parent.mkdir()
    data.write_text("1\n")
    study = STUDY.replace("[baseline]", f'data = ["{data}"]\n[baseline]')
    folder = write_project(tmp_path / "project", study=study)
    check_command(folder, "run", "mine.toml", "--seeds", "0-1")
    assert str(data) in check_command(folder, "bundle", "mine.toml", "-o", "mine.zip")
    with zipfile.ZipFile(folder / "mine.zip") as archive:
        assert not [name for name in archive.namelist() if name.endswith("data.csv")]
    assert "2 of 2 bit-identical" in check_command(folder, "verify", "mine.zip", "-n", "2", "--trust")
    data.unlink()
    process = run_command(folder, "verify", "mine.zip", "-n", "2", "--trust")
    assert process.returncode == 1 and str(data) in process.stdout


def test_a_program_is_measured_within_any_budget_and_its_plan_then_knows_its_seconds(tmp_path: Path) -> None:
    """Though it keeps a copy of its source, and its patterns match results, pages and MLflow's database."""
    program = PROGRAM + "import os, shutil\nshutil.copy(__file__, os.environ['UNROLLED_OUT'])\n"
    study = STUDY.replace(
        "[baseline]", 'keep = ["*.py"]\ncode = ["**/*.py"]\ndata = ["*", "**/*.csv"]\n[baseline]'
    )
    (tmp_path / "data.csv").touch()
    output = run_command(write_project(tmp_path, program, study), "plan", "mine.toml").stdout
    assert "taken as a minute" in output
    assert "data.csv" in output
    assert "python 3" in output
    process = run_command(tmp_path, "run", "mine.toml", "--seeds", "0", "--budget", "50s")
    assert "3 trained" in process.stdout, process.stderr
    assert list(tmp_path.glob("results/kept/*/train.py"))
    output = run_command(tmp_path, "plan", "mine.toml").stdout
    assert "taken as a minute" not in output and "trainings: 15; 3 have ended" in output


def test_a_program_that_used_another_setting_than_was_asked_for_is_refused(tmp_path: Path) -> None:
    program = PROGRAM + 'print(json.dumps({"settings": {"dropout": 0.0}}))\n'
    process = run_command(write_project(tmp_path / "project", program), "run", "mine.toml")
    (line,) = process.stderr.splitlines()
    assert process.returncode == 2
    assert "arm 'dropout 0.5'" in line and "it used dropout = 0.0, and not 0.5" in line


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (("{dropout}", "0.1"), "run"),
        (("{dropout}", "{drop}"), "run"),
        (("{deep?--deep:--no-deep}", "--deep {deep}"), "run"),
        (("--seed {seed}", ""), "run"),
        (("{seed}", "{seed} | tee log"), "run"),
        (("train.py", "trane.py"), "run"),
        (("[program]", "[program]\nmetrics = '{outt}/{out}.csv'"), "[program]: metrics"),
        (("[program]", "[program]\nmetrics = 'rows.csv'"), "[program]: metrics"),
        (("[program]", "[program]\nmetrics = '{out}/{rows.csv'"), "[program]: metrics"),
        (("[program]", "[program]\nmetrics = '{out}/training.log'"), "[program]: metrics"),
        (("[program]", "[program]\nkeep = ['/tmp/*.pt']"), "[program]: keep"),
        (("[program]", "[program]\nkeep = ['']"), "[program]: keep"),
        (("[program]", "[program]\nfunction = 'train:main'"), "[program]: run"),
        (("[program]\nrun = ", "[program]\nfunction = 'train'\n# "), "[program]: function"),
        (("{dropout}", "{drop out}"), "[program]: run"),
        (("dropout = 0.0", "dropout = [0.0, 0.1]"), "[program]: run: {dropout} is a list"),
        (("{deep?--deep:--no-deep}", "{deep*}"), "[program]: run: {deep} is a boolean"),
        (("{dropout}", "x={dropout*}"), "[program]: run: {dropout*} is part of"),
        (("dropout = 0.0", "dropout.low = 0.0"), '[baseline]: dropout = {"low": 0.0}'),
        (("dropout = 0.0", "dropout = 1979-05-27"), "[baseline]: dropout = 1979-05-27"),
        (("dropout = 0.0", f"dropout = {'9' * 400}"), "[baseline]: dropout = 999"),
        (("dropout = [0.5]", f"dropout = [{'9' * 400}]"), "dropout = 999"),
        (("{seed}", "{seed} \\u0000"), "program.run"),
        (("dropout = [0.5]", "drop = [0.5]"), "'drop'"),
        (("dropout = [0.5]", "dropout = ['much']"), 'dropout = "much"'),
        (("deep = [true]", "deep = [1]"), "deep = 1"),
        (("[program]", "[program]\ncode = ['none.py']"), "'none.py'"),
        (('metrics = [{ name = "accuracy", delta = 0.01 }]', ""), "metrics"),
        (("delta = 0.01", 'delta = 0.01, value = "bets"'), 'metrics.0.value = "bets"'),
        (("delta = 0.01", "delta = 0.01, value = 0"), "metrics.0.value = 0"),
        (("[baseline]", "[baseline]\nseed = 1"), "'seed'"),
    ],
)
def test_a_study_and_a_template_that_do_not_fit_are_refused_by_key(
    tmp_path: Path, change: tuple[str, str], key: str
) -> None:
    folder = write_project(tmp_path / "project", study=STUDY.replace(*change))
    for word in ("plan", "run"):
        process = run_command(folder, word, "mine.toml")
        assert process.returncode == 2
        assert f": {key}" in process.stderr
        assert process.stderr.count("\n") == 1
    assert not (tmp_path / "project" / "results" / "trials").exists()


PROGRAM_STUDY = {"program": {"run": "echo {seed} {lr}"}, "baseline": {"lr": 0.1}}


@pytest.mark.parametrize("name", sorted({*STUDY_COLUMNS, "lr"}))
def test_a_judged_metric_that_is_called_as_a_column_or_a_setting_is_refused(name: str) -> None:
    with pytest.raises(BadInput) as excinfo:
        Study("mine", **PROGRAM_STUDY, metrics=[{"name": name, "delta": 0.1, "better": "higher"}])
    assert excinfo.value.key == f'metrics.0.name = "{name}"'


@pytest.mark.parametrize("name", sorted({*STUDY_COLUMNS, *MEASURED} - {"rows averaged"}))
def test_a_setting_that_is_called_as_a_column_is_refused(name: str) -> None:
    program = {"program": {"run": f"echo {{seed}} {{{name}}}"}, "baseline": {name: 1}}
    with pytest.raises(BadInput) as excinfo:
        Study("mine", **program, metrics=[{"name": "loss", "delta": 0.1}])
    assert excinfo.value.key == repr(name)


def test_every_column_of_our_own_is_among_those_that_are_refused(source_project: Path) -> None:
    table = results("mine", source_project / "results", all=True)
    with sqlite3.connect(source_project / "mlflow.db") as db:
        params = {key for (key,) in db.execute("SELECT DISTINCT key FROM params")}
    names = ({*table.columns} | params) - {"dropout", "deep", "accuracy"}
    assert names <= {*STUDY_COLUMNS, *MEASURED}


def test_what_a_program_logs_replaces_no_setting_and_no_fact() -> None:
    trial = ProgramTrial(seed=3, settings={"lr": 0.1})
    metrics = {"lr": 5.0, "seed": 7.0, "status": 1.0, "loss": 0.5}
    row = make_trial_record("mine", 3, Result(trial=trial, status="done", metrics=metrics))
    assert (row["lr"], row["seed"], row["status"], row["loss"]) == (0.1, 3, "done", 0.5)


def test_first_trials_that_all_diverge_are_refused_and_a_diverging_baseline_is_not(
    tmp_path: Path,
) -> None:
    diverging = PROGRAM.replace("0.8 +", "float('nan') +")
    process = run_command(
        write_project(tmp_path / "nowhere", diverging), "run", "mine.toml", "--seeds", "0-1"
    )
    assert process.returncode == 2
    assert "study 'mine': each of its first trials diverged: " in process.stderr
    mixed = PROGRAM.replace("0.8 +", "(0.8 if given.dropout else float('nan')) +")
    output = check_command(write_project(tmp_path / "some", mixed), "run", "mine.toml", "--seeds", "0-1")
    assert "0 failed, 4 diverged, 0 left" in output


def test_a_result_is_stored_as_told_and_each_study_decides_what_diverged(tmp_path: Path) -> None:
    metrics = '"loss": float("nan") if given.dropout and given.seed == 1 else 1 - accuracy, "accuracy"'
    folder = write_project(tmp_path / "project", PROGRAM.replace('"accuracy"', metrics))
    (folder / "other.toml").write_text(STUDY.replace('"accuracy"', '"loss"').replace('"mine"', '"other"'))
    states = []
    for order in (("mine", "other"), ("other", "mine")):
        words = "--seeds", "0-1", "--results", f"{order[0]} first"
        lines = {name: check_command(folder, "run", f"{name}.toml", *words) for name in order}
        assert "0 diverged" in lines["mine"] and "1 diverged" in lines["other"]
        ledger = Ledger(folder / f"{order[0]} first")
        results = ledger.results(ledger.files())
        states.append({id: (r.status, r.reason, r.fingerprints) for id, r in results.items()})
        assert "diverged: loss is nan" in (folder / "out" / "other" / "index.html").read_text()
        assert "3 of 3 bit-identical" in check_command(folder, "verify", "other.toml", "-n", "3", *words[2:])
    assert states[0] == states[1] and {status for status, *_ in states[0].values()} == {"done"}
    with sqlite3.connect(folder / "mlflow.db") as db:
        query = (
            "SELECT tags.value, COUNT(*) FROM tags JOIN runs USING (run_uuid) WHERE key = 'unrolled.status' "
            "AND lifecycle_stage = 'active' GROUP BY tags.value"
        )
        assert dict(db.execute(query).fetchall()) == {"done": 11, "diverged": 1}


def test_a_misspelt_metric_costs_no_training_and_makes_no_arm_exploratory(tmp_path: Path) -> None:
    folder = write_project(
        tmp_path / "project", study=STUDY.replace('"accuracy"', '"acuracy", better = "higher"')
    )
    process = run_command(folder, "run", "mine.toml", "--seeds", "0-1")
    assert process.returncode == 2 and "did you mean 'accuracy'?" in process.stderr
    ledger = Ledger(folder / "results")
    count = len(ledger.files())
    (folder / "mine.toml").write_text(STUDY)
    output = check_command(folder, "run", "mine.toml", "--seeds", "0-1")
    assert count and f"{6 - count} trained, {count} already there" in output
    assert plan_store.load_plan("mine", ledger).seen == {}, "no number of theirs was shown"


def test_a_trial_without_a_judged_metric_fails_only_in_studies_that_judge_it(
    tmp_path: Path,
) -> None:
    program = PROGRAM.replace(
        '"accuracy"', '**({} if given.seed == 2 and given.deep else {"f1": accuracy}), "accuracy"'
    )
    folder = write_project(tmp_path / "project", program, STUDY.replace('"accuracy"', '"f1"'))
    (folder / "other.toml").write_text(STUDY.replace('"mine"', '"other"'))
    words = "--seeds", "0-2"
    process = run_command(folder, "run", "mine.toml", *words)
    assert process.returncode == 1 and "deep, seed 2: it tells no f1; known: accuracy" in process.stdout
    assert "9 already there, 0 failed" in check_command(folder, "run", "other.toml", *words)


def test_a_second_training_that_diverges_is_told_of_and_its_plan_can_be_read(tmp_path: Path) -> None:
    program = PROGRAM.replace(
        "for epoch",
        """try:
    open(f"{__file__}.{given.seed}.{given.dropout}.{given.deep}", "x").close()
except FileExistsError:
    accuracy = float("nan")
for epoch""",
    )
    folder = write_project(tmp_path / "project", program)
    output = check_command(folder, "run", "mine.toml", "--seeds", "0-1")
    assert "not deterministic: two trainings of seed 0 differ (accuracy, which diverged once)" in output
    assert plan_store.load_plan("mine", Ledger(folder / "results")).nondeterminism


def test_a_quoted_pipe_and_an_apostrophe_are_arguments(tmp_path: Path) -> None:
    study = STUDY.replace('run = "', "run = '''").replace('{seed}"', "{seed} \"|\" \"a | b\" it\\'s'''")
    check_command(write_project(tmp_path / "project", study=study), "plan", "mine.toml")


def test_a_coarse_metric_that_two_seeds_share_by_chance_stops_no_study(tmp_path: Path) -> None:
    program = PROGRAM.replace("random.gauss(0, 0.01)", "0.01 * (given.seed > 1)")
    assert "trained" in check_command(
        write_project(tmp_path / "project", program), "run", "mine.toml", "--seeds", "0-2"
    )


def test_a_run_ends_with_the_answer_and_with_the_cure_of_a_failed_trial(tmp_path: Path) -> None:
    program = PROGRAM + "assert given.seed != 2 or not given.deep\n"
    words = ("run", "mine.toml", "--seeds", "0-2")
    first = run_command(write_project(tmp_path / "project", program), *words)
    second = run_command(tmp_path / "project", *words)
    for process in (first, second):
        assert process.returncode == 1
        assert "deep, seed 2: exit code 1: AssertionError; --retry" in process.stdout
        assert "\n  3 seeds: nothing is decided, as a verdict needs at least 5\n" in process.stdout


@pytest.mark.parametrize("design", ["", "[design]\none_at_a_time = { dropout = [0.5] }\n"])
def test_an_arm_may_be_declared_to_be_identical_also_one_of_the_design(tmp_path: Path, design: str) -> None:
    arm = '[[arm]]\nname = "same"\nset = { dropout = 0.5 }\nidentical = true\n'
    study = STUDY.partition("[design")[0] + design + arm
    folder = write_project(tmp_path / "project", PROGRAM.replace("given.dropout / 10", "0"), study)
    check_command(folder, "run", "mine.toml", "--seeds", "0-1")


ECHO = "import time\nprint(json.dumps({**vars(given), 'timestamp': time.time(), 'path': 'runs/3'}))\n"
"""What programs tell beside their metrics: their arguments, the seed among them, and the time."""
JUDGED = "time_series_mae"  # a quality, whatever words are in its name


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (("random.seed(given.seed)", "random.seed(0)"), "arm 'baseline': "),
        (("given.dropout / 10", "0"), "arm 'dropout 0.5': dropout = 0.5: "),
    ],
)
def test_a_seed_or_a_setting_without_effect_is_found_whatever_else_is_told(
    tmp_path: Path, change: tuple[str, str], place: str
) -> None:
    program = (PROGRAM.replace(*change) + ECHO).replace('"accuracy"', f'"{JUDGED}"')
    study = STUDY.replace('"accuracy", ', f'"{JUDGED}", better = "higher", ')
    process = run_command(write_project(tmp_path / "project", program, study), "run", "mine.toml")
    assert process.returncode == 2 and f"unrolled: {place}" in process.stderr
    ledger = Ledger(tmp_path / "project" / "results")
    assert 9 <= len(ledger.files()) <= 12, "more seeds of what ties alone: it may be by chance"


def test_unjudged_numbers_that_vary_make_no_program_nondeterministic(
    tmp_path: Path,
) -> None:
    program = PROGRAM.replace('{"epoch"', '{"dt": time.time(), "epoch"').replace("import ", "import time, ")
    folder = write_project(tmp_path / "project", program + ECHO)
    assert "not deterministic" not in check_command(folder, "run", "mine.toml", "--seeds", "0-1")
    plan = plan_store.load_plan("mine", Ledger(folder / "results"))
    assert (plan.nondeterminism, plan.varying) == ({}, ("dt", "timestamp"))
    output = check_command(folder, "verify", "mine.toml", "-n", "2")
    assert "2 of 2 bit-identical; not compared: dt and timestamp" in output


def test_a_program_that_is_not_deterministic_is_told_of_and_verified_by_its_distance(tmp_path: Path) -> None:
    program = PROGRAM.replace("+ given.dropout / 10", "+ random.SystemRandom().random() / 1e6")
    program += "print(json.dumps({'settings': {'deep': given.deep}}))\n"
    folder = write_project(tmp_path / "project", program)
    output = check_command(folder, "run", "mine.toml", "--seeds", "0-1")
    (line,) = (line for line in output.splitlines() if "not deterministic" in line)
    assert "cannot be checked" in line and "nothing shows that it uses dropout:" in line
    distance = plan_store.load_plan("mine", Ledger(folder / "results")).nondeterminism
    assert distance and 0 < distance["accuracy"] < 1e-6
    assert "Not deterministic" in (folder / "out" / "mine" / "index.html").read_text("utf-8")


def test_without_a_repeated_training_the_page_says_what_was_not_checked(
    tmp_path: Path,
) -> None:
    """The same study trains once more when it is to be checked after all; its seeds stay unseen."""
    program = PROGRAM + "import time\nprint(json.dumps({'stamp': time.time()}))\n"
    program += "print('ran', file=open(f'{__file__}.runs', 'a'))\n"
    folder = write_project(
        tmp_path / "project", program, STUDY.replace("[program]", "[program]\nrepeat = false")
    )
    page = folder / "out" / "mine" / "index.html"
    ledger = Ledger(folder / "results")
    assert "not checked: whether the same trial gives" in check_command(folder, "plan", "mine.toml")
    output = check_command(folder, "run", "mine.toml")
    assert "(repeat = false)" in output and "nothing shows that it uses deep and dropout" in output
    assert "Not checked: whether the same trial gives" in page.read_text("utf-8")
    assert len((folder / "train.py.runs").read_text().split()) == 15
    assert plan_store.load_plan("mine", ledger).nondeterminism is None
    report = check_command(folder, "verify", "mine.toml", "-n", "2")
    assert "2 of 2 equal in what is judged" in report
    (folder / "train.py.runs").unlink()
    (folder / "mine.toml").write_text(STUDY)
    assert "1 that repeats" in check_command(folder, "plan", "mine.toml")
    output = check_command(folder, "run", "mine.toml")
    assert "had been seen" not in output and "Not checked" not in page.read_text("utf-8")
    assert len((folder / "train.py.runs").read_text().split()) == 1
    assert plan_store.load_plan("mine", ledger).nondeterminism == {}


def test_without_a_repeated_training_equal_seeds_and_settings_are_still_refused(tmp_path: Path) -> None:
    study = STUDY.replace("[program]", "[program]\nrepeat = false")
    changes = ("random.seed(given.seed)", "random.seed(0)"), ("given.dropout / 10", "0")
    for number, change in enumerate(changes):
        process = run_command(
            write_project(tmp_path / f"{number}", PROGRAM.replace(*change), study), "run", "mine.toml"
        )
        assert process.returncode == 2 and "effect" in process.stderr


def test_an_arm_whose_seeds_may_repeat_makes_no_claim_without_a_repeated_training(
    tmp_path: Path,
) -> None:
    program = PROGRAM.replace("random.seed(given.seed)", "random.seed(0 if given.deep else given.seed)")
    program = program.replace("+ 0.05 *", "+ 1e-5 * random.SystemRandom().random() + 0.05 *")
    folder = write_project(
        tmp_path / "project", program, STUDY.replace("[program]", "[program]\nrepeat = false")
    )
    output = check_command(folder, "run", "mine.toml")
    assert "Open: deep (seed 1 may repeat seed 0" in output and "dropout 0.5 gains" in output


LISTS = """
import argparse, json, random
parser = argparse.ArgumentParser()
parser.add_argument("--model.widths", nargs="*", type=int)
parser.add_argument("--seed", type=int)
given = vars(parser.parse_args())
print(json.dumps({"settings": {"model.widths": given["model.widths"]}}))
print(json.dumps({"accuracy": random.Random(given["seed"]).random() / 9 + sum(given["model.widths"]) / 99}))
"""
LIST_STUDY = """
name = "mine"
question = "How deep?"
metrics = [{ name = "accuracy", delta = 0.01 }]
seeds = 2
program.run = "python train.py --model.widths {model.widths*} --seed {seed}"
baseline."model.widths" = [8, 4]
design.one_at_a_time."model.widths" = [[16], []]
"""


def test_a_setting_may_be_a_list_whose_name_has_a_dot(tmp_path: Path) -> None:
    folder = write_project(tmp_path / "project", LISTS, LIST_STUDY)
    check_command(folder, "run", "mine.toml")
    table = verdicts("mine", folder=folder / "results").set_index("arm")
    assert table.difference.to_dict() == pytest.approx(
        {"model.widths 16": 4 / 99, "model.widths none": -12 / 99}
    )
    preview = check_command(folder, "plan", "mine.toml", "--set", "model.widths=9,9 9")
    assert "\nmodel.widths 9  " in preview and "\nmodel.widths 9 9" in preview
    for level in ('["a b"]', "[[8]]", "[8, { x = 1 }]"):
        (folder / "mine.toml").write_text(LIST_STUDY.replace("[[16], []]", f"[{level}]"))
        process = run_command(folder, "plan", "mine.toml")
        assert process.returncode == 2 and ": model.widths = " in process.stderr, process.stderr


def test_before_the_first_trial_a_run_says_what_it_takes_as_its_plan_does(tmp_path: Path) -> None:
    folder = write_project(tmp_path / "project", study=STUDY.replace("seeds = 5", "looks = [5, 10]"))
    words = "trainings: 15 to 30, and 1 that repeats the baseline's first; 0 have ended", "python 3.", "first"
    output = check_command(folder, "plan", "mine.toml")
    assert all(word in output for word in (*words, "taken as a minute until one has ended"))
    screen = check_command(folder, "run", "mine.toml", "--seeds", "0-1").partition("\n[1/")[0]
    assert "trainings: 6, and 1 that repeats" in screen and screen.count("\n") < 10
    screen_after = check_command(folder, "run", "mine.toml", "--seeds", "0-2").partition("\n[1/")[0]
    for output in (screen_after, check_command(folder, "plan", "mine.toml", "--seeds", "0-2")):
        assert "that repeats" not in output and "s of training: that none fails" in output
    assert "trainings: 9; 6 have ended" in screen_after


def test_a_program_that_fails_the_second_time_is_refused(tmp_path: Path) -> None:
    program = PROGRAM + "open(f'{__file__}.{given.seed}.{given.dropout}.{given.deep}', 'x').close()\n"
    process = run_command(write_project(tmp_path / "project", program), "run", "mine.toml", "--seeds", "0-1")
    assert process.returncode == 2
    assert "arm 'baseline', seed 0: trained a second time: " in process.stderr
    assert plan_store.load_plan("mine", Ledger(tmp_path / "project" / "results")).nondeterminism is None


def test_ctrl_c_while_the_baseline_is_trained_a_second_time_ends_the_run(tmp_path: Path) -> None:
    code = f"""
import os, pathlib, signal, time
try:
    pathlib.Path(f"{{__file__}}.{{given.seed}}.{{given.dropout}}.{{given.deep}}").touch(exist_ok=False)
except FileExistsError:
    os.kill({os.getpid()}, signal.SIGINT)
    time.sleep(1)
"""
    process = run_command(write_project(tmp_path / "project", PROGRAM + code), "run", "mine.toml")
    assert process.returncode == 130
    ledger = Ledger(tmp_path / "project" / "results")
    assert len(ledger.files()) == 6, "two seeds of three arms"
    assert plan_store.load_plan("mine", ledger).nondeterminism == {}, "what the second time told is kept"


def test_a_budget_also_keeps_the_baseline_from_being_trained_a_second_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = itertools.count(1)
    monkeypatch.setattr(Budget, "allows_trial", lambda *_: next(calls) <= 6)
    program = PROGRAM + "print('ran', file=open(f'{__file__}.runs', 'a'))\n"
    run_command(write_project(tmp_path / "project", program), "run", "mine.toml", "-j", "1")
    assert len((tmp_path / "project" / "train.py.runs").read_text().split()) == 6


def test_a_declared_time_is_measured_one_trial_at_a_time_and_a_name_declares_nothing() -> None:
    quality = {"name": "time_series_mae", "delta": 0.1, "better": "lower"}
    time = {"name": "epoch_cost", "delta": "5%", "kind": "time"}
    program = {"run": "echo {seed}"}
    clocks = [
        Study("mine", program=program, baseline={}, metrics=[metric]).clocks for metric in (quality, time)
    ]
    assert clocks == [[], ["epoch_cost"]]


@pytest.mark.parametrize(
    ("metric", "line"),
    [
        ("", "(seconds): whether the seed and the settings have an effect cannot be checked"),
        (', { name = "accuracy", delta = 0.01 }', "dropout 0.5: accuracy as of baseline"),
    ],
)
def test_a_study_of_speed_runs_one_trial_at_a_time_in_balanced_order(
    tmp_path: Path, metric: str, line: str
) -> None:
    study = STUDY.replace('name = "accuracy", delta = 0.01 }', 'name = "seconds", delta = "10%" }' + metric)
    folder = write_project(tmp_path / "project", PROGRAM.replace("given.dropout / 10", "0"), study)
    output = check_command(folder, "run", "mine.toml", "-j", "4", "--seeds", "0-1")
    assert "one trial at a time" in output and line in output
    ledger = Ledger(folder / "results")
    assert "under a minute on 1 core" in check_command(folder, "plan", "mine.toml", "-j", "4")
    counts = {r.environment["trials_at_a_time"] for r in ledger.results(ledger.files()).values()}
    assert counts == {1}
    rows = results("mine", folder / "results")[["arm", "seed"]].assign(
        started=[r.started for r in ledger.results(results("mine", folder / "results").trial).values()]
    )
    orders = [list(of_seed.sort_values("started").arm) for _, of_seed in rows.groupby("seed")]
    assert orders[0] == orders[1][::-1], "also of the first trials, which check the program"
